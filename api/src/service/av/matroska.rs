//! Matroska and WebM (RFC 9559).

use super::source::BlobSource;
use super::{AudioTrack, AvFacts, VideoTrack, h264};
use matroska_demuxer::{MatroskaFile, TrackEntry, TrackType};

/// Reads the facts of a file.
pub fn read(source: BlobSource) -> Result<AvFacts, String> {
    let file = MatroskaFile::open(source).map_err(|error| error.to_string())?;
    let scale_ns = file.info().timestamp_scale().get() as f64;
    let duration_s = file.info().duration().map(|units| units * scale_ns / 1e9);
    let mut facts = AvFacts { duration_s, ..AvFacts::default() };
    for track in file.tracks() {
        match track.track_type() {
            TrackType::Video if facts.video.is_none() => facts.video = Some(video(track, duration_s)),
            TrackType::Audio if facts.audio.is_none() => facts.audio = Some(audio(track)),
            _ => {}
        }
    }
    if let Some(video) = &mut facts.video {
        video.timescale = (scale_ns > 0.0).then(|| (1e9 / scale_ns).round() as u64);
    }
    Ok(facts)
}

/// A length that pictures may have; 0, for not known, where it is none.
fn pixels(n: u64) -> u32 {
    u16::try_from(n).map_or(0, u32::from)
}

fn video(track: &TrackEntry, duration_s: Option<f64>) -> VideoTrack {
    let frame_rate = track.default_duration().map(|frame_ns| 1e9 / frame_ns.get() as f64);
    let mut video = VideoTrack {
        codec: Some(codec(track.codec_id())),
        frame_rate,
        n_frames: frame_rate.zip(duration_s).map(|(rate, lasts_s)| (rate * lasts_s).round() as u64),
        ..VideoTrack::default()
    };
    if let Some(size) = track.video() {
        (video.width, video.height) = (pixels(size.pixel_width().get()), pixels(size.pixel_height().get()));
    }
    if video.codec.as_deref() == Some("h264") {
        h264(track.codec_private().unwrap_or_default(), &mut video);
    }
    video
}

fn audio(track: &TrackEntry) -> AudioTrack {
    let sound = track.audio();
    AudioTrack {
        codec: Some(codec(track.codec_id())),
        bit_rate: None,
        frequency_hz: sound.map(|sound| sound.sampling_frequency() as u32).filter(|rate| *rate > 0),
        n_channels: sound.and_then(|sound| u32::try_from(sound.channels().get()).ok()),
    }
}

/// The usual name of a codec, of its identifier here: that of the registry of RFC 9559 without its kind, in small letters,
/// where there is no other.
fn codec(id: &str) -> String {
    let name = match id {
        "V_MPEG4/ISO/AVC" => "h264",
        "V_MPEGH/ISO/HEVC" => "hevc",
        "V_MPEG4/ISO/ASP" | "V_MPEG4/ISO/SP" | "V_MPEG4/ISO/AP" => "mpeg4",
        "A_MPEG/L3" => "mp3",
        "A_PCM/INT/LIT" | "A_PCM/INT/BIG" | "A_PCM/FLOAT/IEEE" => "pcm",
        _ if id.starts_with("A_AAC") => "aac",
        _ => {
            let name = id.strip_prefix("V_").or_else(|| id.strip_prefix("A_")).unwrap_or(id);
            let name = name.chars().filter(char::is_ascii_graphic).take(40);
            return name.collect::<String>().to_ascii_lowercase();
        }
    };
    name.to_owned()
}
