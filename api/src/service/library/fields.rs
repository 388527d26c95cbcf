//! Fields of structured metadata and their data sources (api.md 4.11).

use super::LibraryService;
use super::metadata::checked;
use crate::catalog::library::{Definition, DefinitionKind};
use crate::domain::VersionId;
use crate::service::access::Caller;
use crate::service::call::{ApiError, Params, shown};
use serde_json::{Map, Value, json};

const KIND: DefinitionKind = DefinitionKind::MetadataField;
const TYPES: &[&str] = &["string", "integer", "date", "enum", "set"];
/// Most fields of a cloud.
const MAX_FIELDS: u32 = 500;
/// Most values of a data source.
const MAX_VALUES: usize = 3000;

fn missing(id: &str) -> ApiError {
    ApiError::NotFound(format!("External ID {} doesn't exist", shown(id)))
}

fn bad(message: impl Into<String>) -> ApiError {
    ApiError::BadRequest(message.into())
}

/// A field as answers show it.
fn entry(body: &Value) -> Value {
    let mut shown = Map::new();
    for name in [
        "type",
        "external_id",
        "label",
        "mandatory",
        "default_value",
        "validation",
        "restrictions",
        "default_disabled",
        "allow_dynamic_list_values",
    ] {
        shown.insert(name.to_owned(), body.get(name).cloned().unwrap_or(Value::Null));
    }
    if let Some(source) = body.get("datasource") {
        shown.insert("datasource".to_owned(), source.clone());
    }
    Value::Object(shown)
}

fn is_deleted(definition: &Definition) -> bool {
    definition.body["deleted"] == json!(true)
}

/// Reads what a call says of a field over what it was.
fn merge(mut body: Value, params: &Params) -> Result<Value, ApiError> {
    if let Some(label) = params.text("label") {
        body["label"] = json!(label);
    }
    for name in ["mandatory", "default_disabled", "allow_dynamic_list_values"] {
        if let Some(flag) = params.flag(name)? {
            body[name] = json!(flag);
        }
    }
    for name in ["validation", "restrictions"] {
        if params.sent(name) {
            body[name] = params.json(name)?.unwrap_or(Value::Null);
        }
    }
    if params.sent("datasource")
        && let Some(source) = params.json("datasource")?
    {
        body["datasource"] = json!({ "values": upsert(Vec::new(), source["values"].as_array())? });
    }
    if params.sent("default_value") || params.sent("default_value[]") {
        let values = params.values("default_value");
        let value = match (body["type"].as_str(), values.as_slice()) {
            (_, []) => Value::Null,
            (Some("set"), values) => json!(values),
            (_, [text, ..]) => json!(text),
        };
        body["default_value"] = value;
    }
    if !body["default_value"].is_null() {
        let value = checked(&body, &body["default_value"]).ok_or_else(|| bad("default_value is invalid"))?;
        body["default_value"] = value;
    }
    if body["mandatory"] == json!(true) && body["default_value"].is_null() {
        return Err(bad("default_value is required for a mandatory field"));
    }
    check_validation(&body["validation"])?;
    Ok(body)
}

fn check_validation(rule: &Value) -> Result<(), ApiError> {
    let known = match rule["type"].as_str() {
        _ if rule.is_null() => true,
        Some("and") => {
            let rules = rule["rules"].as_array().ok_or_else(|| bad("validation is invalid"))?;
            return rules.iter().try_for_each(check_validation);
        }
        Some("strlen") => rule["min"].is_u64() || rule["max"].is_u64(),
        Some("greater_than" | "less_than") => rule["value"].is_i64() || rule["value"].is_string(),
        _ => false,
    };
    if known { Ok(()) } else { Err(bad("validation is invalid")) }
}

/// Values of a data source with others put in, by their external ids; missing ids are made.
fn upsert(mut values: Vec<Value>, given: Option<&Vec<Value>>) -> Result<Vec<Value>, ApiError> {
    for new in given.into_iter().flatten() {
        let value = new["value"].as_str().ok_or_else(|| bad("Missing required parameter - value"))?;
        let id = match new["external_id"].as_str() {
            Some(id) => id.to_owned(),
            None => VersionId::random().as_str()[..20].to_owned(),
        };
        let entry = json!({ "external_id": id, "value": value, "state": "active" });
        match values.iter_mut().find(|known| known["external_id"] == json!(id)) {
            Some(known) => *known = entry,
            None => values.push(entry),
        }
    }
    if values.len() > MAX_VALUES {
        return Err(bad(format!("Too many values. Maximum is {MAX_VALUES}.")));
    }
    Ok(values)
}

