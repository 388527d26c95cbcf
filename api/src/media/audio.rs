//! Sound files: WAV (RIFF), FLAC, MP3 (ISO/IEC 11172-3 and 13818-3) and Ogg (RFC 3533).

use super::bytes::{array, be32, le16, le32, le64, u8_at};
use super::{AudioTrack, Media, VideoTrack};

/// Chunks of a WAV file that are passed on the way to its data.
const MOST_CHUNKS: usize = 256;

fn sound(codec: &str, bit_rate: Option<u64>, frequency: Option<u64>, channels: Option<u64>) -> AudioTrack {
    AudioTrack {
        codec: codec.to_owned(),
        bit_rate,
        frequency: frequency.filter(|rate| *rate > 0),
        channels: channels.filter(|channels| *channels > 0),
    }
}

/// The beginning of a WAV file of so many bytes.
pub fn wav(head: &[u8], length: u64) -> Media {
    let mut media = Media::default();
    let (mut at, mut bytes_per_s) = (12_usize, 0_u64);
    for _ in 0..MOST_CHUNKS {
        let (Some(kind), Some(size)) = (array::<4>(head, at), le32(head, at.saturating_add(4))) else { break };
        let content = at.saturating_add(8);
        match &kind {
            b"fmt " => {
                let codec = match le16(head, content) {
                    Some(1 | 0xFFFE) => match le16(head, content + 14) {
                        Some(8) => "pcm_u8",
                        Some(24) => "pcm_s24le",
                        Some(32) => "pcm_s32le",
                        _ => "pcm_s16le",
                    },
                    Some(3) => "pcm_f32le",
                    Some(6) => "pcm_alaw",
                    Some(7) => "pcm_mulaw",
                    _ => "unknown",
                };
                bytes_per_s = le32(head, content + 8).map_or(0, u64::from);
                let bit_rate = Some(bytes_per_s * 8).filter(|rate| *rate > 0);
                let frequency = le32(head, content + 4).map(u64::from);
                media.audio = Some(sound(codec, bit_rate, frequency, le16(head, content + 2).map(u64::from)));
            }
            b"data" => {
                // A stream that was never finished states too much.
                let there = u64::from(size).min(length.saturating_sub(content as u64));
                media.duration_s = (bytes_per_s > 0).then(|| there as f64 / bytes_per_s as f64);
                break;
            }
            _ => {}
        }
        let Some(next) = content.checked_add(size as usize).and_then(|end| end.checked_add(size as usize % 2)) else {
            break;
        };
        at = next;
    }
    media
}

/// The beginning of a FLAC file.
pub fn flac(head: &[u8]) -> Media {
    let found = || {
        // 4 of magic, 4 of the block's header; then sizes of blocks and frames.
        let packed = u64::from_be_bytes(array(head, 18)?);
        let (frequency, channels) = (packed >> 44, (packed >> 41 & 7) + 1);
        let samples = packed & ((1 << 36) - 1);
        let duration_s = (frequency > 0 && samples > 0).then(|| samples as f64 / frequency as f64);
        let audio = Some(sound("flac", None, Some(frequency), Some(channels)));
        Some(Media { duration_s, audio, ..Media::default() })
    };
    found().unwrap_or_default()
}

/// One frame's header of an MP3 file.
struct Mp3Frame {
    is_mpeg1: bool,
    bit_rate: u64,
    frequency: u64,
    is_mono: bool,
}

/// Kilobits a second of layer III by index: MPEG-1, then MPEG-2 and 2.5.
const MPEG1_RATES: [u64; 15] = [0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320];
const MPEG2_RATES: [u64; 15] = [0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160];

fn mp3_frame(bytes: &[u8], at: usize) -> Option<Mp3Frame> {
    let header = be32(bytes, at)?;
    let (version, layer) = (header >> 19 & 3, header >> 17 & 3);
    if header >> 21 != 0x7FF || version == 1 || layer != 1 {
        return None;
    }
    let is_mpeg1 = version == 3;
    let rates = if is_mpeg1 { &MPEG1_RATES } else { &MPEG2_RATES };
    let bit_rate = *rates.get((header >> 12 & 15) as usize)? * 1000;
    let base = *[44_100, 48_000, 32_000].get((header >> 10 & 3) as usize)?;
    let frequency = match version {
        3 => base,
        2 => base / 2,
        _ => base / 4,
    };
    (bit_rate > 0).then_some(Mp3Frame { is_mpeg1, bit_rate, frequency, is_mono: header >> 6 & 3 == 3 })
}

