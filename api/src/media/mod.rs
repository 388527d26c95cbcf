//! What the headers of video and sound files say: sizes, times, codecs. Nothing of the media itself is read.
//!
//! A parser sees a bounded piece of a file and answers what it understands of it; what is damaged or unknown is left out.

mod audio;
mod bytes;
mod matroska;
mod mp4;

use serde_json::{Map, Value, json};
use std::future::Future;
use std::ops::Range;

/// Bytes from the beginning of a file that are looked at.
pub const HEAD_BYTES: u64 = 1 << 20;
/// Bytes from the end of a file that are looked at.
const TAIL_BYTES: u64 = 1 << 16;
/// Largest index of an MP4 file that is read.
const MOST_INDEX_BYTES: u64 = 16 << 20;
/// Boxes on the top level of an MP4 file that are passed on the way to its index.
const MOST_BOXES: usize = 64;

/// Pictures that follow each other.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct VideoTrack {
    pub codec: String,
    pub profile: Option<String>,
    pub level: Option<u32>,
    pub pix_format: Option<String>,
    pub bit_rate: Option<u64>,
    pub time_base: Option<String>,
}

/// Sound.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct AudioTrack {
    pub codec: String,
    pub bit_rate: Option<u64>,
    /// Samples a second.
    pub frequency: Option<u64>,
    pub channels: Option<u64>,
}

/// What is known of a file.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Media {
    /// Pixels as shown, `rotation` applied.
    pub size: Option<(u32, u32)>,
    pub duration_s: Option<f64>,
    pub frame_rate: Option<f64>,
    pub n_frames: Option<u64>,
    /// Degrees clockwise by which the stored pictures are turned to be shown.
    pub rotation: u32,
    pub video: Option<VideoTrack>,
    pub audio: Option<AudioTrack>,
}

/// Looks at a file of so many bytes. `format` is what its first bytes say (`sniff`); `read` gives ranges of it.
///
/// Errors are those of `read` alone.
pub async fn probe<E, F: Future<Output = Result<bytes::Piece, E>>>(
    format: &str,
    length: u64,
    read: impl Fn(Range<u64>) -> F,
) -> Result<Media, E> {
    let head = || read(0..length.min(HEAD_BYTES));
    let tail = || read(length.saturating_sub(TAIL_BYTES)..length);
    Ok(match format {
        "mp4" | "mov" | "m4a" | "3gp" => match mp4_index(length, &read).await? {
            Some(range) => mp4::parse(&read(range).await?),
            None => Media::default(),
        },
        "webm" | "mkv" => matroska::parse(&head().await?),
        "wav" => audio::wav(&head().await?, length),
        "flac" => audio::flac(&head().await?),
        "mp3" => audio::mp3(&head().await?, length),
        "ogg" | "ogv" => audio::ogg(&head().await?, &tail().await?),
        _ => Media::default(),
    })
}

/// Where the contents of an MP4 file's `moov` lie: it may stand behind all of the media.
async fn mp4_index<E, F: Future<Output = Result<bytes::Piece, E>>>(
    length: u64,
    read: impl Fn(Range<u64>) -> F,
) -> Result<Option<Range<u64>>, E> {
    let mut at = 0_u64;
    for _ in 0..MOST_BOXES {
        let Some(end) = at.checked_add(16).map(|end| end.min(length)).filter(|end| *end > at) else { break };
        let header = read(at..end).await?;
        let Some(found) = mp4::box_header(&header, length.saturating_sub(at)) else { break };
        let (Some(start), Some(end)) = (at.checked_add(found.header), at.checked_add(found.length)) else { break };
        if found.kind == *b"moov" {
            let fits = end <= length && end.saturating_sub(start) <= MOST_INDEX_BYTES;
            return Ok(fits.then_some(start..end));
        }
        at = end;
    }
    Ok(None)
}

fn rounded(value: f64, digits: i32) -> f64 {
    let scale = 10_f64.powi(digits);
    (value * scale).round() / scale
}

fn ratio(width: u32, height: u32) -> String {
    let (mut a, mut b) = (width, height);
    while b > 0 {
        (a, b) = (b, a % b);
    }
    let divisor = a.max(1);
    format!("{}:{}", width / divisor, height / divisor)
}

impl Media {
    /// The fields of answers (api.md 3.5). Inner bit rates are texts, the outer one is a number.
    pub fn fields(&self, is_audio: bool, length: u64) -> Map<String, Value> {
        let mut fields = Map::new();
        let mut put = |name: &str, value: Value| {
            fields.insert(name.to_owned(), value);
        };
        put("is_audio", json!(is_audio));
        put("pages", json!(0));
        if let Some(duration) = self.duration_s.filter(|duration| duration.is_finite() && *duration > 0.0) {
            put("duration", json!(rounded(duration, 6)));
            let bit_rate = length as f64 * 8.0 / duration;
            if bit_rate.is_finite() && bit_rate < 1e15 {
                put("bit_rate", json!(bit_rate as u64));
            }
        }
        let audio = self.audio.as_ref().map(|track| {
            let mut object = Map::new();
            object.insert("codec".to_owned(), json!(track.codec));
            if let Some(rate) = track.bit_rate {
                object.insert("bit_rate".to_owned(), json!(rate.to_string()));
            }
            if let Some(frequency) = track.frequency {
                object.insert("frequency".to_owned(), json!(frequency));
            }
            if let Some(channels) = track.channels {
                object.insert("channels".to_owned(), json!(channels));
                let layout = match channels {
                    1 => Some("mono"),
                    2 => Some("stereo"),
                    6 => Some("5.1"),
                    8 => Some("7.1"),
                    _ => None,
                };
                if let Some(layout) = layout {
                    object.insert("channel_layout".to_owned(), json!(layout));
                }
            }
            object
        });
        put("audio", Value::Object(audio.unwrap_or_default()));
        if is_audio {
            return fields;
        }
        let video = self.video.as_ref().map(|track| {
            let mut object = Map::new();
            let mut put = |name: &str, value: Option<Value>| {
                if let Some(value) = value {
                    object.insert(name.to_owned(), value);
                }
            };
            put("pix_format", track.pix_format.as_ref().map(|name| json!(name)));
            put("codec", Some(json!(track.codec)));
            put("level", track.level.map(|level| json!(level)));
            put("profile", track.profile.as_ref().map(|name| json!(name)));
            put("bit_rate", track.bit_rate.map(|rate| json!(rate.to_string())));
            put("dar", self.size.map(|(width, height)| json!(ratio(width, height))));
            put("time_base", track.time_base.as_ref().map(|base| json!(base)));
            object
        });
        if self.video.is_some() {
            put("rotation", json!(self.rotation));
        }
        put("video", Value::Object(video.unwrap_or_default()));
        if let Some(rate) = self.frame_rate.filter(|rate| rate.is_finite() && *rate > 0.0) {
            put("frame_rate", json!(rounded(rate, 3)));
        }
        if let Some(n_frames) = self.n_frames {
            put("nb_frames", json!(n_frames));
        }
        fields
    }
}
