//! Orientation and color profiles: read and honoured, never passed on.

use crate::plan::geometry::Orientation;
use moxcms::{ColorProfile, DataColorSpace, Layout, TransformExecutor, TransformOptions};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

/// The orientation that a TIFF-structured EXIF block states; upright when there is none or it cannot be read.
pub(super) fn orientation(exif: &[u8]) -> Orientation {
    let read = catch_unwind(AssertUnwindSafe(|| {
        let fields = exif::Reader::new().read_raw(exif.to_vec()).ok()?;
        fields.get_field(exif::Tag::Orientation, exif::In::PRIMARY)?.value.get_uint(0)
    }));
    let value = read.ok().flatten().and_then(|value| u16::try_from(value).ok()).unwrap_or(1);
    Orientation::from_exif(value)
}

/// Most EXIF fields that are told, and the most characters of one.
const MAX_FIELDS: usize = 300;
const MAX_FIELD_CHARS: usize = 500;

/// The EXIF fields of the main picture of a JPEG, PNG or WebP file, as texts by their names in the standard, such as
/// `Model`. Empty where there are none or they cannot be read.
pub fn exif_fields(file: &[u8]) -> Vec<(String, String)> {
    let read = catch_unwind(AssertUnwindSafe(|| {
        let found = exif::Reader::new().read_from_container(&mut std::io::Cursor::new(file)).ok()?;
        let fields = found.fields().filter(|field| field.ifd_num == exif::In::PRIMARY).take(MAX_FIELDS);
        let text = |field: &exif::Field| {
            let shown = field.display_value().to_string();
            let plain = shown.trim_matches('"').chars().filter(|character| !character.is_control());
            (field.tag.to_string(), plain.take(MAX_FIELD_CHARS).collect())
        };
        Some(fields.map(text).collect())
    }));
    read.ok().flatten().unwrap_or_default()
}

/// Converts RGBA rows of an embedded RGB profile to sRGB.
pub(super) struct ToSrgb {
    transform: Arc<dyn TransformExecutor<u8> + Send + Sync>,
    row: Vec<u8>,
}

impl ToSrgb {
    /// None when the profile is sRGB already, is not for RGB, or cannot be used: the pixels then count as sRGB.
    pub fn new(profile: &[u8]) -> Option<Self> {
        let transform = catch_unwind(AssertUnwindSafe(|| {
            let source = ColorProfile::new_from_slice(profile).ok()?;
            let srgb = ColorProfile::new_srgb();
            if source.color_space != DataColorSpace::Rgb || is_srgb(profile) {
                return None;
            }
            source.create_transform_8bit(Layout::Rgba, &srgb, Layout::Rgba, TransformOptions::default()).ok()
        }));
        Some(ToSrgb { transform: transform.ok().flatten()?, row: Vec::new() })
    }

    /// Converts one row of RGBA in place; alpha is kept.
    pub fn apply(&mut self, row: &mut [u8]) {
        self.row.clear();
        self.row.extend_from_slice(row);
        if self.transform.transform(&self.row, row).is_err() {
            row.copy_from_slice(&self.row);
        }
    }
}

/// Whether a profile calls itself sRGB. The common ones do so in their description, in ASCII or in UTF-16.
fn is_srgb(profile: &[u8]) -> bool {
    const ASCII: &[u8] = b"sRGB IEC61966";
    let utf16: Vec<u8> = ASCII.iter().flat_map(|byte| [0, *byte]).collect();
    let head = &profile[..profile.len().min(4096)];
    head.windows(ASCII.len()).any(|window| window == ASCII) || head.windows(utf16.len()).any(|window| window == utf16)
}
