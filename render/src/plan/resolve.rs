//! The planner: walks the components of a transformation over facts and writes steps.
//!
//! Order inside one component (transformations specification, 2.3): resize, radius with border, angle, opacity,
//! background. A component with a layer does all of that to the layer and then places it.

use super::builder::{Builder, Image};
use super::crop::{self, Resize};
use super::encoding;
use super::facts::{Facts, Measure, Purpose, SourceFacts, Stage};
use super::geometry::{Orientation, RectF, Size};
use super::gravity::{Anchor, Placement};
use super::layer;
use super::rational::Rational;
use super::step::{Op, Outline};
use crate::error::{Error, Result};
use crate::language::{
    Compass, Component, CropMode, Decimal, FaceFallback, Flag, Gravity, Length, Offset, Radius, Rotation,
    Transformation,
};
use crate::limits::Limits;

/// Resolves a transformation over what is known.
///
/// Pure: the same arguments give the same plan. When the pixels have to be looked at first, answers
/// [`Stage::Measure`]; add the result to the facts and call again. Errors are the client's: a missing layer, a crop
/// outside of the picture, or a limit.
pub fn resolve(transformation: &Transformation, facts: &Facts, purpose: &Purpose, limits: &Limits) -> Result<Stage> {
    let planner = Planner { transformation, facts, purpose, limits, layer_ids: transformation.layer_ids() };
    match planner.run() {
        Ok(plan) => Ok(Stage::Done(plan)),
        Err(Stop::Measure(measure)) => Ok(Stage::Measure(measure)),
        Err(Stop::Error(error)) => Err(error),
    }
}

/// The page of the base that a transformation reads, counted from 0: the last one that it names, else the first one.
///
/// Errors: [`Error::Unsupported`] for pages of layers.
pub fn page(transformation: &Transformation) -> Result<u32> {
    let components = || transformation.components.iter().filter(|component| component.page.is_some());
    if components().any(|component| component.layer.is_some()) {
        return Err(Error::unsupported("pg of layers"));
    }
    let page = components().next_back().and_then(|component| component.page);
    Ok(page.map_or(0, |page| page.saturating_sub(1)))
}

/// Why planning ended early.
pub(super) enum Stop {
    Measure(Measure),
    Error(Error),
}

impl From<Error> for Stop {
    fn from(error: Error) -> Self {
        Stop::Error(error)
    }
}

pub(super) type Planned<T> = std::result::Result<T, Stop>;

pub(super) struct Planner<'a> {
    pub(super) transformation: &'a Transformation,
    pub(super) facts: &'a Facts,
    pub(super) purpose: &'a Purpose,
    pub(super) limits: &'a Limits,
    pub(super) layer_ids: Vec<&'a str>,
}

/// What decimal lengths and `iw`, `ih` refer to.
#[derive(Debug, Clone, Copy)]
pub(super) struct Reference {
    /// Decimal `w` and `h` are fractions of this size.
    pub(super) fraction_of: Size,
    /// The original of the picture that the component works on, upright.
    pub(super) initial: Size,
}

