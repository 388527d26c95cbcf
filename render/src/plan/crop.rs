//! Crop modes: from the requested dimensions to a scaled size, a window of it, and a canvas.

use super::geometry::{RectF, Size, centered};
use super::gravity::{Anchor, Placement};
use super::rational::Rational;
use crate::error::{Error, Result};
use crate::language::{AspectRatio, CropMode};

/// The target that `w`, `h` and `ar` ask for, before rounding. Source: transformations specification, 3.1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Target {
    pub width: Rational,
    pub height: Rational,
}

/// What a crop mode does to a picture.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Resize {
    /// Nothing.
    Keep,
    /// Cut out this rectangle of the current picture, at its own scale.
    Extract { x: u32, y: u32, size: Size },
    /// Scale `region` to `scaled`, and keep the window of `size` at (`x`, `y`) of it.
    Scale { region: RectF, scaled: Size, x: u32, y: u32, size: Size },
    /// Scale to `scaled`, and set it onto a canvas of `size` at (`left`, `top`).
    Pad { scaled: Size, left: i32, top: i32, size: Size },
}

/// Everything a crop mode needs to know, in pixels of the current picture.
#[derive(Debug, Clone, Copy)]
pub struct Request {
    pub mode: CropMode,
    pub target: Option<Target>,
    pub anchor: Anchor,
    /// Whether `x` or `y` was written; `c_crop` then counts from the upper left corner and keeps its position.
    pub positioned: bool,
    pub x: i64,
    pub y: i64,
    pub zoom: f64,
}

/// Resolves the missing dimension. `None` when neither width, height nor ratio was given.
pub fn target(
    width: Option<Rational>,
    height: Option<Rational>,
    ratio: Option<AspectRatio>,
    ignore_ratio: bool,
    current: Size,
) -> Result<Option<Target>> {
    let ratio = match ratio {
        Some(ratio) => Some(
            Rational::aspect_ratio(ratio)
                .ok_or_else(|| Error::Semantic("Invalid aspect_ratio in transformation".into()))?,
        ),
        None => None,
    };
    let (current_width, current_height) = (Rational::integer(current.width), Rational::integer(current.height));
    let target = match (width, height, ratio) {
        (Some(width), Some(height), _) => Target { width, height },
        (Some(width), None, Some(ratio)) => Target { width, height: width.divided(ratio) },
        (None, Some(height), Some(ratio)) => Target { width: height.times(ratio), height },
        (Some(width), None, None) if ignore_ratio => Target { width, height: current_height },
        (None, Some(height), None) if ignore_ratio => Target { width: current_width, height },
        (Some(width), None, None) => Target { width, height: width.divided(Rational::of(current)) },
        (None, Some(height), None) => Target { width: height.times(Rational::of(current)), height },
        (None, None, Some(ratio)) if ratio > Rational::ONE => {
            Target { width: current_width, height: current_width.divided(ratio) }
        }
        (None, None, Some(ratio)) if ratio < Rational::ONE => {
            Target { width: current_height.times(ratio), height: current_height }
        }
        (None, None, Some(_)) => {
            let side = current_width.min(current_height);
            Target { width: side, height: side }
        }
        (None, None, None) => return Ok(None),
    };
    Ok(Some(target))
}

/// What a mode does to a picture of size `current`. Sizes are checked against nothing here; the planner does.
///
/// Source: transformations specification, 3.2 to 3.4. Widths that do not fit 32 bits are refused.
pub fn resize(request: &Request, current: Size) -> Result<Resize> {
    let Some(target) = request.target else {
        return Ok(without_target(request, current));
    };
    let (width, height) = (side(target.width.round())?, side(target.height.round())?);
    let size = Size::new(width, height);
    let (current_width, current_height) = (Rational::integer(current.width), Rational::integer(current.height));
    let (across, down) = (target.width.divided(current_width), target.height.divided(current_height));
    let fit = across.min(down);
    let fill = across.max(down);
    let scaled_by = |scale: Rational| -> Result<Size> {
        Ok(Size::new(side(current_width.times(scale).round())?, side(current_height.times(scale).round())?))
    };
    Ok(match request.mode {
        CropMode::Scale => whole(current, size),
        CropMode::Fit => whole(current, scaled_by(fit)?),
        CropMode::Limit => whole(current, scaled_by(fit.min(Rational::ONE))?),
        CropMode::Mfit => whole(current, scaled_by(fit.max(Rational::ONE))?),
        CropMode::Fill => filled(request, current, scaled_by(fill)?, size),
        CropMode::Lfill => {
            let scaled = scaled_by(fill.min(Rational::ONE))?;
            filled(request, current, scaled, Size::new(width.min(scaled.width), height.min(scaled.height)))
        }
        CropMode::Pad => padded(request, scaled_by(fit)?, size),
        CropMode::Lpad => padded(request, scaled_by(fit.min(Rational::ONE))?, size),
        CropMode::Mpad => padded(request, current, Size::new(width.max(current.width), height.max(current.height))),
        CropMode::Crop => cropped(request, current, size)?,
        CropMode::Thumb => match request.anchor {
            Anchor::Box(face) => thumb(face, request.zoom, current, size),
            _ => filled(request, current, scaled_by(fill)?, size),
        },
    })
}