fn values_of(body: &Value) -> Vec<Value> {
    body["datasource"]["values"].as_array().cloned().unwrap_or_default()
}

fn sort(list: &mut [Value], by: &str, descending: bool) {
    list.sort_by(|one, other| {
        let order = one[by].as_str().unwrap_or_default().cmp(other[by].as_str().unwrap_or_default());
        if descending { order.reverse() } else { order }
    });
}

fn direction(params: &Params) -> Result<bool, ApiError> {
    match params.text("direction") {
        None | Some("asc") => Ok(false),
        Some("desc") => Ok(true),
        Some(other) => Err(ApiError::invalid("direction", other)),
    }
}

impl LibraryService {
    pub(super) async fn live_fields(&self, caller: &Caller) -> Result<Vec<Definition>, ApiError> {
        let page = self.parts.library.definitions(&caller.cloud.id, KIND, "", "", MAX_FIELDS).await?;
        let mut fields: Vec<Definition> = page.definitions.into_iter().filter(|field| !is_deleted(field)).collect();
        // In their order, and those that were never ordered behind, oldest first.
        fields.sort_by_key(|field| (field.body["place"].as_i64().unwrap_or(i64::MAX), field.created_at));
        Ok(fields)
    }

    async fn live_field(&self, caller: &Caller, id: &str) -> Result<Definition, ApiError> {
        let found = self.parts.library.definition(&caller.cloud.id, KIND, id).await?;
        found.filter(|field| !is_deleted(field)).ok_or_else(|| missing(id))
    }

    /// Changes a field that is not deleted; gives its body.
    async fn change_field(
        &self,
        caller: &Caller,
        id: &str,
        change: impl FnOnce(&mut Value) -> Result<(), ApiError> + Clone + Send + 'static,
    ) -> Result<Value, ApiError> {
        self.live_field(caller, id).await?;
        let changed = self.parts.library.redefine(&caller.cloud.id, KIND, id, change).await?;
        changed.ok_or_else(|| missing(id))?
    }

    /// `GET /metadata_fields`
    pub async fn fields(&self, caller: &Caller) -> Result<Value, ApiError> {
        let fields = self.live_fields(caller).await?;
        Ok(json!({ "metadata_fields": fields.iter().map(|field| entry(&field.body)).collect::<Vec<_>>() }))
    }

    /// `GET /metadata_fields/{id}`
    pub async fn field(&self, caller: &Caller, id: &str) -> Result<Value, ApiError> {
        Ok(entry(&self.live_field(caller, id).await?.body))
    }

    /// `POST /metadata_fields`
    pub async fn create_field(&self, caller: &Caller, params: &Params) -> Result<Value, ApiError> {
        let kind = params.required("type")?;
        if !TYPES.contains(&kind) {
            return Err(ApiError::invalid("type", kind));
        }
        params.required("label")?;
        let id =
            params.text("external_id").map_or_else(|| VersionId::random().as_str()[..20].to_owned(), str::to_owned);
        let legal = |c: char| c.is_ascii_alphanumeric() || "_-.".contains(c);
        if id.len() > 255 || !id.chars().all(legal) {
            return Err(bad(format!("external id {} is invalid", shown(&id))));
        }
        let mut start = json!({
            "type": kind, "external_id": id, "mandatory": false, "default_value": null, "validation": null,
            "restrictions": null, "default_disabled": false, "allow_dynamic_list_values": false,
        });
        if matches!(kind, "enum" | "set") {
            start["datasource"] = json!({ "values": [] });
            if !params.sent("datasource") {
                return Err(ApiError::missing_param("datasource"));
            }
        }
        let body = merge(start, params)?;
        // A deleted field keeps its id: values of assets still carry it.
        if !self.parts.library.define(&caller.cloud.id, KIND, &id, body.clone()).await? {
            return Err(bad(format!("external id {id} already exists")));
        }
        Ok(entry(&body))
    }