impl Planner<'_> {
    fn run(&self) -> Planned<super::Plan> {
        let base = &self.facts.base;
        self.limits.check_source(base.size)?;
        let mut builder = Builder::new(self.purpose.profile, self.limits.clone());
        let ignore_exif = self.base_components().any(|component| component.angle.contains(&Rotation::Ignore));
        let mut image = self.load(&mut builder, 0, base, ignore_exif)?;
        let initial = image.size;
        for component in &self.transformation.components {
            image = if component.layer.is_some() {
                layer::apply(self, &mut builder, image, component)?
            } else {
                let reference = Reference { fraction_of: image.size, initial };
                self.apply(&mut builder, image, component, reference, None)?
            };
        }
        let encoding = encoding::resolve(self.transformation, base, self.purpose);
        if image.alpha && !encoding.format.has_alpha() {
            image = builder.flatten(image, [255; 4])?;
        }
        let sources = std::iter::once(base.size).chain(
            self.layer_ids.iter().map(|id| self.facts.layers.get(*id).map_or(Size::new(1, 1), |facts| facts.size)),
        );
        Ok(builder.finish(image.surface, page(self.transformation)?, sources, encoding))
    }

    fn base_components(&self) -> impl Iterator<Item = &Component> {
        self.transformation.components.iter().filter(|component| component.layer.is_none())
    }

    /// The upright picture of a source, with what is known of its regions.
    pub(super) fn load(
        &self,
        builder: &mut Builder,
        source: usize,
        facts: &SourceFacts,
        ignore_exif: bool,
    ) -> Planned<Image> {
        let stored = builder.push(Op::Load { source }, facts.size, facts.has_alpha)?;
        let image = Image {
            surface: stored,
            size: facts.size,
            alpha: facts.has_alpha,
            source,
            faces: facts.faces.clone(),
            custom: facts.custom.clone(),
        };
        if ignore_exif {
            // Regions are stored for the upright picture; bring them back to the stored one.
            let upright = facts.orientation.apply_size(facts.size);
            return Ok(image.with_regions(|rect| facts.orientation.inverse().apply_rect(rect, upright)));
        }
        let size = facts.orientation.apply_size(facts.size);
        if facts.orientation == Orientation::IDENTITY {
            return Ok(image);
        }
        let op = Op::Orient { input: image.surface, orientation: facts.orientation };
        Ok(Image { surface: builder.push(op, size, image.alpha)?, size, ..image })
    }

    /// Everything that one component does to a picture. `layer_anchor` is set for layers, whose gravity places them and
    /// does not steer their own crop.
    pub(super) fn apply(
        &self,
        builder: &mut Builder,
        image: Image,
        component: &Component,
        reference: Reference,
        layer_anchor: Option<Anchor>,
    ) -> Planned<Image> {
        let image = self.resize(builder, image, component, reference, layer_anchor)?;
        let image = self.shape(builder, image, component)?;
        let image = turn(builder, image, component)?;
        let image = match component.opacity {
            // The opacity of a layer is part of its composition.
            Some(percent) if percent < 100 && component.layer.is_none() => {
                let op = Op::Opacity { input: image.surface, opacity: f32::from(percent) / 100.0 };
                Image { surface: builder.push(op, image.size, true)?, alpha: true, ..image }
            }
            _ => image,
        };
        match component.background {
            Some(color) if image.alpha && color.rgba[3] > 0 => Ok(builder.flatten(image, color.rgba)?),
            _ => Ok(image),
        }
    }

    fn resize(
        &self,
        builder: &mut Builder,
        image: Image,
        component: &Component,
        reference: Reference,
        layer_anchor: Option<Anchor>,
    ) -> Planned<Image> {
        let has_length = component.width.is_some() || component.height.is_some() || component.aspect_ratio.is_some();
        let mode = match component.crop {
            Some(mode) => mode,
            None if has_length => CropMode::Scale,
            None => return Ok(image),
        };
        let lengths = |length: Option<Length>, side: u32| length.map(|length| self.length(length, side, reference));
        let target = crop::target(
            lengths(component.width, reference.fraction_of.width),
            lengths(component.height, reference.fraction_of.height),
            component.aspect_ratio,
            component.flags.contains(&Flag::IgnoreAspectRatio),
            image.size,
        )?;
        let positioned = layer_anchor.is_none() && (component.x.is_some() || component.y.is_some());
        let (x, y) = if positioned { self.offsets(component, image.size) } else { (0, 0) };
        let anchor = match (layer_anchor, component.gravity) {
            (Some(anchor), _) => anchor,
            (None, Some(gravity)) if uses_gravity(mode) => self.anchor(&image, gravity, x, y)?,
            (None, _) if mode == CropMode::Crop && positioned => Anchor::Compass(Compass::NorthWest),
            (None, _) => Anchor::Compass(Compass::Center),
        };
        let zoom = component.zoom.map_or(1.0, Decimal::to_f64);
        if zoom <= 0.0 {
            return Err(Error::Semantic("Invalid zoom in transformation: it must be greater than 0".into()).into());
        }
        let request = crop::Request { mode, target, anchor, positioned, x, y, zoom };
        match crop::resize(&request, image.size)? {
            Resize::Keep => Ok(image),
            Resize::Extract { x, y, size } => Ok(builder.extract(image, x, y, size)?),
            Resize::Scale { region, scaled, x, y, size } => Ok(builder.scale(image, region, scaled, (x, y), size)?),
            Resize::Pad { scaled, left, top, size } => {
                let region = RectF::new(0.0, 0.0, f64::from(image.size.width), f64::from(image.size.height));
                // The canvas may be the larger worry, so it is checked before anything is scaled.
                self.limits.check_output(size.width.into(), size.height.into())?;
                let scaled = builder.scale(image, region, scaled, (0, 0), scaled)?;
                let fill = component.background.map_or([0; 4], |color| color.rgba);
                Ok(builder.canvas(scaled, left, top, size, fill)?)
            }
        }
    }

    /// Rounded corners and the border, whose ring follows them.
    fn shape(&self, builder: &mut Builder, image: Image, component: &Component) -> Planned<Image> {
        let mut image = image;
        let mut outline = Outline::Corners([0.0; 4]);
        if let Some(radius) = &component.radius {
            outline = self.outline(radius, image.size);
            if outline != Outline::Corners([0.0; 4]) {
                let op = Op::Mask { input: image.surface, outline };
                image = Image { surface: builder.push(op, image.size, true)?, alpha: true, ..image };
            }
        }
        let Some(border) = component.border else { return Ok(image) };
        let width = self.pixels(i64::from(border.width)).max(0);
        if width == 0 {
            return Ok(image);
        }
        let side = |length: u32| u64::from(length) + 2 * width as u64;
        self.limits.check_output(side(image.size.width), side(image.size.height))?;
        let size = Size::new(side(image.size.width) as u32, side(image.size.height) as u32);
        let square = outline == Outline::Corners([0.0; 4]);
        let alpha = image.alpha || !square || border.color.rgba[3] < 255;
        let op = Op::Border { input: image.surface, width: width as u32, color: border.color.rgba, outline };
        let image = Image { surface: builder.push(op, size, alpha)?, size, alpha, ..image };
        let shift = width as f64;
        Ok(image.with_regions(|rect| RectF::new(rect.x + shift, rect.y + shift, rect.width, rect.height)))
    }

    fn outline(&self, radius: &Radius, size: Size) -> Outline {
        let written = match radius {
            Radius::Max => return Outline::Ellipse,
            Radius::Corners(written) => written,
        };
        let most = f64::from(size.width.min(size.height)) / 2.0;
        let corner = |index: usize| {
            let pixels = written.get(index).copied().unwrap_or(0);
            (self.pixels(i64::from(pixels)) as f64).min(most) as f32
        };
        Outline::Corners(match written.len() {
            0 => [0.0; 4],
            1 => [corner(0); 4],
            2 => [corner(0), corner(1), corner(0), corner(1)],
            3 => [corner(0), corner(1), corner(2), corner(1)],
            _ => [corner(0), corner(1), corner(2), corner(3)],
        })
    }

    /// A length in pixels before rounding. `side` is what decimals are a fraction of.
    fn length(&self, length: Length, side: u32, reference: Reference) -> Rational {
        match length {
            Length::Pixels(pixels) => Rational::integer(pixels).times(self.dpr()),
            Length::Fraction(fraction) => Rational::decimal(fraction).times(Rational::integer(side)),
            Length::InitialWidth => Rational::integer(reference.initial.width),
            Length::InitialHeight => Rational::integer(reference.initial.height),
        }
    }

    /// `x` and `y` in pixels of a picture of `size`.
    pub(super) fn offsets(&self, component: &Component, size: Size) -> (i64, i64) {
        let pixels = |offset: Option<Offset>, side: u32| match offset {
            None => 0,
            Some(Offset::Pixels(pixels)) => self.pixels(i64::from(pixels)),
            Some(Offset::Fraction(fraction)) => (fraction.to_f64() * f64::from(side) + 0.5).floor() as i64,
        };
        (pixels(component.x, size.width), pixels(component.y, size.height))
    }

    /// A pixel value times the device pixel ratio, rounded half up.
    fn pixels(&self, value: i64) -> i64 {
        (value as f64 * self.dpr().to_f64() + 0.5).floor() as i64
    }

    /// The device pixel ratio holds for the whole transformation, wherever it stands; the last one wins.
    fn dpr(&self) -> Rational {
        let last = self.transformation.components.iter().rev().find_map(|component| component.dpr);
        last.map_or(Rational::ONE, Rational::decimal)
    }

    /// Looks a gravity up for a crop. `x` and `y` are the offsets in pixels.
    fn anchor(&self, image: &Image, gravity: Gravity, x: i64, y: i64) -> Planned<Anchor> {
        let center = Anchor::Compass(Compass::Center);
        Ok(match gravity {
            Gravity::Compass(compass) => Anchor::Compass(compass),
            Gravity::XyCenter => Anchor::Point(x as f64, y as f64),
            Gravity::Face(fallback) => self.face(image)?.map_or(fallback_anchor(fallback), Anchor::Box),
            Gravity::Faces(fallback) => self.all_faces(image)?.map_or(fallback_anchor(fallback), Anchor::Box),
            Gravity::Custom => image.custom.first().map_or(center, |rect| Anchor::Box(*rect)),
            Gravity::CustomFace => match image.custom.first() {
                Some(rect) => Anchor::Box(*rect),
                None => self.face(image)?.map_or(fallback_anchor(FaceFallback::North), Anchor::Box),
            },
            Gravity::CustomFaces => match image.custom.first() {
                Some(rect) => Anchor::Box(*rect),
                None => self.all_faces(image)?.map_or(fallback_anchor(FaceFallback::North), Anchor::Box),
            },
        })
    }

    /// The faces that can still be seen, largest first.
    pub(super) fn visible_faces(&self, image: &Image) -> Planned<Vec<RectF>> {
        match &image.faces {
            Some(faces) => {
                let mut seen: Vec<RectF> = faces.iter().filter_map(|face| image.visible(*face)).collect();
                seen.sort_by(|a, b| b.area().total_cmp(&a.area()));
                Ok(seen)
            }
            None => Err(Stop::Measure(Measure::Faces { source: image.source })),
        }
    }

    pub(super) fn face(&self, image: &Image) -> Planned<Option<RectF>> {
        Ok(self.visible_faces(image)?.first().copied())
    }

    fn all_faces(&self, image: &Image) -> Planned<Option<RectF>> {
        let faces = self.visible_faces(image)?;
        Ok(faces.into_iter().reduce(|a, b| {
            let (x, y) = (a.x.min(b.x), a.y.min(b.y));
            let right = (a.x + a.width).max(b.x + b.width);
            let bottom = (a.y + a.height).max(b.y + b.height);
            RectF::new(x, y, right - x, bottom - y)
        }))
    }

    /// Where a layer of `layer` pixels lies on the base; none when the gravity is a face and there is none.
    pub(super) fn layer_positions(&self, base: &Image, layer: Size, component: &Component) -> Planned<Vec<(i64, i64)>> {
        let (x, y) = self.offsets(component, base.size);
        let at = |anchor: Anchor| Placement { anchor, x, y }.window(base.size, layer);
        Ok(match component.gravity {
            None => vec![at(Anchor::Compass(Compass::Center))],
            Some(Gravity::Compass(compass)) => vec![at(Anchor::Compass(compass))],
            Some(Gravity::XyCenter) => vec![at(Anchor::Point(x as f64, y as f64))],
            Some(Gravity::Face(_)) => self.face(base)?.into_iter().map(|face| at(Anchor::Box(face))).collect(),
            Some(Gravity::Faces(_)) => {
                self.visible_faces(base)?.into_iter().map(|face| at(Anchor::Box(face))).collect()
            }
            Some(gravity @ (Gravity::Custom | Gravity::CustomFace | Gravity::CustomFaces)) => {
                vec![at(self.anchor(base, gravity, x, y)?)]
            }
        })
    }
}