/// A crop or thumbnail of a box without dimensions takes the box itself, made smaller or larger by the zoom.
fn without_target(request: &Request, current: Size) -> Resize {
    let Anchor::Box(face) = request.anchor else { return Resize::Keep };
    if !matches!(request.mode, CropMode::Crop | CropMode::Thumb) {
        return Resize::Keep;
    }
    let length = |value: f64, most: u32| ((value / request.zoom + 0.5).floor().max(1.0)).min(f64::from(most)) as u32;
    let size = Size::new(length(face.width, current.width), length(face.height, current.height));
    let (x, y) = Placement { anchor: request.anchor, x: request.x, y: request.y }.window(current, size);
    Resize::Extract { x: shifted(x, current.width - size.width), y: shifted(y, current.height - size.height), size }
}

fn whole(current: Size, scaled: Size) -> Resize {
    Resize::Scale { region: region_of(current), scaled, x: 0, y: 0, size: scaled }
}

fn filled(request: &Request, current: Size, scaled: Size, size: Size) -> Resize {
    // Anchors are in pixels of the current picture; the window is placed on the scaled one.
    let across = f64::from(scaled.width) / f64::from(current.width);
    let down = f64::from(scaled.height) / f64::from(current.height);
    let anchor = match request.anchor {
        Anchor::Box(rect) => {
            Anchor::Box(RectF::new(rect.x * across, rect.y * down, rect.width * across, rect.height * down))
        }
        Anchor::Point(x, y) => Anchor::Point(x * across, y * down),
        compass => compass,
    };
    let (x, y) = Placement { anchor, x: request.x, y: request.y }.window(scaled, size);
    Resize::Scale {
        region: region_of(current),
        scaled,
        x: shifted(x, scaled.width - size.width.min(scaled.width)),
        y: shifted(y, scaled.height - size.height.min(scaled.height)),
        size: Size::new(size.width.min(scaled.width), size.height.min(scaled.height)),
    }
}

fn padded(request: &Request, scaled: Size, size: Size) -> Resize {
    let room = (i64::from(size.width) - i64::from(scaled.width), i64::from(size.height) - i64::from(scaled.height));
    let (left, top) = match request.anchor {
        Anchor::Compass(compass) => compass.place(room.0, room.1),
        _ => (centered(room.0), centered(room.1)),
    };
    Resize::Pad { scaled, left: left as i32, top: top as i32, size }
}

fn cropped(request: &Request, current: Size, asked: Size) -> Result<Resize> {
    let size = Size::new(asked.width.min(current.width), asked.height.min(current.height));
    let (x, y) = Placement { anchor: request.anchor, x: request.x, y: request.y }.window(current, size);
    if !request.positioned || matches!(request.anchor, Anchor::Box(_) | Anchor::Point(..)) {
        let (x, y) = (shifted(x, current.width - size.width), shifted(y, current.height - size.height));
        return Ok(Resize::Extract { x, y, size });
    }
    let (left, top) = (x.max(0), y.max(0));
    let right = (x + i64::from(size.width)).min(i64::from(current.width));
    let bottom = (y + i64::from(size.height)).min(i64::from(current.height));
    if right <= left || bottom <= top {
        return Err(Error::Semantic(format!(
            "Invalid crop in transformation: {asked} at {x},{y} lies outside of the {current} image"
        )));
    }
    Ok(Resize::Extract { x: left as u32, y: top as u32, size: Size::new((right - left) as u32, (bottom - top) as u32) })
}

/// The smallest region of the target's ratio that holds the box, zoomed, moved inside the picture.
fn thumb(face: RectF, zoom: f64, current: Size, size: Size) -> Resize {
    let (current_width, current_height) = (f64::from(current.width), f64::from(current.height));
    let ratio = f64::from(size.width) / f64::from(size.height);
    let mut height = face.height.max(face.width / ratio) / zoom;
    let mut width = height * ratio;
    let shrink = (current_width / width).min(current_height / height).min(1.0);
    (width, height) = (width * shrink, height * shrink);
    let (center_x, center_y) = face.center();
    let x = (center_x - width / 2.0).clamp(0.0, (current_width - width).max(0.0));
    let y = (center_y - height / 2.0).clamp(0.0, (current_height - height).max(0.0));
    Resize::Scale { region: RectF::new(x, y, width, height), scaled: size, x: 0, y: 0, size }
}

fn region_of(size: Size) -> RectF {
    RectF::new(0.0, 0.0, f64::from(size.width), f64::from(size.height))
}

/// An offset moved into `0..=room`.
fn shifted(value: i64, room: u32) -> u32 {
    value.clamp(0, i64::from(room)) as u32
}

fn side(value: u64) -> Result<u32> {
    u32::try_from(value).map_err(|_| Error::Limit(format!("an output side of {value} pixels is too long")))
}
