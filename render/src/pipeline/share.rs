//! One decode for several requests on one base.
//!
//! Every request says what it needs of the base; the union of that is decoded once, and each request is bound to what was
//! decoded. Where the union is decoded at a request's own scale, its picture is the same in every bit as from a decode of
//! its own. Where another request needs more pixels, it starts from those: `render/tests/it/share.rs` states how little
//! that shows.

use super::{Prepared, Request, prepare_with};
use crate::backend::Source;
use crate::codec;
use crate::error::Result;
use crate::face::FaceDetector;
use crate::frame::BYTES_PER_PIXEL;
use crate::language::Format;
use crate::limits::Limits;
use crate::plan;
use crate::plan::bind::Decoded;
use crate::plan::facts::Stage;
use crate::plan::geometry::Rect;
use crate::plan::step::Demand;
use bytes::Bytes;

/// Bytes of pixels from which on a JPEG that nobody shares is resampled while it is decoded; its planes take a third to three
/// quarters of that. Smaller ones fit the caches of a processor, and whoever comes meanwhile may share them.
const STREAMED_BYTES: u64 = 8 << 20;

/// What must be decoded of a base.
#[derive(Debug, Clone, PartialEq)]
pub struct BaseDemand {
    demand: Demand,
    /// Which picture of the file, counted from 0.
    page: u32,
    format: Format,
    /// Whether nothing but resampling reads it, so that it may stay in planes.
    resampled: bool,
    /// The region and what filters of chroma reach around it.
    reached: Rect,
}

impl BaseDemand {
    /// A demand on a page, counted from 0, of a base of that format. `resampled` when nothing but resampling reads the base.
    pub fn new(demand: Demand, page: u32, format: Format, resampled: bool) -> Self {
        let reach =
            if resampled { (codec::CHROMA_REACH / demand.scale).ceil().clamp(0.0, 65_536.0) as u32 + 1 } else { 0 };
        let (region, size) = (demand.region, demand.size);
        let (x, y) = (region.x.saturating_sub(reach), region.y.saturating_sub(reach));
        let right = region.right().saturating_add(reach).min(size.width);
        let bottom = region.bottom().saturating_add(reach).min(size.height);
        let reached = Rect::new(x, y, right.saturating_sub(x), bottom.saturating_sub(y));
        BaseDemand { demand, page, format, resampled, reached }
    }

    /// What a request needs of its base, known before a byte of it is read. `None` when only the pixels can tell, when
    /// nothing of it is read, or when the request is refused anyway.
    pub fn of(request: &Request, limits: &Limits) -> Option<Self> {
        let Request { transformation, facts, purpose } = request;
        let Ok(Stage::Done(plan)) = plan::resolve(transformation, facts, purpose, limits) else { return None };
        let resampled = plan.only_resamples(0);
        let demand = plan.sources.first()?.clone();
        plan.reads(0).then(|| BaseDemand::new(demand, plan.page, facts.base.format, resampled))
    }

    /// Whether a decode for this demand serves another.
    pub fn covers(&self, other: &BaseDemand) -> bool {
        self.is_alike(other) && self.demand.scale >= other.demand.scale && contains(self.reached, other.reached)
    }

    /// The least demand that covers both. `None` when one decode cannot serve both: of pixels and of planes, or of
    /// pictures that are not the same.
    pub fn union(&self, other: &BaseDemand) -> Option<BaseDemand> {
        if self.covers(other) {
            return Some(self.clone());
        }
        if other.covers(self) {
            return Some(other.clone());
        }
        self.is_alike(other).then(|| {
            let reached = enclosing(self.reached, other.reached);
            let scale = self.demand.scale.max(other.demand.scale);
            let demand = Demand { size: self.demand.size, scale, region: reached };
            BaseDemand { demand, page: self.page, format: self.format, resampled: self.resampled, reached }
        })
    }

    /// Upper bound of the bytes that the decoded base takes.
    pub fn bytes(&self) -> u64 {
        let pixels = codec::predict(&self.demand, self.format).window.size().pixels();
        pixels.saturating_mul(BYTES_PER_PIXEL as u64)
    }

