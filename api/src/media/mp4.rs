//! MP4 and QuickTime: the boxes of `moov` (ISO/IEC 14496-12 and -15, QuickTime File Format).

use super::bytes::{array, be16, be32, be64, u8_at};
use super::{AudioTrack, Media, VideoTrack};

/// Boxes of one box that are looked at.
const MOST_BOXES: usize = 1024;
/// Entries of a table of durations that are added up.
const MOST_ENTRIES: usize = 1 << 20;

/// The beginning of a box. Lengths count from that beginning.
pub struct BoxHeader {
    pub kind: [u8; 4],
    pub header: u64,
    pub length: u64,
}

/// Reads the beginning of a box; `left` is how far it may reach at most.
pub fn box_header(bytes: &[u8], left: u64) -> Option<BoxHeader> {
    let kind = array(bytes, 4)?;
    let (header, length) = match be32(bytes, 0)? {
        0 => (8, left),
        1 => (16, be64(bytes, 8)?),
        length => (8, u64::from(length)),
    };
    (length >= header).then_some(BoxHeader { kind, header, length })
}

/// The boxes that follow each other in some bytes; what reaches beyond them ends the walk.
fn boxes(bytes: &[u8]) -> impl Iterator<Item = ([u8; 4], &[u8])> {
    let mut rest = bytes;
    let next = move || {
        let found = box_header(rest, rest.len() as u64)?;
        let (header, length) = (usize::try_from(found.header).ok()?, usize::try_from(found.length).ok()?);
        let content = rest.get(header..length)?;
        rest = rest.get(length..)?;
        Some((found.kind, content))
    };
    std::iter::from_fn(next).take(MOST_BOXES)
}

fn inner<'a>(bytes: &'a [u8], kind: &[u8; 4]) -> Option<&'a [u8]> {
    boxes(bytes).find(|(found, _)| found == kind).map(|(_, content)| content)
}

/// Time scale and duration of `mvhd` or `mdhd`.
fn times(bytes: &[u8]) -> Option<(u32, u64)> {
    match u8_at(bytes, 0)? {
        1 => Some((be32(bytes, 20)?, be64(bytes, 24)?)),
        _ => Some((be32(bytes, 12)?, be32(bytes, 16)?.into())),
    }
}

fn seconds((scale, duration): (u32, u64)) -> Option<f64> {
    // All ones mean that nobody knows.
    let known = scale > 0 && duration != u64::from(u32::MAX) && duration != u64::MAX;
    known.then(|| duration as f64 / f64::from(scale))
}

/// The contents of `moov`.
pub fn parse(moov: &[u8]) -> Media {
    let mut media = Media { duration_s: inner(moov, b"mvhd").and_then(times).and_then(seconds), ..Media::default() };
    for (_, track) in boxes(moov).filter(|(kind, _)| kind == b"trak") {
        let Some(found) = inner(track, b"mdia") else { continue };
        let handler = inner(found, b"hdlr").and_then(|bytes| array::<4>(bytes, 8));
        match handler.as_ref() {
            Some(b"vide") if media.video.is_none() => {
                let _ = video(track, found, &mut media);
            }
            Some(b"soun") if media.audio.is_none() => media.audio = audio(found),
            _ => {}
        }
    }
    media
}

/// The first description of how a track's samples are coded.
fn sample_entry(media: &[u8]) -> Option<([u8; 4], &[u8])> {
    let table = inner(inner(media, b"minf")?, b"stbl")?;
    boxes(inner(table, b"stsd")?.get(8..)?).next()
}

/// Bytes of all samples together.
fn sample_bytes(table: &[u8]) -> Option<u64> {
    let sizes = inner(table, b"stsz")?;
    let (fixed, count) = (be32(sizes, 4)?, be32(sizes, 8)?);
    if fixed > 0 {
        return Some(u64::from(fixed) * u64::from(count));
    }
    let all = sizes.get(12..)?.chunks_exact(4).take(count as usize);
    Some(all.filter_map(|size| be32(size, 0)).map(u64::from).sum())
}

/// Samples, and their duration in the track's time scale.
fn samples(table: &[u8]) -> Option<(u64, u64)> {
    let times = inner(table, b"stts")?;
    let entries = times.get(8..)?.chunks_exact(8).take((be32(times, 4)? as usize).min(MOST_ENTRIES));
    let (mut count, mut duration) = (0_u64, 0_u64);
    for entry in entries {
        let (n, each) = (u64::from(be32(entry, 0)?), u64::from(be32(entry, 4)?));
        count = count.saturating_add(n);
        duration = duration.saturating_add(n.saturating_mul(each));
    }
    Some((count, duration))
}

