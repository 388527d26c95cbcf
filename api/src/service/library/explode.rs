//! `explode` (api.md 3.15): the pages of a file as pictures of their own.

use super::LibraryService;
use super::archive_stream::from_delivery_error;
use super::made::Made;
use crate::domain::{Asset, AssetKey, ResourceType};
use crate::jobs::events::Event;
use crate::service::access::Caller;
use crate::service::answer::{EagerAnswer, EagerState, eager_entry};
use crate::service::call::{ApiError, Params, shown};
use crate::service::params::{EagerEntry, EagerExtension};
use serde_json::{Value, json};
use tintype_render::language::Format;

/// The part of a transformation that stands for every page.
const EVERY_PAGE: &str = "pg_all";
/// Pages that are rendered at once.
const AT_ONCE: usize = 8;

/// The call on an asset.
struct Explosion {
    asset: Asset,
    transformation: String,
    format: Format,
}

/// A transformation with every page replaced by one of them.
fn of_page(transformation: &str, page: u32) -> String {
    let part = |part: &str| if part == EVERY_PAGE { format!("pg_{page}") } else { part.to_owned() };
    let component = |text: &str| text.split(',').map(part).collect::<Vec<_>>().join(",");
    transformation.split('/').map(component).collect::<Vec<_>>().join("/")
}

impl LibraryService {
    async fn explosion(&self, caller: &Caller, params: &Params) -> Result<Explosion, ApiError> {
        let key = AssetKey {
            cloud: caller.cloud.id.clone(),
            resource_type: ResourceType::Image,
            delivery_type: params.delivery_type()?,
            public_id: params.public_id("public_id")?,
        };
        let transformation = params.required("transformation")?;
        if !transformation.split(['/', ',']).any(|part| part == EVERY_PAGE) {
            return Err(ApiError::BadRequest("Missing required parameter - page should be \"all\"".to_owned()));
        }
        let format = match params.text("format") {
            None => Format::Png,
            Some(name) => Format::from_extension(name).ok_or_else(|| ApiError::invalid("format", &shown(name)))?,
        };
        let asset = self.asset(&key).await?;
        if asset.placeholder {
            return Err(ApiError::missing_resource(key.public_id.as_str()));
        }
        if asset.format != Format::Gif.extension() {
            return Err(ApiError::BadRequest(format!(
                "explode of {} files is not supported by this server yet",
                asset.format
            )));
        }
        Ok(Explosion { asset, transformation: transformation.to_owned(), format })
    }

    async fn page_entry(&self, caller: &Caller, explosion: &Explosion, page: u32) -> Result<EagerEntry, ApiError> {
        let transformation = of_page(&explosion.transformation, page);
        let entry = EagerEntry {
            given: format!("{transformation}/{}", explosion.format.extension()),
            expanded: self.expand(&caller.cloud.id, &transformation).await?,
            transformation,
            extension: EagerExtension::Named(explosion.format),
        };
        self.parts.eager.check(&entry).map_err(|error| ApiError::BadRequest(error.to_string()))?;
        Ok(entry)
    }

    /// `explode`: the pages are rendered after the answer, and a notification lists them.
    pub async fn explode(&self, caller: &Caller, params: &Params) -> Result<Value, ApiError> {
        let explosion = self.explosion(caller, params).await?;
        self.page_entry(caller, &explosion, 1).await?;
        let public_id = explosion.asset.key.public_id.as_str();
        let pending = self.make_later(caller, params, Made::Explode, public_id).await?;
        Ok(match params.is_set("async")? {
            true => pending,
            false => json!({ "status": "processing", "batch_id": pending["batch_id"] }),
        })
    }

    /// Renders every page into the derived pictures of the asset.
    pub async fn explode_now(&self, caller: &Caller, params: &Params) -> Result<Event, ApiError> {
        let explosion = self.explosion(caller, params).await?;
        let asset = &explosion.asset;
        let pages = asset.details.pages.max(1);
        let mut entries = Vec::new();
        for page in 1..=pages {
            entries.push(self.page_entry(caller, &explosion, page).await?);
        }
        let view = self.view(caller).await?;
        let mut infos = Vec::with_capacity(entries.len());
        for entries in entries.chunks(AT_ONCE) {
            let results = self.parts.eager.render(&caller.cloud, asset, entries).await;
            for (entry, result) in entries.iter().zip(results) {
                let picture = result.map_err(from_delivery_error)?;
                let answer = EagerAnswer { entry: entry.clone(), state: EagerState::Done(picture) };
                infos.push(eager_entry(&view, asset, &answer));
            }
        }
        let body = json!({
            "asset_id": asset.id.as_str(),
            "public_id": asset.key.public_id.as_str(),
            "resource_type": asset.key.resource_type.as_str(),
            "type": asset.key.delivery_type.as_str(),
            "pages": pages,
            "image_infos": infos,
        });
        let body = body.as_object().cloned().unwrap_or_default();
        Ok(Event { kind: Made::Explode.as_str(), body, asset: Some(asset.id.clone()) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_takes_the_place_of_all() {
        assert_eq!(of_page("pg_all", 3), "pg_3");
        assert_eq!(of_page("w_10,pg_all/r_5/pg_all,h_2", 1), "w_10,pg_1/r_5/pg_1,h_2");
        assert_eq!(of_page("t_pg_all", 1), "t_pg_all");
    }
}