    /// `PUT /metadata_fields/{id}`; type and external id stay.
    pub async fn update_field(&self, caller: &Caller, id: &str, params: &Params) -> Result<Value, ApiError> {
        let given = params.clone();
        let change = move |body: &mut Value| {
            *body = merge(body.take(), &given)?;
            Ok(())
        };
        Ok(entry(&self.change_field(caller, id, change).await?))
    }

    /// `DELETE /metadata_fields/{id}`
    pub async fn delete_field(&self, caller: &Caller, id: &str) -> Result<Value, ApiError> {
        let change = |body: &mut Value| {
            body["deleted"] = json!(true);
            Ok(())
        };
        self.change_field(caller, id, change).await?;
        Ok(json!({ "message": "ok" }))
    }

    /// `PUT /metadata_fields/{id}/datasource`
    pub async fn update_datasource(&self, caller: &Caller, id: &str, params: &Params) -> Result<Value, ApiError> {
        let given = params.json_list("values")?;
        let change = move |body: &mut Value| {
            body["datasource"]["values"] = json!(upsert(values_of(body), Some(&given))?);
            Ok(())
        };
        let mut values = values_of(&self.change_field(caller, id, change).await?);
        // This answer alone leaves the state out: clients look for entries as they sent them.
        for entry in values.iter_mut().filter_map(Value::as_object_mut) {
            entry.remove("state");
        }
        Ok(json!({ "values": values }))
    }

    /// Sets the state of values: `DELETE …/datasource` and `POST …/datasource_restore`.
    pub async fn set_datasource_state(
        &self,
        caller: &Caller,
        id: &str,
        params: &Params,
        active: bool,
    ) -> Result<Value, ApiError> {
        let ids = params.values("external_ids");
        if ids.is_empty() {
            return Err(ApiError::missing_param("external_ids"));
        }
        let change = move |body: &mut Value| {
            let mut values = values_of(body);
            for wanted in &ids {
                let found = values.iter_mut().find(|value| value["external_id"] == json!(wanted));
                let value = found.ok_or_else(|| bad(format!("External IDs {} do not exist", shown(wanted))))?;
                value["state"] = json!(if active { "active" } else { "inactive" });
            }
            body["datasource"]["values"] = json!(values);
            Ok(())
        };
        let mut values = values_of(&self.change_field(caller, id, change).await?);
        values.retain(|value| value["state"] == json!("active"));
        Ok(json!({ "values": values }))
    }

    /// `POST /metadata_fields/{id}/datasource/order`
    pub async fn order_datasource(&self, caller: &Caller, id: &str, params: &Params) -> Result<Value, ApiError> {
        let by = params.text("order_by").unwrap_or("value").to_owned();
        if by != "value" && by != "external_id" {
            return Err(ApiError::invalid("order_by", &by));
        }
        let descending = direction(params)?;
        let change = move |body: &mut Value| {
            let mut values = values_of(body);
            sort(&mut values, &by, descending);
            body["datasource"]["values"] = json!(values);
            Ok(())
        };
        Ok(json!({ "values": values_of(&self.change_field(caller, id, change).await?) }))
    }

    /// `PUT /metadata_fields/order`
    pub async fn order_fields(&self, caller: &Caller, params: &Params) -> Result<Value, ApiError> {
        let by = params.required("order_by")?;
        let descending = direction(params)?;
        let mut fields = self.live_fields(caller).await?;
        match by {
            "label" | "external_id" => fields.sort_by(|one, other| {
                one.body[by].as_str().unwrap_or_default().cmp(other.body[by].as_str().unwrap_or_default())
            }),
            "created_at" => fields.sort_by_key(|field| field.created_at),
            other => return Err(ApiError::invalid("order_by", other)),
        }
        if descending {
            fields.reverse();
        }
        for (place, field) in fields.iter().enumerate() {
            let change = move |body: &mut Value| {
                body["place"] = json!(place);
                Ok(())
            };
            self.change_field(caller, &field.name, change).await?;
        }
        self.fields(caller).await
    }
}