    /// Whether a decode that nobody shares is better resampled row by row than held: a JPEG of which much is needed.
    pub fn is_large(&self) -> bool {
        self.resampled && self.format == Format::Jpeg && self.bytes() > STREAMED_BYTES
    }

    /// Least scale of the decode, in (0, 1].
    pub fn scale(&self) -> f64 {
        self.demand.scale
    }

    fn is_alike(&self, other: &BaseDemand) -> bool {
        self.demand.size == other.demand.size
            && self.page == other.page
            && self.format == other.format
            && self.resampled == other.resampled
    }
}

fn contains(outer: Rect, inner: Rect) -> bool {
    outer.x <= inner.x && outer.y <= inner.y && outer.right() >= inner.right() && outer.bottom() >= inner.bottom()
}

fn enclosing(a: Rect, b: Rect) -> Rect {
    let (x, y) = (a.x.min(b.x), a.y.min(b.y));
    Rect::new(x, y, a.right().max(b.right()) - x, a.bottom().max(b.bottom()) - y)
}

/// A decoded base that any number of jobs read. Cloning it copies no pixels.
#[derive(Debug, Clone)]
pub struct SharedBase {
    source: Source,
    decoded: Decoded,
}

impl SharedBase {
    /// Pixels, and what of the picture they are.
    pub fn new(source: Source, decoded: Decoded) -> Self {
        SharedBase { source, decoded }
    }

    /// The pixels.
    pub fn source(&self) -> &Source {
        &self.source
    }

    pub(super) fn lend(&self) -> (Source, Decoded) {
        (self.source.clone(), self.decoded)
    }
}

/// Decodes what is demanded of a base.
///
/// Errors: a base that cannot be decoded, and limits.
pub fn decode_base(bytes: &[u8], demand: &BaseDemand, limits: &Limits) -> Result<SharedBase> {
    let (source, decoded) = super::decode_demand(&demand.demand, demand.page, demand.resampled, bytes, limits)?;
    Ok(SharedBase { source, decoded })
}

/// As [`super::prepare`], with a base that was decoded for a demand that covers the request's.
pub fn prepare_from(
    base: &SharedBase,
    request: &Request,
    sources: &[Bytes],
    faces: &FaceDetector,
    limits: &Limits,
) -> Result<Prepared> {
    prepare_with(Some(base), request, sources, faces, limits)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::geometry::Size;

    fn demand(scale: f64, region: Rect) -> BaseDemand {
        BaseDemand::new(Demand { size: Size::new(6000, 4000), scale, region }, 0, Format::Jpeg, true)
    }

    #[test]
    fn a_union_covers_both_and_is_the_larger_one_where_that_is_enough() {
        let whole = Rect::new(0, 0, 6000, 4000);
        let (small, large) = (demand(0.1, whole), demand(0.3, whole));
        assert_eq!(small.union(&large), Some(large.clone()));
        assert!(large.covers(&small) && !small.covers(&large));
        let (left, right) = (demand(0.25, Rect::new(0, 0, 900, 900)), demand(0.5, Rect::new(2000, 0, 900, 900)));
        let both = left.union(&right).expect("they are alike");
        assert!(both.covers(&left) && both.covers(&right));
        assert!(both.bytes() > right.bytes() && both.bytes() < demand(0.5, whole).bytes());
    }

    #[test]
    fn a_narrow_decode_for_few_pixels_does_not_serve_a_wide_filter() {
        // The same region, but at the lower scale the filter reaches further around it.
        let (fine, coarse) =
            (demand(1.0, Rect::new(3000, 2000, 100, 100)), demand(0.01, Rect::new(3000, 2000, 100, 100)));
        assert!(!fine.covers(&coarse));
        assert!(fine.union(&coarse).expect("they are alike").covers(&coarse));
    }

    #[test]
    fn pixels_and_planes_are_not_mixed() {
        let whole = Rect::new(0, 0, 6000, 4000);
        let pixels = BaseDemand { resampled: false, ..demand(1.0, whole) };
        assert!(pixels.union(&demand(0.5, whole)).is_none());
        let other = BaseDemand { format: Format::Png, ..demand(0.5, whole) };
        assert!(other.union(&demand(0.5, whole)).is_none());
    }
}
