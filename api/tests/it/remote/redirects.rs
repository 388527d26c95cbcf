//! Chains of redirects: followed, counted, and never with more than they may carry.

use super::net::{failure, ok, one_server, patient, read, redirect, text};
use tintype_api::fetch::Failure;

#[tokio::test]
async fn a_chain_is_followed_to_its_cap() {
    let (server, _net, client) = one_server(patient(), |path| match path.trim_start_matches('/').parse::<u32>() {
        Ok(0) => ok("end"),
        Ok(n) => redirect(&format!("/{}", n - 1)),
        Err(_) => redirect("/loop"),
    })
    .await;
    assert_eq!(read(&client, "http://good.example/5").await.unwrap(), b"end");
    assert_eq!(server.requests().len(), 6);
    assert!(server.requests().iter().all(|request| !request.to_ascii_lowercase().contains("cookie")));
    assert_eq!(failure(&client, "http://good.example/6").await, Failure::Redirects);
    assert_eq!(server.requests().len(), 12);
    assert_eq!(failure(&client, "http://good.example/loop").await, Failure::Redirects);
    assert_eq!(server.requests().len(), 18);
}

#[tokio::test]
async fn redirects_without_a_usable_address_fail() {
    let (_server, _net, client) = one_server(patient(), |path| match path {
        "/none" => text("HTTP/1.1 302 Found\r\nContent-Length: 0\r\n\r\n"),
        "/file" => redirect("file:///etc/passwd"),
        "/ftp" => redirect("ftp://good.example/"),
        _ => redirect("http://"),
    })
    .await;
    for path in ["none", "file", "ftp", "empty"] {
        assert_eq!(failure(&client, &format!("http://good.example/{path}")).await, Failure::Redirect, "{path}");
    }
}

#[tokio::test]
async fn credentials_stay_with_their_origin() {
    let (server, net, client) = one_server(patient(), |path| match path {
        "/home" => redirect("/here"),
        "/away" => redirect("http://other.example/there"),
        _ => ok("x"),
    })
    .await;
    net.name("other.example", &[&["8.8.4.4"]]);
    net.route("8.8.4.4", &server);
    read(&client, "http://name:word@good.example/home").await.unwrap();
    read(&client, "http://name:word@good.example/away").await.unwrap();
    let carried: Vec<bool> =
        server.requests().iter().map(|request| request.contains("authorization: Basic bmFtZTp3b3Jk")).collect();
    assert_eq!(carried, [true, true, true, false]);
    assert!(!server.requests()[3].contains("authorization"));
}
