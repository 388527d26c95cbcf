//! Clouds, keys and limits as an operator changes them while the server runs.
#![allow(clippy::unwrap_used, clippy::panic)]

use crate::app::basic;
use crate::whole_app::{ROCKET, WholeApp};
use axum::body::Body;
use axum::http::{Method, Request};
use serde_json::{Value, json};
use tintype_api::service::library::CloudSettings;
use tintype_api::service::provisioning::Account;

struct Client {
    account: String,
    credentials: String,
}

impl Client {
    async fn new(app: &WholeApp) -> Self {
        let (account, key, secret) = Account::add_key(&*app.catalog).await.unwrap();
        Client { account, credentials: basic(&key, secret.expose()) }
    }

    async fn call(&self, app: &WholeApp, method: &str, path: &str, body: Value) -> (u16, Value) {
        let request = Request::builder()
            .method(Method::from_bytes(method.as_bytes()).unwrap())
            .uri(format!("/v1_1/provisioning/accounts/{}/{path}", self.account))
            .header("authorization", &self.credentials)
            .header("content-type", "application/json");
        let body = if body.is_null() { Body::empty() } else { Body::from(body.to_string()) };
        let answer = app.send(request.body(body).unwrap()).await;
        (answer.status.as_u16(), answer.json())
    }

    async fn ok(&self, app: &WholeApp, method: &str, path: &str, body: Value) -> Value {
        let (status, answer) = self.call(app, method, path, body).await;
        assert_eq!(status, 200, "{method} {path}: {answer}");
        answer
    }

    async fn refused(&self, app: &WholeApp, method: &str, path: &str, body: Value) -> (u16, String) {
        let (status, answer) = self.call(app, method, path, body).await;
        (status, answer["error"]["message"].as_str().unwrap_or_else(|| panic!("{path}: {answer}")).to_owned())
    }
}

