//! What `q_auto` means for an asset that says so itself (`quality_override`; api.md 3.2).

use tintype_render::Limits;
use tintype_render::language::{self, QualityParam, Transformation};

/// The value of `quality_override`: what may follow `q_`, such as `80` or `auto:eco`. `None` where it is no quality.
pub fn own_quality(text: &str) -> Option<QualityParam> {
    let parsed = language::parse(&format!("q_{text}"), &Limits::default()).ok()?;
    match parsed.components.as_slice() {
        [component] if !text.contains(',') => component.quality,
        _ => None,
    }
}

/// The transformation with the asset's own quality wherever it says `q_auto`; `None` where the asset has none.
pub fn with_own_quality(transformation: &Transformation, own: &str) -> Option<Transformation> {
    let own = if own.is_empty() { None } else { own_quality(own) }?;
    let mut changed = transformation.clone();
    for component in &mut changed.components {
        if matches!(component.quality, Some(QualityParam::Auto(_))) {
            component.quality = Some(own);
        }
    }
    Some(changed)
}
