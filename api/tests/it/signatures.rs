//! Who may upload, through the real router.
#![allow(clippy::unwrap_used, clippy::panic)]

use crate::app::{TestApp, basic, multipart, png, sign_with};
use axum::http::StatusCode;
use tintype_api::auth::signature::{Algorithm, SignaturePolicy, Version, sign_response};
use tintype_api::domain::{ApiKey, Timestamp};

const PATH: &str = "/v1_1/demo/image/upload";

fn now() -> i64 {
    Timestamp::now().unix_seconds()
}

fn owned(params: &[(&str, &str)]) -> Vec<(String, String)> {
    params.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

#[tokio::test]
async fn every_kind_of_signature_is_accepted() {
    let app = TestApp::start().await;
    let params = [("public_id", "a/b"), ("context", "alt=x&y"), ("tags[]", "a"), ("tags[]", "b"), ("folder", "")];
    let mut n = 0;
    for version in [Version::V1, Version::V2] {
        for algorithm in [Algorithm::Sha1, Algorithm::Sha256] {
            let signed = sign_with(&app.key, &params, now(), version, algorithm);
            let answer = app.send(multipart(PATH, &signed, Some(("x.png", &png(4, 3, 100))))).await;
            assert_eq!(answer.status, StatusCode::OK, "{version:?} {algorithm:?}: {}", answer.text());
            let json = answer.json();
            assert_eq!(json["tags"], serde_json::json!(["a", "b"]));
            let version = json["version"].as_i64().unwrap();
            let expected = sign_response("a/b", version, app.key.secret.expose(), Algorithm::Sha1);
            assert_eq!(json["signature"], expected);
            n += 1;
        }
    }
    assert_eq!((n, app.blobs.len()), (4, 1));
}

#[tokio::test]
async fn version_one_can_be_switched_off() {
    let app = TestApp::start_with(SignaturePolicy { accept_v1: false }, 8).await;
    let params = [("context", "alt=x&y")];
    for (version, expected) in [(Version::V1, StatusCode::UNAUTHORIZED), (Version::V2, StatusCode::OK)] {
        let signed = sign_with(&app.key, &params, now(), version, Algorithm::Sha1);
        let answer = app.send(multipart(PATH, &signed, Some(("x.png", &png(4, 3, 100))))).await;
        assert_eq!(answer.status, expected, "{}", answer.text());
    }
}

#[tokio::test]
async fn basic_needs_no_signature() {
    let app = TestApp::start().await;
    let mut request = multipart(PATH, &owned(&[("public_id", "x")]), Some(("x.png", &png(4, 3, 100))));
    let header = basic(&app.key.key, app.key.secret.expose());
    request.headers_mut().insert("authorization", header.parse().unwrap());
    let answer = app.send(request).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
    assert_eq!(answer.json()["api_key"], app.key.key.as_str());
}

#[tokio::test]
async fn wrong_credentials_are_refused_with_the_known_texts() {
    let app = TestApp::start().await;
    let secret = app.key.secret.expose().to_owned();
    let cases = [
        (PATH, basic("999999999999999", &secret), "Unknown API key 999999999999999"),
        (PATH, basic(&app.key.key, "wrong"), "api_secret mismatch"),
        (PATH, basic(&app.foreign_key.key, app.foreign_key.secret.expose()), "cloud_name mismatch"),
        (PATH, basic(&app.disabled_key.key, app.disabled_key.secret.expose()), "disabled api_key"),
        ("/v1_1/nobody/image/upload", basic(&app.key.key, &secret), "Invalid cloud_name nobody"),
        ("/v1_1/no..body/image/upload", basic(&app.key.key, &secret), "Invalid cloud_name no..body"),
        (PATH, "Bearer abc".to_owned(), "Invalid token"),
        (PATH, "Basic !!!".to_owned(), "Invalid credentials: malformed basic credentials"),
        (PATH, "Negotiate x".to_owned(), "Invalid credentials: unknown authorization scheme"),
    ];
    for (path, header, message) in cases {
        let mut request = multipart(path, &[], Some(("x.png", &png(4, 3, 100))));
        request.headers_mut().insert("authorization", header.parse().unwrap());
        let answer = app.send(request).await;
        assert_eq!((answer.status, answer.error().as_str()), (StatusCode::UNAUTHORIZED, message));
        app.assert_nothing_stored(message);
    }
}

#[tokio::test]
async fn wrong_signatures_are_refused_and_nothing_is_stored() {
    let app = TestApp::start().await;
    let file = png(4, 3, 100);
    let mut changed = app.sign(&[("public_id", "a")]);
    changed[0].1 = "b".to_owned();
    let answer = app.send(multipart(PATH, &changed, Some(("x.png", &file)))).await;
    assert_eq!(answer.status, StatusCode::UNAUTHORIZED);
    let signature = &changed.last().unwrap().1;
    let timestamp = &changed[1].1;
    assert_eq!(
        answer.error(),
        format!("Invalid Signature {signature}. String to sign - 'public_id=b&timestamp={timestamp}'.")
    );
    assert!(!answer.text().contains(app.key.secret.expose()));
    app.assert_nothing_stored("changed");

    for key in [&app.foreign_key, &app.disabled_key, &ApiKey::random(app.key.cloud.clone())] {
        let signed = sign_with(key, &[], now(), Version::V2, Algorithm::Sha1);
        let answer = app.send(multipart(PATH, &signed, Some(("x.png", &file)))).await;
        assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{}", answer.error());
        app.assert_nothing_stored("key");
    }
}

#[tokio::test]
async fn stale_missing_and_odd_timestamps_are_refused() {
    let app = TestApp::start().await;
    let file = png(4, 3, 100);
    let answer = app.send(multipart(PATH, &app.sign_at(&[], now() - 3700), Some(("x.png", &file)))).await;
    assert_eq!(answer.status, StatusCode::BAD_REQUEST);
    let message = answer.error();
    assert!(message.starts_with("Stale request - reported time is 20"), "{message}");
    assert!(message.ends_with(" +0000 which is more than 1 hour ago"), "{message}");

    let far = app.send(multipart(PATH, &app.sign_at(&[], now() + 7200), Some(("x.png", &file)))).await;
    assert_eq!(far.status, StatusCode::BAD_REQUEST, "{}", far.error());

    let pairs = [("public_id", "a")];
    let signature =
        tintype_api::auth::signature::sign_params(pairs, app.key.secret.expose(), Version::V2, Algorithm::Sha1);
    let mut params = owned(&pairs);
    params.push(("api_key".into(), app.key.key.clone()));
    params.push(("signature".into(), signature));
    let answer = app.send(multipart(PATH, &params, Some(("x.png", &file)))).await;
    assert_eq!(answer.error(), "Missing required parameter - timestamp");

    params.retain(|(name, _)| name != "api_key");
    let answer = app.send(multipart(PATH, &params, Some(("x.png", &file)))).await;
    assert_eq!(answer.error(), "Missing required parameter - api_key");
    app.assert_nothing_stored("timestamps");
}

#[tokio::test]
async fn unsigned_uploads_need_a_preset_and_there_is_none() {
    let app = TestApp::start().await;
    for (params, message) in [
        (vec![("public_id", "a")], "Upload preset must be specified when using unsigned upload"),
        (vec![("upload_preset", "p")], "Upload preset not found"),
    ] {
        let answer = app.send(multipart(PATH, &owned(&params), Some(("x.png", &png(4, 3, 100))))).await;
        assert_eq!((answer.status, answer.error().as_str()), (StatusCode::BAD_REQUEST, message));
    }
    let answer = app.upload(&[("upload_preset", "p")], &png(4, 3, 100)).await;
    assert_eq!(answer.error(), "Upload preset not found");
    app.assert_nothing_stored("unsigned");
}
