//! MP3, WAV, FLAC and Ogg.

use super::source::BlobSource;
use super::{AudioTrack, AvFacts};
use lofty::config::{ParseOptions, ParsingMode};
use lofty::file::{AudioFile, FileType};
use lofty::probe::Probe;
use std::io::BufReader;

/// Reads the facts of a file.
pub fn read(source: BlobSource) -> Result<AvFacts, String> {
    let options = ParseOptions::new().read_tags(false).read_cover_art(false).parsing_mode(ParsingMode::Relaxed);
    let probe = Probe::new(BufReader::new(source)).options(options);
    let probe = probe.guess_file_type().map_err(|error| error.to_string())?;
    let kind = probe.file_type();
    let file = probe.read().map_err(|error| error.to_string())?;
    let properties = file.properties();
    let codec = match kind {
        Some(FileType::Mpeg) => Some("mp3".to_owned()),
        Some(FileType::Flac) => Some("flac".to_owned()),
        Some(FileType::Opus) => Some("opus".to_owned()),
        Some(FileType::Vorbis) => Some("vorbis".to_owned()),
        Some(FileType::Speex) => Some("speex".to_owned()),
        Some(FileType::Wav) => properties.bit_depth().map(|bits| match bits {
            8 => "pcm_u8".to_owned(),
            bits => format!("pcm_s{bits}le"),
        }),
        _ => None,
    };
    let audio = AudioTrack {
        codec,
        // The library counts thousands of bits.
        bit_rate: properties.audio_bitrate().map(|rate| u64::from(rate) * 1000),
        frequency_hz: properties.sample_rate(),
        n_channels: properties.channels().map(u32::from),
    };
    Ok(AvFacts { duration_s: Some(properties.duration().as_secs_f64()), video: None, audio: Some(audio) })
}
