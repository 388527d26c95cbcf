//! The Search API over HTTP, and the lists of the delivery host.
#![allow(clippy::unwrap_used, clippy::panic)]

use crate::whole_app::{CHELSEA, ROCKET, WholeApp};
use axum::http::Method;
use base64::Engine;
use base64::engine::general_purpose::{URL_SAFE, URL_SAFE_NO_PAD};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tintype_api::auth::signature::{UrlSignature, sign_url};
use tintype_api::service::library::{CloudSettings, FolderMode};

const GET: Method = Method::GET;
const POST: Method = Method::POST;

async fn ok(app: &WholeApp, method: Method, path: &str, body: Value) -> Value {
    let (status, answer) = app.admin(method, path, body).await;
    assert_eq!(status, 200, "{path}: {answer}");
    answer
}

async fn search(app: &WholeApp, body: Value) -> Value {
    ok(app, POST, "/resources/search", body).await
}

async fn refused(app: &WholeApp, path: &str, body: Value) -> (u16, String) {
    let (status, answer) = app.admin(POST, path, body).await;
    (status, answer["error"]["message"].as_str().unwrap_or_else(|| panic!("{path}: {answer}")).to_owned())
}

fn ids(answer: &Value) -> Vec<&str> {
    answer["resources"].as_array().unwrap().iter().map(|entry| entry["public_id"].as_str().unwrap()).collect()
}

fn keys(value: &Value) -> Vec<&str> {
    let mut keys: Vec<&str> = value.as_object().unwrap().keys().map(String::as_str).collect();
    keys.sort_unstable();
    keys
}

