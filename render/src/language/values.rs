//! One function per built parameter: its value, checked and typed.

use super::formats::known_format;
use super::number::{decimal, in_range, integer, is_expression, trimmed};
use super::params::Param;
use super::percent::decode_lenient;
use super::public_id::validate_public_id;
use super::transformation::*;
use super::vocabulary::{
    BACKGROUNDS, CROP_MODES, EFFECTS, FLAGS, GRAVITIES, GRAVITY_OBJECTS, GRAVITY_PREFIXES, LAYER_KINDS, Word, find,
};
use crate::error::{Error, Result};

/// Most operations of one `a_`.
const MAX_ROTATIONS: usize = 10;

/// Longest name after `fl_attachment:`, in characters.
const MAX_ATTACHMENT_CHARS: usize = 255;

pub(super) fn width(param: &Param<'_>, component: &mut Component) -> Result<()> {
    component.width = Some(length(param)?);
    Ok(())
}

pub(super) fn height(param: &Param<'_>, component: &mut Component) -> Result<()> {
    component.height = Some(length(param)?);
    Ok(())
}

fn length(param: &Param<'_>) -> Result<Length> {
    match param.value {
        "iw" => return Ok(Length::InitialWidth),
        "ih" => return Ok(Length::InitialHeight),
        value if head(value) == "auto" => return Err(param.unsupported()),
        _ => {}
    }
    let number = decimal(param.value).ok_or_else(|| no_constant(param))?;
    if number.is_integer() {
        let pixels = u32::try_from(number.units).ok().filter(|pixels| *pixels > 0);
        return pixels.map(Length::Pixels).ok_or_else(|| param.invalid());
    }
    Ok(Length::Fraction(trimmed(positive(param, number)?, 1)))
}

pub(super) fn x(param: &Param<'_>, component: &mut Component) -> Result<()> {
    component.x = Some(offset(param)?);
    Ok(())
}

pub(super) fn y(param: &Param<'_>, component: &mut Component) -> Result<()> {
    component.y = Some(offset(param)?);
    Ok(())
}

fn offset(param: &Param<'_>) -> Result<Offset> {
    let number = decimal(param.value).ok_or_else(|| no_constant(param))?;
    if number.is_integer() {
        return i32::try_from(number.units).map(Offset::Pixels).map_err(|_| param.invalid());
    }
    if in_range(number) { Ok(Offset::Fraction(trimmed(number, 1))) } else { Err(param.invalid()) }
}

pub(super) fn aspect_ratio(param: &Param<'_>, component: &mut Component) -> Result<()> {
    let side = |text| {
        let number = decimal(text).ok_or_else(|| no_constant(param))?;
        positive(param, number).map(|number| trimmed(number, 0))
    };
    component.aspect_ratio = Some(match param.value.split_once(':') {
        Some((width, height)) => AspectRatio::Ratio(side(width)?, side(height)?),
        None => AspectRatio::Number(side(param.value)?),
    });
    Ok(())
}

pub(super) fn zoom(param: &Param<'_>, component: &mut Component) -> Result<()> {
    let number = decimal(param.value).ok_or_else(|| no_constant(param))?;
    component.zoom = Some(trimmed(positive(param, number)?, 0));
    Ok(())
}

pub(super) fn dpr(param: &Param<'_>, component: &mut Component) -> Result<()> {
    const MOST: i64 = 20;
    if param.value == "auto" {
        return Err(param.unsupported());
    }
    let number = positive(param, decimal(param.value).ok_or_else(|| no_constant(param))?)?;
    if number.units > MOST * number.denominator() {
        return Err(param.invalid());
    }
    component.dpr = Some(trimmed(number, 0));
    Ok(())
}

pub(super) fn crop(param: &Param<'_>, component: &mut Component) -> Result<()> {
    component.crop = Some(word(param, CROP_MODES)?);
    Ok(())
}

pub(super) fn gravity(param: &Param<'_>, component: &mut Component) -> Result<()> {
    let value = param.value;
    if find(GRAVITIES, value).is_some_and(|word| word.means.is_none()) {
        return Err(param.unsupported_whole());
    }
    let first = head(value);
    let known =
        GRAVITY_PREFIXES.iter().any(|prefix| first == *prefix || prefix.ends_with('_') && value.starts_with(prefix))
            || GRAVITY_OBJECTS.contains(&first.strip_suffix("_avoid").unwrap_or(first));
    if known || first.starts_with('$') {
        return Err(param.unsupported());
    }
    component.gravity = Some(word(param, GRAVITIES)?);
    Ok(())
}

pub(super) fn opacity(param: &Param<'_>, component: &mut Component) -> Result<()> {
    let percent = integer(param.value).ok_or_else(|| no_constant(param))?;
    component.opacity = Some(bounded(param, percent, 0, 100)?);
    Ok(())
}

/// Largest number of a page.
const MOST_PAGE: i64 = i32::MAX as i64;

