//! What a video or sound file holds: read from its headers alone, wherever in the file they are.
//!
//! Nothing here decodes. A file whose headers say nothing, or are damaged, is kept all the same, with what is known.

mod iso;
mod matroska;
mod sound;
mod source;

use crate::domain::{BlobKey, PixelSize};
use crate::storage::BlobStore;
use serde_json::{Map, Value, json};
use source::BlobSource;
use std::sync::Arc;
use std::time::Duration;

/// How long the headers may take to read: a store that is slow must not hold up an upload for longer.
const TIMEOUT: Duration = Duration::from_secs(20);
/// Bytes that reading the headers of one file may hold at most.
pub const MEMORY_BYTES: u64 = 48 << 20;

/// What is known of a video or sound file; what is not known is `None`.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct AvFacts {
    pub duration_s: Option<f64>,
    pub video: Option<VideoTrack>,
    pub audio: Option<AudioTrack>,
}

/// The first track of pictures.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct VideoTrack {
    /// Name of the codec as ffmpeg has it: `h264`, `hevc`, `vp9`, `av1`, …
    pub codec: Option<String>,
    /// Pixels as they are stored, before the rotation.
    pub width: u32,
    pub height: u32,
    /// Degrees clockwise by which players turn it: 0, 90, 180 or 270.
    pub rotation: u16,
    pub profile: Option<&'static str>,
    /// Ten times the level's number, as H.264 writes it: 41 for level 4.1.
    pub level: Option<u8>,
    pub pixel_format: Option<&'static str>,
    /// Frames a second, on average.
    pub frame_rate: Option<f64>,
    pub n_frames: Option<u64>,
    /// Bits a second, on average.
    pub bit_rate: Option<u64>,
    /// Units of time in a second.
    pub timescale: Option<u64>,
}

/// The first track of sound.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct AudioTrack {
    /// Name of the codec as ffmpeg has it: `aac`, `mp3`, `opus`, …
    pub codec: Option<String>,
    pub bit_rate: Option<u64>,
    /// Samples a second.
    pub frequency_hz: Option<u32>,
    pub n_channels: Option<u32>,
}

/// Reads what the headers of a stored file say. `format` is what its first bytes seemed to be.
pub async fn probe(store: Arc<dyn BlobStore>, blob: &BlobKey, n_bytes: u64, format: &'static str) -> AvFacts {
    let source = BlobSource::new(store, blob.clone(), n_bytes, tokio::runtime::Handle::current());
    let reading = tokio::task::spawn_blocking(move || read(source, format));
    let why = match tokio::time::timeout(TIMEOUT, reading).await {
        Ok(Ok(Ok(facts))) => return facts,
        Ok(Ok(Err(error))) => error,
        Ok(Err(panic)) => panic.to_string(),
        Err(_) => format!("its headers were not read within {} s", TIMEOUT.as_secs()),
    };
    tracing::info!(%blob, format, why, "what a video or sound file holds is not known");
    AvFacts::default()
}

fn read(source: BlobSource, format: &str) -> Result<AvFacts, String> {
    match format {
        "mp4" | "mov" | "m4a" | "3gp" => iso::read(source),
        "webm" | "mkv" => matroska::read(source),
        "mp3" | "wav" | "flac" | "ogg" => sound::read(source),
        // No header of these is read: they are kept and delivered as they are.
        _ => Ok(AvFacts::default()),
    }
}

impl VideoTrack {
    /// Pixels as players show it.
    fn upright(&self) -> PixelSize {
        match self.rotation {
            90 | 270 => PixelSize { width: self.height, height: self.width },
            _ => PixelSize { width: self.width, height: self.height },
        }
    }

