//! Deleting, restoring and relating (api.md 4.5 and 4.6).

use super::{LibraryService, cursor};
use crate::catalog::library::{AssetFilter, Removal, Selection};
use crate::domain::{Asset, AssetId, AssetKey, DeliveryType, PublicId, ResourceType, VersionId};
use crate::service::access::Caller;
use crate::service::call::{ApiError, Params};
use serde_json::{Map, Value, json};
use tintype_render::{Limits, language};

/// Most ids that one call names.
const MAX_IDS: usize = 100;
/// Most originals that one call deletes.
const MAX_DELETED: u32 = 1000;
/// Most assets that one call relates.
const MAX_RELATED: usize = 10;

/// What a call deletes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Deletion {
    /// `DELETE /resources/{rt}/{type}` with ids, a prefix or everything.
    Typed(ResourceType, DeliveryType),
    /// `DELETE /resources/{rt}/tags/{tag}`
    Tag(ResourceType, String),
    /// `DELETE /resources` with asset ids.
    AssetIds,
}

#[derive(Default)]
struct Tally {
    deleted: Map<String, Value>,
    counts: Map<String, Value>,
    /// Originals that went.
    gone: Vec<Asset>,
}

impl Tally {
    fn add(&mut self, name: &str, word: &str, original: u64, derived: u64) {
        self.deleted.insert(name.to_owned(), json!(word));
        self.counts.insert(name.to_owned(), json!({ "original": original, "derived": derived }));
    }
}

impl LibraryService {
    /// Deletes assets, or with `keep_original` only their derived pictures.
    pub async fn delete(&self, caller: &Caller, deletion: Deletion, params: &Params) -> Result<Value, ApiError> {
        let cloud = &caller.cloud.id;
        let mut tally = Tally::default();
        let keep = Keep::read(params)?;
        let mut filter = AssetFilter::all(cloud.clone());
        match &deletion {
            Deletion::Typed(kind, delivery_type) => {
                filter.resource_type = Some(*kind);
                filter.delivery_type = Some(*delivery_type);
                let ids = params.values("public_ids");
                if !ids.is_empty() {
                    check_count("public_ids", ids.len())?;
                    for id in ids {
                        let found = match PublicId::new(id.as_str()) {
                            Ok(public_id) => {
                                let key = AssetKey {
                                    cloud: cloud.clone(),
                                    resource_type: *kind,
                                    delivery_type: *delivery_type,
                                    public_id,
                                };
                                self.parts.library.asset(&key).await?
                            }
                            Err(_) => None,
                        };
                        self.delete_one(&mut tally, &id, found, &keep).await?;
                    }
                    return self.deleted(caller, params, tally, None).await;
                }
                filter.selection = match (params.text("prefix"), params.is_set("all")?) {
                    (Some(prefix), _) => Selection::Prefix(prefix.to_owned()),
                    (None, true) => Selection::All,
                    (None, false) => return Err(ApiError::missing_param("public_ids")),
                };
            }
            Deletion::Tag(kind, tag) => {
                filter.resource_type = Some(*kind);
                filter.selection = Selection::Tag(tag.clone());
            }
            Deletion::AssetIds => {
                let ids = params.values("asset_ids");
                if ids.is_empty() {
                    return Err(ApiError::missing_param("asset_ids"));
                }
                check_count("asset_ids", ids.len())?;
                for id in ids {
                    let found = match AssetId::new(id.as_str()) {
                        Ok(asset_id) => self.parts.library.asset_by_id(cloud, &asset_id).await?,
                        Err(_) => None,
                    };
                    self.delete_one(&mut tally, &id, found, &keep).await?;
                }
                return self.deleted(caller, params, tally, None).await;
            }
        }
        let page = self.parts.library.list(&filter, MAX_DELETED, cursor::read_assets(params)?).await?;
        for asset in page.assets {
            let name = asset.key.public_id.to_string();
            self.delete_one(&mut tally, &name, Some(asset), &keep).await?;
        }
        self.deleted(caller, params, tally, page.next.as_ref().map(cursor::write_assets)).await
    }

    async fn delete_one(
        &self,
        tally: &mut Tally,
        name: &str,
        found: Option<Asset>,
        keep: &Keep,
    ) -> Result<(), ApiError> {
        let library = &self.parts.library;
        let Some(asset) = found.filter(|asset| !asset.placeholder) else {
            tally.add(name, "not_found", 0, 0);
            return Ok(());
        };
        let (original, derived, freed) = match keep {
            Keep::Nothing => match library.remove(&Removal::Id(asset.key.cloud.clone(), asset.id.clone())).await? {
                Some(removed) => {
                    tally.gone.push(removed.asset);
                    (1, removed.derived, removed.freed_blobs)
                }
                None => {
                    tally.add(name, "not_found", 0, 0);
                    return Ok(());
                }
            },
            Keep::Original(transformations) => {
                let (count, freed) = library.delete_derived_of(&asset.id, transformations.clone()).await?;
                (0, count, freed)
            }
        };
        tally.add(name, "deleted", original, derived);
        self.after_change(&asset.key.cloud, &freed).await;
        Ok(())
    }