pub(super) fn page(param: &Param<'_>, component: &mut Component) -> Result<()> {
    match integer(param.value) {
        Some(page @ 1..=MOST_PAGE) => component.page = u32::try_from(page).ok(),
        Some(_) => return Err(param.invalid()),
        // Ranges, lists and names of pages are part of the language.
        None if param.value.starts_with(|c: char| c.is_ascii_alphanumeric()) => return Err(param.unsupported_whole()),
        None => return Err(param.invalid()),
    }
    Ok(())
}

pub(super) fn radius(param: &Param<'_>, component: &mut Component) -> Result<()> {
    if param.value == "max" {
        component.radius = Some(Radius::Max);
        return Ok(());
    }
    let corner = |text| {
        let pixels = integer(text).ok_or_else(|| no_constant(param))?;
        u32::try_from(pixels).map_err(|_| param.invalid())
    };
    // Five corners are enough to know that there are too many.
    let corners = param.value.split(':').take(5).map(corner).collect::<Result<Vec<u32>>>()?;
    if corners.len() > 4 {
        return Err(param.invalid());
    }
    component.radius = Some(Radius::Corners(corners));
    Ok(())
}

pub(super) fn border(param: &Param<'_>, component: &mut Component) -> Result<()> {
    let (width, color) = param.value.split_once("_solid_").ok_or_else(|| param.invalid())?;
    let digits = width.strip_suffix("px").unwrap_or(width);
    if width.starts_with('$') || is_expression(digits) {
        return Err(param.unsupported_whole());
    }
    let width = integer(digits).and_then(|pixels| u32::try_from(pixels).ok()).ok_or_else(|| param.invalid())?;
    component.border = Some(Border { width, color: read_color(param, color)? });
    Ok(())
}

pub(super) fn background(param: &Param<'_>, component: &mut Component) -> Result<()> {
    if BACKGROUNDS.contains(&head(param.value)) {
        return Err(param.unsupported());
    }
    component.background = Some(read_color(param, param.value)?);
    Ok(())
}

fn read_color(param: &Param<'_>, text: &str) -> Result<Color> {
    if text.starts_with('$') {
        return Err(param.unsupported_whole());
    }
    Color::parse(text).ok_or_else(|| param.invalid_as("color", text))
}

pub(super) fn angle(param: &Param<'_>, component: &mut Component) -> Result<()> {
    if matches!(param.value, "auto_right" | "auto_left") {
        return Err(param.unsupported());
    }
    let mut operations = Vec::new();
    for (index, text) in param.value.split('.').enumerate() {
        if index == MAX_ROTATIONS {
            return Err(Error::Limit(format!("Maximum number of operations of an angle is {MAX_ROTATIONS}")));
        }
        operations.push(match text {
            "hflip" => Rotation::HFlip,
            "vflip" => Rotation::VFlip,
            "ignore" => Rotation::Ignore,
            // Old clients write these for what is the default: the EXIF orientation is honoured.
            "auto" | "exif" => continue,
            _ => {
                let degrees = integer(text).ok_or_else(|| no_constant(param))?;
                if degrees % 90 != 0 {
                    return Err(param.unsupported_whole());
                }
                Rotation::Degrees(i32::try_from(degrees).map_err(|_| param.invalid())?)
            }
        });
    }
    component.angle = operations;
    Ok(())
}

pub(super) fn overlay(param: &Param<'_>, component: &mut Component) -> Result<()> {
    layer(param, component, LayerSide::Over)
}

pub(super) fn underlay(param: &Param<'_>, component: &mut Component) -> Result<()> {
    layer(param, component, LayerSide::Under)
}

fn layer(param: &Param<'_>, component: &mut Component, side: LayerSide) -> Result<()> {
    let kind = param.value.split_once(':').map(|(kind, _)| kind);
    if kind.is_some_and(|kind| LAYER_KINDS.contains(&kind)) || param.value.starts_with('$') {
        return Err(param.unsupported());
    }
    let id = param.value.replace(':', "/");
    let public_id = super::formats::split_known_extension(&id).map_or(id.as_str(), |(stem, _)| stem);
    validate_public_id(public_id).map_err(|_| param.invalid())?;
    component.layer = Some(Layer { side, public_id: public_id.to_owned() });
    Ok(())
}

pub(super) fn quality(param: &Param<'_>, component: &mut Component) -> Result<()> {
    let value = param.value;
    component.quality = Some(match value.strip_prefix("auto") {
        Some("" | ":good") => QualityParam::Auto(QualityLevel::Good),
        Some(":best") => QualityParam::Auto(QualityLevel::Best),
        Some(":eco") => QualityParam::Auto(QualityLevel::Eco),
        Some(":low") => QualityParam::Auto(QualityLevel::Low),
        Some(rest) if rest.ends_with(":sensitive") || matches!(rest, ":420" | ":444") => {
            return Err(param.unsupported_whole());
        }
        Some(_) => return Err(param.invalid()),
        None if head(value) == "jpegmini" => return Err(param.unsupported()),
        None => fixed_quality(param)?,
    });
    Ok(())
}