    fn to_json(&self) -> Value {
        let mut entry = Map::new();
        let mut put = |name: &str, value: Option<Value>| {
            value.into_iter().for_each(|value| drop(entry.insert(name.to_owned(), value)));
        };
        put("pix_format", self.pixel_format.map(Value::from));
        put("codec", self.codec.clone().map(Value::from));
        put("level", self.level.map(Value::from));
        put("profile", self.profile.map(Value::from));
        // A string, as the original has it.
        put("bit_rate", self.bit_rate.map(|rate| json!(rate.to_string())));
        let PixelSize { width, height } = self.upright();
        let divisor = greatest_common_divisor(width, height);
        put("dar", (divisor > 0).then(|| json!(format!("{}:{}", width / divisor, height / divisor))));
        put("time_base", self.timescale.map(|scale| json!(format!("1/{scale}"))));
        Value::Object(entry)
    }
}

impl AudioTrack {
    fn to_json(&self) -> Value {
        let mut entry = Map::new();
        let mut put = |name: &str, value: Option<Value>| {
            value.into_iter().for_each(|value| drop(entry.insert(name.to_owned(), value)));
        };
        put("codec", self.codec.clone().map(Value::from));
        put("bit_rate", self.bit_rate.map(|rate| json!(rate.to_string())));
        put("frequency", self.frequency_hz.map(Value::from));
        put("channels", self.n_channels.map(Value::from));
        let layout = match self.n_channels {
            Some(1) => Some("mono"),
            Some(2) => Some("stereo"),
            Some(6) => Some("5.1"),
            Some(8) => Some("7.1"),
            _ => None,
        };
        put("channel_layout", layout.map(Value::from));
        Value::Object(entry)
    }
}

impl AvFacts {
    /// Pixels as players show it; 0 by 0 where there are no pictures, or nothing is known of them.
    pub fn size(&self) -> PixelSize {
        self.video.as_ref().map_or(PixelSize::default(), VideoTrack::upright)
    }

    /// The fields of an answer that tell of it. `n_bytes` is the length of the file, `seems_audio` what its first bytes told.
    pub fn fields(&self, n_bytes: u64, seems_audio: bool) -> Map<String, Value> {
        let mut fields = Map::new();
        let mut put = |name: &str, value: Value| {
            fields.insert(name.to_owned(), value);
        };
        let is_audio = match (&self.video, &self.audio) {
            (None, None) => seems_audio,
            (video, _) => video.is_none(),
        };
        put("is_audio", json!(is_audio));
        let duration_s = self.duration_s.filter(|duration| duration.is_finite() && *duration > 0.0);
        if let Some(duration_s) = duration_s {
            put("duration", json!((duration_s * 1e6).round() / 1e6));
            put("bit_rate", json!((n_bytes as f64 * 8.0 / duration_s).round() as u64));
        }
        if let Some(video) = &self.video {
            put("video", video.to_json());
            put("rotation", json!(video.rotation));
            if let Some(rate) = video.frame_rate.filter(|rate| rate.is_finite() && *rate > 0.0) {
                put("frame_rate", json!((rate * 1e3).round() / 1e3));
            }
            if let Some(n_frames) = video.n_frames {
                put("nb_frames", json!(n_frames));
            }
        }
        if self.video.is_some() || self.audio.is_some() {
            put("audio", self.audio.as_ref().map_or_else(|| json!({}), AudioTrack::to_json));
        }
        fields
    }
}

/// What an `avcC` record says: profile, level and, where the profile leaves no choice, the pixel format (ISO 14496-15
/// section 5.3.3, profiles of H.264 annex A).
fn h264(record: &[u8], track: &mut VideoTrack) {
    let &[_, profile, compatible, level, ..] = record else { return };
    track.level = Some(level);
    track.profile = match profile {
        66 if compatible & 0x40 != 0 => Some("Constrained Baseline"),
        66 => Some("Baseline"),
        77 => Some("Main"),
        88 => Some("Extended"),
        100 => Some("High"),
        110 => Some("High 10"),
        122 => Some("High 4:2:2"),
        244 => Some("High 4:4:4 Predictive"),
        _ => None,
    };
    track.pixel_format = matches!(profile, 66 | 77 | 88).then_some("yuv420p");
}