async fn filled() -> WholeApp {
    let app = WholeApp::start_in_memory().await;
    let params: [&[(&str, &str)]; 3] = [
        &[("public_id", "trips/a"), ("tags", "x,y"), ("context", "stage=x")],
        &[("public_id", "b"), ("tags", "y")],
        &[("public_id", "c")],
    ];
    for (params, (name, file)) in params.iter().zip([("p.jpg", ROCKET), ("p.png", CHELSEA), ("p.jpg", ROCKET)]) {
        app.upload(name, file, params).await;
    }
    for (id, folder) in [("trips/a", "one/two"), ("b", "one")] {
        let path = format!("/resources/image/upload/{id}");
        ok(&app, POST, &path, json!({ "asset_folder": folder })).await;
    }
    app
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_match_has_everything_that_clients_read() {
    let app = filled().await;
    let answer = search(&app, json!({ "expression": "tags:x" })).await;
    assert_eq!(keys(&answer), ["resources", "time", "total_count"]);
    assert!(answer["time"].is_u64() && answer["total_count"] == 1);
    let entry = &answer["resources"][0];
    let details = ok(&app, GET, "/resources/image/upload/trips/a", Value::Null).await;
    for (name, wanted) in [
        ("asset_id", &details["asset_id"]),
        ("public_id", &json!("trips/a")),
        ("asset_folder", &json!("one/two")),
        ("filename", &json!("a")),
        ("display_name", &json!("a")),
        ("format", &json!("jpg")),
        ("version", &details["version"]),
        ("resource_type", &json!("image")),
        ("type", &json!("upload")),
        ("bytes", &json!(ROCKET.len())),
        ("width", &json!(640)),
        ("height", &json!(427)),
        ("pixels", &json!(640 * 427)),
        ("aspect_ratio", &json!(1.49883)),
        ("url", &details["secure_url"]),
        ("status", &json!("active")),
        ("access_mode", &json!("public")),
        ("access_control", &Value::Null),
        ("etag", &details["etag"]),
        ("created_by", &json!({ "access_key": app.demo.key.key })),
    ] {
        assert_eq!(&entry[name], wanted, "{name}");
    }
    for block in ["tags", "context", "metadata", "image_metadata", "folder"] {
        assert!(entry.get(block).is_none(), "{block}");
    }
    let body = json!({ "expression": "tags:x", "with_field": ["tags", "context", "image_metadata", "image_analysis"] });
    let entry = &search(&app, body).await["resources"][0];
    assert_eq!((&entry["tags"], &entry["context"]), (&json!(["x", "y"]), &json!({ "stage": "x" })));
    assert!(entry["image_metadata"].is_object() && entry["image_analysis"]["etag"] == details["etag"]);
    let body = json!({ "expression": "tags:x", "fields": ["tags", "bytes"], "with_field": "context" });
    let entry = &search(&app, body).await["resources"][0];
    let wanted =
        ["asset_folder", "asset_id", "bytes", "created_at", "public_id", "resource_type", "status", "tags", "type"];
    assert_eq!(keys(entry), wanted);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn searches_come_by_both_methods_and_in_pages() {
    let app = filled().await;
    assert_eq!(ids(&search(&app, json!({})).await), ["c", "b", "trips/a"]);
    assert_eq!(ids(&ok(&app, POST, "/resources%2Fsearch", json!({ "expression": "tags=y" })).await), ["b", "trips/a"]);
    let path = "/resources/search?expression=tags%3Dy&sort_by=%5B%7B%22public_id%22%3A%22desc%22%7D%5D";
    assert_eq!(ids(&ok(&app, GET, path, Value::Null).await), ["trips/a", "b"]);
    let by_bytes = json!([{ "bytes": "asc" }, { "public_id": "desc" }]);
    let first = search(&app, json!({ "max_results": "2", "sort_by": by_bytes })).await;
    assert_eq!((first["total_count"].as_u64(), ids(&first).len()), (Some(3), 2));
    let next = first["next_cursor"].as_str().unwrap();
    let last = search(&app, json!({ "max_results": 2, "sort_by": by_bytes, "next_cursor": next })).await;
    assert_eq!((last["total_count"].as_u64(), last.get("next_cursor")), (Some(3), None));
    let mut seen = ids(&first);
    seen.extend(ids(&last));
    let mut sized = Vec::new();
    for id in ["trips/a", "b", "c"] {
        sized.push((app.asset(id).await.bytes, std::cmp::Reverse(id)));
    }
    sized.sort_unstable();
    assert_eq!(seen, sized.iter().map(|(_, id)| id.0).collect::<Vec<_>>());
    for other in
        [json!({ "next_cursor": next }), json!({ "expression": "b", "sort_by": by_bytes, "next_cursor": next })]
    {
        let refused = refused(&app, "/resources/search", other).await;
        assert_eq!(refused, (400, "Invalid value for parameter next_cursor".to_owned()));
    }
    let ranges =
        json!({ "type": "bytes", "ranges": [{ "key": "small", "to": 200_000 }, { "key": "big", "from": 200_000 }] });
    let counted = search(&app, json!({ "aggregate": ["format", "resource_type", ranges], "max_results": 1 })).await;
    let small = [ROCKET, CHELSEA, ROCKET].iter().filter(|file| file.len() < 200_000).count();
    let wanted = json!({
        "format": { "jpg": 2, "png": 1 },
        "resource_type": { "image": 3 },
        "bytes": { "small": small, "big": 3 - small },
    });
    assert_eq!(counted["aggregations"], wanted);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mistakes_are_told_with_their_place() {
    let app = WholeApp::start_in_memory().await;
    for (body, message) in [
        (json!({ "expression": "*" }), "Query Error (at position 1)"),
        (json!({ "expression": "a AND (b" }), "Query Error (at position 9)"),
        (json!({ "expression": "novelty:5" }), "Query Error (at position 1): there is no field novelty"),
        (json!({ "expression": "a AND width:wide" }), "Query Error (at position 13): it is no number"),
        (json!({ "expression": "x".repeat(10_001) }), "Query Error (at position 10001): the expression is longer"),
        (json!({ "expression": "a\u{0}" }), "Query Error (at position 2)"),
        (json!({ "sort_by": [{ "novelty": "asc" }] }), "Invalid value novelty for parameter sort_by"),
        (json!({ "sort_by": [{ "bytes": "up" }] }), "Invalid value {\"bytes\":\"up\"} for parameter sort_by"),
        (json!({ "with_field": "novelty" }), "Invalid value novelty for parameter with_field"),
        (json!({ "aggregate": ["novelty"] }), "Invalid value \"novelty\" for parameter aggregate"),
        (json!({ "aggregate": [{ "type": "bytes" }] }), "Invalid value"),
        (json!({ "max_results": "many" }), "Invalid value many for parameter max_results"),
        (json!({ "next_cursor": "nonsense" }), "Invalid value for parameter next_cursor"),
    ] {
        let (status, found) = refused(&app, "/resources/search", body.clone()).await;
        assert_eq!(status, 400, "{found}");
        assert!(found.starts_with(message), "{message}: {found}");
    }
    let (status, message) = refused(&app, "/resources/visual_search", json!({ "text": "a dog" })).await;
    assert_eq!((status, message.as_str()), (403, "Visual search is not supported by this server"));
    let answer = app.get("/v1_1/demo/resources/search").await;
    assert_eq!(answer.status, 401);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn folders_are_searched_too() {
    let app = filled().await;
    let all = ok(&app, POST, "/folders/search", json!({})).await;
    let paths = |answer: &Value| {
        let folders = answer["folders"].as_array().unwrap().clone();
        folders.iter().map(|folder| folder["path"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(paths(&all), ["one", "one/two"]);
    assert_eq!(keys(&all["folders"][0]), ["created_at", "external_id", "name", "path"]);
    assert!(all["total_count"] == 2 && all["time"].is_u64() && all.get("next_cursor").is_none());
    let found = ok(&app, POST, "/folders%2Fsearch", json!({ "expression": "path=\"one/two\"" })).await;
    assert_eq!(paths(&found), ["one/two"]);
    let body = json!({ "max_results": 1, "sort_by": [{ "name": "desc" }] });
    let first = ok(&app, POST, "/folders/search", body.clone()).await;
    let mut body = body;
    body["next_cursor"] = first["next_cursor"].clone();
    let second = ok(&app, POST, "/folders/search", body.clone()).await;
    assert_eq!((paths(&first), paths(&second)), (vec!["one/two".to_owned()], vec!["one".to_owned()]));
    assert!(second["total_count"] == 2 && second.get("next_cursor").is_none());
    body["expression"] = json!("one");
    assert_eq!(refused(&app, "/folders/search", body).await.0, 400, "the cursor of another search");
    let (status, message) = refused(&app, "/folders/search", json!({ "expression": "tags:x" })).await;
    assert_eq!((status, message.as_str()), (400, "Query Error (at position 1): there is no field tags of folders"));
}

fn signed(app: &WholeApp, ttl: u64, query: &Value, padded: bool) -> String {
    let text = query.to_string();
    let query = if padded { URL_SAFE.encode(text) } else { URL_SAFE_NO_PAD.encode(text) };
    let to_sign = format!("{ttl}{query}{}", app.demo.key.secret.expose());
    format!("/demo/search/{}/{ttl}/{query}", hex::encode(Sha256::digest(to_sign.as_bytes())))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_signed_address_is_a_search_that_caches_keep() {
    let app = filled().await;
    let query = json!({ "expression": "resource_type:image", "max_results": 2, "sort_by": [{ "public_id": "asc" }] });
    for padded in [true, false] {
        let path = signed(&app, 300, &query, padded);
        let first = app.get(&path).await;
        assert_eq!((first.status.as_u16(), first.header("cache-control")), (200, "max-age=300"));
        let first = first.json();
        assert_eq!((ids(&first), first["total_count"].as_u64()), (vec!["b", "c"], Some(3)));
        let second = app.get(&format!("{path}/{}", first["next_cursor"].as_str().unwrap())).await.json();
        assert_eq!(ids(&second), ["trips/a"]);
    }
    let path = signed(&app, 300, &query, true);
    let other = path.replace("/300/", "/301/");
    assert_eq!(app.get(&other).await.status, 401, "the time is signed");
    assert_eq!(app.get(&format!("{path}/nonsense")).await.status, 400);
    assert_eq!(app.get(&path.replace("/demo/", "/nobody/")).await.status, 401);
    assert_eq!(app.ask(POST, &path, &[]).await.status, 405);
    let bad = signed(&app, 1, &json!({ "expression": "*" }), true);
    let answer = app.get(&bad).await;
    assert_eq!((answer.status.as_u16(), answer.error()), (400, "Query Error (at position 1)".to_owned()));
    assert!(answer.header("cache-control").contains("no-cache"));
    // An asset may lie in a folder of that name.
    app.upload("p.jpg", ROCKET, &[("public_id", "search/a")]).await;
    assert_eq!(app.get("/demo/image/upload/search/a.jpg").await.status, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lists_of_a_tag_are_closed_until_they_are_opened_or_signed() {
    let app = filled().await;
    let closed = app.get("/demo/image/list/y.json").await;
    assert_eq!(closed.status, 401);
    let signature = sign_url("y.json", app.demo.key.secret.expose(), UrlSignature::Sha1);
    assert_eq!(app.get(&format!("/demo/any/list/s--{signature}--/y.json")).await.status, 200);
    assert_eq!(app.get(&format!("/demo/any/list/s--{signature}--/x.json")).await.status, 401);
    let settings = CloudSettings { client_lists: true, ..CloudSettings::default() };
    settings.save(&*app.catalog, &app.demo.cloud.id).await.unwrap();
    let open = app.get("/demo/image/list/v17/y.json").await;
    assert_eq!((open.status.as_u16(), open.header("cache-control")), (200, "max-age=60"));
    let open = open.json();
    assert_eq!(ids(&open), ["b", "trips/a"]);
    assert_eq!(open["resources"][1]["context"], json!({ "custom": { "stage": "x" } }));
    assert!(open["updated_at"].is_string() && open["resources"][0]["width"] == 451);
    assert_eq!(ids(&app.get("/demo/video/list/y.json").await.json()), Vec::<&str>::new());
    assert_eq!(ids(&app.get("/demo/any/list/x.json").await.json()), ["trips/a"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn folders_follow_public_ids_where_they_are_fixed() {
    let app = filled().await;
    let settings = CloudSettings { folder_mode: FolderMode::Fixed, ..CloudSettings::default() };
    settings.save(&*app.catalog, &app.demo.cloud.id).await.unwrap();
    let answer = search(&app, json!({ "expression": "folder:\"trips/*\" AND status:(active OR pending)" })).await;
    assert_eq!(ids(&answer), ["trips/a"]);
    let entry = &answer["resources"][0];
    assert_eq!((&entry["folder"], entry.get("asset_folder")), (&json!("trips"), None));
}
