//! The provisioning API (api.md 4.15): clouds as sub accounts, key pairs as access keys. Its own keys are made by
//! `tintype provision-key`; only a digest of their secrets is kept, for they sign nothing.

use super::call::{ApiError, Params, shown};
use super::library::{CloudSettings, view};
use super::tenants::{NamedKey, Tenants, cloud_name};
use crate::auth::basic::{Authorization, parse_authorization};
use crate::auth::signature;
use crate::catalog::Catalog;
use crate::domain::{ApiKey, BlobKey, Cloud, CloudId, CloudName, Secret};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

/// Name of the setting that holds the account.
const SETTING: &str = "provisioning";

/// Who may provision this server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Account {
    /// As in the path of every call.
    pub id: String,
    keys: Vec<ProvisioningKey>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct ProvisioningKey {
    key: String,
    /// SHA-256 of the secret, which has 162 random bits, in hexadecimal digits.
    digest: String,
}

fn digest(secret: &str) -> String {
    hex::encode(Sha256::digest(secret))
}

impl Account {
    /// The account; `None` before its first key is made.
    pub async fn load(catalog: &dyn Catalog) -> Result<Option<Self>, ApiError> {
        let read = |text: String| {
            serde_json::from_str(&text).map_err(|error| ApiError::Internal(format!("the provisioning keys: {error}")))
        };
        catalog.setting(SETTING).await?.map(read).transpose()
    }

    async fn save(&self, catalog: &dyn Catalog) -> Result<(), ApiError> {
        let text = serde_json::to_string(self).map_err(|error| ApiError::Internal(error.to_string()))?;
        Ok(catalog.set_setting(SETTING, &text).await?)
    }

    /// Public parts of the keys.
    pub fn keys(&self) -> impl Iterator<Item = &str> {
        self.keys.iter().map(|key| key.key.as_str())
    }

    /// Makes one more key: the account's id, the key and its secret, which cannot be read again.
    pub async fn add_key(catalog: &dyn Catalog) -> Result<(String, String, Secret), ApiError> {
        let known = Self::load(catalog).await?;
        let mut account =
            known.unwrap_or_else(|| Account { id: CloudId::random().as_str().to_owned(), keys: Vec::new() });
        let ApiKey { key, secret, .. } = ApiKey::random(CloudId::random());
        account.keys.push(ProvisioningKey { key: key.clone(), digest: digest(secret.expose()) });
        account.save(catalog).await?;
        Ok((account.id, key, secret))
    }

    /// Takes a key away: false when there is none.
    pub async fn revoke_key(catalog: &dyn Catalog, key: &str) -> Result<bool, ApiError> {
        let Some(mut account) = Self::load(catalog).await? else { return Ok(false) };
        let count = account.keys.len();
        account.keys.retain(|known| known.key != key);
        account.save(catalog).await?;
        Ok(account.keys.len() < count)
    }

    fn admits(&self, account: &str, key: &str, secret: &str) -> bool {
        let found = self.keys.iter().find(|known| known.key == key);
        self.id == account && found.is_some_and(|known| signature::equal(&known.digest, &digest(secret)))
    }
}

/// Checks the credentials of a call.
pub async fn authorize(catalog: &dyn Catalog, account: &str, authorization: Option<&str>) -> Result<(), ApiError> {
    let refused = || ApiError::Unauthorized("Invalid credentials".to_owned());
    let Ok(Authorization::Basic(given)) = parse_authorization(authorization.ok_or_else(refused)?) else {
        return Err(refused());
    };
    let known = Account::load(catalog).await?.ok_or_else(refused)?;
    if known.admits(account, &given.api_key, &given.api_secret) { Ok(()) } else { Err(refused()) }
}

/// What a call changed beside the records.
#[derive(Debug, Default)]
pub struct Effects {
    /// The cloud whose answers are stale.
    pub changed: Option<CloudId>,
    /// Blobs that no row names any longer.
    pub freed: Vec<BlobKey>,
}