async fn ping(app: &WholeApp, cloud: &str, key: &Value, secret: &Value) -> u16 {
    let credentials = basic(key.as_str().unwrap(), secret.as_str().unwrap());
    let answer = app.ask(Method::GET, &format!("/v1_1/{cloud}/ping"), &[("authorization", &credentials)]).await;
    answer.status.as_u16()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_provisioning_keys_open_the_provisioning_api() {
    let app = WholeApp::start_in_memory().await;
    let own = basic(&app.demo.key.key, app.demo.key.secret.expose());
    let nobody = Client { account: "any".to_owned(), credentials: own.clone() };
    assert_eq!(nobody.refused(&app, "GET", "sub_accounts", Value::Null).await.0, 401, "before there is a key");
    let client = Client::new(&app).await;
    let stranger = Client { account: client.account.clone(), credentials: own };
    assert_eq!(stranger.refused(&app, "GET", "sub_accounts", Value::Null).await.0, 401, "a cloud's key");
    let elsewhere = Client { account: "other".to_owned(), credentials: client.credentials.clone() };
    assert_eq!(elsewhere.refused(&app, "GET", "sub_accounts", Value::Null).await.0, 401, "another account");
    client.ok(&app, "GET", "sub_accounts", Value::Null).await;
    let setting = app.catalog.setting("provisioning").await.unwrap().unwrap();
    let second = Client::new(&app).await;
    assert_eq!(second.account, client.account);
    second.ok(&app, "GET", "sub_accounts", Value::Null).await;
    let key = serde_json::from_str::<Value>(&setting).unwrap()["keys"][0]["key"].as_str().unwrap().to_owned();
    assert!(Account::revoke_key(&*app.catalog, &key).await.unwrap());
    assert!(!Account::revoke_key(&*app.catalog, &key).await.unwrap());
    assert_eq!(client.refused(&app, "GET", "sub_accounts", Value::Null).await.0, 401, "revoked");
    second.ok(&app, "GET", "sub_accounts", Value::Null).await;
    for path in ["users", "user_groups/x"] {
        let (status, message) = second.refused(&app, "GET", path, Value::Null).await;
        assert!(status == 403 && message.contains("no users"), "{status} {message}");
    }
    assert_eq!(second.refused(&app, "GET", "novelty", Value::Null).await.0, 404);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sub_accounts_are_clouds() {
    let app = WholeApp::start_in_memory().await;
    let client = Client::new(&app).await;
    let made = client
        .ok(&app, "POST", "sub_accounts", json!({ "name": "My Shop", "custom_attributes": { "plan": "a" } }))
        .await;
    assert_eq!(
        (&made["cloud_name"], &made["name"], &made["enabled"]),
        (&json!("my-shop"), &json!("My Shop"), &json!(true))
    );
    assert_eq!(made["custom_attributes"], json!({ "plan": "a" }));
    let pair = &made["api_access_keys"][0];
    assert_eq!(ping(&app, "my-shop", &pair["key"], &pair["secret"]).await, 200, "it works at once");
    let again = client.ok(&app, "POST", "sub_accounts", json!({ "name": "My Shop" })).await;
    assert!(again["cloud_name"].as_str().unwrap().starts_with("my-shop-"), "{again}");
    let taken = json!({ "name": "x", "cloud_name": "my-shop" });
    assert_eq!(
        client.refused(&app, "POST", "sub_accounts", taken).await,
        (409, "the cloud name is already taken".to_owned())
    );
    assert_eq!(client.refused(&app, "POST", "sub_accounts", json!({ "name": "x", "cloud_name": "a/b" })).await.0, 400);
    let of = format!("sub_accounts/{}", made["id"].as_str().unwrap());
    let found = client.ok(&app, "GET", "sub_accounts?prefix=my", Value::Null).await;
    assert_eq!(found["sub_accounts"].as_array().unwrap().len(), 2);
    let found =
        client.ok(&app, "GET", &format!("sub_accounts?ids[]={}", made["id"].as_str().unwrap()), Value::Null).await;
    assert_eq!(found["sub_accounts"], json!([made]));
    let renamed = client.ok(&app, "PUT", &of, json!({ "cloud_name": "shop2", "name": "Shop" })).await;
    assert_eq!(
        (&renamed["id"], &renamed["cloud_name"], &renamed["name"]),
        (&made["id"], &json!("shop2"), &json!("Shop"))
    );
    assert_eq!(ping(&app, "my-shop", &pair["key"], &pair["secret"]).await, 401);
    assert_eq!(ping(&app, "shop2", &pair["key"], &pair["secret"]).await, 200);
    let (status, message) = client.refused(&app, "PUT", &of, json!({ "enabled": false })).await;
    assert!(status == 400 && message.contains("access keys"), "{message}");
    assert_eq!(client.ok(&app, "DELETE", &of, Value::Null).await, json!({ "message": "ok" }));
    assert_eq!(ping(&app, "shop2", &pair["key"], &pair["secret"]).await, 401);
    assert_eq!(
        client.refused(&app, "GET", &of, Value::Null).await,
        (404, format!("Cannot find sub account with id {}", made["id"].as_str().unwrap()))
    );
    let unknown = client.refused(&app, "GET", "sub_accounts/nope", Value::Null).await;
    assert_eq!(unknown, (404, "Cannot find sub account with id nope".to_owned()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_rotate_without_a_gap() {
    let app = WholeApp::start_in_memory().await;
    let client = Client::new(&app).await;
    let of = format!("sub_accounts/{}/access_keys", app.demo.cloud.id);
    let (old, secret) = (json!(app.demo.key.key), json!(app.demo.key.secret.expose()));
    let path_of_old = format!("{of}/{}", app.demo.key.key);
    let last = client.refused(&app, "PUT", &path_of_old, json!({ "enabled": false })).await;
    assert_eq!(last, (400, format!("{} is the last enabled key of its cloud", app.demo.key.key)));
    assert_eq!(ping(&app, "demo", &old, &secret).await, 200);

    let new = client.ok(&app, "POST", &of, json!({ "name": "main_key", "enabled": true })).await;
    assert_eq!((&new["name"], &new["enabled"]), (&json!("main_key"), &json!(true)));
    assert_eq!(ping(&app, "demo", &old, &secret).await, 200, "both work");
    assert_eq!(ping(&app, "demo", &new["api_key"], &new["api_secret"]).await, 200);
    let off = client.ok(&app, "PUT", &path_of_old, json!({ "enabled": false, "name": "old" })).await;
    assert_eq!((&off["name"], &off["enabled"]), (&json!("old"), &json!(false)));
    assert_eq!(ping(&app, "demo", &old, &secret).await, 401, "at once");
    assert_eq!(ping(&app, "demo", &new["api_key"], &new["api_secret"]).await, 200);

    let listed = client.ok(&app, "GET", &format!("{of}?sort_by=name&sort_order=desc&page_size=1"), Value::Null).await;
    assert_eq!((&listed["total"], &listed["access_keys"][0]["name"]), (&json!(2), &json!("old")));
    let listed = client.ok(&app, "GET", &format!("{of}?page_size=1&page=2"), Value::Null).await;
    assert_eq!(listed["access_keys"].as_array().unwrap().len(), 1);
    for wrong in ["page=0", "sort_by=secret", "sort_order=up"] {
        assert_eq!(client.refused(&app, "GET", &format!("{of}?{wrong}"), Value::Null).await.0, 400, "{wrong}");
    }
    assert_eq!(client.ok(&app, "DELETE", &format!("{of}?name=old"), Value::Null).await, json!({ "message": "ok" }));
    assert_eq!(client.refused(&app, "DELETE", &format!("{of}?name=old"), Value::Null).await.0, 404);
    assert_eq!(client.refused(&app, "PUT", &path_of_old, json!({ "enabled": true })).await.0, 404);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upload_beyond_a_limit_is_refused() {
    let app = WholeApp::start_in_memory().await;
    let set = |settings: CloudSettings| {
        let (catalog, cloud) = (app.catalog.clone(), app.demo.cloud.id.clone());
        async move { settings.save(&*catalog, &cloud).await.unwrap() }
    };
    let upload = async |id: &str| {
        let credentials = app.credentials();
        let (status, body) = app
            .post("/image/upload", &[("public_id", id)], Some(("a.jpg", ROCKET)), &[("authorization", &credentials)])
            .await;
        (status, body["error"]["message"].as_str().unwrap_or_default().to_owned())
    };
    let size = ROCKET.len() as u64;
    set(CloudSettings { max_assets: Some(2), max_storage_bytes: Some(10 * size), ..CloudSettings::default() }).await;
    for id in ["a", "b", "b"] {
        assert_eq!(upload(id).await.0, 200, "{id}: an overwriting upload makes no more");
    }
    let refused = upload("c").await;
    assert_eq!(refused, (420, "Asset limit exceeded. Limit of 2 assets reached.".to_owned()));
    let credentials = app.credentials();
    let made = app.post("/image/text", &[("text", "hello")], None, &[("authorization", &credentials)]).await;
    assert_eq!(made.0, 420, "what the server makes is an asset too: {}", made.1);
    let (_, usage) = app.admin(Method::GET, "/usage", Value::Null).await;
    assert_eq!((&usage["objects"]["limit"], &usage["objects"]["used_percent"]), (&json!(2), &json!(100.0)));
    assert_eq!((&usage["storage"]["limit"], &usage["storage"]["used_percent"]), (&json!(10 * size), &json!(20.0)));

    set(CloudSettings { max_storage_bytes: Some(3 * size - 1), ..CloudSettings::default() }).await;
    assert_eq!(upload("b").await.0, 200, "what is overwritten makes room");
    let refused = upload("c").await;
    let message = format!("Storage limit exceeded. Limit of {} bytes reached.", 3 * size - 1);
    assert_eq!(refused, (420, message));
    set(CloudSettings { max_storage_bytes: Some(3 * size), ..CloudSettings::default() }).await;
    assert_eq!(upload("c").await.0, 200, "up to the limit");
    set(CloudSettings::default()).await;
    let before = app.usage().await.transformations;
    let made = app.post("/image/text", &[("text", "hello")], None, &[("authorization", &credentials)]).await;
    assert_eq!(made.0, 200, "{}", made.1);
    assert_eq!(app.usage().await.transformations, before + 1, "a text is rendered");
}