/// The beginning of an MP3 file of so many bytes.
pub fn mp3(head: &[u8], length: u64) -> Media {
    let tag = match head.starts_with(b"ID3") {
        // Seven bits a byte.
        true => array::<4>(head, 6)
            .map_or(0, |size| size.iter().fold(0, |sum, byte| sum << 7 | usize::from(byte & 127)) + 10),
        false => 0,
    };
    let found = || {
        // The first frame may stand behind some padding; the next one proves it.
        let at = (tag..tag.checked_add(4096)?.min(head.len())).find(|at| mp3_frame(head, *at).is_some())?;
        let frame = mp3_frame(head, at)?;
        let side = match (frame.is_mpeg1, frame.is_mono) {
            (true, false) => 32,
            (true, true) | (false, false) => 17,
            (false, true) => 9,
        };
        let per_frame = if frame.is_mpeg1 { 1152.0 } else { 576.0 };
        let xing = at + 4 + side;
        let counted = match array::<4>(head, xing)?.as_slice() {
            b"Xing" | b"Info" if be32(head, xing + 4)? & 1 == 1 => be32(head, xing + 8),
            _ if head.get(at + 36..at + 40) == Some(b"VBRI") => be32(head, at + 50),
            _ => None,
        };
        let sound_bytes = length.saturating_sub(at as u64) as f64;
        let (duration, bit_rate) = match counted.filter(|count| *count > 0) {
            Some(count) => {
                let duration = f64::from(count) * per_frame / frame.frequency as f64;
                (duration, (sound_bytes * 8.0 / duration) as u64)
            }
            None => (sound_bytes * 8.0 / frame.bit_rate as f64, frame.bit_rate),
        };
        let channels = if frame.is_mono { 1 } else { 2 };
        let audio = Some(sound("mp3", Some(bit_rate), Some(frame.frequency), Some(channels)));
        Some(Media { duration_s: Some(duration), audio, ..Media::default() })
    };
    found().unwrap_or_default()
}

/// The beginning and the end of an Ogg file.
pub fn ogg(head: &[u8], tail: &[u8]) -> Media {
    let mut media = Media::default();
    let mut timed: Option<(u32, u64, u64)> = None;
    // Every stream begins with a page of its own.
    for at in pages(head).take(8) {
        let Some(n_segments) = u8_at(head, at + 26) else { break };
        let packet = head.get(at + 27 + usize::from(n_segments)..).unwrap_or_default();
        let serial = le32(head, at + 14).unwrap_or(0);
        if packet.starts_with(b"\x01vorbis") {
            let rate = le32(packet, 12).map_or(0, u64::from);
            let nominal = le32(packet, 20).map(u64::from).filter(|rate| (1..u64::from(u32::MAX / 2)).contains(rate));
            media.audio = Some(sound("vorbis", nominal, Some(rate), u8_at(packet, 11).map(u64::from)));
            timed.get_or_insert((serial, rate, 0));
        } else if packet.starts_with(b"OpusHead") {
            // Positions are always in 48 kHz, and begin before the sound does.
            let skipped = le16(packet, 10).map_or(0, u64::from);
            media.audio = Some(sound("opus", None, Some(48_000), u8_at(packet, 9).map(u64::from)));
            timed.get_or_insert((serial, 48_000, skipped));
        } else if packet.starts_with(b"\x80theora") {
            let side = |at| Some(be32(packet, at)? >> 8).filter(|side| *side > 0);
            media.size = side(14).zip(side(17));
            let (numerator, denominator) = (be32(packet, 22).unwrap_or(0), be32(packet, 26).unwrap_or(0));
            media.frame_rate = (denominator > 0).then(|| f64::from(numerator) / f64::from(denominator));
            media.video = Some(VideoTrack { codec: "theora".to_owned(), ..VideoTrack::default() });
        }
    }
    if let Some((serial, rate, skipped)) = timed.filter(|(_, rate, _)| *rate > 0) {
        let ends = pages(tail).filter(|at| le32(tail, at + 14) == Some(serial)).filter_map(|at| le64(tail, at + 6));
        let last = ends.filter(|position| *position != u64::MAX).last();
        media.duration_s = last.map(|position| position.saturating_sub(skipped) as f64 / rate as f64);
    }
    media
}

/// Where pages begin.
fn pages(bytes: &[u8]) -> impl Iterator<Item = usize> {
    bytes.windows(4).enumerate().filter(|(_, four)| *four == b"OggS").map(|(at, _)| at)
}
