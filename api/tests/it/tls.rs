//! The listener with TLS: handshakes, and certificates that change while it runs.
#![allow(clippy::unwrap_used, clippy::panic)]

use crate::whole_app::WholeApp;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;
use tintype_api::http::serve::{ConnectionLimits, serve_with};
use tintype_api::http::tls::{Certificate, TlsError};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsConnector;

/// Writes a new key and a certificate for localhost that signs itself.
fn certify(folder: &Path) {
    let made = Command::new("openssl")
        .args(["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"])
        .args(["-addext", "subjectAltName=DNS:localhost", "-addext", "basicConstraints=critical,CA:FALSE", "-keyout"])
        .arg(folder.join("key.pem"))
        .arg("-out")
        .arg(folder.join("certificate.pem"))
        .output()
        .expect("openssl is installed (package openssl)");
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
}

fn open(folder: &Path) -> Result<Certificate, TlsError> {
    Certificate::open(&folder.join("certificate.pem"), &folder.join("key.pem"))
}

/// A connector that trusts only the certificate that lies there now, and speaks the protocols.
fn trusting(folder: &Path, protocols: &[&[u8]]) -> TlsConnector {
    let mut roots = RootCertStore::empty();
    let pem = fs::read(folder.join("certificate.pem")).unwrap();
    roots.add(CertificateDer::from_pem_slice(&pem).unwrap()).unwrap();
    let mut config = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
    TlsConnector::from(Arc::new(config))
}

async fn start(certificate: Arc<Certificate>) -> (WholeApp, SocketAddr) {
    start_with(certificate, ConnectionLimits::default()).await
}

async fn start_with(certificate: Arc<Certificate>, limits: ConnectionLimits) -> (WholeApp, SocketAddr) {
    let app = WholeApp::start_in_memory().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (router, deliver) = app.parts();
    tokio::spawn(serve_with(listener, router, deliver, limits, Some(certificate), std::future::pending()));
    (app, address)
}

/// The answer to a request for `/live`, and the protocol that was agreed on.
async fn live(connector: &TlsConnector, address: SocketAddr) -> std::io::Result<(String, Option<Vec<u8>>)> {
    let stream = TcpStream::connect(address).await?;
    let mut stream = connector.connect(ServerName::try_from("localhost").unwrap(), stream).await?;
    let protocol = stream.get_ref().1.alpn_protocol().map(<[u8]>::to_vec);
    stream.write_all(b"GET /live HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n").await?;
    let mut answer = Vec::new();
    // A server that closes without a farewell is as good.
    let _ = stream.read_to_end(&mut answer).await;
    Ok((String::from_utf8_lossy(&answer).into_owned(), protocol))
}

#[tokio::test]
async fn requests_are_answered_and_new_certificates_taken() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    certify(folder);
    let certificate = Arc::new(open(folder).unwrap());
    let (_app, address) = start(certificate.clone()).await;
    let first = trusting(folder, &[b"http/1.1"]);
    let (answer, protocol) = live(&first, address).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 OK") && answer.ends_with("ok\n"), "{answer}");
    assert_eq!(protocol.as_deref(), Some(&b"http/1.1"[..]));
    let both = trusting(folder, &[b"h2", b"http/1.1"]);
    let stream = TcpStream::connect(address).await.unwrap();
    let stream = both.connect(ServerName::try_from("localhost").unwrap(), stream).await.unwrap();
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));

    // Nothing has changed; then a key that does not fit, which changes nothing either; then a new pair.
    assert!(!certificate.reload().unwrap());
    let other = tempfile::tempdir().unwrap();
    certify(other.path());
    fs::copy(other.path().join("key.pem"), folder.join("key.pem")).unwrap();
    assert!(matches!(certificate.reload(), Err(TlsError::Mismatch { .. })));
    assert!(!certificate.reload().unwrap(), "the same error is not told twice");
    assert!(live(&first, address).await.is_ok(), "the old pair is still in use");
    fs::copy(other.path().join("certificate.pem"), folder.join("certificate.pem")).unwrap();
    assert!(certificate.reload().unwrap());
    assert!(live(&first, address).await.is_err(), "the old certificate is gone");
    assert!(live(&trusting(folder, &[]), address).await.unwrap().0.ends_with("ok\n"));
}

#[tokio::test]
async fn who_does_not_speak_tls_is_cut_off_and_harms_nobody() {
    let folder = tempfile::tempdir().unwrap();
    certify(folder.path());
    let (_app, address) = start(Arc::new(open(folder.path()).unwrap())).await;
    let mut plain = TcpStream::connect(address).await.unwrap();
    plain.write_all(b"GET /live HTTP/1.1\r\nhost: localhost\r\n\r\n").await.unwrap();
    let mut answer = Vec::new();
    let read = tokio::time::timeout(Duration::from_secs(30), plain.read_to_end(&mut answer));
    assert!(read.await.is_ok(), "a plain request was kept waiting");
    assert!(!String::from_utf8_lossy(&answer).contains("200"));
    // One that says nothing waits beside others.
    let _silent = TcpStream::connect(address).await.unwrap();
    assert!(live(&trusting(folder.path(), &[]), address).await.unwrap().0.ends_with("ok\n"));
}

#[tokio::test]
async fn who_says_nothing_behind_a_handshake_is_cut_off() {
    let folder = tempfile::tempdir().unwrap();
    certify(folder.path());
    let limits = ConnectionLimits { head_timeout: Duration::from_millis(300), ..Default::default() };
    let (_app, address) = start_with(Arc::new(open(folder.path()).unwrap()), limits).await;
    for protocols in [&[b"h2" as &[u8]][..], &[b"http/1.1"], &[]] {
        let stream = TcpStream::connect(address).await.unwrap();
        let connector = trusting(folder.path(), protocols);
        let mut stream = connector.connect(ServerName::try_from("localhost").unwrap(), stream).await.unwrap();
        let mut answer = Vec::new();
        let read = tokio::time::timeout(Duration::from_secs(30), stream.read_to_end(&mut answer));
        assert!(read.await.is_ok(), "silence holds a connection");
    }
}

#[test]
fn files_that_are_no_pair_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let told = || open(folder).err().unwrap().to_string();
    assert!(told().contains("certificate.pem"), "{}", told());
    certify(folder);
    assert!(open(folder).is_ok());
    fs::write(folder.join("key.pem"), "nothing").unwrap();
    assert!(told().contains("key.pem has no private key in PEM"), "{}", told());
    fs::write(folder.join("certificate.pem"), "nothing").unwrap();
    assert!(told().ends_with("certificate.pem has no certificate in PEM"), "{}", told());
    let serve = Command::new(env!("CARGO_BIN_EXE_tintype"))
        .args(["serve", "--tls-certificate"])
        .arg(folder.join("certificate.pem"))
        .arg("--tls-key")
        .arg(folder.join("key.pem"))
        .env("TINTYPE_DATA_DIR", folder.join("data"))
        .env("TINTYPE_RENDERER", "cpu")
        .env("TINTYPE_LISTEN", "127.0.0.1:0")
        .output()
        .unwrap();
    assert_eq!(serve.status.code(), Some(1));
    let text = String::from_utf8_lossy(&serve.stderr);
    assert!(text.contains("TLS: ") && text.contains("has no certificate in PEM"), "{text}");
}