/// Answers an authorized call; `None` when there is no such route.
pub async fn answer(
    tenants: &Tenants,
    method: &str,
    path: &[&str],
    params: &Params,
) -> Result<Option<(Value, Effects)>, ApiError> {
    let none = Effects::default;
    let answered = match (method, path) {
        ("GET", ["sub_accounts"]) => (list(tenants, params).await?, none()),
        ("POST", ["sub_accounts"]) => (create(tenants, params).await?, none()),
        (_, ["sub_accounts", id, rest @ ..]) => {
            let id = CloudId::new(*id).ok();
            let cloud = match &id {
                Some(id) => tenants.catalog.cloud(id).await?,
                None => None,
            };
            let cloud = cloud.ok_or_else(|| {
                ApiError::NotFound(format!("Cannot find sub account with id {}", shown(path.get(1).unwrap_or(&""))))
            })?;
            return one(tenants, method, &cloud, rest, params).await;
        }
        (_, ["users" | "user_groups", ..]) => {
            let message = "This server has no users and no user groups: access is by API keys";
            return Err(ApiError::Forbidden(message.to_owned()));
        }
        _ => return Ok(None),
    };
    Ok(Some(answered))
}

async fn one(
    tenants: &Tenants,
    method: &str,
    cloud: &Cloud,
    rest: &[&str],
    params: &Params,
) -> Result<Option<(Value, Effects)>, ApiError> {
    let mut effects = Effects { changed: (method != "GET").then(|| cloud.id.clone()), freed: Vec::new() };
    let value = match (method, rest) {
        ("GET", []) => shown_cloud(tenants, cloud).await?,
        ("PUT", []) => update(tenants, cloud, params).await?,
        ("DELETE", []) => {
            effects.freed = tenants.delete(cloud, false).await?;
            json!({ "message": "ok" })
        }
        ("GET", ["access_keys"]) => keys(tenants, cloud, params).await?,
        ("POST", ["access_keys"]) => {
            let enabled = params.flag("enabled")?.unwrap_or(true);
            shown_key(&tenants.create_key(cloud, params.text("name").unwrap_or_default(), enabled).await?)
        }
        ("PUT", ["access_keys", key]) => {
            if params.text("dedicated_for").is_some() {
                return Err(ApiError::BadRequest("dedicated_for is not supported by this server".to_owned()));
            }
            shown_key(&tenants.update_key(cloud, key, params.flag("enabled")?, params.text("name"), false).await?)
        }
        ("DELETE", ["access_keys", key]) => {
            tenants.delete_key(cloud, key, false).await?;
            json!({ "message": "ok" })
        }
        ("DELETE", ["access_keys"]) => {
            let name = params.required("name")?;
            let found: Vec<_> = tenants.keys(cloud).await?.into_iter().filter(|key| key.name == name).collect();
            match found.as_slice() {
                [key] => tenants.delete_key(cloud, &key.key.key, false).await?,
                [] => return Err(ApiError::NotFound(format!("Cannot find access key {}", shown(name)))),
                _ => return Err(ApiError::Conflict(format!("Several access keys are named {}", shown(name)))),
            }
            json!({ "message": "ok" })
        }
        _ => return Ok(None),
    };
    Ok(Some((value, effects)))
}

async fn list(tenants: &Tenants, params: &Params) -> Result<Value, ApiError> {
    let (ids, prefix) = (params.list("ids"), params.text("prefix").unwrap_or_default().to_lowercase());
    let mut found = Vec::new();
    // A cloud cannot be switched off as a whole, so that none is found that is.
    if params.flag("enabled")? != Some(false) {
        for cloud in tenants.catalog.clouds().await? {
            let title = title(&cloud, &CloudSettings::load(&*tenants.catalog, &cloud.id).await?);
            if (ids.is_empty() || ids.iter().any(|id| id == cloud.id.as_str()))
                && title.to_lowercase().starts_with(&prefix)
            {
                found.push(shown_cloud(tenants, &cloud).await?);
            }
        }
    }
    Ok(json!({ "sub_accounts": found }))
}

fn title(cloud: &Cloud, settings: &CloudSettings) -> String {
    settings.title.clone().unwrap_or_else(|| cloud.name.as_str().to_owned())
}

async fn shown_cloud(tenants: &Tenants, cloud: &Cloud) -> Result<Value, ApiError> {
    let settings = CloudSettings::load(&*tenants.catalog, &cloud.id).await?;
    let keys = tenants.catalog.api_keys(&cloud.id).await?;
    let keys: Vec<Value> = keys
        .iter()
        .map(|key| json!({ "key": key.key, "secret": key.secret.expose(), "enabled": key.enabled }))
        .collect();
    Ok(json!({
        "id": cloud.id.as_str(),
        "cloud_name": cloud.name.as_str(),
        "name": title(cloud, &settings),
        "enabled": true,
        "api_access_keys": keys,
        "created_at": view::iso_time(cloud.created_at),
        "custom_attributes": settings.custom_attributes,
    }))
}

