//! `sprite` (api.md 3.15): pictures under each other in one file, with style sheet and JSON that say where each lies.

use super::LibraryService;
use super::made::refuse_async;
use super::view::View;
use crate::domain::{Asset, DeliveryType, MadeOf, PublicId, SpritePlace};
use crate::service::access::Caller;
use crate::service::call::{ApiError, Params};
use crate::service::studio::MadeFile;
use serde_json::{Map, Value, json};
use std::collections::HashSet;
use std::fmt::Write;
use tintype_render::language::Format;

impl LibraryService {
    /// `sprite`. Another call of the same name replaces the sprite.
    pub async fn make_sprite(&self, caller: &Caller, params: &Params) -> Result<Value, ApiError> {
        refuse_async(params, "sprite")?;
        let (file, made_of, public_id) = self.sprite(caller, params).await?;
        let asset = self.store_made(caller, DeliveryType::Sprite, public_id, &file, Some(made_of)).await?.asset;
        let view = self.view(caller).await?;
        let answer = answer(&view, &asset);
        self.tell_made(caller, params, "sprite", &asset, &answer).await?;
        Ok(answer)
    }

    /// The sprite of a call: its file, what it is made of, and what it is called.
    pub(super) async fn sprite(
        &self,
        caller: &Caller,
        params: &Params,
    ) -> Result<(MadeFile, MadeOf, PublicId), ApiError> {
        let recipe = self.recipe(caller, params).await?;
        let format = match recipe.format.as_deref() {
            None => Format::Png,
            Some(name) => match Format::from_extension(name) {
                Some(format @ (Format::Png | Format::Jpeg | Format::WebP)) => format,
                _ => {
                    return Err(ApiError::BadRequest(format!(
                        "f_{name} is not supported for sprites by this server yet"
                    )));
                }
            },
        };
        let (parts, public_id) = self.parts_of(caller, params).await?;
        let studio = self.studio()?;
        let (mut pictures, mut pixels) = (Vec::with_capacity(parts.len()), 0_u64);
        for part in &parts {
            let picture = self.part(caller, part, &recipe.each).await?;
            let size = studio.size(&picture)?;
            pixels = pixels.saturating_add(u64::from(size.width) * u64::from(size.height));
            studio.check_pixels(pixels)?;
            pictures.push(picture);
        }
        let (file, places) = studio.stack(pictures, format).await?;
        let place = |(part, place): (&super::made::Part, crate::service::studio::Place)| SpritePlace {
            name: part.name.clone(),
            width: place.size.width,
            height: place.size.height,
            x: place.x,
            y: place.y,
        };
        let made_of = MadeOf {
            transformation: recipe.given,
            prefix: recipe.prefix.unwrap_or_default(),
            places: parts.iter().zip(places).map(place).collect(),
        };
        Ok((file, made_of, public_id))
    }
}

fn made_of(asset: &Asset) -> MadeOf {
    asset.details.made_of.clone().unwrap_or_default()
}

fn answer(view: &View, asset: &Asset) -> Value {
    let transformation = made_of(asset).transformation;
    let url = |extension| view.url(asset, &transformation, Some(extension));
    let (css, image, list) = (url("css"), url(&asset.format), url("json"));
    json!({
        "css_url": css,
        "image_url": image,
        "json_url": list,
        "secure_css_url": css,
        "secure_image_url": image,
        "secure_json_url": list,
        "asset_id": asset.id.as_str(),
        "public_id": asset.key.public_id.as_str(),
        "version": asset.version,
        "image_infos": infos(asset),
    })
}

/// Names of the pictures of a sprite, each once: a further one of a name has a number.
fn unique(names: impl Iterator<Item = String>) -> Vec<String> {
    let mut seen = HashSet::new();
    let mut unique = Vec::new();
    for name in names {
        let mut candidate = name.clone();
        let mut n = 2;
        while !seen.insert(candidate.clone()) {
            candidate = format!("{name}_{n}");
            n += 1;
        }
        unique.push(candidate);
    }
    unique
}

fn infos(asset: &Asset) -> Value {
    let places = made_of(asset).places;
    let names = unique(places.iter().map(|place| place.name.clone()));
    let infos = names.into_iter().zip(&places).map(|(name, place)| {
        let info = json!({ "width": place.width, "height": place.height, "x": place.x, "y": place.y });
        (name, info)
    });
    Value::Object(infos.collect::<Map<_, _>>())
}

/// What a sprite's `.json` holds.
pub fn sprite_json(asset: &Asset) -> String {
    infos(asset).to_string()
}

/// What a sprite's `.css` holds: one class for each picture. `image` is the address of the sprite.
pub fn sprite_css(asset: &Asset, image: &str) -> String {
    let made_of = made_of(asset);
    let class = |place: &SpritePlace| class_name(&made_of.prefix, &place.name);
    let classes = unique(made_of.places.iter().map(class));
    // The address comes from a public id, which SDKs let hold quotes; escaped ones end no string.
    let image = image.replace('\'', "%27").replace('\\', "%5C");
    let mut css = String::new();
    for (class, place) in classes.iter().zip(&made_of.places) {
        let SpritePlace { width, height, x, y, .. } = place;
        let at = |offset: &u32| if *offset == 0 { "0".to_owned() } else { format!("-{offset}px") };
        let _ = writeln!(
            css,
            ".{class} {{\n  background: url('{image}') no-repeat {} {};\n  width: {width}px;\n  height: {height}px;\n}}",
            at(x),
            at(y)
        );
    }
    css
}

/// A class name that needs no escapes in a style sheet.
fn class_name(prefix: &str, name: &str) -> String {
    let safe = |c: char| if c.is_ascii_alphanumeric() || matches!(c, '_' | '-') { c } else { '_' };
    let name: String = prefix.chars().chain(name.chars()).map(safe).collect();
    let starts_well = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    if starts_well { name } else { format!("_{name}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_need_no_escapes() {
        assert_eq!(class_name("", "a/b c"), "a_b_c");
        assert_eq!(class_name("icons-", "1"), "icons-1");
        assert_eq!(class_name("", "1}x"), "_1_x");
        assert_eq!(unique(["a", "a", "a_2"].map(str::to_owned).into_iter()), ["a", "a_2", "a_2_2"]);
    }
}
