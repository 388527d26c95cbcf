//! The quality that `q_auto` stands for.

use crate::frame::Frame;
use crate::language::{Format, QualityLevel};

/// The number an encoder is given for a level.
pub fn auto_quality(_frame: &Frame, format: Format, level: QualityLevel) -> u8 {
    let jpeg = match level {
        QualityLevel::Best => 90,
        QualityLevel::Good => 80,
        QualityLevel::Eco => 70,
        QualityLevel::Low => 60,
    };
    match format {
        Format::Avif => jpeg - 20,
        Format::WebP => jpeg - 5,
        Format::Jpeg | Format::Png => jpeg,
    }
}
