//! Streaming profiles: kept for clients; video is not transcoded yet (api.md 4.10).

use super::LibraryService;
use super::long_names::components;
use crate::catalog::library::DefinitionKind;
use crate::service::access::Caller;
use crate::service::call::{ApiError, Params, shown};
use serde_json::{Value, json};

const KIND: DefinitionKind = DefinitionKind::StreamingProfile;

/// Name, and of each representation width, height and bit rate.
type Predefined = (&'static str, &'static str, &'static [(u32, u32, &'static str)]);

const FULL: &[(u32, u32, &str)] = &[
    (1920, 1080, "5m"),
    (1280, 720, "3m"),
    (960, 540, "2m"),
    (640, 360, "1m"),
    (480, 270, "600k"),
    (320, 180, "300k"),
];
const FOUR_K: &[(u32, u32, &str)] = &[
    (3840, 2160, "18m"),
    (2560, 1440, "12m"),
    (1920, 1080, "5m"),
    (1280, 720, "3m"),
    (960, 540, "2m"),
    (640, 360, "1m"),
    (480, 270, "600k"),
    (320, 180, "300k"),
];

const PREDEFINED: &[Predefined] = &[
    ("4k", "4K", FOUR_K),
    ("full_hd", "Full HD", FULL),
    ("hd", "HD", FULL.split_at(1).1),
    ("sd", "SD", FULL.split_at(2).1),
    ("full_hd_wifi", "Full HD WiFi", FULL.split_at(4).0),
    ("full_hd_lean", "Full HD Lean", FULL.split_at(3).0),
    ("hd_lean", "HD Lean", FULL.split_at(1).1.split_at(2).0),
];

fn predefined(name: &str) -> Option<Value> {
    let (name, display, rungs) = PREDEFINED.iter().find(|(known, _, _)| *known == name)?;
    let rung = |(width, height, bit_rate): &(u32, u32, &str)| json!({ "transformation": [{ "bit_rate": bit_rate, "height": height, "width": width, "crop": "limit" }] });
    Some(json!({
        "name": name,
        "display_name": display,
        "predefined": true,
        "representations": rungs.iter().map(rung).collect::<Vec<_>>(),
    }))
}

fn is_predefined(name: &str) -> bool {
    PREDEFINED.iter().any(|(known, _, _)| *known == name)
}

fn missing(name: &str) -> ApiError {
    ApiError::NotFound(format!("Can't find streaming profile {}", shown(name)))
}

/// `[{"transformation": "br_5m,…"}]` with long names.
fn representations(params: &Params) -> Result<Vec<Value>, ApiError> {
    let given = params.json_list("representations")?;
    let one = |entry: &Value| match &entry["transformation"] {
        Value::String(text) => Some(json!({ "transformation": components(text) })),
        Value::Array(_) => Some(json!({ "transformation": entry["transformation"] })),
        object @ Value::Object(_) => Some(json!({ "transformation": [object] })),
        _ => None,
    };
    given.iter().map(one).collect::<Option<Vec<_>>>().ok_or_else(|| ApiError::invalid("representations", "given"))
}

impl LibraryService {
    /// `GET /streaming_profiles`
    pub async fn streaming_profiles(&self, caller: &Caller) -> Result<Value, ApiError> {
        let page = self.parts.library.definitions(&caller.cloud.id, KIND, "", "", 500).await?;
        let mut data: Vec<Value> = PREDEFINED
            .iter()
            .map(|(name, display, _)| json!({ "name": name, "display_name": display, "predefined": true }))
            .collect();
        for definition in page.definitions.iter().filter(|definition| !is_predefined(&definition.name)) {
            let display = &definition.body["display_name"];
            data.push(json!({ "name": definition.name, "display_name": display, "predefined": false }));
        }
        Ok(json!({ "data": data }))
    }

    /// One profile as it is now.
    async fn profile(&self, caller: &Caller, name: &str) -> Result<Option<Value>, ApiError> {
        let changed = self.parts.library.definition(&caller.cloud.id, KIND, name).await?;
        Ok(changed.map(|found| found.body).or_else(|| predefined(name)))
    }

    /// `GET /streaming_profiles/{name}`
    pub async fn streaming_profile(&self, caller: &Caller, name: &str) -> Result<Value, ApiError> {
        Ok(json!({ "data": self.profile(caller, name).await?.ok_or_else(|| missing(name))? }))
    }

    /// `POST /streaming_profiles`
    pub async fn create_streaming_profile(&self, caller: &Caller, params: &Params) -> Result<Value, ApiError> {
        let name = params.required("name")?;
        params.required("representations")?;
        if name.chars().count() > 255 || name.chars().any(|c| c.is_control() || c == '/') {
            return Err(ApiError::invalid("name", name));
        }
        let body = json!({
            "name": name,
            "display_name": params.text("display_name").unwrap_or(name),
            "predefined": false,
            "representations": representations(params)?,
        });
        let free = !is_predefined(name);
        if !free || !self.parts.library.define(&caller.cloud.id, KIND, name, body.clone()).await? {
            return Err(ApiError::Conflict(format!("Streaming profile {} already exists", shown(name))));
        }
        Ok(json!({ "message": "created", "data": body }))
    }

    /// `PUT /streaming_profiles/{name}`
    pub async fn update_streaming_profile(
        &self,
        caller: &Caller,
        name: &str,
        params: &Params,
    ) -> Result<Value, ApiError> {
        let mut body = self.profile(caller, name).await?.ok_or_else(|| missing(name))?;
        if let Some(display) = params.text("display_name") {
            body["display_name"] = json!(display);
        }
        if params.text("representations").is_some() {
            body["representations"] = json!(representations(params)?);
        }
        let library = &self.parts.library;
        let new = body.clone();
        let change = move |old: &mut Value| {
            *old = new;
            Ok::<(), ()>(())
        };
        if library.redefine(&caller.cloud.id, KIND, name, change).await?.is_none() {
            library.define(&caller.cloud.id, KIND, name, body.clone()).await?;
        }
        Ok(json!({ "message": "updated", "data": body }))
    }

    /// `DELETE /streaming_profiles/{name}`: a predefined one gets its own definition back.
    pub async fn delete_streaming_profile(&self, caller: &Caller, name: &str) -> Result<Value, ApiError> {
        let removed = self.parts.library.undefine(&caller.cloud.id, KIND, name).await?;
        match predefined(name) {
            Some(data) => Ok(json!({ "message": "deleted", "data": data })),
            None if removed => Ok(json!({ "message": "deleted" })),
            None => Err(missing(name)),
        }
    }
}
