//! Collects steps, fuses geometry on the way, and works out what each source must give.
//!
//! Fusing keeps pixels exactly and saves work: a crop of a resampling computes only the window, a resampling of a crop
//! reads only the region, and both happen before a stored picture is turned upright, on the smaller surface.

use super::facts::Profile;
use super::geometry::{Rect, RectF, Size};
use super::step::{Demand, Filter, Light, Op, Resample, Step, SurfaceId};
use super::weights::Axis;
use super::{Encoding, Plan};
use crate::error::{Error, Result};
use crate::limits::Limits;

/// The picture that the planner works on, and what is known of its regions in its own pixels.
#[derive(Debug, Clone)]
pub(super) struct Image {
    pub surface: SurfaceId,
    pub size: Size,
    pub alpha: bool,
    /// The source whose regions these are.
    pub source: usize,
    /// `None`: not looked for yet.
    pub faces: Option<Vec<RectF>>,
    pub custom: Vec<RectF>,
}

impl Image {
    /// Moves all regions.
    pub fn with_regions(mut self, map: impl Fn(RectF) -> RectF) -> Self {
        if let Some(faces) = &mut self.faces {
            faces.iter_mut().for_each(|rect| *rect = map(*rect));
        }
        self.custom.iter_mut().for_each(|rect| *rect = map(*rect));
        self
    }

    /// The part of a region that lies inside the picture, when that is at least half of it.
    pub fn visible(&self, rect: RectF) -> Option<RectF> {
        let x = rect.x.max(0.0);
        let y = rect.y.max(0.0);
        let right = (rect.x + rect.width).min(f64::from(self.size.width));
        let bottom = (rect.y + rect.height).min(f64::from(self.size.height));
        let inside = RectF::new(x, y, right - x, bottom - y);
        (inside.width > 0.0 && inside.height > 0.0 && inside.area() * 2.0 >= rect.area()).then_some(inside)
    }
}

/// The steps of a plan that is being made.
pub(super) struct Builder {
    steps: Vec<Step>,
    profile: Profile,
    limits: Limits,
}

impl Builder {
    pub fn new(profile: Profile, limits: Limits) -> Self {
        Builder { steps: Vec::new(), profile, limits }
    }

    /// Appends a step. Errors when its surface would be larger than the limits allow.
    pub fn push(&mut self, op: Op, size: Size, alpha: bool) -> Result<SurfaceId> {
        if !matches!(op, Op::Load { .. }) {
            self.limits.check_output(size.width.into(), size.height.into())?;
        }
        let id = u16::try_from(self.steps.len()).map_err(|_| Error::Limit("too many operations".into()))?;
        self.steps.push(Step { op, size, alpha });
        Ok(SurfaceId(id))
    }

    fn step(&self, surface: SurfaceId) -> &Step {
        &self.steps[usize::from(surface.0)]
    }

    /// Cuts a rectangle out.
    pub fn extract(&mut self, image: Image, x: u32, y: u32, size: Size) -> Result<Image> {
        if size == image.size {
            return Ok(image);
        }
        let surface = self.extract_surface(image.surface, Rect::new(x, y, size.width, size.height), image.alpha)?;
        let (dx, dy) = (f64::from(x), f64::from(y));
        let moved = image.with_regions(|rect| RectF::new(rect.x - dx, rect.y - dy, rect.width, rect.height));
        Ok(Image { surface, size, ..moved })
    }

    fn extract_surface(&mut self, input: SurfaceId, rect: Rect, alpha: bool) -> Result<SurfaceId> {
        let producer = self.step(input);
        let (producer_size, op) = (producer.size, producer.op.clone());
        match op {
            Op::Extract { input, x, y } => {
                let rect = Rect::new(rect.x + x, rect.y + y, rect.width, rect.height);
                self.extract_surface(input, rect, alpha)
            }
            Op::Resample { input, map } => {
                let window = Rect::new(map.window.x + rect.x, map.window.y + rect.y, rect.width, rect.height);
                self.push(Op::Resample { input, map: Resample { window, ..map } }, rect.size(), alpha)
            }
            Op::Orient { input, orientation } => {
                let inner = orientation.inverse().apply_pixels(rect, producer_size);
                let inner = self.extract_surface(input, inner, alpha)?;
                self.push(Op::Orient { input: inner, orientation }, rect.size(), alpha)
            }
            _ => self.push(Op::Extract { input, x: rect.x, y: rect.y }, rect.size(), alpha),
        }
    }