fn fixed_quality(param: &Param<'_>) -> Result<QualityParam> {
    let (text, chroma) = match param.value.split_once(':') {
        Some((text, "420")) => (text, Some(ChromaSampling::Half)),
        Some((text, "444")) => (text, Some(ChromaSampling::Full)),
        Some((_, rest)) if rest.starts_with("qmax_") => return Err(param.unsupported_whole()),
        Some(_) => return Err(no_constant(param)),
        None => (param.value, None),
    };
    let number = decimal(text).ok_or_else(|| no_constant(param))?;
    if number.is_integer() {
        return Ok(QualityParam::Number(bounded(param, number.units, 1, 100)?, chroma));
    }
    // Old clients write a fraction of one.
    let one = number.denominator();
    if number.units <= 0 || number.units > one {
        return Err(param.invalid());
    }
    let percent = (number.units * 200 + one) / (one * 2);
    Ok(QualityParam::Number(bounded(param, percent, 1, 100)?, chroma))
}

pub(super) fn format(param: &Param<'_>, component: &mut Component) -> Result<()> {
    component.format = Some(match param.value {
        "auto" | "auto:image" => FormatParam::Auto,
        "auto:video" | "auto:animated" => return Err(param.unsupported_whole()),
        name => match known_format(name) {
            Some(known) => FormatParam::Named(known.writes.ok_or_else(|| param.unsupported())?),
            None if name.starts_with('$') => return Err(param.unsupported()),
            None => return Err(param.invalid()),
        },
    });
    Ok(())
}

pub(super) fn flags(param: &Param<'_>, component: &mut Component) -> Result<()> {
    for text in param.value.split('.') {
        let flag = find(FLAGS, head(text)).ok_or_else(|| param.invalid_as("flag", text))?;
        let argument = text.split_once(':').map(|(_, argument)| argument);
        let whole = || Error::unsupported(format!("fl_{text}"));
        component.flags.insert(match (&flag.means, argument) {
            (None, _) => return Err(Error::unsupported(format!("fl_{}", flag.name))),
            (Some(Flag::Attachment(_)), Some(name)) => Flag::Attachment(Some(attachment_name(param, text, name)?)),
            (Some(Flag::Progressive), Some("semi")) => Flag::Progressive,
            (Some(Flag::Progressive), Some("steep" | "none")) => return Err(whole()),
            (Some(_), Some(_)) => return Err(param.invalid_as("flag", text)),
            (Some(meaning), None) => meaning.clone(),
        });
    }
    Ok(())
}

/// The name is decoded a second time, because a point or comma in it would otherwise separate.
fn attachment_name(param: &Param<'_>, text: &str, encoded: &str) -> Result<String> {
    let name = decode_lenient(encoded);
    let legal = |c: char| c.is_alphanumeric() || "_-! .()".contains(c);
    if name.is_empty() || !name.chars().all(legal) || name.chars().count() > MAX_ATTACHMENT_CHARS {
        return Err(param.invalid_as("flag", text));
    }
    Ok(name)
}

/// No effect is built, but a misspelled one is told from a missing one.
pub(super) fn effect(param: &Param<'_>, _: &mut Component) -> Result<()> {
    let name = head(param.value);
    if EFFECTS.contains(&name) || name.starts_with('$') {
        return Err(param.unsupported());
    }
    Err(param.invalid_as(param.row.long_name, name))
}

/// A prefix only names the CSS classes of a sprite: it never changes a picture.
pub(super) fn prefix(_: &Param<'_>, _: &mut Component) -> Result<()> {
    Ok(())
}

fn word<T: Clone>(param: &Param<'_>, words: &'static [Word<T>]) -> Result<T> {
    match find(words, param.value) {
        Some(word) => word.means.clone().ok_or_else(|| param.unsupported()),
        None if param.value.starts_with('$') => Err(param.unsupported()),
        None => Err(param.invalid()),
    }
}

/// What precedes the first `:`.
fn head(value: &str) -> &str {
    value.split(':').next().unwrap_or(value)
}

fn positive(param: &Param<'_>, number: Decimal) -> Result<Decimal> {
    if number.units > 0 && in_range(number) { Ok(number) } else { Err(param.invalid()) }
}

fn bounded(param: &Param<'_>, value: i64, least: i64, most: i64) -> Result<u8> {
    let legal = (least..=most).contains(&value);
    u8::try_from(value).ok().filter(|_| legal).ok_or_else(|| param.invalid())
}

/// The error for what is no number: an expression is part of the language but not built, all else is malformed.
fn no_constant(param: &Param<'_>) -> Error {
    let value = param.value;
    if is_expression(value) || value.split([':', '.']).any(is_expression) {
        param.unsupported_whole()
    } else {
        param.invalid()
    }
}
