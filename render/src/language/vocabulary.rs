//! The words that may stand as values: crop modes, gravities, flags, effects, kinds of layers. What is not built is
//! listed too, so that it is refused by name and shows in the documentation.

use super::transformation::{Compass, CropMode, FaceFallback, Flag, Gravity};

/// A word of the language, and its meaning where it is built.
#[derive(Debug, Clone)]
pub struct Word<T> {
    pub name: &'static str,
    pub means: Option<T>,
}

const fn built<T>(name: &'static str, means: T) -> Word<T> {
    Word { name, means: Some(means) }
}

const fn missing<T>(name: &'static str) -> Word<T> {
    Word { name, means: None }
}

/// The row of a word.
pub fn find<T>(words: &'static [Word<T>], name: &str) -> Option<&'static Word<T>> {
    words.iter().find(|word| word.name == name)
}

/// The word for a meaning.
pub fn name_of<T: PartialEq>(words: &'static [Word<T>], meaning: &T) -> &'static str {
    words.iter().find(|word| word.means.as_ref() == Some(meaning)).map_or("", |word| word.name)
}

/// Values of `c_`.
pub static CROP_MODES: &[Word<CropMode>] = &[
    built("scale", CropMode::Scale),
    built("fit", CropMode::Fit),
    built("limit", CropMode::Limit),
    built("mfit", CropMode::Mfit),
    built("fill", CropMode::Fill),
    built("lfill", CropMode::Lfill),
    built("pad", CropMode::Pad),
    built("lpad", CropMode::Lpad),
    built("mpad", CropMode::Mpad),
    built("crop", CropMode::Crop),
    built("thumb", CropMode::Thumb),
    missing("fill_pad"),
    missing("auto"),
    missing("auto_pad"),
    missing("imagga_crop"),
    missing("imagga_scale"),
];

/// Values of `g_`, whole.
pub static GRAVITIES: &[Word<Gravity>] = &[
    built("north_west", Gravity::Compass(Compass::NorthWest)),
    built("north", Gravity::Compass(Compass::North)),
    built("north_east", Gravity::Compass(Compass::NorthEast)),
    built("west", Gravity::Compass(Compass::West)),
    built("center", Gravity::Compass(Compass::Center)),
    built("east", Gravity::Compass(Compass::East)),
    built("south_west", Gravity::Compass(Compass::SouthWest)),
    built("south", Gravity::Compass(Compass::South)),
    built("south_east", Gravity::Compass(Compass::SouthEast)),
    built("xy_center", Gravity::XyCenter),
    built("face", Gravity::Face(FaceFallback::North)),
    built("face:center", Gravity::Face(FaceFallback::Center)),
    built("faces", Gravity::Faces(FaceFallback::North)),
    built("faces:center", Gravity::Faces(FaceFallback::Center)),
    built("custom", Gravity::Custom),
    built("custom:face", Gravity::CustomFace),
    built("custom:faces", Gravity::CustomFaces),
    missing("face:auto"),
    missing("faces:auto"),
    missing("custom:adv_face"),
    missing("custom:adv_faces"),
    missing("adv_face"),
    missing("adv_faces"),
    missing("adv_eyes"),
    missing("ocr_text"),
    missing("liquid"),
    missing("cld-decompose_tile"),
];

/// Beginnings of values of `g_` that take arguments or continue freely; none is built.
pub static GRAVITY_PREFIXES: &[&str] = &["auto", "region_", "clipping_path_", "track_person"];

/// Objects that the vendor's detection add-ons know as gravities; none is built. The full list is theirs and grows.
pub static GRAVITY_OBJECTS: &[&str] =
    &["person", "cat", "dog", "bird", "horse", "car", "bicycle", "bottle", "chair", "shoe", "bag", "hat", "dress"];

/// Values of `fl_`, without arguments.
pub static FLAGS: &[Word<Flag>] = &[
    built("relative", Flag::Relative),
    built("no_overflow", Flag::NoOverflow),
    built("ignore_aspect_ratio", Flag::IgnoreAspectRatio),
    built("progressive", Flag::Progressive),
    built("immutable_cache", Flag::ImmutableCache),
    built("attachment", Flag::Attachment(None)),
    missing("layer_apply"),
    missing("region_relative"),
    missing("text_disallow_overflow"),
    missing("text_no_trim"),
    missing("tiled"),
    missing("cutter"),
    missing("lossy"),
    missing("preserve_transparency"),
    missing("any_format"),
    missing("png8"),
    missing("png24"),
    missing("png32"),
    missing("keep_iptc"),
    missing("keep_attribution"),
    missing("strip_profile"),
    missing("force_icc"),
    missing("force_strip"),
    missing("animated"),
    missing("awebp"),
    missing("apng"),
    missing("getinfo"),
    missing("clip"),
    missing("clip_evenodd"),
    missing("rasterize"),
    missing("sanitize"),
    missing("replace_image"),
    missing("group4"),
    missing("tiff8_lzw"),
    missing("ignore_mask_channels"),
    missing("c2pa"),
    missing("draco"),
    missing("original"),
    missing("splice"),
    missing("streaming_attachment"),
    missing("waveform"),
    missing("mono"),
    missing("hlsv3"),
    missing("no_stream"),
    missing("keep_dar"),
    missing("truncate_ts"),
    missing("alternate"),
];

/// First words of the values of `e_`; none is built.
#[rustfmt::skip]
pub static EFFECTS: &[&str] = &[
    "grayscale", "sepia", "negate", "blackwhite", "brightness", "brightness_hsb", "contrast", "saturation", "vibrance",
    "hue", "gamma", "red", "green", "blue", "colorize", "tint", "auto_color", "auto_contrast", "auto_brightness",
    "improve", "fill_light", "recolor", "replace_color", "ordered_dither", "simulate_colorblind", "assist_colorblind",
    "theme", "art", "vignette", "blur", "blur_faces", "blur_region", "pixelate", "pixelate_faces", "pixelate_region",
    "sharpen", "unsharp_mask", "oil_paint", "cartoonify", "vectorize", "morphology", "noise", "gradient_fade", "trim",
    "shadow", "dropshadow", "outline", "make_transparent", "bgremoval", "opacity_threshold", "distort", "shear",
    "displace", "zoompan", "loop", "fade", "redeye", "adv_redeye", "multiply", "screen", "overlay", "mask", "cut_out",
    "anti_removal", "background_removal", "upscale", "enhance", "auto_enhance", "gen_restore", "gen_remove",
    "gen_replace", "gen_recolor", "gen_background_replace", "extract", "viesus_correct", "style_transfer", "camera",
    "light", "swap_image", "embed_clipping_path", "accelerate", "boomerang", "reverse", "deshake", "volume", "preview",
    "progressbar", "transition",
];

/// First words of layer ids that name something other than an uploaded image; none is built.
pub static LAYER_KINDS: &[&str] = &["text", "fetch", "private", "authenticated", "subtitles", "video", "audio", "lut"];

/// First words of values of `b_` that are no colors; none is built.
pub static BACKGROUNDS: &[&str] = &["auto", "blurred", "gen_fill"];

#[cfg(test)]
mod tests {
    use super::*;

    fn unique<T>(words: &'static [Word<T>]) -> bool {
        words.iter().all(|word| words.iter().filter(|other| other.name == word.name).count() == 1)
    }

    #[test]
    fn no_word_stands_twice() {
        assert!(unique(CROP_MODES) && unique(GRAVITIES) && unique(FLAGS));
        assert!(EFFECTS.iter().all(|name| EFFECTS.iter().filter(|other| *other == name).count() == 1));
    }
}
