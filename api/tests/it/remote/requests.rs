//! What is sent, over which connection, and what comes back.

use super::net::{MAX_BYTES, Net, Server, failure, ok, one_server, patient, read, redirect, text};
use bytes::Bytes;
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use std::sync::Arc;
use tintype_api::fetch::{ContentTypes, Failure, FetchError, FetchSettings, RemoteClient};
use tokio_rustls::TlsAcceptor;

#[tokio::test]
async fn a_request_says_who_asks_and_nothing_more() {
    let (server, _net, client) = one_server(patient(), |_| ok("x")).await;
    let file = client.get("http://good.example/a%20b/c%C3%A4t.jpg?x=1#frag", MAX_BYTES, ContentTypes::Any).await;
    assert_eq!(file.unwrap().head.filename, "cät.jpg");
    let requests = server.requests();
    let mut lines: Vec<&str> = requests[0].trim_end().split("\r\n").collect();
    assert_eq!(lines.remove(0), "GET /a%20b/c%C3%A4t.jpg?x=1 HTTP/1.1");
    lines.sort_unstable();
    let agent = format!("user-agent: Tintype/{}", env!("CARGO_PKG_VERSION"));
    let expected =
        ["accept-encoding: identity", "accept: image/*, */*;q=0.8", "connection: close", "host: good.example", &agent];
    assert_eq!(lines, expected);
}

#[tokio::test]
async fn a_missing_file_has_its_own_error() {
    let (_server, _net, client) =
        one_server(patient(), |_| text("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")).await;
    let error = read(&client, "http://name:word@good.example/cat.jpg").await.unwrap_err();
    assert_eq!(error.to_string(), "Resource not found - http://good.example/cat.jpg");
}

#[tokio::test]
async fn head_reads_no_body() {
    let (server, _net, client) = one_server(patient(), |path| match path {
        "/moved" => redirect("/file"),
        _ => text("HTTP/1.1 200 OK\r\nContent-Length: 123456\r\nContent-Type: image/png\r\n\r\n"),
    })
    .await;
    let head = client.head("http://good.example/moved").await.unwrap();
    assert_eq!((head.status, head.content_length, head.content_type()), (200, Some(123_456), Some("image/png")));
    assert!(server.requests().iter().all(|request| request.starts_with("HEAD /")));
}

#[tokio::test]
async fn post_delivers_once_and_follows_nothing() {
    let (server, _net, client) = one_server(patient(), |path| match path {
        "/moved" => redirect("/hook"),
        "/broken" => text("HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n"),
        _ => ok("thanks"),
    })
    .await;
    let headers = [("X-Cld-Timestamp", "1700000000"), ("X-Cld-Signature", "abc"), ("Host", "evil.example")];
    let body = Bytes::from_static(b"{\"notification_type\":\"upload\"}");
    for (path, status) in [("hook", 200), ("moved", 302), ("broken", 503)] {
        let address = format!("http://good.example/{path}");
        assert_eq!(client.post(&address, &headers, "application/json", body.clone()).await.unwrap(), status);
    }
    let requests = server.requests();
    assert_eq!(requests.len(), 3);
    assert!(
        requests[0].starts_with("POST /hook HTTP/1.1\r\n")
            && requests[0].ends_with("\r\n\r\n{\"notification_type\":\"upload\"}")
    );
    for line in ["x-cld-timestamp: 1700000000", "content-type: application/json", "host: good.example"] {
        assert!(requests[0].contains(line), "{line}: {}", requests[0]);
    }
    assert!(!requests[0].contains("evil"));
    for bad in ["a\r\nb: c", "a\0"] {
        assert!(
            client.post("http://good.example/hook", &[("X", bad)], "application/json", body.clone()).await.is_err()
        );
    }
    assert_eq!(server.requests().len(), 3);
}

#[tokio::test]
async fn pictures_only_where_pictures_are_asked_for() {
    let (_server, _net, client) = one_server(patient(), |path| {
        let content_type = if path == "/page" { "text/html" } else { "image/png" };
        text(&format!("HTTP/1.1 200 OK\r\nContent-Type: {content_type}\r\nContent-Length: 1\r\n\r\nx"))
    })
    .await;
    let get = |path: &str| {
        let (client, address) = (client.clone(), format!("http://good.example/{path}"));
        async move { client.get(&address, MAX_BYTES, ContentTypes::Images).await }
    };
    assert!(get("cat.png").await.is_ok());
    assert!(matches!(get("page").await, Err(FetchError::Failed { failure: Failure::ContentType, .. })));
}

#[tokio::test]
async fn an_allowed_server_of_the_operator_is_reached() {
    let server = Server::start(|_| ok("inside")).await;
    let address = format!("http://127.0.0.1:{}/", server.port());
    let with = |allow: String, deny: &str| {
        let mut settings = patient();
        settings.policy.allow = allow.parse().unwrap();
        settings.policy.deny = deny.parse().unwrap();
        RemoteClient::new(settings).unwrap()
    };
    let port = server.port();
    assert_eq!(read(&with(format!("127.0.0.1:{port}"), ""), &address).await.unwrap(), b"inside");
    for (allow, deny) in
        [(String::new(), ""), ("127.0.0.1".to_owned(), ""), (format!("127.0.0.1:{port}"), "127.0.0.0/8")]
    {
        assert_eq!(failure(&with(allow.clone(), deny), &address).await, Failure::Unreachable, "{allow} {deny}");
    }
    assert_eq!(server.connections().await, 1);
}

#[tokio::test]
async fn a_second_address_is_tried_when_the_first_does_not_answer() {
    let (_server, net, client) = one_server(patient(), |_| ok("x")).await;
    // A port of loopback that nobody listens at any more.
    let gone = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let dead = gone.local_addr().unwrap();
    drop(gone);
    net.name("two.example", &[&["1.1.1.1", "8.8.8.8"]]);
    net.route_to("1.1.1.1", dead);
    assert_eq!(read(&client, "http://two.example/").await.unwrap(), b"x");
    net.name("dead.example", &[&["1.1.1.1"]]);
    assert_eq!(failure(&client, "http://dead.example/").await, Failure::Unreachable);
}

fn tls_server() -> TlsAcceptor {
    let chain = CertificateDer::pem_slice_iter(include_bytes!("tls/good.example.pem")).map(Result::unwrap).collect();
    let key = PrivateKeyDer::from_pem_slice(include_bytes!("tls/good.example.key.pem")).unwrap();
    let config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .unwrap();
    TlsAcceptor::from(Arc::new(config))
}

#[tokio::test]
async fn tls_checks_the_name_of_the_host_and_its_authority() {
    let server = Server::start_tls(tls_server(), |path| match path {
        "/down" => redirect("http://good.example/"),
        _ => ok("sealed"),
    })
    .await;
    let net = Net::new();
    for name in ["good.example", "bad.example"] {
        net.name(name, &[&["8.8.8.8"]]);
    }
    net.route("8.8.8.8", &server);
    let trusting = FetchSettings { authorities_pem: include_bytes!("tls/authority.pem").to_vec(), ..patient() };
    let client = net.client(trusting);
    assert_eq!(read(&client, "https://good.example/").await.unwrap(), b"sealed");
    assert_eq!(failure(&client, "https://bad.example/").await, Failure::Tls);
    assert_eq!(failure(&client, "https://8.8.8.8/").await, Failure::Tls);
    assert_eq!(failure(&client, "https://good.example/down").await, Failure::Redirect);
    assert_eq!(failure(&net.client(patient()), "https://good.example/").await, Failure::Tls);
    assert_eq!(server.requests().len(), 2, "nothing was asked where the name or the authority is wrong");
}
