//! Matroska and WebM: the elements before the first cluster (RFC 8794 and RFC 9559).

use super::{AudioTrack, Media, VideoTrack};

const SEGMENT: u32 = 0x1853_8067;
const INFO: u32 = 0x1549_A966;
const TIMESTAMP_SCALE: u32 = 0x2A_D7B1;
const DURATION: u32 = 0x4489;
const TRACKS: u32 = 0x1654_AE6B;
const TRACK_ENTRY: u32 = 0xAE;
const TRACK_TYPE: u32 = 0x83;
const CODEC_ID: u32 = 0x86;
const DEFAULT_DURATION: u32 = 0x23_E383;
const VIDEO: u32 = 0xE0;
const PIXEL_WIDTH: u32 = 0xB0;
const PIXEL_HEIGHT: u32 = 0xBA;
const AUDIO: u32 = 0xE1;
const SAMPLING_FREQUENCY: u32 = 0xB5;
const CHANNELS: u32 = 0x9F;
const CLUSTER: u32 = 0x1F43_B675;

/// Elements of one element that are looked at.
const MOST_ELEMENTS: usize = 4096;

/// A number of variable length: its value without and with the marker, and its bytes. All ones mean that nobody knows.
fn number(bytes: &[u8]) -> Option<(Option<u64>, u64, usize)> {
    let first = *bytes.first()?;
    let length = first.leading_zeros() as usize + 1;
    if length > 8 {
        return None;
    }
    let whole = bytes.get(..length)?.iter().fold(0_u64, |sum, byte| sum << 8 | u64::from(*byte));
    let ones = (1_u64 << (7 * length)) - 1;
    let value = whole & ones;
    Some(((value != ones).then_some(value), whole, length))
}

/// The elements that follow each other in some bytes; the last one may be cut off.
fn elements(bytes: &[u8]) -> impl Iterator<Item = (u32, &[u8])> {
    let mut rest = bytes;
    let next = move || {
        let (_, id, id_length) = number(rest)?;
        let (size, _, size_length) = number(rest.get(id_length..)?)?;
        let content = rest.get(id_length + size_length..)?;
        let length = size.and_then(|size| usize::try_from(size).ok()).unwrap_or(usize::MAX).min(content.len());
        let (content, after) = content.split_at(length);
        rest = after;
        Some((u32::try_from(id).ok()?, content))
    };
    std::iter::from_fn(next).take(MOST_ELEMENTS)
}

fn inner(bytes: &[u8], id: u32) -> Option<&[u8]> {
    elements(bytes).find(|(found, _)| *found == id).map(|(_, content)| content)
}

fn unsigned(bytes: &[u8]) -> Option<u64> {
    (bytes.len() <= 8).then(|| bytes.iter().fold(0, |sum, byte| sum << 8 | u64::from(*byte)))
}

fn float(bytes: &[u8]) -> Option<f64> {
    match bytes.len() {
        4 => Some(f32::from_be_bytes(bytes.try_into().ok()?).into()),
        8 => Some(f64::from_be_bytes(bytes.try_into().ok()?)),
        _ => None,
    }
}

/// The beginning of a file.
pub fn parse(head: &[u8]) -> Media {
    let mut media = Media::default();
    let Some(segment) = inner(head, SEGMENT) else { return media };
    for (id, content) in elements(segment).take_while(|(id, _)| *id != CLUSTER) {
        match id {
            INFO => {
                let scale_ns = inner(content, TIMESTAMP_SCALE).and_then(unsigned).unwrap_or(1_000_000);
                let ticks = inner(content, DURATION).and_then(float);
                media.duration_s = ticks.map(|ticks| ticks * scale_ns as f64 / 1e9);
            }
            TRACKS => {
                for (_, track) in elements(content).filter(|(id, _)| *id == TRACK_ENTRY) {
                    entry(track, &mut media);
                }
            }
            _ => {}
        }
    }
    media
}

fn entry(track: &[u8], media: &mut Media) {
    let id = inner(track, CODEC_ID).and_then(|bytes| std::str::from_utf8(bytes).ok()).unwrap_or_default();
    let codec = codec(id.trim_end_matches('\0'));
    match inner(track, TRACK_TYPE).and_then(unsigned) {
        Some(1) if media.video.is_none() => {
            let about = inner(track, VIDEO).unwrap_or_default();
            let side = |id| inner(about, id).and_then(unsigned).and_then(|side| u32::try_from(side).ok());
            media.size = side(PIXEL_WIDTH).zip(side(PIXEL_HEIGHT)).filter(|(width, height)| *width > 0 && *height > 0);
            let frame_ns = inner(track, DEFAULT_DURATION).and_then(unsigned).filter(|duration| *duration > 0);
            media.frame_rate = frame_ns.map(|duration| 1e9 / duration as f64);
            media.video = Some(VideoTrack { codec, ..VideoTrack::default() });
        }
        Some(2) if media.audio.is_none() => {
            let about = inner(track, AUDIO).unwrap_or_default();
            let frequency = inner(about, SAMPLING_FREQUENCY).and_then(float).unwrap_or(8000.0);
            media.audio = Some(AudioTrack {
                codec,
                bit_rate: None,
                frequency: (frequency.is_finite() && (1.0..1e9).contains(&frequency)).then_some(frequency as u64),
                channels: Some(inner(about, CHANNELS).and_then(unsigned).unwrap_or(1)),
            });
        }
        _ => {}
    }
}

fn codec(id: &str) -> String {
    let known = match id {
        "V_VP8" => "vp8",
        "V_VP9" => "vp9",
        "V_AV1" => "av1",
        "V_MPEG4/ISO/AVC" => "h264",
        "V_MPEGH/ISO/HEVC" => "hevc",
        "V_THEORA" => "theora",
        "A_OPUS" => "opus",
        "A_VORBIS" => "vorbis",
        "A_FLAC" => "flac",
        "A_AC3" => "ac3",
        "A_MPEG/L3" => "mp3",
        _ if id.starts_with("A_AAC") => "aac",
        _ if id.starts_with("A_PCM") => "pcm",
        _ => "",
    };
    let spelled = || id.chars().filter(char::is_ascii_graphic).take(32).collect();
    if known.is_empty() { spelled() } else { known.to_owned() }
}
