//! Triggers: addresses that are told of events of one type (api.md 4.13).

use super::LibraryService;
use super::view::iso_time;
use crate::catalog::library::{Definition, DefinitionKind};
use crate::jobs::announce::{EVENT_TYPES, MAX_TRIGGERS, check_url};
use crate::service::access::Caller;
use crate::service::call::{ApiError, Params, shown};
use serde_json::{Value, json};

const KIND: DefinitionKind = DefinitionKind::Trigger;

fn missing(id: &str) -> ApiError {
    ApiError::NotFound(format!("Trigger not found - {}", shown(id)))
}

fn entry(trigger: &Definition) -> Value {
    json!({
        "id": trigger.name,
        "uri": trigger.body["uri"],
        "uri_type": trigger.body["uri_type"],
        "event_type": trigger.body["event_type"],
        "created_at": iso_time(trigger.created_at),
        "updated_at": iso_time(trigger.updated_at),
    })
}

fn event_type(text: &str) -> Result<&str, ApiError> {
    if EVENT_TYPES.contains(&text) { Ok(text) } else { Err(ApiError::invalid("event_type", text)) }
}

impl LibraryService {
    async fn all_triggers(&self, caller: &Caller) -> Result<Vec<Definition>, ApiError> {
        Ok(self.parts.library.definitions(&caller.cloud.id, KIND, "", "", MAX_TRIGGERS).await?.definitions)
    }

    async fn trigger(&self, caller: &Caller, id: &str) -> Result<Definition, ApiError> {
        self.parts.library.definition(&caller.cloud.id, KIND, id).await?.ok_or_else(|| missing(id))
    }

    /// `GET /triggers`
    pub async fn triggers(&self, caller: &Caller, params: &Params) -> Result<Value, ApiError> {
        let wanted = params.text("event_type").map(event_type).transpose()?;
        let mut triggers = self.all_triggers(caller).await?;
        triggers.retain(|trigger| wanted.is_none_or(|wanted| trigger.body["event_type"] == wanted));
        triggers.sort_by(|one, other| (one.created_at, &one.name).cmp(&(other.created_at, &other.name)));
        Ok(json!({ "triggers": triggers.iter().map(entry).collect::<Vec<_>>() }))
    }

    /// `POST /triggers`
    pub async fn create_trigger(&self, caller: &Caller, params: &Params) -> Result<Value, ApiError> {
        let (uri, event) = (params.required("uri")?, event_type(params.required("event_type")?)?);
        check_url("uri", uri)?;
        match params.text("uri_type").unwrap_or("webhook") {
            "webhook" => {}
            other => return Err(ApiError::BadRequest(format!("uri_type {} is not supported", shown(other)))),
        }
        if let Some(filter) = params.text("filter") {
            return Err(ApiError::BadRequest(format!("filter {} is not supported", shown(filter))));
        }
        if self.all_triggers(caller).await?.len() >= MAX_TRIGGERS as usize {
            return Err(ApiError::BadRequest(format!("Too many triggers. Maximum is {MAX_TRIGGERS}.")));
        }
        let id = super::tell::new_batch_id();
        let body = json!({ "uri": uri, "uri_type": "webhook", "event_type": event });
        if !self.parts.library.define(&caller.cloud.id, KIND, &id, body).await? {
            return Err(ApiError::Internal("the id of a trigger is taken".to_owned()));
        }
        self.parts.announcer.forget(&caller.cloud.id);
        Ok(entry(&self.trigger(caller, &id).await?))
    }

    /// `PUT /triggers/{id}`
    pub async fn update_trigger(&self, caller: &Caller, id: &str, params: &Params) -> Result<Value, ApiError> {
        let uri = params.required("new_uri")?.to_owned();
        check_url("new_uri", &uri)?;
        let change = move |body: &mut Value| -> Result<(), std::convert::Infallible> {
            body["uri"] = json!(uri);
            Ok(())
        };
        self.parts.library.redefine(&caller.cloud.id, KIND, id, change).await?.ok_or_else(|| missing(id))?.ok();
        self.parts.announcer.forget(&caller.cloud.id);
        Ok(entry(&self.trigger(caller, id).await?))
    }

    /// `DELETE /triggers/{id}`
    pub async fn delete_trigger(&self, caller: &Caller, id: &str) -> Result<Value, ApiError> {
        if !self.parts.library.undefine(&caller.cloud.id, KIND, id).await? {
            return Err(missing(id));
        }
        self.parts.announcer.forget(&caller.cloud.id);
        Ok(json!({ "message": "deleted" }))
    }
}