/// Takes over what a call says of a cloud.
fn change(settings: &mut CloudSettings, params: &Params) -> Result<(), ApiError> {
    if params.flag("enabled")? == Some(false) {
        let message = "A sub account cannot be disabled on this server: disable its access keys";
        return Err(ApiError::BadRequest(message.to_owned()));
    }
    if let Some(name) = params.text("name") {
        settings.title = Some(name.chars().take(200).collect());
    }
    match params.json("custom_attributes")? {
        None => {}
        Some(Value::Object(attributes)) => settings.custom_attributes = attributes,
        Some(other) => return Err(ApiError::invalid("custom_attributes", &other.to_string())),
    }
    Ok(())
}

async fn create(tenants: &Tenants, params: &Params) -> Result<Value, ApiError> {
    let title = params.required("name")?;
    let mut settings = match params.text("base_sub_account_id") {
        None => CloudSettings::default(),
        Some(id) => {
            let missing = || ApiError::BadRequest(format!("Cannot find sub account with id {}", shown(id)));
            let base = CloudId::new(id).map_err(|_| missing())?;
            tenants.catalog.cloud(&base).await?.ok_or_else(missing)?;
            CloudSettings::load(&*tenants.catalog, &base).await?
        }
    };
    change(&mut settings, params)?;
    let name = match params.text("cloud_name") {
        Some(name) => cloud_name(name)?,
        None => free_name(tenants, title).await?,
    };
    shown_cloud(tenants, &tenants.create(name, &settings).await?).await
}

/// A name for the address of a cloud that people call `title`.
async fn free_name(tenants: &Tenants, title: &str) -> Result<CloudName, ApiError> {
    let letters = |character: char| match character {
        'a'..='z' | '0'..='9' => Some(character),
        'A'..='Z' => Some(character.to_ascii_lowercase()),
        ' ' | '-' | '_' => Some('-'),
        _ => None,
    };
    let text: String = title.chars().filter_map(letters).take(40).collect();
    let text = text.trim_matches('-');
    if let Ok(name) = CloudName::new(text)
        && tenants.catalog.cloud_by_name(&name).await?.is_none()
    {
        return Ok(name);
    }
    let id = CloudId::random();
    let random: String = id.as_str().chars().take(10).collect();
    cloud_name(format!("{text}-{random}").trim_start_matches('-'))
}

async fn update(tenants: &Tenants, cloud: &Cloud, params: &Params) -> Result<Value, ApiError> {
    let mut settings = CloudSettings::load(&*tenants.catalog, &cloud.id).await?;
    change(&mut settings, params)?;
    let cloud = match params.text("cloud_name") {
        Some(name) => tenants.rename(cloud, cloud_name(name)?).await?,
        None => cloud.clone(),
    };
    settings.save(&*tenants.catalog, &cloud.id).await?;
    shown_cloud(tenants, &cloud).await
}

fn shown_key(key: &NamedKey) -> Value {
    json!({
        "name": key.name,
        "api_key": key.key.key,
        "api_secret": key.key.secret.expose(),
        "created_at": view::iso_time(key.key.created_at),
        "updated_at": view::iso_time(key.updated_at),
        "enabled": key.key.enabled,
    })
}

async fn keys(tenants: &Tenants, cloud: &Cloud, params: &Params) -> Result<Value, ApiError> {
    let mut keys = tenants.keys(cloud).await?;
    match params.text("sort_by").unwrap_or("created_at") {
        "created_at" => {}
        "updated_at" => keys.sort_by_key(|key| key.updated_at),
        "name" => keys.sort_by(|a, b| a.name.cmp(&b.name)),
        "api_key" => keys.sort_by(|a, b| a.key.key.cmp(&b.key.key)),
        "enabled" => keys.sort_by_key(|key| key.key.enabled),
        other => return Err(ApiError::invalid("sort_by", other)),
    }
    match params.text("sort_order").unwrap_or("asc") {
        "asc" => {}
        "desc" => keys.reverse(),
        other => return Err(ApiError::invalid("sort_order", other)),
    }
    let at_least_one = |name: &str, default: i64| -> Result<usize, ApiError> {
        let number = params.number(name)?.unwrap_or(default);
        usize::try_from(number).ok().filter(|n| *n > 0).ok_or_else(|| ApiError::invalid(name, &number.to_string()))
    };
    let (size, page) = (at_least_one("page_size", 100)?.min(500), at_least_one("page", 1)?);
    let total = keys.len();
    let shown: Vec<Value> = keys.iter().skip(size.saturating_mul(page - 1)).take(size).map(shown_key).collect();
    Ok(json!({ "access_keys": shown, "total": total }))
}
