//! `multi` (api.md 3.15): an animation of several pictures.

use super::LibraryService;
use super::made::refuse_async;
use crate::domain::{DeliveryType, MadeOf, PublicId};
use crate::service::access::Caller;
use crate::service::call::{ApiError, Params};
use crate::service::studio::MadeFile;
use serde_json::{Value, json};
use tintype_render::codec::AnimationFormat;

/// How long a frame is shown where nothing else is said.
const DELAY_MS: u16 = 100;

impl LibraryService {
    /// `multi`. Another call of the same name replaces the animation.
    pub async fn make_multi(&self, caller: &Caller, params: &Params) -> Result<Value, ApiError> {
        refuse_async(params, "multi")?;
        let (file, made_of, public_id) = self.animation(caller, params).await?;
        let asset = self.store_made(caller, DeliveryType::Multi, public_id, &file, Some(made_of)).await?.asset;
        let transformation = asset.details.made_of.as_ref().map_or("", |made| made.transformation.as_str());
        let url = self.view(caller).await?.url(&asset, transformation, Some(&asset.format));
        let answer = json!({
            "url": url,
            "secure_url": url,
            "asset_id": asset.id.as_str(),
            "public_id": asset.key.public_id.as_str(),
            "version": asset.version,
        });
        self.tell_made(caller, params, "multi", &asset, &answer).await?;
        Ok(answer)
    }

    /// The animation of a call: its file, what it is made of, and what it is called.
    pub(super) async fn animation(
        &self,
        caller: &Caller,
        params: &Params,
    ) -> Result<(MadeFile, MadeOf, PublicId), ApiError> {
        let recipe = self.recipe(caller, params).await?;
        let name = recipe.format.as_deref().or(params.text("format")).unwrap_or("gif");
        let format = match name {
            "gif" => AnimationFormat::Gif,
            "png" => AnimationFormat::Png,
            other => {
                return Err(ApiError::BadRequest(format!("f_{other} is not supported for multi by this server yet")));
            }
        };
        let delay_ms = match recipe.delay_ms.as_deref() {
            None => DELAY_MS,
            Some(text) => text.parse().map_err(|_| {
                ApiError::BadRequest(format!("Invalid delay in transformation: {}", crate::service::call::shown(text)))
            })?,
        };
        let (parts, public_id) = self.parts_of(caller, params).await?;
        let studio = self.studio()?;
        let (mut pictures, mut pixels, mut first) = (Vec::with_capacity(parts.len()), 0_u64, None);
        for part in &parts {
            let mut picture = self.part(caller, part, &recipe.each).await?;
            let size = studio.size(&picture)?;
            let wanted = *first.get_or_insert(size);
            if size != wanted {
                // All frames get the size of the first one; what is left over is transparent.
                let pad = format!("c_pad,h_{},w_{}", wanted.height, wanted.width);
                let padded = if recipe.each.is_empty() { pad } else { format!("{}/{pad}", recipe.each) };
                picture = self.part(caller, part, &padded).await?;
            }
            pixels = pixels.saturating_add(u64::from(wanted.width) * u64::from(wanted.height));
            studio.check_pixels(pixels)?;
            pictures.push(picture);
        }
        let file = studio.animate(pictures, delay_ms, format).await?;
        let made_of = MadeOf { transformation: without_format(&recipe.given, file.format), ..MadeOf::default() };
        Ok((file, made_of, public_id))
    }
}

/// A transformation without the format that its address ends with anyway.
fn without_format(given: &str, format: &str) -> String {
    let own = format!("f_{format}");
    let component = |text: &str| text.split(',').filter(|part| *part != own).collect::<Vec<_>>().join(",");
    given.split('/').map(component).filter(|text| !text.is_empty()).collect::<Vec<_>>().join("/")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_format_stands_once_in_an_address() {
        assert_eq!(without_format("f_gif,w_0.5", "gif"), "w_0.5");
        assert_eq!(without_format("dl_200/f_gif", "gif"), "dl_200");
        assert_eq!(without_format("f_png,w_5", "gif"), "f_png,w_5");
    }
}
