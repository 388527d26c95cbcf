//! Overlays and underlays: their own transformation, placement, and the canvas that grows to hold them.

use super::builder::{Builder, Image};
use super::geometry::{RectF, Size};
use super::gravity::Anchor;
use super::resolve::{Planned, Planner, Reference};
use super::step::Op;
use crate::error::Error;
use crate::language::{Compass, Component, Flag, LayerSide};

/// Puts the layer of a component onto (or under) the base.
///
/// A layer that is anchored to a face is left out where there is no face, and put onto every face by `g_faces`.
pub(super) fn apply(planner: &Planner, builder: &mut Builder, base: Image, component: &Component) -> Planned<Image> {
    let Some(layer) = &component.layer else { return Ok(base) };
    let id = layer.public_id.as_str();
    let facts = planner.facts.layers.get(id).ok_or_else(|| Error::MissingLayer(id.to_owned()))?;
    planner.limits.check_source(facts.size)?;
    let source = 1 + planner.layer_ids.iter().position(|known| *known == id).unwrap_or(0);
    let loaded = planner.load(builder, source, facts, false)?;
    let fraction_of = if component.flags.contains(&Flag::Relative) { base.size } else { loaded.size };
    let reference = Reference { fraction_of, initial: loaded.size };
    let overlay = planner.apply(builder, loaded, component, reference, Some(Anchor::Compass(Compass::Center)))?;
    let opacity = f32::from(component.opacity.unwrap_or(100)) / 100.0;
    let clipped = component.flags.contains(&Flag::NoOverflow);

    let mut base = base;
    // Growing the canvas moves what was placed before, so positions are kept relative to the first base.
    let mut origin = (0_i64, 0_i64);
    for (x, y) in planner.layer_positions(&base, overlay.size, component)? {
        let (x, y) = (x + origin.0, y + origin.1);
        let (grown, moved) = if clipped { (base, (0, 0)) } else { grow(planner, builder, base, overlay.size, (x, y))? };
        origin = (origin.0 + moved.0, origin.1 + moved.1);
        base = place(builder, grown, &overlay, (x + moved.0, y + moved.1), opacity, layer.side)?;
    }
    Ok(base)
}

/// A canvas that holds both the base and a layer at `at`, and how far the base moved on it.
fn grow(
    planner: &Planner,
    builder: &mut Builder,
    base: Image,
    layer: Size,
    at: (i64, i64),
) -> Planned<(Image, (i64, i64))> {
    let (left, top) = (at.0.min(0), at.1.min(0));
    let right = (at.0 + i64::from(layer.width)).max(base.size.width.into());
    let bottom = (at.1 + i64::from(layer.height)).max(base.size.height.into());
    let (width, height) = ((right - left) as u64, (bottom - top) as u64);
    if (left, top) == (0, 0) && width == u64::from(base.size.width) && height == u64::from(base.size.height) {
        return Ok((base, (0, 0)));
    }
    planner.limits.check_output(width, height)?;
    let size = Size::new(width as u32, height as u32);
    Ok((builder.canvas(base, -left as i32, -top as i32, size, [0; 4])?, (-left, -top)))
}

fn place(
    builder: &mut Builder,
    base: Image,
    overlay: &Image,
    at: (i64, i64),
    opacity: f32,
    side: LayerSide,
) -> Planned<Image> {
    let outside = at.0 >= base.size.width.into()
        || at.1 >= base.size.height.into()
        || at.0 + i64::from(overlay.size.width) <= 0
        || at.1 + i64::from(overlay.size.height) <= 0;
    if outside {
        return Ok(base);
    }
    let (left, top) = (at.0 as i32, at.1 as i32);
    let surface = match side {
        LayerSide::Over => {
            let op = Op::Composite { base: base.surface, layer: overlay.surface, left, top, opacity };
            builder.push(op, base.size, base.alpha)?
        }
        LayerSide::Under => {
            let mut under = overlay.clone();
            if opacity < 1.0 {
                let op = Op::Opacity { input: under.surface, opacity };
                under.surface = builder.push(op, under.size, true)?;
                under.alpha = true;
            }
            let covers = RectF::new(at.0 as f64, at.1 as f64, under.size.width.into(), under.size.height.into());
            let full = !under.alpha
                && covers.x <= 0.0
                && covers.y <= 0.0
                && covers.x + covers.width >= f64::from(base.size.width)
                && covers.y + covers.height >= f64::from(base.size.height);
            let op = Op::Canvas { input: under.surface, left, top, fill: [0; 4] };
            let below = builder.push(op, base.size, !full)?;
            let op = Op::Composite { base: below, layer: base.surface, left: 0, top: 0, opacity: 1.0 };
            let surface = builder.push(op, base.size, base.alpha && !full)?;
            return Ok(Image { surface, alpha: base.alpha && !full, ..base });
        }
    };
    Ok(Image { surface, ..base })
}