fn video(track: &[u8], media: &[u8], found: &mut Media) -> Option<()> {
    let (format, entry) = sample_entry(media)?;
    let (width, height) = (u32::from(be16(entry, 24)?), u32::from(be16(entry, 26)?));
    let boxed = entry.get(78..).unwrap_or_default();
    let (codec, config) = match &format {
        b"avc1" | b"avc3" => ("h264", inner(boxed, b"avcC")),
        b"hvc1" | b"hev1" => ("hevc", inner(boxed, b"hvcC")),
        b"vp09" => ("vp9", inner(boxed, b"vpcC")),
        b"vp08" => ("vp8", None),
        b"av01" => ("av1", inner(boxed, b"av1C")),
        b"mp4v" => ("mpeg4", None),
        b"apch" | b"apcn" | b"apcs" | b"apco" | b"ap4h" | b"ap4x" => ("prores", None),
        b"jpeg" | b"mjpa" | b"mjpb" => ("mjpeg", None),
        b"s263" | b"h263" => ("h263", None),
        _ => ("", None),
    };
    let mut described = VideoTrack { codec: named(codec, &format), ..VideoTrack::default() };
    if codec == "h264"
        && let Some(config) = config
    {
        described.profile = u8_at(config, 1).and_then(avc_profile).map(str::to_owned);
        described.level = u8_at(config, 3).map(u32::from);
        if matches!(u8_at(config, 1), Some(66 | 77 | 88 | 100)) {
            described.pix_format = Some("yuv420p".to_owned());
        }
    }
    let table = inner(inner(media, b"minf")?, b"stbl")?;
    let (scale, duration) = inner(media, b"mdhd").and_then(times)?;
    described.time_base = (scale > 0).then(|| format!("1/{scale}"));
    let length_s = seconds((scale, duration)).filter(|length| *length > 0.0);
    described.bit_rate = sample_bytes(table).zip(length_s).map(|(bytes, s)| (bytes as f64 * 8.0 / s) as u64);
    if let Some((count, duration)) = samples(table).filter(|(count, duration)| *count > 0 && *duration > 0) {
        found.n_frames = Some(count);
        found.frame_rate = Some(count as f64 * f64::from(scale) / duration as f64);
    }
    found.duration_s = found.duration_s.filter(|duration| *duration > 0.0).or(length_s);
    found.rotation = inner(track, b"tkhd").and_then(rotation).unwrap_or(0);
    let size = if found.rotation % 180 == 90 { (height, width) } else { (width, height) };
    found.size = (width > 0 && height > 0).then_some(size);
    found.video = Some(described);
    Some(())
}

/// Degrees clockwise of the matrix of `tkhd`, where it is a quarter turn.
fn rotation(bytes: &[u8]) -> Option<u32> {
    let matrix = if u8_at(bytes, 0)? == 1 { 52 } else { 40 };
    let entry = |n: usize| be32(bytes, matrix + n * 4).map(|value| (value as i32).signum());
    Some(match (entry(0)?, entry(1)?, entry(3)?, entry(4)?) {
        (0, 1, -1, 0) => 90,
        (-1, 0, 0, -1) => 180,
        (0, -1, 1, 0) => 270,
        _ => 0,
    })
}

fn audio(media: &[u8]) -> Option<AudioTrack> {
    let (format, entry) = sample_entry(media)?;
    let codec = match &format {
        b"mp4a" => "aac",
        b"Opus" => "opus",
        b"ac-3" => "ac3",
        b"ec-3" => "eac3",
        b"fLaC" => "flac",
        b"alac" => "alac",
        b".mp3" => "mp3",
        b"sowt" => "pcm_s16le",
        b"twos" => "pcm_s16be",
        b"samr" => "amr_nb",
        _ => "",
    };
    let length_s = inner(media, b"mdhd").and_then(times).and_then(seconds).filter(|length| *length > 0.0);
    let bytes = inner(media, b"minf").and_then(|bytes| inner(bytes, b"stbl")).and_then(sample_bytes);
    Some(AudioTrack {
        codec: named(codec, &format),
        bit_rate: bytes.zip(length_s).map(|(bytes, s)| (bytes as f64 * 8.0 / s) as u64),
        frequency: be32(entry, 24).map(|fixed| u64::from(fixed >> 16)).filter(|rate| *rate > 0),
        channels: aac_channels(entry).or(be16(entry, 16).map(u64::from).filter(|channels| *channels > 0)),
    })
}

/// Channels as the decoder's own configuration states them (ISO/IEC 14496-1, 7.2.6, and 14496-3, 1.6.2.1): many files have two in
/// the sample entry whatever there are.
fn aac_channels(entry: &[u8]) -> Option<u64> {
    let mut rest = inner(entry.get(28..)?, b"esds")?.get(4..)?;
    for (tag, header) in [(3, 3), (4, 13), (5, 0)] {
        let (found, after) = rest.split_first()?;
        // The length takes one to four bytes.
        let length = after.iter().take(4).position(|byte| byte & 0x80 == 0)? + 1;
        if *found != tag {
            return None;
        }
        rest = after.get(length + header..)?;
    }
    let config = be16(rest, 0)?;
    let (kind, channels) = (config >> 11, config >> 3 & 15);
    // Type 31 and frequency 15 have longer forms, and channels 0 are described elsewhere.
    match (kind, config >> 7 & 15, channels) {
        (31, _, _) | (_, 15, _) | (_, _, 0) => None,
        (_, _, 7) => Some(8),
        (_, _, channels) => Some(channels.into()),
    }
}

/// The usual name of a codec, else the four letters of the file.
fn named(codec: &str, letters: &[u8; 4]) -> String {
    if !codec.is_empty() {
        return codec.to_owned();
    }
    letters.iter().map(|byte| if byte.is_ascii_graphic() { char::from(*byte) } else { '_' }).collect()
}

/// Names of `profile_idc` (H.264, annex A).
fn avc_profile(number: u8) -> Option<&'static str> {
    Some(match number {
        66 => "Baseline",
        77 => "Main",
        88 => "Extended",
        100 => "High",
        110 => "High 10",
        122 => "High 4:2:2",
        244 => "High 4:4:4 Predictive",
        _ => return None,
    })
}
