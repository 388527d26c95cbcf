//! The API's description, held against the routes.
#![allow(clippy::unwrap_used, clippy::panic)]

use crate::app::basic;
use crate::whole_app::WholeApp;
use axum::body::Body;
use axum::http::{Method, Request};
use serde_json::Value;
use tintype_api::http::openapi::OPERATIONS;
use tintype_api::service::provisioning::Account;

#[tokio::test]
async fn every_operation_is_routed() {
    let app = WholeApp::start_in_memory().await;
    let answer = app.get("/openapi.json").await;
    assert_eq!((answer.status.as_u16(), &answer.headers["content-type"]), (200, &"application/json".parse().unwrap()));
    let document: Value = answer.json();
    let mut n = 0;
    let (account, key, secret) = Account::add_key(&*app.catalog).await.unwrap();
    let of_the_account = basic(&key, secret.expose());
    for (path, operations) in document["paths"].as_object().unwrap() {
        for (method, operation) in operations.as_object().unwrap() {
            n += 1;
            let credentials = if path.contains("provisioning") { of_the_account.clone() } else { app.credentials() };
            let mut uri = path.replace("{cloud_name}", "demo").replace("{account_id}", &account);
            for (name, value) in [
                ("{resource_type}", "image"),
                ("{type}", "upload"),
                ("{kind}", "manual"),
                ("{status}", "approved"),
                ("{date}", "2026-01-01"),
            ] {
                uri = uri.replace(name, value);
            }
            while let Some((before, rest)) = uri.split_once('{') {
                let (_, after) = rest.split_once('}').unwrap();
                uri = format!("{before}some{after}");
            }
            let method = Method::from_bytes(method.to_ascii_uppercase().as_bytes()).unwrap();
            let request = Request::builder().method(&method).uri(&uri).header("authorization", credentials);
            let answer = app.send(request.body(Body::empty()).unwrap()).await;
            let text = answer.text();
            assert!(!text.contains("is not supported by this server yet"), "{method} {uri}: {text}");
            assert!(
                ![401, 403, 405, 500].contains(&answer.status.as_u16()),
                "{method} {uri}: {} {text}",
                answer.status
            );
            assert!(operation["summary"].is_string());
        }
    }
    assert_eq!(n, OPERATIONS.len());
    // The check can fail.
    let (status, answer) = app.admin(Method::GET, "/nonsense", Value::Null).await;
    assert_eq!(status, 404);
    assert!(answer["error"]["message"].as_str().unwrap().contains("is not supported by this server yet"));
}

#[tokio::test]
async fn people_can_read_it() {
    let app = WholeApp::start_in_memory().await;
    let page = app.get("/openapi").await;
    assert_eq!(page.status, 200);
    assert!(page.headers["content-type"].to_str().unwrap().starts_with("text/html"));
    assert!(page.text().contains("Give an asset another public id"));
}