    /// Scales `region` to `scaled` and keeps the window of `size` at `at`.
    pub fn scale(&mut self, image: Image, region: RectF, scaled: Size, at: (u32, u32), size: Size) -> Result<Image> {
        let unchanged = RectF::new(0.0, 0.0, f64::from(image.size.width), f64::from(image.size.height));
        if region == unchanged && scaled == image.size {
            return self.extract(image, at.0, at.1, size);
        }
        // A scaled picture is never made whole when only a window of it is wanted, but its sides must stay countable.
        let map = Resample {
            region,
            scaled,
            window: Rect::new(at.0, at.1, size.width, size.height),
            filter: Filter::Lanczos3,
            light: match self.profile {
                Profile::Quality => Light::Linear,
                Profile::Fast => Light::Encoded,
            },
        };
        let surface = self.resample_surface(image.surface, map, image.alpha)?;
        let across = f64::from(scaled.width) / region.width;
        let down = f64::from(scaled.height) / region.height;
        let (left, top) = (f64::from(at.0), f64::from(at.1));
        let moved = image.with_regions(|rect| {
            RectF::new(
                (rect.x - region.x) * across - left,
                (rect.y - region.y) * down - top,
                rect.width * across,
                rect.height * down,
            )
        });
        Ok(Image { surface, size, ..moved })
    }

    fn resample_surface(&mut self, input: SurfaceId, map: Resample, alpha: bool) -> Result<SurfaceId> {
        let producer = self.step(input);
        let (producer_size, op) = (producer.size, producer.op.clone());
        match op {
            Op::Extract { input, x, y } => {
                // Only a region that ends where the crop ends may be moved: it cuts the filter at the same pixels.
                let region = RectF::new(
                    map.region.x + f64::from(x),
                    map.region.y + f64::from(y),
                    map.region.width,
                    map.region.height,
                );
                self.resample_surface(input, Resample { region, ..map }, alpha)
            }
            Op::Orient { input, orientation } => {
                let back = orientation.inverse();
                let region = back.apply_rect(map.region, producer_size);
                let window = back.apply_pixels(map.window, map.scaled);
                let scaled = back.apply_size(map.scaled);
                let inner = self.resample_surface(input, Resample { region, scaled, window, ..map }, alpha)?;
                self.push(Op::Orient { input: inner, orientation }, map.window.size(), alpha)
            }
            _ => self.push(Op::Resample { input, map }, map.window.size(), alpha),
        }
    }

    /// Sets the picture onto a canvas. An opaque fill makes it opaque.
    pub fn canvas(&mut self, image: Image, left: i32, top: i32, size: Size, fill: [u8; 4]) -> Result<Image> {
        if (left, top) == (0, 0) && size == image.size && (!image.alpha || fill[3] == 0) {
            return Ok(image);
        }
        let covered = !image.alpha && (left, top) == (0, 0) && size == image.size;
        let alpha = fill[3] < 255 && !covered;
        let surface = self.push(Op::Canvas { input: image.surface, left, top, fill }, size, alpha)?;
        let (dx, dy) = (f64::from(left), f64::from(top));
        let moved = image.with_regions(|rect| RectF::new(rect.x + dx, rect.y + dy, rect.width, rect.height));
        Ok(Image { surface, size, alpha, ..moved })
    }

    /// Draws the picture over a color.
    pub fn flatten(&mut self, image: Image, fill: [u8; 4]) -> Result<Image> {
        let size = image.size;
        self.canvas(image, 0, 0, size, fill)
    }

    /// Drops steps that nothing reads and states what each source must give. `sizes` are those of the stored sources.
    pub fn finish(self, output: SurfaceId, page: u32, sizes: impl Iterator<Item = Size>, encoding: Encoding) -> Plan {
        let mut used = vec![false; self.steps.len()];
        used[usize::from(output.0)] = true;
        for index in (0..self.steps.len()).rev() {
            if used[index] {
                self.steps[index].op.inputs().for_each(|input| used[usize::from(input.0)] = true);
            }
        }
        let mut renumbered = vec![SurfaceId(0); self.steps.len()];
        let mut steps: Vec<Step> = Vec::new();
        for (index, mut step) in self.steps.into_iter().enumerate() {
            if used[index] {
                renumbered[index] = SurfaceId(steps.len() as u16);
                step.op.rename(|surface| renumbered[usize::from(surface.0)]);
                steps.push(step);
            }
        }
        let sources = sizes.enumerate().map(|(source, size)| demand(&steps, source, size, self.profile)).collect();
        Plan { sources, page, steps, output: renumbered[usize::from(output.0)], encoding }
    }
}