fn fallback_anchor(fallback: FaceFallback) -> Anchor {
    Anchor::Compass(match fallback {
        FaceFallback::North => Compass::North,
        FaceFallback::Center => Compass::Center,
    })
}

fn uses_gravity(mode: CropMode) -> bool {
    !matches!(mode, CropMode::Scale | CropMode::Fit | CropMode::Limit | CropMode::Mfit)
}

/// Flips and quarter turns of `a_`, folded into one.
fn turn(builder: &mut Builder, image: Image, component: &Component) -> Planned<Image> {
    let orientation = component.angle.iter().fold(Orientation::IDENTITY, |sum, rotation| {
        sum.then(match rotation {
            Rotation::Degrees(degrees) => Orientation::turned(i64::from(*degrees) / 90),
            Rotation::HFlip => Orientation::HFLIP,
            Rotation::VFlip => Orientation::VFLIP,
            Rotation::Ignore => Orientation::IDENTITY,
        })
    });
    if orientation == Orientation::IDENTITY {
        return Ok(image);
    }
    let (before, size) = (image.size, orientation.apply_size(image.size));
    let op = Op::Orient { input: image.surface, orientation };
    let image = Image { surface: builder.push(op, size, image.alpha)?, size, ..image };
    Ok(image.with_regions(|rect| orientation.apply_rect(rect, before)))
}
