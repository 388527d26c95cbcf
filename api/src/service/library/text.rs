//! `text` (api.md 3.14): an image asset of a text in a style.

use super::LibraryService;
use crate::domain::{DeliveryType, PublicId};
use crate::service::access::Caller;
use crate::service::answer::UploadAnswer;
use crate::service::call::{ApiError, Params, shown};
use serde_json::Value;
use sha1::{Digest, Sha1};
use tintype_render::language::Color;
use tintype_render::text::{Align, MAX_SIZE_PX, Style};

/// Parameters that say how a text looks, in the order in which they make its name.
const STYLE: &[&str] = &[
    "font_family",
    "font_size",
    "font_color",
    "font_weight",
    "font_style",
    "background",
    "opacity",
    "text_align",
    "text_decoration",
    "font_hinting",
    "font_antialiasing",
    "letter_spacing",
    "line_spacing",
];

/// Most pixels between letters or lines, both ways.
const MAX_SPACING_PX: f32 = 1000.0;

fn number(params: &Params, name: &str, least: f32, most: f32) -> Result<Option<f32>, ApiError> {
    let Some(text) = params.text(name) else { return Ok(None) };
    let number = text.trim().parse::<f32>().ok().filter(|number| (least..=most).contains(number));
    number.map(Some).ok_or_else(|| ApiError::invalid(name, text))
}

/// `#rrggbb` is what forms send; elsewhere the language's forms hold.
fn color(params: &Params, name: &str, default: Color) -> Result<Color, ApiError> {
    let Some(text) = params.text(name) else { return Ok(default) };
    Color::parse(text.strip_prefix('#').unwrap_or(text)).ok_or_else(|| ApiError::invalid(name, text))
}

/// The style that a call describes.
fn style(params: &Params) -> Result<Style, ApiError> {
    let plain = Style::default();
    let mut color_of_text = color(params, "font_color", Color::BLACK)?;
    if let Some(opacity) = number(params, "opacity", 0.0, 100.0)? {
        color_of_text.rgba[3] = (f32::from(color_of_text.rgba[3]) * opacity / 100.0).round() as u8;
    }
    let weight = match params.text("font_weight") {
        None | Some("normal" | "regular") => 400,
        Some("thin") => 100,
        Some("light") => 300,
        Some("medium") => 500,
        Some("semibold") => 600,
        Some("bold") => 700,
        Some("black") => 900,
        Some(text) => match text.parse::<u16>() {
            Ok(weight) if (100..=900).contains(&weight) => weight,
            _ => return Err(ApiError::invalid("font_weight", text)),
        },
    };
    let italic = match params.text("font_style") {
        None | Some("normal") => false,
        Some("italic" | "oblique") => true,
        Some(text) => return Err(ApiError::invalid("font_style", text)),
    };
    let (underline, strikethrough) = match params.text("text_decoration") {
        None | Some("normal" | "none") => (false, false),
        Some("underline") => (true, false),
        Some("strikethrough" | "line-through") => (false, true),
        Some(text) => return Err(ApiError::invalid("text_decoration", text)),
    };
    let align = match params.text("text_align") {
        None | Some("start" | "justify") => Align::Start,
        Some("end") => Align::End,
        Some("left") => Align::Left,
        Some("center") => Align::Center,
        Some("right") => Align::Right,
        Some(text) => return Err(ApiError::invalid("text_align", text)),
    };
    let hinting = match params.text("font_hinting") {
        None | Some("none") => false,
        Some("slight" | "medium" | "full") => true,
        Some(text) => return Err(ApiError::invalid("font_hinting", text)),
    };
    let antialias = match params.text("font_antialiasing") {
        Some("none") => false,
        None | Some("gray" | "subpixel" | "fast" | "good" | "best") => true,
        Some(text) => return Err(ApiError::invalid("font_antialiasing", text)),
    };
    Ok(Style {
        family: params.text("font_family").map_or(plain.family, str::to_owned),
        size_px: number(params, "font_size", 1.0, MAX_SIZE_PX)?.unwrap_or(plain.size_px),
        weight,
        italic,
        color: color_of_text,
        background: color(params, "background", Color::TRANSPARENT)?,
        underline,
        strikethrough,
        align,
        line_spacing_px: number(params, "line_spacing", -MAX_SPACING_PX, MAX_SPACING_PX)?.unwrap_or(0.0),
        letter_spacing_px: number(params, "letter_spacing", -MAX_SPACING_PX, MAX_SPACING_PX)?.unwrap_or(0.0),
        hinting,
        antialias,
        max_width_px: None,
    })
}

/// The name of a text that was given none: equal texts in equal styles have equal names.
fn digest(params: &Params, text: &str) -> String {
    let mut sha1 = Sha1::new();
    for name in STYLE {
        sha1.update(format!("{name}={}\n", params.text(name).unwrap_or_default()));
    }
    sha1.update(text);
    hex::encode(sha1.finalize())
}

impl LibraryService {
    /// `text`
    pub async fn make_text(&self, caller: &Caller, params: &Params) -> Result<Value, ApiError> {
        let text = params.required("text")?.to_owned();
        let style = style(params)?;
        let public_id = match params.text("public_id") {
            Some(_) => params.public_id("public_id")?,
            None => PublicId::new(digest(params, &text))
                .map_err(|error| ApiError::Internal(format!("a digest is no name: {error}")))?,
        };
        if public_id.as_str().split('/').any(|part| matches!(part, "." | "..")) {
            return Err(ApiError::BadRequest(format!("public_id ({}) is invalid", shown(public_id.as_str()))));
        }
        let file = self.studio()?.text(text, style).await?;
        let put = self.store_made(caller, DeliveryType::Text, public_id, &file, None).await?;
        let answer = UploadAnswer {
            view: self.view(caller).await?,
            key: caller.key.clone(),
            asset: put.asset,
            outcome: put.outcome,
            eager: vec![],
            batch_id: None,
            analysis: Default::default(),
            delete_token: None,
            done: false,
        };
        Ok(answer.to_json())
    }
}