/// What the steps need of one source, over everything that reads it.
fn demand(steps: &[Step], source: usize, size: Size, profile: Profile) -> Demand {
    let loads: Vec<SurfaceId> = (0..steps.len())
        .filter(|index| matches!(steps[*index].op, Op::Load { source: loaded } if loaded == source))
        .map(|index| SurfaceId(index as u16))
        .collect();
    let mut scale: f64 = 0.0;
    let mut region: Option<Rect> = None;
    let mut add = |needed: Rect, needed_scale: f64| {
        scale = scale.max(needed_scale);
        region = Some(region.map_or(needed, |region| union(region, needed)));
    };
    for load in &loads {
        let mut read = false;
        for step in steps.iter().filter(|step| step.op.inputs().any(|input| input == *load)) {
            read = true;
            match &step.op {
                Op::Resample { map, .. } => add(reach(map, size, profile), least_scale(map, profile)),
                Op::Extract { x, y, .. } => add(Rect::new(*x, *y, step.size.width, step.size.height), 1.0),
                _ => add(Rect::whole(size), 1.0),
            }
        }
        if !read {
            // The stored picture itself is the result.
            add(Rect::whole(size), 1.0);
        }
    }
    // A layer that is left out is not read at all; its demand is the least there is.
    let region = region.unwrap_or(Rect::new(0, 0, 1, 1));
    Demand { size, scale: if scale > 0.0 { scale } else { 1.0 / 8.0 }, region }
}

/// Least scale of a decode that a resampling may start from: twice the output's resolution in the `quality` profile, where
/// one and a half times costs less and loses 0.3 to 0.7 of SSIMULACRA2 on photographs, and a little more than the output's in
/// `fast`, because the decoder's own low-pass is softer than the filter.
fn least_scale(map: &Resample, profile: Profile) -> f64 {
    let across = f64::from(map.scaled.width) / map.region.width;
    let down = f64::from(map.scaled.height) / map.region.height;
    let factor = match profile {
        Profile::Quality => 2.0,
        Profile::Fast => 1.1,
    };
    (across.max(down) * factor).clamp(1.0 / 65_536.0, 1.0)
}

/// The part of the stored picture that a resampling reads, with room for one pixel of the reduced decode on each side.
fn reach(map: &Resample, size: Size, profile: Profile) -> Rect {
    let margin = (1.0 / least_scale(map, profile)).ceil().min(64.0) as u32;
    let axis = |start: f64, length: f64, side: u32, scaled: u32, from: u32, count: u32| {
        let axis = Axis {
            region_start: start,
            region_length: length,
            input_start: 0,
            input_end: side,
            scaled_length: scaled,
            window_start: from,
            window_length: count,
        };
        let (first, last) = axis.span(map.filter);
        (first.saturating_sub(margin), last.saturating_add(margin).min(side))
    };
    let (region, window) = (map.region, map.window);
    let (left, right) = axis(region.x, region.width, size.width, map.scaled.width, window.x, window.width);
    let (top, bottom) = axis(region.y, region.height, size.height, map.scaled.height, window.y, window.height);
    Rect::new(left, top, right - left, bottom - top)
}

fn union(a: Rect, b: Rect) -> Rect {
    let (x, y) = (a.x.min(b.x), a.y.min(b.y));
    Rect::new(x, y, a.right().max(b.right()) - x, a.bottom().max(b.bottom()) - y)
}

impl Op {
    /// Renames every input.
    fn rename(&mut self, new: impl Fn(SurfaceId) -> SurfaceId) {
        match self {
            Op::Load { .. } => {}
            Op::Composite { base, layer, .. } => {
                *base = new(*base);
                *layer = new(*layer);
            }
            Op::Resample { input, .. }
            | Op::Extract { input, .. }
            | Op::Orient { input, .. }
            | Op::Canvas { input, .. }
            | Op::Mask { input, .. }
            | Op::Border { input, .. }
            | Op::Opacity { input, .. } => *input = new(*input),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::geometry::Orientation;
    use super::*;

    #[test]
    fn orientation_moves_behind_the_resampling() {
        let mut builder = Builder::new(Profile::Quality, Limits::default());
        let load = builder.push(Op::Load { source: 0 }, Size::new(600, 400), false).expect("fits");
        let turn = Orientation::turned(1);
        let upright =
            builder.push(Op::Orient { input: load, orientation: turn }, Size::new(400, 600), false).expect("fits");
        let image =
            Image { surface: upright, size: Size::new(400, 600), alpha: false, source: 0, faces: None, custom: vec![] };
        let whole = RectF::new(0.0, 0.0, 400.0, 600.0);
        let image = builder.scale(image, whole, Size::new(100, 150), (0, 0), Size::new(100, 150)).expect("fits");
        let encoding = Encoding {
            format: crate::language::Format::Jpeg,
            quality: super::super::Quality::Fixed(80),
            chroma: None,
            progressive: false,
        };
        let plan = builder.finish(image.surface, 0, [Size::new(600, 400)].into_iter(), encoding);
        assert!(matches!(plan.steps[0].op, Op::Load { .. }));
        assert!(matches!(plan.steps[1].op, Op::Resample { map, .. } if map.scaled == Size::new(150, 100)));
        assert!(matches!(plan.steps[2].op, Op::Orient { .. }));
        assert_eq!(plan.steps[2].size, Size::new(100, 150));
        assert_eq!(plan.steps.len(), 3);
        assert!((plan.sources[0].scale - 0.5).abs() < 1e-9);
    }
}
