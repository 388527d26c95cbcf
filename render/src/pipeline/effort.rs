//! What writing a picture must cost, from its plan alone.

use super::Request;
use crate::error::{Error, Result};
use crate::language::{Format, FormatParam};
use crate::limits::Limits;
use crate::plan;
use crate::plan::facts::{AcceptClass, Profile, Stage};
use crate::plan::geometry::Rect;
use std::time::Duration;

/// Processor time of each encoder on one Xeon core at what `q_auto` asks for, in nanoseconds a pixel; `examples/webp_frontier.rs`
/// and `examples/avif_frontier.rs` measure two of them, which in `fast` have cheaper settings. They need be right to a factor of two only: they
/// tell pictures that are written within a first answer from those that are not, and the formats lie further apart than that.
const fn ns_per_pixel(format: Format, profile: Profile) -> u64 {
    match (format, profile) {
        (Format::Jpeg, _) => 4,
        (Format::Png | Format::Ico, _) => 40,
        (Format::Bmp | Format::Tiff, _) => 4,
        // 120 000 pixels took 18 ms.
        (Format::Gif, _) => 150,
        (Format::WebP, Profile::Fast) => 25,
        (Format::WebP, Profile::Quality) => 73,
        (Format::Avif, Profile::Fast) => 110,
        (Format::Avif, Profile::Quality) => 280,
    }
}

/// How a picture will be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Effort {
    pub format: Format,
    /// Whether the picture has transparency, so that formats without it would show another one.
    pub has_alpha: bool,
    /// Processor time of the encoder.
    pub cpu: Duration,
}

/// Predicts the encoder's part of a request, before anything is read.
///
/// Errors are the client's: whatever the planner refuses.
pub fn effort(request: &Request, limits: &Limits) -> Result<Effort> {
    let mut facts = request.facts.clone();
    for source in std::iter::once(&mut facts.base).chain(facts.layers.values_mut()) {
        let upright = source.orientation.apply_size(source.size);
        source.faces.get_or_insert_with(|| vec![Rect::whole(upright).into()]);
    }
    match plan::resolve(&request.transformation, &facts, &request.purpose, limits)? {
        Stage::Done(plan) => {
            let step = &plan.steps[usize::from(plan.output.0)];
            let format = plan.encoding.format;
            let ns = step.size.pixels().saturating_mul(ns_per_pixel(format, request.purpose.profile));
            Ok(Effort { format, has_alpha: step.alpha, cpu: Duration::from_nanos(ns) })
        }
        Stage::Measure(_) => Err(Error::Device("planning asks for what it was told".into())),
    }
}

/// The Accept class under which `f_auto` takes a format whose encoder keeps within `most`. `None`: the request's own does, or
/// the format is not chosen automatically. Pictures with transparency step down to formats that keep it for few bytes: to
/// WebP, no further.
///
/// Errors are the client's: whatever the planner refuses.
pub fn within(request: &Request, most: Duration, limits: &Limits) -> Result<Option<AcceptClass>> {
    let asked = request.transformation.components.iter().rev().find_map(|component| component.format);
    if asked != Some(FormatParam::Auto) {
        return Ok(None);
    }
    let mut request = request.clone();
    let own = request.purpose.accept;
    loop {
        let Effort { format, has_alpha, cpu } = effort(&request, limits)?;
        let accept = &mut request.purpose.accept;
        match format {
            _ if cpu <= most => break,
            Format::Avif if accept.avif && (accept.webp || !has_alpha) => accept.avif = false,
            Format::WebP if accept.webp && !has_alpha => *accept = AcceptClass::default(),
            // There is none cheaper.
            _ => break,
        }
    }
    Ok(Some(request.purpose.accept).filter(|accept| *accept != own))
}
