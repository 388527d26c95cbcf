//! Presets, transformations, mappings, streaming profiles and metadata fields over HTTP.
#![allow(clippy::unwrap_used, clippy::panic)]

use crate::whole_app::{ROCKET, WholeApp, ok, refused};
use axum::http::Method;
use serde_json::{Value, json};

const GET: Method = Method::GET;
const POST: Method = Method::POST;
const PUT: Method = Method::PUT;
const DELETE: Method = Method::DELETE;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn presets_round_trip() {
    let app = WholeApp::start_in_memory().await;
    let body = json!({ "name": "p", "use_asset_folder_as_public_id_prefix": true, "timestamp": 1 });
    assert_eq!(ok(&app, POST, "/upload_presets", body.clone()).await, json!({ "message": "created", "name": "p" }));
    assert_eq!(refused(&app, POST, "/upload_presets", body).await.0, 409);
    let found = ok(&app, GET, "/upload_presets/p", Value::Null).await;
    assert_eq!(
        (&found["settings"], &found["unsigned"]),
        (&json!({ "use_asset_folder_as_public_id_prefix": true }), &json!(false))
    );
    ok(&app, PUT, "/upload_presets/p", json!({ "unsigned": true, "tags": ["a", "b"], "eager": "w_5|w_6/png" })).await;
    let found = ok(&app, GET, "/upload_presets/p", Value::Null).await;
    assert_eq!(found["settings"]["tags"], json!(["a", "b"]));
    assert_eq!(found["settings"]["eager"], json!([{ "width": 5 }, { "width": 6, "extension": "png" }]));
    assert!(found["unsigned"] == true && found["settings"]["use_asset_folder_as_public_id_prefix"] == true);
    let generated = ok(&app, POST, "/upload_presets", json!({})).await;
    assert_eq!(generated["name"].as_str().unwrap().len(), 8);
    let listed = ok(&app, GET, "/upload_presets?max_results=1", Value::Null).await;
    assert!(listed["presets"].as_array().unwrap().len() == 1 && listed["next_cursor"].is_string());
    assert_eq!(ok(&app, DELETE, "/upload_presets/p", Value::Null).await, json!({ "message": "deleted" }));
    assert_eq!(refused(&app, GET, "/upload_presets/p", Value::Null).await.0, 404);
    assert_eq!(refused(&app, POST, "/upload_presets", json!({ "name": "q", "novelty": 1 })).await.0, 400);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn transformations_have_names_and_derived_pictures() {
    let app = WholeApp::start_in_memory().await;
    let named = json!({ "name": "thumb", "transformation": "c_scale,l_text:arial_20:x,w_100" });
    // The server cannot render text yet, and says so instead of keeping what it cannot make.
    assert_eq!(refused(&app, POST, "/transformations", named).await.0, 400);
    let named = json!({ "name": "thumb", "transformation": "w_100,c_scale" });
    assert_eq!(ok(&app, POST, "/transformations", named.clone()).await, json!({ "message": "created" }));
    assert_eq!(refused(&app, POST, "/transformations", named).await.0, 409);
    let found = ok(&app, GET, "/transformations?transformation=thumb", Value::Null).await;
    assert_eq!(found["info"], json!([{ "crop": "scale", "width": 100 }]));
    let brief = (&found["name"], &found["allowed_for_strict"], &found["used"], &found["named"], &found["derived"]);
    assert_eq!(brief, (&json!("t_thumb"), &json!(true), &json!(false), &json!(true), &json!([])));
    app.upload("r.jpg", ROCKET, &[("public_id", "r"), ("eager", "t_thumb|c_scale,w_50")]).await;
    let answer = app.get("/demo/image/upload/t_thumb/r.jpg").await;
    assert_eq!((answer.status.as_u16(), answer.header("content-type")), (200, "image/jpeg"));
    let other = json!({ "name": "both", "transformation": "t_thumb/a_90" });
    ok(&app, POST, "/transformations", other).await;
    assert_eq!(app.get("/demo/image/upload/t_both,w_20/r.jpg").await.status, 200);
    assert_eq!(app.get("/demo/image/upload/t_thumb.both/r.jpg").await.status, 200);
    let answer = app.get("/demo/image/upload/t_nope/r.jpg").await;
    assert_eq!((answer.status.as_u16(), answer.header("x-cld-error")), (400, "Unknown transformation nope"));
    let circle = json!({ "transformation": "t_both", "unsafe_update": "t_both/w_5" });
    assert!(refused(&app, PUT, "/transformations", circle).await.1.contains("back to itself"));
    // However the parts are ordered, it is the same one.
    for text in ["w_50,c_scale", "c_scale,w_50"] {
        let used = ok(&app, GET, &format!("/transformations?transformation={text}"), Value::Null).await;
        assert_eq!(
            (&used["used"], &used["derived"][0]["public_id"], &used["named"]),
            (&json!(true), &json!("r"), &json!(false))
        );
    }
    let listed = ok(&app, GET, "/transformations?max_results=50", Value::Null).await;
    let names: Vec<&str> =
        listed["transformations"].as_array().unwrap().iter().map(|t| t["name"].as_str().unwrap()).collect();
    assert!(names.contains(&"t_both") && names.contains(&"t_thumb") && names.contains(&"c_scale,w_50"), "{names:?}");
    let only = ok(&app, GET, "/transformations?named=true", Value::Null).await;
    assert_eq!(only["transformations"].as_array().unwrap().len(), 2);
    let update = json!({ "transformation": "thumb", "unsafe_update": "c_scale,w_30", "allowed_for_strict": false });
    ok(&app, PUT, "/transformations", update).await;
    let found = ok(&app, GET, "/transformations?transformation=t_thumb", Value::Null).await;
    assert_eq!((&found["info"][0]["width"], &found["allowed_for_strict"]), (&json!(30), &json!(false)));
    let details = ok(&app, GET, "/resources/image/upload/r", Value::Null).await;
    let before = details["derived"].as_array().unwrap().len();
    assert_eq!(
        ok(&app, DELETE, "/transformations", json!({ "transformation": "w_50,c_scale" })).await,
        json!({ "message": "deleted" })
    );
    let details = ok(&app, GET, "/resources/image/upload/r", Value::Null).await;
    assert_eq!(details["derived"].as_array().unwrap().len(), before - 1);
    assert_eq!(refused(&app, DELETE, "/transformations", json!({ "transformation": "w_50,c_scale" })).await.0, 404);
    assert_eq!(refused(&app, GET, "/transformations?transformation=w_77", Value::Null).await.0, 404);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mappings_and_profiles_round_trip() {
    let app = WholeApp::start_in_memory().await;
    let body = json!({ "folder": "legacy", "template": "https://old.example.com/img/" });
    assert_eq!(
        ok(&app, POST, "/upload_mappings", body.clone()).await,
        json!({ "message": "created", "folder": "legacy" })
    );
    assert_eq!(refused(&app, POST, "/upload_mappings", body.clone()).await.0, 409);
    assert_eq!(ok(&app, GET, "/upload_mappings?folder=legacy", Value::Null).await, body);
    ok(&app, PUT, "/upload_mappings", json!({ "folder": "legacy", "template": "https://new.example.com/" })).await;
    let listed = ok(&app, GET, "/upload_mappings", Value::Null).await;
    assert_eq!(listed, json!({ "mappings": [{ "folder": "legacy", "template": "https://new.example.com/" }] }));
    assert_eq!(
        refused(&app, PUT, "/upload_mappings", json!({ "folder": "legacy", "template": "file:///etc" })).await.0,
        400
    );
    ok(&app, DELETE, "/upload_mappings?folder=legacy", Value::Null).await;
    assert_eq!(refused(&app, GET, "/upload_mappings?folder=legacy", Value::Null).await.0, 404);

    let all = ok(&app, GET, "/streaming_profiles", Value::Null).await;
    let names: Vec<&str> = all["data"].as_array().unwrap().iter().map(|p| p["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["4k", "full_hd", "hd", "sd", "full_hd_wifi", "full_hd_lean", "hd_lean"]);
    let hd = ok(&app, GET, "/streaming_profiles/hd", Value::Null).await;
    assert_eq!(hd["data"]["representations"][0]["transformation"][0]["height"], 720);
    let own = json!({ "name": "own", "representations": "[{\"transformation\":\"br_5m,c_limit,h_1200,w_1200\"}]" });
    let made = ok(&app, POST, "/streaming_profiles", own.clone()).await;
    let wanted = json!([{ "transformation": [{ "bit_rate": "5m", "crop": "limit", "height": 1200, "width": 1200 }] }]);
    assert_eq!(made["data"]["representations"], wanted);
    assert_eq!(refused(&app, POST, "/streaming_profiles", own).await.0, 409);
    // One SDK encodes the slash of the route.
    ok(&app, PUT, "/streaming_profiles%2Fhd", json!({ "display_name": "Mine" })).await;
    assert_eq!(ok(&app, GET, "/streaming_profiles/hd", Value::Null).await["data"]["display_name"], "Mine");
    ok(&app, DELETE, "/streaming_profiles/hd", Value::Null).await;
    assert_eq!(ok(&app, GET, "/streaming_profiles/hd", Value::Null).await["data"]["display_name"], "HD");
    ok(&app, DELETE, "/streaming_profiles/own", Value::Null).await;
    assert_eq!(refused(&app, GET, "/streaming_profiles/own", Value::Null).await.0, 404);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn metadata_is_held_to_its_fields() {
    let app = WholeApp::start_in_memory().await;
    let field = async |body: Value| ok(&app, POST, "/metadata_fields", body).await;
    let year = field(json!({ "type": "integer", "external_id": "year", "label": "Year",
        "validation": { "type": "greater_than", "value": 1900, "equals": false } }))
    .await;
    assert_eq!((&year["mandatory"], &year["default_value"]), (&json!(false), &Value::Null));
    let kinds = json!({ "type": "set", "external_id": "kinds", "label": "Kinds",
        "datasource": { "values": [{ "external_id": "b", "value": "B" }, { "external_id": "a", "value": "A" }] } });
    let kinds = field(kinds).await;
    assert_eq!(kinds["datasource"]["values"][0], json!({ "external_id": "b", "value": "B", "state": "active" }));
    field(
        json!({ "type": "string", "external_id": "owner", "label": "Owner", "mandatory": true, "default_value": "us" }),
    )
    .await;
    let (status, message) =
        refused(&app, POST, "/metadata_fields", json!({ "type": "string", "external_id": "year", "label": "x" })).await;
    assert_eq!((status, message.as_str()), (400, "external id year already exists"));
    let (status, message) = refused(&app, PUT, "/metadata_fields/year", json!({ "default_value": 1800 })).await;
    assert_eq!((status, message.as_str()), (400, "default_value is invalid"));

    let up = app.upload("r.jpg", ROCKET, &[("public_id", "r"), ("metadata", "year=2025|kinds=[\"a\",\"b\"]")]).await;
    assert_eq!(up["metadata"], json!({ "year": 2025, "kinds": ["a", "b"], "owner": "us" }));
    let credentials = app.credentials();
    let headers = [("authorization", credentials.as_str())];
    let (status, answer) =
        app.post("/image/upload", &[("metadata", "year=old")], Some(("r.jpg", ROCKET)), &headers).await;
    assert_eq!((status, &answer["error"]["message"]), (400, &json!("'old' is not valid for field 'year'")));
    let changed =
        ok(&app, POST, "/image/metadata", json!({ "public_ids": ["r", "nope"], "metadata": "year=2024|kinds=" })).await;
    assert_eq!(changed, json!({ "public_ids": ["r"] }));
    let details = ok(&app, GET, "/resources/image/upload/r", Value::Null).await;
    assert_eq!(details["metadata"], json!({ "year": 2024, "owner": "us" }));

    let values = ok(
        &app,
        PUT,
        "/metadata_fields/kinds/datasource",
        json!({ "values": [{ "external_id": "a", "value": "AA" }, { "value": "C" }] }),
    )
    .await;
    assert_eq!((values["values"].as_array().unwrap().len(), &values["values"][1]["value"]), (3, &json!("AA")));
    let left = ok(&app, DELETE, "/metadata_fields/kinds/datasource", json!({ "external_ids": ["b"] })).await;
    assert_eq!(left["values"].as_array().unwrap().len(), 2);
    let restored = ok(&app, POST, "/metadata_fields/kinds/datasource_restore", json!({ "external_ids": ["b"] })).await;
    assert_eq!(restored["values"].as_array().unwrap().len(), 3);
    let ordered =
        ok(&app, POST, "/metadata_fields/kinds/datasource/order", json!({ "order_by": "value", "direction": "asc" }))
            .await;
    assert_eq!(ordered["values"][0]["value"], "AA");
    let fields = ok(&app, PUT, "/metadata_fields/order", json!({ "order_by": "label", "direction": "desc" })).await;
    let labels: Vec<&str> =
        fields["metadata_fields"].as_array().unwrap().iter().map(|f| f["label"].as_str().unwrap()).collect();
    assert_eq!(labels, ["Year", "Owner", "Kinds"]);
    assert_eq!(ok(&app, DELETE, "/metadata_fields/year", Value::Null).await, json!({ "message": "ok" }));
    assert_eq!(refused(&app, GET, "/metadata_fields/year", Value::Null).await.0, 404);
    let again =
        refused(&app, POST, "/metadata_fields", json!({ "type": "string", "external_id": "year", "label": "x" })).await;
    assert_eq!(again.0, 400, "a deleted field keeps its id");
    assert_eq!(ok(&app, GET, "/metadata_fields", Value::Null).await["metadata_fields"].as_array().unwrap().len(), 2);
}
