//! How the result is encoded: format, quality and flags, including what is chosen automatically.

use super::facts::{Purpose, SourceFacts};
use super::{Encoding, Quality};
use crate::language::{Flag, Format, FormatParam, QualityLevel, QualityParam, Transformation};

/// Fixes format and quality. The last `f_` and the last `q_` win; no `q_` means `auto:good`.
///
/// Format: `f_<format>`, else `f_auto`, else the extension of the address, else the stored format. `f_auto` takes AVIF where
/// it is accepted, else WebP, else PNG when the *source* has alpha, else JPEG: at the scores that `q_auto` aims at, AVIF takes
/// half to two thirds of JPEG's bytes. Whoever answers requests sees to it that a costly format is not waited for.
pub fn resolve(transformation: &Transformation, source: &SourceFacts, purpose: &Purpose) -> Encoding {
    let components = || transformation.components.iter().rev();
    let format = match components().find_map(|component| component.format) {
        Some(FormatParam::Named(format)) => format,
        Some(FormatParam::Auto) if purpose.accept.avif => Format::Avif,
        Some(FormatParam::Auto) if purpose.accept.webp => Format::WebP,
        Some(FormatParam::Auto) if source.has_alpha => Format::Png,
        Some(FormatParam::Auto) => Format::Jpeg,
        None => purpose.extension.unwrap_or(source.format),
    };
    let (quality, chroma) = match components().find_map(|component| component.quality) {
        Some(QualityParam::Number(number, chroma)) => (Quality::Fixed(number), chroma),
        Some(QualityParam::Auto(level)) => (Quality::Auto(level), None),
        None => (Quality::Auto(QualityLevel::Good), None),
    };
    let progressive = components().any(|component| component.flags.contains(&Flag::Progressive));
    Encoding { format, quality, chroma, progressive }
}