fn greatest_common_divisor(a: u32, b: u32) -> u32 {
    if b == 0 { a } else { greatest_common_divisor(b, a % b) }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::storage::MemoryStore;
    use rand::rngs::StdRng;
    use rand::{Rng, SeedableRng};

    const FILES: &[(&str, &[u8])] = &[
        ("mp4", include_bytes!("../../../tests/it/av/clip.mp4")),
        ("mp4", include_bytes!("../../../tests/it/av/fragments.mp4")),
        ("mov", include_bytes!("../../../tests/it/av/portrait.mov")),
        ("m4a", include_bytes!("../../../tests/it/av/tone.m4a")),
        ("webm", include_bytes!("../../../tests/it/av/clip.webm")),
        ("mkv", include_bytes!("../../../tests/it/av/clip.mkv")),
        ("mp3", include_bytes!("../../../tests/it/av/tone.mp3")),
        ("wav", include_bytes!("../../../tests/it/av/tone.wav")),
        ("flac", include_bytes!("../../../tests/it/av/tone.flac")),
        ("ogg", include_bytes!("../../../tests/it/av/tone.ogg")),
        ("ogg", include_bytes!("../../../tests/it/av/opus.ogg")),
    ];

    /// What is read of a file, on a thread of its own so that a panic is seen.
    async fn facts(format: &'static str, file: &[u8]) -> Result<AvFacts, String> {
        let store: Arc<dyn BlobStore> = Arc::new(MemoryStore::default());
        let mut writer = store.create().await.unwrap();
        writer.write(file.to_vec().into()).await.unwrap();
        let blob = writer.commit().await.unwrap();
        let source = BlobSource::new(store, blob, file.len() as u64, tokio::runtime::Handle::current());
        tokio::task::spawn_blocking(move || read(source, format)).await.unwrap()
    }

    #[tokio::test]
    async fn damaged_files_are_survived() {
        let mut chance = StdRng::seed_from_u64(7);
        for (format, file) in FILES {
            assert_ne!(facts(format, file).await.unwrap(), AvFacts::default(), "{format}");
            for part in 0..48 {
                // What is left of it may tell something or nothing.
                let _ = facts(format, &file[..file.len() * part / 48]).await;
            }
            for _ in 0..256 {
                let mut damaged = file.to_vec();
                for _ in 0..chance.random_range(1..6) {
                    // Headers stand at both ends.
                    let at = match chance.random_range(0..3) {
                        0 => chance.random_range(0..file.len()),
                        1 => chance.random_range(0..file.len().min(600)),
                        _ => file.len() - 1 - chance.random_range(0..file.len().min(2000)),
                    };
                    damaged[at] = if chance.random() { 0xff } else { chance.random() };
                }
                let _ = facts(format, &damaged).await;
            }
        }
    }

    #[test]
    fn a_film_that_lies_on_its_side_is_told_as_it_is_seen() {
        let video =
            VideoTrack { width: 1920, height: 1080, rotation: 90, frame_rate: Some(29.970_03), ..Default::default() };
        let facts = AvFacts { duration_s: Some(2.0), video: Some(video), audio: None };
        assert_eq!(facts.size(), PixelSize { width: 1080, height: 1920 });
        let fields = facts.fields(1_000_000, true);
        assert_eq!(
            Value::Object(fields),
            json!({"is_audio": false, "duration": 2.0, "bit_rate": 4_000_000, "rotation": 90, "frame_rate": 29.97,
                   "video": {"dar": "9:16"}, "audio": {}})
        );
    }

    #[test]
    fn what_is_not_known_is_not_told() {
        assert_eq!(Value::Object(AvFacts::default().fields(10, true)), json!({"is_audio": true}));
        let endless = AvFacts { duration_s: Some(f64::INFINITY), ..AvFacts::default() };
        assert_eq!(Value::Object(endless.fields(10, false)), json!({"is_audio": false}));
        assert_eq!(endless.size(), PixelSize::default());
    }
}