    async fn deleted(
        &self,
        caller: &Caller,
        params: &Params,
        tally: Tally,
        next: Option<String>,
    ) -> Result<Value, ApiError> {
        self.after_change(&caller.cloud.id, &[]).await;
        self.tell_deleted(caller, params, &tally.gone).await?;
        let mut body = json!({
            "deleted": tally.deleted,
            "deleted_counts": tally.counts,
            "partial": next.is_some(),
        });
        if let Some(next) = next {
            body["next_cursor"] = json!(next);
        }
        Ok(body)
    }

    /// `DELETE /derived_resources`
    pub async fn delete_derived(&self, caller: &Caller, params: &Params) -> Result<Value, ApiError> {
        let ids = params.list("derived_resource_ids");
        if ids.is_empty() {
            return Err(ApiError::missing_param("derived_resource_ids"));
        }
        check_count("derived_resource_ids", ids.len())?;
        let (found, freed) = self.parts.library.delete_derived(&caller.cloud.id, &ids).await?;
        self.after_change(&caller.cloud.id, &freed).await;
        let words = found.iter().map(|found| json!(if *found { "deleted" } else { "not_found" }));
        Ok(json!({ "deleted": ids.into_iter().zip(words).collect::<Map<_, _>>() }))
    }

    /// `POST /resources/{rt}/{type}/restore`, or by asset ids.
    pub async fn restore(
        &self,
        caller: &Caller,
        typed: Option<(ResourceType, DeliveryType)>,
        params: &Params,
    ) -> Result<Value, ApiError> {
        let (name, ids) = match typed {
            Some(_) => ("public_ids", params.values("public_ids")),
            None => ("asset_ids", params.values("asset_ids")),
        };
        if ids.is_empty() {
            return Err(ApiError::missing_param(name));
        }
        check_count(name, ids.len())?;
        let versions = params.values("versions");
        if !versions.is_empty() && versions.len() != ids.len() {
            return Err(ApiError::BadRequest(format!("versions must have as many entries as {name}")));
        }
        let library = &self.parts.library;
        let view = self.view(caller).await?;
        let mut body = Map::new();
        for (index, id) in ids.iter().enumerate() {
            let found = match typed {
                Some((resource_type, delivery_type)) => match PublicId::new(id.as_str()) {
                    Ok(public_id) => {
                        let cloud = caller.cloud.id.clone();
                        library.asset(&AssetKey { cloud, resource_type, delivery_type, public_id }).await?
                    }
                    Err(_) => None,
                },
                None => match AssetId::new(id.as_str()) {
                    Ok(asset_id) => library.asset_by_id(&caller.cloud.id, &asset_id).await?,
                    Err(_) => None,
                },
            };
            let restored = match (&found, versions.get(index).map(|version| VersionId::new(version.as_str()))) {
                (None, _) | (_, Some(Err(_))) => None,
                (Some(asset), version) => {
                    let version = version.and_then(Result::ok);
                    library.restore(&caller.cloud.id, &asset.id, version).await?
                }
            };
            let entry = match restored {
                None => json!({ "error": "no_backup" }),
                Some((asset, freed)) => {
                    self.after_change(&caller.cloud.id, &freed).await;
                    let mut entry = view.details(&asset);
                    entry.insert("signature".to_owned(), json!(super::actions::response_signature(caller, &asset)));
                    Value::Object(entry)
                }
            };
            body.insert(id.clone(), entry);
        }
        Ok(Value::Object(body))
    }

