//! Shapes of answers. They name what clients rely on; answers may have more.

use serde_json::{Map, Value, json};

fn object(properties: &[(&str, Value)]) -> Value {
    let properties: Map<String, Value> =
        properties.iter().map(|(name, schema)| ((*name).to_owned(), schema.clone())).collect();
    json!({ "type": "object", "properties": properties, "additionalProperties": true })
}

fn text() -> Value {
    json!({ "type": "string" })
}

fn integer() -> Value {
    json!({ "type": "integer" })
}

fn flag() -> Value {
    json!({ "type": "boolean" })
}

fn anything() -> Value {
    json!({ "type": "object", "additionalProperties": true })
}

fn list(of: Value) -> Value {
    json!({ "type": "array", "items": of })
}

fn reference(name: &str) -> Value {
    json!({ "$ref": format!("#/components/schemas/{name}") })
}

/// A page of a list: its entries, and where the next page begins.
fn page(name: &str, of: Value) -> Value {
    object(&[(name, list(of)), ("next_cursor", text())])
}

/// All schemas by name.
pub(super) fn schemas() -> Map<String, Value> {
    let asset = [
        ("asset_id", text()),
        ("public_id", text()),
        ("format", text()),
        ("version", integer()),
        ("resource_type", text()),
        ("type", text()),
        ("created_at", text()),
        ("bytes", integer()),
        ("width", integer()),
        ("height", integer()),
        ("asset_folder", text()),
        ("display_name", text()),
        ("access_mode", text()),
        ("url", text()),
        ("secure_url", text()),
        ("etag", text()),
        ("version_id", text()),
        ("original_filename", text()),
        ("tags", list(text())),
        ("context", anything()),
        ("metadata", anything()),
        ("moderation", list(anything())),
        ("derived", list(reference("Derived"))),
        ("placeholder", flag()),
    ];
    let mut upload = asset.to_vec();
    upload.extend([
        ("signature", text()),
        ("eager", list(reference("Derived"))),
        ("existing", flag()),
        ("delete_token", text()),
        ("batch_id", text()),
        ("done", flag()),
    ]);
    let named = [
        ("Error", object(&[("error", object(&[("message", text())]))])),
        ("Message", object(&[("message", text())])),
        ("Result", object(&[("result", text())])),
        ("Status", object(&[("status", text())])),
        ("Asset", object(&asset)),
        ("Upload", object(&upload)),
        (
            "Derived",
            object(&[
                ("transformation", text()),
                ("format", text()),
                ("bytes", integer()),
                ("id", text()),
                ("url", text()),
                ("secure_url", text()),
                ("width", integer()),
                ("height", integer()),
                ("status", text()),
            ]),
        ),
        ("Assets", page("resources", reference("Asset"))),
        ("PublicIds", object(&[("public_ids", list(text()))])),
        ("ResourceTypes", object(&[("resource_types", list(text()))])),
        (
            "Deleted",
            object(&[
                ("deleted", json!({ "type": "object", "additionalProperties": { "type": "string" } })),
                ("deleted_counts", anything()),
                ("partial", flag()),
                ("next_cursor", text()),
            ]),
        ),
        (
            "Sprite",
            object(&[
                ("public_id", text()),
                ("version", integer()),
                ("css_url", text()),
                ("json_url", text()),
                ("image_url", text()),
                ("image_infos", anything()),
            ]),
        ),
        ("Accepted", object(&[("status", text()), ("batch_id", text())])),
        ("Published", object(&[("published", list(anything())), ("failed", list(anything()))])),
        (
            "AccessModes",
            object(&[("updated", list(anything())), ("failed", list(anything())), ("next_cursor", text())]),
        ),
        ("Restored", json!({ "type": "object", "additionalProperties": anything() })),
        ("Related", object(&[("success", list(anything())), ("failed", list(anything()))])),
        ("Tags", page("tags", text())),
        (
            "Found",
            object(&[
                ("total_count", integer()),
                ("time", integer()),
                ("next_cursor", text()),
                ("resources", list(reference("Asset"))),
                ("aggregations", anything()),
            ]),
        ),
        ("Folder", object(&[("success", flag()), ("path", text()), ("name", text())])),
        (
            "Folders",
            object(&[
                ("folders", list(object(&[("name", text()), ("path", text()), ("external_id", text())]))),
                ("next_cursor", text()),
                ("total_count", integer()),
            ]),
        ),
        (
            "Transformations",
            page(
                "transformations",
                object(&[("name", text()), ("allowed_for_strict", flag()), ("used", flag()), ("named", flag())]),
            ),
        ),
        ("Preset", object(&[("name", text()), ("unsigned", flag()), ("settings", anything())])),
        ("Presets", page("presets", reference("Preset"))),
        ("Mappings", page("mappings", object(&[("folder", text()), ("template", text()), ("external_id", text())]))),
        ("Profile", object(&[("data", anything()), ("message", text())])),
        ("Profiles", object(&[("data", list(anything()))])),
        (
            "Field",
            object(&[
                ("external_id", text()),
                ("type", text()),
                ("label", text()),
                ("mandatory", flag()),
                ("default_value", json!({})),
                ("validation", json!({})),
                ("restrictions", json!({})),
                ("datasource", json!({})),
            ]),
        ),
        ("Fields", object(&[("metadata_fields", list(reference("Field")))])),
        (
            "Datasource",
            object(&[("values", list(object(&[("external_id", text()), ("value", text()), ("state", text())])))]),
        ),
        ("Trigger", object(&[("id", text()), ("uri", text()), ("event_type", text())])),
        ("Triggers", object(&[("triggers", list(reference("Trigger")))])),
        (
            "Batch",
            object(&[
                ("id", text()),
                ("state", text()),
                ("assets", integer()),
                ("done", integer()),
                ("failed", integer()),
                ("skipped", integer()),
            ]),
        ),
        ("Batches", page("batches", reference("Batch"))),
        ("CloudConfig", object(&[("cloud_name", text()), ("created_at", text()), ("settings", anything())])),
        (
            "Usage",
            object(&[
                ("plan", text()),
                ("last_updated", text()),
                ("objects", anything()),
                ("bandwidth", anything()),
                ("storage", anything()),
                ("transformations", anything()),
                ("requests", integer()),
                ("resources", integer()),
                ("derived_resources", integer()),
            ]),
        ),
        (
            "SubAccount",
            object(&[
                ("id", text()),
                ("name", text()),
                ("cloud_name", text()),
                ("enabled", flag()),
                ("api_access_keys", list(anything())),
                ("created_at", text()),
            ]),
        ),
        ("SubAccounts", object(&[("sub_accounts", list(reference("SubAccount")))])),
        (
            "AccessKey",
            object(&[
                ("name", text()),
                ("api_key", text()),
                ("api_secret", text()),
                ("enabled", flag()),
                ("created_at", text()),
            ]),
        ),
        ("AccessKeys", object(&[("access_keys", list(reference("AccessKey"))), ("total", integer())])),
    ];
    named.into_iter().map(|(name, schema)| (name.to_owned(), schema)).collect()
}
