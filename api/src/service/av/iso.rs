//! MP4, QuickTime and 3GP: files of boxes (ISO 14496-12). The box `moov` has all that is asked for; it may stand before or
//! after gigabytes of pictures.

use super::source::BlobSource;
use super::{AudioTrack, AvFacts, VideoTrack, h264};
use mp4parse::{AudioSampleEntry, CodecType, SampleEntry, Track, TrackType, VideoCodecSpecific};
use std::io::{Read, Seek, SeekFrom};

/// Longest `moov` that is read: that of a film of many hours.
const MOST_MOOV_BYTES: u64 = 16 << 20;
/// Boxes that may stand beside it.
const MOST_BOXES: usize = 1024;

/// Reads the facts of a file.
pub fn read(mut source: BlobSource) -> Result<AvFacts, String> {
    let Some(moov) = find_moov(&mut source)? else { return Err("it has no box moov".into()) };
    let parsed = mp4parse::read_mp4(&mut moov.as_slice()).map_err(|error| format!("moov: {error:?}"))?;
    let codes = sample_codes(&moov);
    let movie_timescale = parsed.timescale.map(|scale| scale.0);
    let mut facts = AvFacts::default();
    for (index, track) in parsed.tracks.iter().enumerate() {
        let code = codes.get(index).copied().flatten();
        match track.track_type {
            TrackType::Video if facts.video.is_none() => facts.video = Some(video(track, code)),
            TrackType::Audio if facts.audio.is_none() => facts.audio = Some(audio(track, code)),
            _ => continue,
        }
        // What players show of it: encoders write a little more sound than there is, and an edit that leaves it out.
        let edited_s = track.edited_duration.zip(movie_timescale).and_then(|(units, scale)| seconds(units.0, scale));
        let lasts_s = edited_s.or_else(|| duration_s(track)).or_else(|| {
            let fragments = parsed.mvex.as_ref()?.fragment_duration.as_ref()?.0;
            seconds(fragments, movie_timescale?)
        });
        facts.duration_s = facts.duration_s.into_iter().chain(lasts_s).reduce(f64::max);
    }
    Ok(facts)
}

/// The box `moov` with its header.
fn find_moov(source: &mut BlobSource) -> Result<Option<Vec<u8>>, String> {
    let text = |error: std::io::Error| error.to_string();
    let mut start = 0_u64;
    for _ in 0..MOST_BOXES {
        if source.n_bytes().saturating_sub(start) < 8 {
            return Ok(None);
        }
        source.seek(SeekFrom::Start(start)).map_err(text)?;
        let mut head = [0; 16];
        let n_head = if source.n_bytes() - start < 16 { 8 } else { 16 };
        source.read_exact(&mut head[..n_head]).map_err(text)?;
        let length = match u32::from_be_bytes([head[0], head[1], head[2], head[3]]) {
            // To the end of the file.
            0 => source.n_bytes() - start,
            1 => u64::from_be_bytes([head[8], head[9], head[10], head[11], head[12], head[13], head[14], head[15]]),
            short => u64::from(short),
        };
        let end = start.checked_add(length).filter(|end| length >= 8 && *end <= source.n_bytes());
        let Some(end) = end else { return Err("a box is longer than the file".into()) };
        if &head[4..8] == b"moov" {
            if length > MOST_MOOV_BYTES {
                return Err(format!("moov has {length} bytes"));
            }
            source.seek(SeekFrom::Start(start)).map_err(text)?;
            let mut moov = Vec::new();
            source.take(length).read_to_end(&mut moov).map_err(text)?;
            return Ok(Some(moov));
        }
        start = end;
    }
    Err("it has too many boxes".into())
}

/// Contents of the boxes of one kind that stand directly in `parent`, the contents of another.
fn children<'a>(parent: &'a [u8], kind: &'a [u8; 4]) -> impl Iterator<Item = &'a [u8]> {
    let mut rest = parent;
    std::iter::from_fn(move || {
        loop {
            let length = usize::try_from(u32::from_be_bytes(*rest.first_chunk::<4>()?)).ok()?;
            let (this, after) = rest.split_at_checked(length).filter(|_| length >= 8)?;
            rest = after;
            if &this[4..8] == kind {
                return Some(&this[8..]);
            }
        }
    })
}

/// The code of the samples of each track, such as `hvc1`: the library gives none for codecs that it does not know.
fn sample_codes(moov: &[u8]) -> Vec<Option<[u8; 4]>> {
    let inside = moov.get(8..).unwrap_or_default();
    let code = |track| {
        let mut found: &[u8] = track;
        for kind in [b"mdia", b"minf", b"stbl", b"stsd"] {
            found = children(found, kind).next()?;
        }
        // Version, flags, number of entries, length of the first one, its code.
        found.get(12..16)?.try_into().ok()
    };
    children(inside, b"trak").map(code).collect()
}

