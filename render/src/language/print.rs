//! Canonical text of a transformation. It keys the cache of derivatives, and reading it back gives the same value.

use super::formats::split_known_extension;
use super::percent::encode_where;
use super::transformation::*;
use super::vocabulary::{CROP_MODES, FLAGS, GRAVITIES, name_of};
use std::fmt;

/// Text with one spelling for one meaning: parameters sorted by key, colors as `rgb:`, empty components dropped.
pub fn canonical(transformation: &Transformation) -> String {
    transformation.to_string()
}

impl fmt::Display for Transformation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let filled = self.components.iter().filter(|component| **component != Component::default());
        for (index, component) in filled.enumerate() {
            if index > 0 {
                f.write_str("/")?;
            }
            write!(f, "{component}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Component {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let over = self.layer.as_ref().filter(|layer| layer.side == LayerSide::Over);
        let under = self.layer.as_ref().filter(|layer| layer.side == LayerSide::Under);
        let mut parts = Parts { f, separator: "" };
        parts.put("a", (!self.angle.is_empty()).then_some(Joined(&self.angle, ".")))?;
        parts.put("ar", self.aspect_ratio)?;
        parts.put("b", self.background.map(Color::canonical))?;
        parts.put("bo", self.border)?;
        parts.put("c", self.crop.map(|mode| name_of(CROP_MODES, &mode)))?;
        parts.put("dpr", self.dpr)?;
        parts.put("f", self.format)?;
        parts.put("fl", (!self.flags.is_empty()).then_some(Joined(&self.flags, ".")))?;
        parts.put("g", self.gravity.map(|gravity| name_of(GRAVITIES, &gravity)))?;
        parts.put("h", self.height)?;
        parts.put("l", over)?;
        parts.put("o", self.opacity)?;
        parts.put("pg", self.page)?;
        parts.put("q", self.quality)?;
        parts.put("r", self.radius.as_ref())?;
        parts.put("u", under)?;
        parts.put("w", self.width)?;
        parts.put("x", self.x)?;
        parts.put("y", self.y)?;
        parts.put("z", self.zoom)
    }
}

/// Writes `key_value` parts with commas between them.
struct Parts<'a, 'b> {
    f: &'a mut fmt::Formatter<'b>,
    separator: &'static str,
}

impl Parts<'_, '_> {
    fn put<T: fmt::Display>(&mut self, key: &str, value: Option<T>) -> fmt::Result {
        if let Some(value) = value {
            write!(self.f, "{}{key}_{value}", self.separator)?;
            self.separator = ",";
        }
        Ok(())
    }
}

/// Values with a separator between them.
struct Joined<I>(I, &'static str);

impl<I> fmt::Display for Joined<I>
where
    I: IntoIterator + Copy,
    I::Item: fmt::Display,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, item) in self.0.into_iter().enumerate() {
            if index > 0 {
                f.write_str(self.1)?;
            }
            write!(f, "{item}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Length {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Length::Pixels(pixels) => write!(f, "{pixels}"),
            Length::Fraction(fraction) => write!(f, "{fraction}"),
            Length::InitialWidth => f.write_str("iw"),
            Length::InitialHeight => f.write_str("ih"),
        }
    }
}

impl fmt::Display for Offset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Offset::Pixels(pixels) => write!(f, "{pixels}"),
            Offset::Fraction(fraction) => write!(f, "{fraction}"),
        }
    }
}

impl fmt::Display for AspectRatio {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            AspectRatio::Ratio(width, height) => write!(f, "{width}:{height}"),
            AspectRatio::Number(number) => write!(f, "{number}"),
        }
    }
}

impl fmt::Display for Radius {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Radius::Max => f.write_str("max"),
            Radius::Corners(corners) => write!(f, "{}", Joined(corners, ":")),
        }
    }
}

impl fmt::Display for Border {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}px_solid_{}", self.width, self.color.canonical())
    }
}

impl fmt::Display for Rotation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Rotation::Degrees(degrees) => write!(f, "{degrees}"),
            Rotation::HFlip => f.write_str("hflip"),
            Rotation::VFlip => f.write_str("vflip"),
            Rotation::Ignore => f.write_str("ignore"),
        }
    }
}

impl fmt::Display for Layer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.public_id.replace('/', ":"))?;
        // The reader drops one known extension, so an id that ends like one needs another.
        if split_known_extension(&self.public_id).is_some() { f.write_str(".png") } else { Ok(()) }
    }
}

impl fmt::Display for QualityParam {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            QualityParam::Number(number, None) => write!(f, "{number}"),
            QualityParam::Number(number, Some(ChromaSampling::Half)) => write!(f, "{number}:420"),
            QualityParam::Number(number, Some(ChromaSampling::Full)) => write!(f, "{number}:444"),
            QualityParam::Auto(QualityLevel::Best) => f.write_str("auto:best"),
            QualityParam::Auto(QualityLevel::Good) => f.write_str("auto:good"),
            QualityParam::Auto(QualityLevel::Eco) => f.write_str("auto:eco"),
            QualityParam::Auto(QualityLevel::Low) => f.write_str("auto:low"),
        }
    }
}

impl fmt::Display for FormatParam {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            FormatParam::Auto => f.write_str("auto"),
            FormatParam::Named(format) => f.write_str(format.extension()),
        }
    }
}

impl fmt::Display for Flag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Flag::Attachment(Some(name)) => {
                let keep = |byte: u8| byte.is_ascii_alphanumeric() || b"_-!".contains(&byte);
                write!(f, "attachment:{}", encode_where(name, keep))
            }
            Flag::Attachment(None) => f.write_str("attachment"),
            other => f.write_str(name_of(FLAGS, other)),
        }
    }
}
