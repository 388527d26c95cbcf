//! What a transformation says, typed, before anything is resolved.

use serde::Serialize;
use std::collections::BTreeSet;
use std::fmt;

/// A chain of components, run left to right.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Transformation {
    pub components: Vec<Component>,
}

/// One slash-separated part. Every field is what was written; nothing is resolved.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Component {
    /// `c_`
    pub crop: Option<CropMode>,
    /// `w_`
    pub width: Option<Length>,
    /// `h_`
    pub height: Option<Length>,
    /// `ar_`
    pub aspect_ratio: Option<AspectRatio>,
    /// `g_`
    pub gravity: Option<Gravity>,
    /// `x_`
    pub x: Option<Offset>,
    /// `y_`
    pub y: Option<Offset>,
    /// `z_`, greater than 0
    pub zoom: Option<Decimal>,
    /// `r_`
    pub radius: Option<Radius>,
    /// `bo_`
    pub border: Option<Border>,
    /// `b_`
    pub background: Option<Color>,
    /// `o_`, 0 to 100
    pub opacity: Option<u8>,
    /// `a_`: operations in order
    pub angle: Vec<Rotation>,
    /// `l_` or `u_`
    pub layer: Option<Layer>,
    /// `q_`
    pub quality: Option<QualityParam>,
    /// `f_`, or an extension at the end of an eager transformation
    pub format: Option<FormatParam>,
    /// `dpr_`, greater than 0, at most 20
    pub dpr: Option<Decimal>,
    /// `pg_`: which page or frame of the file is read, from 1
    pub page: Option<u32>,
    /// `fl_`
    pub flags: BTreeSet<Flag>,
}

/// A decimal number exactly as written: `units / 10^scale`. `scale` 0 and no point written means an integer.
///
/// `w_1` (one pixel) and `w_1.0` (all of it) differ, so the scale is part of the value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
pub struct Decimal {
    pub units: i64,
    /// Digits after the point, at most 9.
    pub scale: u8,
}

impl Decimal {
    pub const fn integer(value: i64) -> Self {
        Decimal { units: value, scale: 0 }
    }

    /// Nearest f64.
    pub fn to_f64(self) -> f64 {
        self.units as f64 / self.denominator() as f64
    }

    /// 10^scale.
    pub fn denominator(self) -> i64 {
        10_i64.pow(u32::from(self.scale))
    }

    pub const fn is_integer(self) -> bool {
        self.scale == 0
    }
}

impl fmt::Display for Decimal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.scale == 0 {
            return write!(f, "{}", self.units);
        }
        let sign = if self.units < 0 { "-" } else { "" };
        let digits = self.units.unsigned_abs();
        let denominator = self.denominator() as u64;
        write!(f, "{sign}{}.{:0width$}", digits / denominator, digits % denominator, width = usize::from(self.scale))
    }
}

/// `w_` or `h_`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Length {
    /// A whole number of pixels, at least 1.
    Pixels(u32),
    /// A decimal greater than 0: a fraction or multiple of the current picture's same dimension (or, with
    /// `fl_relative`, of the base's).
    Fraction(Decimal),
    /// `iw`: width of the original after EXIF orientation.
    InitialWidth,
    /// `ih`
    InitialHeight,
}

/// `x_` or `y_`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Offset {
    /// Whole pixels; may be negative.
    Pixels(i32),
    /// Decimal fraction of the picture's width (x) or height (y); may be negative.
    Fraction(Decimal),
}

/// `ar_`: width over height; both sides greater than 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum AspectRatio {
    /// `16:9`
    Ratio(Decimal, Decimal),
    /// `1.5`
    Number(Decimal),
}

/// `c_`
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CropMode {
    Scale,
    Fit,
    Limit,
    Mfit,
    Fill,
    Lfill,
    Pad,
    Lpad,
    Mpad,
    Crop,
    Thumb,
}

/// The nine anchors of a rectangle.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Compass {
    NorthWest,
    North,
    NorthEast,
    West,
    Center,
    East,
    SouthWest,
    South,
    SouthEast,
}

/// `g_`
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Gravity {
    Compass(Compass),
    /// `xy_center`
    XyCenter,
    /// `face`: the largest face
    Face(FaceFallback),
    /// `faces`: the box around all faces
    Faces(FaceFallback),
    /// `custom`: stored custom coordinates; without any, the center
    Custom,
    /// `custom:face`: stored custom coordinates, else the largest face
    CustomFace,
    /// `custom:faces`: stored custom coordinates, else all faces
    CustomFaces,
}

/// What `g_face` does when there is no face.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum FaceFallback {
    /// Nothing written: the upper edge.
    #[default]
    North,
    /// `face:center`
    Center,
}