fn seconds(units: u64, timescale: u64) -> Option<f64> {
    (units > 0 && timescale > 0).then(|| units as f64 / timescale as f64)
}

fn duration_s(track: &Track) -> Option<f64> {
    seconds(track.duration.as_ref()?.0, track.timescale.as_ref()?.0)
}

/// Frames and bytes of a track, by its tables of samples.
fn samples(track: &Track) -> (u64, u64) {
    let runs = track.stts.as_ref().map_or(&[][..], |table| &table.samples[..]);
    let n: u64 = runs.iter().map(|run| u64::from(run.sample_count)).sum();
    let bytes = track.stsz.as_ref().map_or(0, |sizes| match sizes.sample_size {
        0 => sizes.sample_sizes.iter().map(|size| u64::from(*size)).sum(),
        each => n.saturating_mul(u64::from(each)),
    });
    (n, bytes)
}

fn bit_rate(track: &Track, bytes: u64) -> Option<u64> {
    duration_s(track).filter(|_| bytes > 0).map(|lasts_s| (bytes as f64 * 8.0 / lasts_s) as u64)
}

fn video(track: &Track, code: Option<[u8; 4]>) -> VideoTrack {
    let (n_frames, bytes) = samples(track);
    let mut video = VideoTrack {
        codec: code.map(video_codec),
        bit_rate: bit_rate(track, bytes),
        timescale: track.timescale.as_ref().map(|scale| scale.0),
        ..VideoTrack::default()
    };
    if n_frames > 0 {
        video.n_frames = Some(n_frames);
        video.frame_rate = duration_s(track).map(|lasts_s| n_frames as f64 / lasts_s);
    }
    if let Some(header) = &track.tkhd {
        // Fixed point numbers of 16.16; those of the matrix are 1, 0 or -1 in what cameras write.
        (video.width, video.height) = (header.width >> 16, header.height >> 16);
        let matrix = &header.matrix;
        video.rotation = match (matrix.a.signum(), matrix.b.signum(), matrix.c.signum(), matrix.d.signum()) {
            (0, 1, -1, 0) => 90,
            (-1, 0, 0, -1) => 180,
            (0, -1, 1, 0) => 270,
            _ => 0,
        };
    }
    let entry = track.stsd.as_ref().and_then(|table| table.descriptions.first());
    if let Some(SampleEntry::Video(entry)) = entry {
        (video.width, video.height) = (u32::from(entry.width), u32::from(entry.height));
        if let VideoCodecSpecific::AVCConfig(record) = &entry.codec_specific {
            h264(record, &mut video);
        }
    }
    video
}

fn audio(track: &Track, code: Option<[u8; 4]>) -> AudioTrack {
    let (_, bytes) = samples(track);
    let mut audio = AudioTrack { bit_rate: bit_rate(track, bytes), ..AudioTrack::default() };
    let entry = track.stsd.as_ref().and_then(|table| table.descriptions.first());
    match entry {
        Some(SampleEntry::Audio(entry)) => {
            audio.codec = audio_codec(entry).map(str::to_owned).or_else(|| code.map(readable));
            audio.frequency_hz = (entry.samplerate >= 1.0).then_some(entry.samplerate as u32);
            audio.n_channels = Some(entry.channelcount).filter(|n| *n > 0);
        }
        _ => audio.codec = code.map(readable),
    }
    audio
}

fn audio_codec(entry: &AudioSampleEntry) -> Option<&'static str> {
    match entry.codec_type {
        CodecType::AAC => Some("aac"),
        CodecType::MP3 => Some("mp3"),
        CodecType::FLAC => Some("flac"),
        CodecType::Opus => Some("opus"),
        CodecType::ALAC => Some("alac"),
        CodecType::LPCM => Some("pcm"),
        _ => None,
    }
}

fn video_codec(code: [u8; 4]) -> String {
    let name = match &code {
        b"avc1" | b"avc2" | b"avc3" | b"avc4" => "h264",
        b"hvc1" | b"hev1" | b"dvh1" | b"dvhe" => "hevc",
        b"av01" => "av1",
        b"vp08" => "vp8",
        b"vp09" => "vp9",
        b"mp4v" => "mpeg4",
        b"s263" | b"h263" | b"H263" => "h263",
        b"jpeg" | b"mjpa" | b"mjpb" => "mjpeg",
        b"apch" | b"apcn" | b"apcs" | b"apco" | b"ap4h" | b"ap4x" => "prores",
        _ => return readable(code),
    };
    name.to_owned()
}

/// A code as text, for codecs that have no other name here.
fn readable(code: [u8; 4]) -> String {
    code.iter().filter(|byte| byte.is_ascii_graphic()).map(|byte| char::from(*byte)).collect()
}
