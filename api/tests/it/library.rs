//! The media library over HTTP: what an SDK's Admin and Upload calls answer.
#![allow(clippy::unwrap_used, clippy::panic)]

use crate::whole_app::{CHELSEA, ROCKET, WholeApp, ok, refused};
use axum::http::Method;
use serde_json::{Value, json};
use tintype_api::auth::signature::{Algorithm, Version, sign_params};
use tintype_api::domain::Timestamp;

const GET: Method = Method::GET;
const POST: Method = Method::POST;
const PUT: Method = Method::PUT;
const DELETE: Method = Method::DELETE;

fn ids(answer: &Value) -> Vec<&str> {
    answer["resources"].as_array().unwrap().iter().map(|entry| entry["public_id"].as_str().unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_cloud_answers_for_itself() {
    let app = WholeApp::start_in_memory().await;
    assert_eq!(ok(&app, GET, "/ping", Value::Null).await, json!({ "status": "ok" }));
    let config = ok(&app, GET, "/config", Value::Null).await;
    assert!(config["cloud_name"] == "demo" && config.get("settings").is_none());
    let config = ok(&app, GET, "/config?settings=true", Value::Null).await;
    assert_eq!(config["settings"], json!({ "folder_mode": "dynamic" }));
    app.upload("a.jpg", ROCKET, &[("public_id", "a"), ("eager", "w_10")]).await;
    let usage = ok(&app, GET, "/usage", Value::Null).await;
    for key in [
        "plan",
        "last_updated",
        "transformations",
        "objects",
        "bandwidth",
        "storage",
        "requests",
        "resources",
        "derived_resources",
        "media_limits",
    ] {
        assert!(usage.get(key).is_some(), "{key}: {usage}");
    }
    assert_eq!((usage["resources"].as_u64(), usage["derived_resources"].as_u64()), (Some(1), Some(1)));
    assert!(usage["bandwidth"]["limit"].is_u64());
    let dated = ok(&app, GET, "/usage/2024-01-31", Value::Null).await;
    assert!(dated["bandwidth"].get("limit").is_none() && dated["resources"] == usage["resources"]);
    assert_eq!(refused(&app, GET, "/usage/soon", Value::Null).await.0, 400);
    assert_eq!(ok(&app, GET, "/resources", Value::Null).await["resource_types"], json!(["image", "raw", "video"]));
    let (status, message) = refused(&app, GET, "/novelty", Value::Null).await;
    assert_eq!((status, message.contains("/novelty")), (404, true));
    let answer = app.get("/v1_1/demo/ping").await;
    assert_eq!((answer.status.as_u16(), answer.error()), (401, "Invalid credentials".to_owned()));
    let credentials = crate::app::basic(&app.demo.key.key, app.demo.key.secret.expose());
    let answer = app.ask(GET, "/v1_1/demo/ping", &[("authorization", &credentials)]).await;
    for header in ["x-featureratelimit-limit", "x-featureratelimit-remaining", "x-featureratelimit-reset"] {
        assert!(!answer.header(header).is_empty(), "{header}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lists_show_what_was_uploaded() {
    let app = WholeApp::start_in_memory().await;
    for (id, tags, context) in [("dir/a", "x,y", "alt=one"), ("dir/b", "y", "alt=two|k=v"), ("c", "", "")] {
        app.upload("p.jpg", ROCKET, &[("public_id", id), ("tags", tags), ("context", context)]).await;
    }
    let listed = ok(&app, GET, "/resources/image?max_results=2", Value::Null).await;
    assert_eq!(ids(&listed).len(), 2);
    let next = listed["next_cursor"].as_str().unwrap();
    let rest = ok(&app, GET, &format!("/resources/image?max_results=2&next_cursor={next}"), Value::Null).await;
    assert!(ids(&rest).len() == 1 && rest.get("next_cursor").is_none());
    assert_eq!(
        refused(&app, GET, "/resources/image?next_cursor=abc", Value::Null).await.1,
        "Invalid value for parameter next_cursor"
    );
    // One SDK encodes the slashes of the route itself.
    let encoded = ok(&app, GET, "/resources%2Fimage%2Fupload?prefix=dir/", Value::Null).await;
    assert_eq!(ids(&encoded), ["dir/b", "dir/a"]);
    let entry = &encoded["resources"][0];
    assert_eq!((&entry["width"], &entry["format"], &entry["type"]), (&json!(640), &json!("jpg"), &json!("upload")));
    assert!(entry.get("tags").is_none() && entry.get("context").is_none() && entry.get("metadata").is_none());
    assert!(entry["url"].as_str().unwrap().ends_with("/dir/b.jpg"));
    let named =
        ok(&app, GET, "/resources/image/upload?public_ids[]=c&public_ids[]=nope&tags=true&metadata=1", Value::Null)
            .await;
    assert_eq!(
        (ids(&named), &named["resources"][0]["tags"], &named["resources"][0]["metadata"]),
        (vec!["c"], &json!([]), &json!({}))
    );
    assert_eq!(ids(&ok(&app, GET, "/resources/image/tags/x", Value::Null).await), ["dir/a"]);
    assert_eq!(ids(&ok(&app, GET, "/resources/image/context?key=alt&value=two", Value::Null).await), ["dir/b"]);
    assert_eq!(ids(&ok(&app, GET, "/resources/raw", Value::Null).await), [""; 0]);
    let narrow = ok(&app, GET, "/resources/image/tags/x?fields=tags,format", Value::Null).await;
    let mut keys: Vec<&String> = narrow["resources"][0].as_object().unwrap().keys().collect();
    keys.sort();
    assert_eq!(keys, ["asset_folder", "asset_id", "format", "public_id", "tags"]);
    assert_eq!(ok(&app, GET, "/tags/image", Value::Null).await, json!({ "tags": ["x", "y"] }));
    assert_eq!(ok(&app, GET, "/tags/image?prefix=nope", Value::Null).await, json!({ "tags": [] }));
    let page = ok(&app, GET, "/tags/image?max_results=1", Value::Null).await;
    let next = page["next_cursor"].as_str().unwrap();
    let page = ok(&app, GET, &format!("/tags/image?max_results=1&next_cursor={next}"), Value::Null).await;
    assert_eq!(page, json!({ "tags": ["y"] }));
    let asset_id = entry["asset_id"].as_str().unwrap();
    let by_id = ok(&app, GET, &format!("/resources/by_asset_ids?asset_ids[]={asset_id}"), Value::Null).await;
    assert_eq!(ids(&by_id), ["dir/b"]);
    assert_eq!(refused(&app, GET, "/resources/image/moderations/manual/odd", Value::Null).await.0, 400);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_asset_in_full_and_changed() {
    let app = WholeApp::start_in_memory().await;
    let up = app.upload("IMG 1.jpg", ROCKET, &[("public_id", "a/b c"), ("eager", "c_fill,w_20,h_20|w_30")]).await;
    let found = ok(&app, GET, "/resources/image/upload/a/b%20c?max_results=1", Value::Null).await;
    assert_eq!((&found["etag"], &found["original_filename"]), (&up["etag"], &json!("IMG 1")));
    assert_eq!(found["derived"].as_array().unwrap().len(), 1);
    let next = found["derived_next_cursor"].as_str().unwrap();
    let path = format!("/resources/image/upload/a/b%20c?derived_next_cursor={next}&max_results=1");
    let second = ok(&app, GET, &path, Value::Null).await;
    assert!(second["derived"].as_array().unwrap().len() == 1 && second["derived"] != found["derived"]);
    for absent in ["tags", "context", "metadata", "faces", "versions", "colors", "related_assets"] {
        assert!(found.get(absent).is_none(), "{absent}");
    }
    let body = json!({
        "tags": "b,a", "context": "alt=x\\|y", "face_coordinates": "1,2,3,9999", "display_name": "Shown",
        "asset_folder": "trips", "moderation_status": "approved", "metadata": null,
    });
    let changed = ok(&app, POST, "/resources/image/upload/a/b%20c", body).await;
    assert_eq!(changed["tags"], json!(["a", "b"]));
    assert_eq!(changed["context"], json!({ "custom": { "alt": "x|y" } }));
    assert_eq!((&changed["display_name"], &changed["asset_folder"]), (&json!("Shown"), &json!("trips")));
    assert_eq!(changed["moderation"][0]["status"], "approved");
    let asset_id = changed["asset_id"].as_str().unwrap();
    let with =
        ok(&app, GET, &format!("/resources/{asset_id}?faces=true&coordinates=true&versions=true"), Value::Null).await;
    assert_eq!((&with["faces"], &with["versions"]), (&json!([[1, 2, 3, 9999]]), &json!([])));
    assert_eq!(with["coordinates"]["faces"], json!([[1, 2, 3, 9999]]));
    let listed = ok(&app, GET, "/resources/by_asset_folder?asset_folder=trips", Value::Null).await;
    assert_eq!((ids(&listed), &listed["total_count"]), (vec!["a/b c"], &json!(1)));
    assert_eq!(ids(&ok(&app, GET, "/resources/image/moderations/manual/approved", Value::Null).await), ["a/b c"]);
    let gone = refused(&app, GET, "/resources/image/upload/nope", Value::Null).await;
    assert_eq!(gone, (404, "Resource not found - nope".to_owned()));
    let wrong = refused(&app, POST, "/resources/image/upload/a/b%20c", json!({ "ocr": "illegal" })).await;
    assert!(wrong.0 == 400 && wrong.1.contains("Illegal value"), "{wrong:?}");
    let wrong = refused(&app, POST, "/resources/image/upload/a/b%20c", json!({ "metadata": "x=1" })).await;
    assert_eq!(wrong, (400, r#"Metadata External IDs do not exist: ["x"]"#.to_owned()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn deleting_takes_pictures_and_answers_with_it() {
    let app = WholeApp::start().await;
    for id in ["p/1", "p/2", "q", "t"] {
        app.upload(
            "p.png",
            CHELSEA,
            &[("public_id", id), ("eager", "w_10|w_11"), ("tags", if id == "t" { "del" } else { "" })],
        )
        .await;
    }
    let picture = "/demo/image/upload/w_10/q.png";
    assert_eq!(app.get(picture).await.status, 200);
    let original = app.blob_file(&app.asset("q").await.blob);
    let kept = ok(
        &app,
        DELETE,
        "/resources/image/upload",
        json!({ "public_ids": ["q"], "keep_original": true, "transformations": "w_11" }),
    )
    .await;
    assert_eq!(kept["deleted_counts"], json!({ "q": { "original": 0, "derived": 1 } }));
    let details = ok(&app, GET, "/resources/image/upload/q", Value::Null).await;
    assert_eq!(details["derived"].as_array().unwrap().len(), 1);
    let id = details["derived"][0]["id"].as_str().unwrap();
    let derived = ok(
        &app,
        DELETE,
        &format!("/derived_resources?derived_resource_ids[]={id}&derived_resource_ids[]=x"),
        Value::Null,
    )
    .await;
    assert_eq!(derived, json!({ "deleted": { id: "deleted", "x": "not_found" } }));
    let gone = ok(&app, DELETE, "/resources/image/upload", json!({ "public_ids": ["q", "nope"] })).await;
    assert_eq!(gone["deleted"], json!({ "q": "deleted", "nope": "not_found" }));
    assert_eq!(gone["partial"], false);
    assert!(!original.exists(), "the blob goes with its asset");
    let answer = app.get(picture).await;
    assert_eq!((answer.status.as_u16(), answer.header("x-cld-error")), (404, "Resource not found - q"));
    let prefix = ok(&app, DELETE, "/resources/image/upload?prefix=p/", Value::Null).await;
    assert_eq!(prefix["deleted"], json!({ "p/2": "deleted", "p/1": "deleted" }));
    assert_eq!(prefix["deleted_counts"]["p/1"], json!({ "original": 1, "derived": 2 }));
    let tagged = ok(&app, DELETE, "/resources/image/tags/del", Value::Null).await;
    assert_eq!(tagged["deleted"], json!({ "t": "deleted" }));
    assert_eq!(
        refused(&app, DELETE, "/resources/image/upload", json!({})).await.1,
        "Missing required parameter - public_ids"
    );
    app.upload("p.png", CHELSEA, &[("public_id", "last")]).await;
    let all = ok(&app, DELETE, "/resources/image/upload?all=true", Value::Null).await;
    assert_eq!(all["deleted"], json!({ "last": "deleted" }));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn folders_are_things_of_their_own() {
    let app = WholeApp::start_in_memory().await;
    let made = ok(&app, POST, "/folders/a/b%20b", Value::Null).await;
    assert_eq!(made, json!({ "success": true, "path": "a/b b", "name": "b b" }));
    ok(&app, POST, "/folders/a/b%20b", Value::Null).await;
    let root = ok(&app, GET, "/folders", Value::Null).await;
    assert_eq!(
        (&root["total_count"], &root["folders"][0]["path"], &root["next_cursor"]),
        (&json!(1), &json!("a"), &Value::Null)
    );
    let empty = ok(&app, GET, "/folders/a/b%20b", Value::Null).await;
    assert_eq!((&empty["folders"], &empty["total_count"]), (&json!([]), &json!(0)));
    let missing = refused(&app, GET, "/folders/nope", Value::Null).await;
    assert_eq!(missing, (404, "Can't find folder with path nope".to_owned()));
    let moved = ok(&app, PUT, "/folders/a/b%20b", json!({ "to_folder": "c/d" })).await;
    assert_eq!(moved["to"], json!({ "name": "d", "path": "c/d" }));
    assert_eq!(refused(&app, PUT, "/folders/nope", json!({ "to_folder": "x" })).await.1, "Cannot find source folder");
    app.upload("p.png", CHELSEA, &[("public_id", "x")]).await;
    ok(&app, POST, "/resources/image/upload/x", json!({ "asset_folder": "c/d" })).await;
    assert_eq!(refused(&app, DELETE, "/folders/c", Value::Null).await, (400, "Folder is not empty".to_owned()));
    assert_eq!(ok(&app, DELETE, "/folders/a", Value::Null).await, json!({ "deleted": ["a"] }));
    assert_eq!(refused(&app, DELETE, "/folders/a", Value::Null).await.0, 404);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn actions_of_the_upload_api() {
    let app = WholeApp::start_in_memory().await;
    for id in ["a", "b"] {
        app.upload("p.png", CHELSEA, &[("public_id", id), ("tags", "z")]).await;
    }
    let both = json!(["a", "b", "nope"]);
    let add = json!({ "public_ids": both, "tag": "y,x", "command": "add" });
    assert_eq!(ok(&app, POST, "/image/tags", add).await, json!({ "public_ids": ["a", "b"] }));
    let tags = async |id: &str| {
        ok(&app, GET, &format!("/resources/image/upload/{id}"), Value::Null).await.get("tags").cloned()
    };
    assert_eq!(tags("a").await, Some(json!(["x", "y", "z"])));
    ok(&app, POST, "/image/tags", json!({ "public_ids": ["a"], "tag": "x", "command": "set_exclusive" })).await;
    assert_eq!((tags("a").await, tags("b").await), (Some(json!(["x", "y", "z"])), Some(json!(["y", "z"]))));
    ok(&app, POST, "/image/tags", json!({ "public_ids": ["a"], "tag": "x", "command": "remove" })).await;
    ok(&app, POST, "/image/tags", json!({ "public_ids": ["b"], "tag": "n", "command": "replace" })).await;
    assert_eq!((tags("a").await, tags("b").await), (Some(json!(["y", "z"])), Some(json!(["n"]))));
    ok(&app, POST, "/image/tags", json!({ "public_ids": ["b"], "command": "remove_all" })).await;
    assert_eq!(tags("b").await, None);
    assert_eq!(
        refused(&app, POST, "/image/tags", json!({ "public_ids": ["b"], "tag": "n", "command": "odd" })).await.0,
        400
    );
    ok(&app, POST, "/image/context", json!({ "public_ids": ["a"], "context": "k=v|m=a\\=b", "command": "add" })).await;
    ok(&app, POST, "/image/context", json!({ "public_ids": ["a"], "context": "k=w", "command": "add" })).await;
    let details = ok(&app, GET, "/resources/image/upload/a", Value::Null).await;
    assert_eq!(details["context"], json!({ "custom": { "k": "w", "m": "a=b" } }));
    ok(&app, POST, "/image/context", json!({ "public_ids": ["a"], "command": "remove_all" })).await;
    assert!(ok(&app, GET, "/resources/image/upload/a", Value::Null).await.get("context").is_none());

    let explicit = json!({ "public_id": "a", "type": "upload", "eager": "w_40,c_scale", "tags": "e", "custom_coordinates": "1,1,9,9" });
    let done = ok(&app, POST, "/image/explicit", explicit).await;
    assert_eq!((&done["tags"], &done["eager"][0]["width"]), (&json!(["e"]), &json!(40)));
    assert!(done.get("original_filename").is_none() && done["signature"].is_string());
    let missing = refused(&app, POST, "/image/explicit", json!({ "public_id": "nope" })).await;
    assert_eq!(missing, (404, "Resource not found - nope".to_owned()));

    let taken = refused(&app, POST, "/image/rename", json!({ "from_public_id": "a", "to_public_id": "b" })).await;
    assert_eq!(taken, (400, "to_public_id(b) already exists".to_owned()));
    let renamed = json!({ "from_public_id": "a", "to_public_id": "b", "overwrite": true });
    let renamed = ok(&app, POST, "/image/rename", renamed).await;
    assert_eq!(
        (&renamed["public_id"], &renamed["asset_id"], &renamed["tags"]),
        (&json!("b"), &details["asset_id"], &json!(["e"]))
    );
    assert_eq!(app.get("/demo/image/upload/w_5/b.png").await.status, 200);
    assert_eq!(app.get("/demo/image/upload/a.png").await.status, 404);
    let destroy = |id: &str| json!({ "public_id": id });
    assert_eq!(ok(&app, POST, "/image/destroy", destroy("b")).await, json!({ "result": "ok" }));
    assert_eq!(ok(&app, POST, "/image/destroy", destroy("b")).await, json!({ "result": "not found" }));
    assert_eq!(ok(&app, POST, "/image/destroy", destroy("a?b")).await, json!({ "result": "not found" }));
    assert_eq!(app.get("/demo/image/upload/w_5/b.png").await.status, 404);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn relations_hold_both_ways() {
    let app = WholeApp::start_in_memory().await;
    for id in ["a", "b"] {
        app.upload("p.png", CHELSEA, &[("public_id", id)]).await;
    }
    let body = json!({ "assets_to_relate": ["image/upload/b", "image/upload/a", "image/upload/nope", "odd"] });
    let related = ok(&app, POST, "/resources/related_assets/image/upload/a", body).await;
    let codes = |list: &Value| {
        list.as_array().unwrap().iter().map(|e| e["code"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(codes(&related["success"]), ["success_ids"]);
    assert_eq!(codes(&related["failed"]), ["invalid_relate_to_self_id", "non_existing_ids", "invalid_ids"]);
    let details = ok(&app, GET, "/resources/image/upload/b?related=true", Value::Null).await;
    assert_eq!(details["related_assets"][0]["public_id"], "a");
    let body = json!({ "assets_to_unrelate": ["image/upload/a"] });
    let ended = ok(&app, DELETE, "/resources/related_assets/image/upload/b", body).await;
    assert_eq!(codes(&ended["success"]), ["success_ids"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_not_signed_has_no_effect() {
    let app = WholeApp::start_in_memory().await;
    app.upload("p.png", CHELSEA, &[("public_id", "a")]).await;
    let timestamp = Timestamp::now().unix_seconds().to_string();
    let send = async |path: &str, signed: &[(&str, &str)], unsigned: &[(&str, &str)]| {
        let mut params = signed.to_vec();
        params.push(("timestamp", &timestamp));
        let secret = app.demo.key.secret.expose();
        let signature = sign_params(params.iter().copied(), secret, Version::V2, Algorithm::Sha1);
        params.extend(unsigned);
        params.extend([("api_key", app.demo.key.key.as_str()), ("signature", signature.as_str())]);
        app.post(path, &params, None, &[]).await
    };
    let tag = [("public_ids[]", "a"), ("tag", "t"), ("command", "add")];
    let told = [("notification_url", "http://127.0.0.1:9/"), ("batch_id", "b")];
    // One SDK leaves these two out of the signature of labels.
    let (status, answer) = send("/image/tags", &tag, &told).await;
    assert_eq!((status, answer), (200, json!({ "public_ids": ["a"] })));
    let context = [("public_ids[]", "a"), ("context", "k=v"), ("command", "add")];
    assert_eq!(send("/image/context", &context, &told).await.0, 200);
    for (path, signed, unsigned) in [
        ("/image/tags", &tag[..1], &tag[1..]),
        ("/image/tags", &tag[..], &[("type", "private")][..]),
        ("/image/destroy", &[("public_id", "a")][..], &told[..]),
        ("/image/destroy", &[][..], &[("public_id", "a")][..]),
        ("/image/rename", &[("from_public_id", "a")][..], &[("to_public_id", "b")][..]),
    ] {
        let (status, answer) = send(path, signed, unsigned).await;
        let message = answer["error"]["message"].as_str().unwrap();
        assert!(status == 401 && message.starts_with("Invalid Signature"), "{path}: {answer}");
    }
    assert_eq!(ok(&app, GET, "/resources/image/upload/a", Value::Null).await["tags"], json!(["t"]));
}