/// `r_`
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Radius {
    /// Inscribed ellipse.
    Max,
    /// One to four radii in pixels, as written.
    Corners(Vec<u32>),
}

/// `bo_<width>px_solid_<color>`
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Border {
    /// Pixels.
    pub width: u32,
    pub color: Color,
}

/// Straight 8-bit sRGB color with alpha. `transparent` and `none` are 0,0,0,0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Color {
    pub rgba: [u8; 4],
}

impl Color {
    pub const TRANSPARENT: Color = Color { rgba: [0, 0, 0, 0] };
    pub const WHITE: Color = Color { rgba: [255, 255, 255, 255] };
    pub const BLACK: Color = Color { rgba: [0, 0, 0, 255] };
}

/// One operation of `a_`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Rotation {
    /// Degrees clockwise, any multiple of 90, as written.
    Degrees(i32),
    /// Left and right exchanged.
    HFlip,
    /// Top and bottom exchanged.
    VFlip,
    /// Do not honour the EXIF orientation.
    Ignore,
}

/// Whether a layer lies above or below the base.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum LayerSide {
    /// `l_`
    Over,
    /// `u_`
    Under,
}

/// `l_` or `u_` with the picture it names.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Layer {
    pub side: LayerSide,
    /// Public id of an image of type `upload`, with `/` between folders, without a known extension.
    pub public_id: String,
}

/// `q_`
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum QualityParam {
    /// 1 to 100, and chroma subsampling when written (`q_80:444`).
    Number(u8, Option<ChromaSampling>),
    /// `auto` and its level.
    Auto(QualityLevel),
}

/// Chroma subsampling of JPEG.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
pub enum ChromaSampling {
    #[serde(rename = "420")]
    Half,
    #[serde(rename = "444")]
    Full,
}

impl ChromaSampling {
    /// What is used where nothing is stated: half below quality 90.
    pub fn for_quality(quality: u8) -> ChromaSampling {
        if quality >= 90 { ChromaSampling::Full } else { ChromaSampling::Half }
    }
}

/// Level of `q_auto`, best first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum QualityLevel {
    Best,
    Good,
    Eco,
    Low,
}

/// `f_`
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FormatParam {
    Auto,
    Named(Format),
}

/// Picture formats that the language can name and this server knows how to read or write.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    #[serde(rename = "jpg")]
    Jpeg,
    Png,
    WebP,
    Avif,
    Gif,
    Bmp,
    Ico,
    Tiff,
}

impl Format {
    /// Extension in URLs and API answers, and canonical value of `f_`.
    pub const fn extension(self) -> &'static str {
        match self {
            Format::Jpeg => "jpg",
            Format::Png => "png",
            Format::WebP => "webp",
            Format::Avif => "avif",
            Format::Gif => "gif",
            Format::Bmp => "bmp",
            Format::Ico => "ico",
            Format::Tiff => "tiff",
        }
    }

    /// Value of `Content-Type`.
    pub const fn content_type(self) -> &'static str {
        match self {
            Format::Jpeg => "image/jpeg",
            Format::Png => "image/png",
            Format::WebP => "image/webp",
            Format::Avif => "image/avif",
            Format::Gif => "image/gif",
            Format::Bmp => "image/bmp",
            Format::Ico => "image/x-icon",
            Format::Tiff => "image/tiff",
        }
    }

    /// Whether the format can hold transparent pixels.
    pub const fn has_alpha(self) -> bool {
        !matches!(self, Format::Jpeg)
    }
}

/// `fl_`
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Flag {
    /// `relative`: decimal lengths of a layer are fractions of the base.
    Relative,
    /// `no_overflow`: a layer is clipped to the base.
    NoOverflow,
    /// `ignore_aspect_ratio`
    IgnoreAspectRatio,
    /// `progressive`
    Progressive,
    /// `immutable_cache`: accepted, it is the default for versioned addresses.
    ImmutableCache,
    /// `attachment[:name]`
    Attachment(Option<String>),
}

impl Transformation {
    /// Public ids of all layers, in order, each once.
    pub fn layer_ids(&self) -> Vec<&str> {
        let mut ids: Vec<&str> = Vec::new();
        for layer in self.components.iter().filter_map(|component| component.layer.as_ref()) {
            if !ids.contains(&layer.public_id.as_str()) {
                ids.push(&layer.public_id);
            }
        }
        ids
    }

    /// The flag with which the answer is to be saved, if any: `Some(None)` keeps the asset's name.
    pub fn attachment(&self) -> Option<Option<&str>> {
        self.components.iter().flat_map(|component| &component.flags).find_map(|flag| match flag {
            Flag::Attachment(name) => Some(name.as_deref()),
            _ => None,
        })
    }
}