    /// `DELETE /resources/backup/{asset_id}`
    pub async fn delete_versions(&self, caller: &Caller, id: &str, params: &Params) -> Result<Value, ApiError> {
        let asset = self.asset_by_id(&caller.cloud.id, id).await?;
        let given = params.list("version_ids");
        if given.is_empty() {
            return Err(ApiError::missing_param("version_ids"));
        }
        check_count("version_ids", given.len())?;
        let versions: Vec<VersionId> = given.iter().filter_map(|id| VersionId::new(id.as_str()).ok()).collect();
        let (found, freed) = self
            .parts
            .library
            .delete_versions(&caller.cloud.id, &asset.id, &versions)
            .await?
            .ok_or_else(|| ApiError::missing_resource(id))?;
        self.after_change(&caller.cloud.id, &freed).await;
        let gone: Vec<&str> =
            versions.iter().zip(&found).filter(|(_, found)| **found).map(|(id, _)| id.as_str()).collect();
        let failures: Vec<Value> = given
            .iter()
            .filter(|id| !gone.contains(&id.as_str()))
            .map(|id| json!({ "version_id": id, "error": "not_found" }))
            .collect();
        let mut body = json!({ "asset_id": asset.id.as_str(), "deleted_version_ids": gone });
        if !failures.is_empty() {
            body["failures"] = json!(failures);
        }
        Ok(body)
    }

    /// Relates an asset to others, or ends relations.
    pub async fn relate(&self, caller: &Caller, asset: &Asset, params: &Params, on: bool) -> Result<Value, ApiError> {
        let name = if on { "assets_to_relate" } else { "assets_to_unrelate" };
        let given = params.list(name);
        if given.is_empty() {
            return Err(ApiError::missing_param(name));
        }
        if given.len() > MAX_RELATED {
            return Err(ApiError::BadRequest(format!("Too many {name}. Maximum is {MAX_RELATED}.")));
        }
        let (mut success, mut failed) = (Vec::new(), Vec::new());
        for text in given {
            let other = self.asset_named(caller, &text).await?;
            let code = match other {
                Err(code) => code,
                Ok(None) => "non_existing_ids",
                Ok(Some(other)) if other.id == asset.id => "invalid_relate_to_self_id",
                Ok(Some(other)) if on => {
                    if self.parts.library.relate(&asset.id, &other.id).await? {
                        "success_ids"
                    } else {
                        "already_exists_ids"
                    }
                }
                Ok(Some(other)) => match self.parts.library.unrelate(&asset.id, &other.id).await? {
                    true => "success_ids",
                    false => "relation_does_not_exist_ids",
                },
            };
            let (list, message, status) = match code {
                "success_ids" => (&mut success, "success", 200),
                "already_exists_ids" => (&mut failed, "resource already exists", 409),
                "invalid_ids" | "invalid_relate_to_self_id" => (&mut failed, "resource is invalid", 400),
                _ => (&mut failed, "resource does not exist", 404),
            };
            list.push(json!({ "message": message, "code": code, "asset": text, "status": status }));
        }
        Ok(json!({ "failed": failed, "success": success }))
    }

    /// The asset that `image/upload/a` or an asset id names.
    async fn asset_named(&self, caller: &Caller, text: &str) -> Result<Result<Option<Asset>, &'static str>, ApiError> {
        let library = &self.parts.library;
        if let Ok(id) = AssetId::new(text) {
            return Ok(Ok(library.asset_by_id(&caller.cloud.id, &id).await?));
        }
        let mut parts = text.splitn(3, '/');
        let key = (|| {
            Some(AssetKey {
                cloud: caller.cloud.id.clone(),
                resource_type: parts.next()?.parse().ok()?,
                delivery_type: parts.next()?.parse().ok()?,
                public_id: PublicId::new(parts.next()?).ok()?,
            })
        })();
        match key {
            None => Ok(Err("invalid_ids")),
            Some(key) => Ok(Ok(library.asset(&key).await?)),
        }
    }
}

/// What a deletion leaves.
enum Keep {
    Nothing,
    /// The originals; of the derived pictures go all, or those under some transformations.
    Original(Option<Vec<String>>),
}

impl Keep {
    fn read(params: &Params) -> Result<Self, ApiError> {
        let texts: Vec<String> =
            params.values("transformations").iter().flat_map(|text| text.split('|')).map(str::to_owned).collect();
        match (params.is_set("keep_original")?, texts.is_empty()) {
            (false, true) => Ok(Keep::Nothing),
            (_, true) => Ok(Keep::Original(None)),
            (_, false) => {
                let canonical = texts.iter().map(|text| canonical(text));
                Ok(Keep::Original(Some(canonical.collect::<Result<_, _>>()?)))
            }
        }
    }
}

/// The canonical text of a transformation, as derived pictures are recorded under it.
pub fn canonical(text: &str) -> Result<String, ApiError> {
    let transformation =
        language::parse(text, &Limits::default()).map_err(|error| ApiError::BadRequest(error.to_string()))?;
    Ok(transformation.to_string())
}

fn check_count(name: &str, count: usize) -> Result<(), ApiError> {
    if count > MAX_IDS {
        return Err(ApiError::BadRequest(format!("Too many {name}. Maximum is {MAX_IDS}.")));
    }
    Ok(())
}
