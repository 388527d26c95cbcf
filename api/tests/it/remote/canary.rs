//! A server on loopback that must never be reached, whatever the spelling, the name or the redirect.

use super::net::{Net, Reply, Server, failure, ip, ok, one_server, patient, read, redirect};
use bytes::Bytes;
use std::sync::Arc;
use tintype_api::fetch::{Failure, FetchError, FetchPolicy, FetchSettings, RemoteClient, SystemDialer, SystemResolver};

/// Loopback in every way that a parser, a resolver or a kernel may understand. `PORT` stands for the port.
const SPELLINGS: &[&str] = &[
    "http://127.0.0.1:PORT/",
    "http://127.1:PORT/",
    "http://127.0.1:PORT/",
    "http://0x7f.1:PORT/",
    "http://0x7F000001:PORT/",
    "http://0177.0.0.1:PORT/",
    "http://017700000001:PORT/",
    "http://2130706433:PORT/",
    "http://127.127.127.127:PORT/",
    "http://0:PORT/",
    "http://0.0.0.0:PORT/",
    "http://[::1]:PORT/",
    "http://[::]:PORT/",
    "http://[0:0:0:0:0:0:0:1]:PORT/",
    "http://[::ffff:127.0.0.1]:PORT/",
    "http://[::ffff:7f00:1]:PORT/",
    "http://[::ffff:0:127.0.0.1]:PORT/",
    "http://[::127.0.0.1]:PORT/",
    "http://[64:ff9b::127.0.0.1]:PORT/",
    "http://[64:ff9b:1::127.0.0.1]:PORT/",
    "http://[2002:7f00:1::1]:PORT/",
    "http://localhost:PORT/",
    "http://LOCALHOST:PORT/",
    "http://localhost.:PORT/",
    "http://１２７.0.0.1:PORT/",
    "http://127。0。0。1:PORT/",
    "http://%31%32%37.0.0.1:PORT/",
    "http://8.8.8.8@127.0.0.1:PORT/",
    "http://8.8.8.8:80@127.0.0.1:PORT/",
    "http://127.0.0.1:PORT\\@8.8.8.8/",
    "http://127.0.0.1:PORT#@8.8.8.8/",
    "http:127.0.0.1:PORT",
    "http:\\\\127.0.0.1:PORT\\",
    "https://127.0.0.1:PORT/",
];

/// Settings under which the canary's port is permitted, so that only its address protects it.
fn settings(canary: &Server) -> FetchSettings {
    let policy = FetchPolicy { ports: vec![80, 443, canary.port()], ..FetchPolicy::default() };
    FetchSettings { policy, ..patient() }
}

fn spelled(spelling: &str, canary: &Server) -> String {
    spelling.replace("PORT", &canary.port().to_string())
}

#[tokio::test]
async fn no_spelling_of_loopback_reaches_it() {
    let canary = Server::start(|_| ok("reached")).await;
    let client =
        RemoteClient::over(settings(&canary), Arc::new(SystemResolver::default()), Arc::new(SystemDialer)).unwrap();
    let mut texts = Vec::new();
    for spelling in SPELLINGS {
        let address = spelled(spelling, &canary);
        assert_eq!(failure(&client, &address).await, Failure::Unreachable, "{address}");
        let error = client.head(&address).await.unwrap_err();
        texts.push(error.to_string().rsplit_once(" - ").unwrap().1.to_owned());
        assert!(client.post(&address, &[], "application/json", Bytes::from_static(b"{}")).await.is_err(), "{address}");
    }
    texts.dedup();
    assert_eq!(texts, ["the address cannot be reached"]);
    assert_eq!(canary.connections().await, 0);
    assert!(canary.requests().is_empty());
    // The same canary is in reach once its address is allowed: the refusals above are not for want of a way.
    let mut allowed = settings(&canary);
    allowed.policy.allow = "127.0.0.1".parse().unwrap();
    let client = RemoteClient::new(allowed).unwrap();
    assert_eq!(read(&client, &spelled("http://0x7f.1:PORT/", &canary)).await.unwrap(), b"reached");
    assert_eq!(canary.connections().await, 1);
}

#[tokio::test]
async fn names_that_lead_inside_are_refused_as_those_that_lead_nowhere() {
    let canary = Server::start(|_| ok("reached")).await;
    let net = Net::new();
    net.name("inside.example", &[&["127.0.0.1"]]);
    net.name("wrapped.example", &[&["::ffff:127.0.0.1"]]);
    net.name("mixed.example", &[&["8.8.8.8", "127.0.0.1"]]);
    net.name("metadata.example", &[&["169.254.169.254"]]);
    net.name("empty.example", &[&[]]);
    let client = net.client(settings(&canary));
    for name in ["inside", "wrapped", "mixed", "metadata", "empty", "unknown"] {
        let address = format!("http://{name}.example:{}/", canary.port());
        assert_eq!(failure(&client, &address).await, Failure::Unreachable, "{name}");
    }
    // A public address under a port that is not permitted is refused in the same words.
    assert_eq!(failure(&client, "http://8.8.8.8:22/").await, Failure::Unreachable);
    assert!(net.dialed.lock().is_empty());
    assert_eq!(canary.connections().await, 0);
}

#[tokio::test]
async fn a_name_that_turns_inside_is_connected_where_it_was_vetted() {
    let canary = Server::start(|_| ok("reached")).await;
    let public = Server::start(|path| if path == "/again" { redirect("/") } else { ok("public") }).await;
    let net = Net::new();
    net.route("8.8.8.8", &public);
    let client = net.client(settings(&canary));
    let port = canary.port();

    net.name("rebind.example", &[&["8.8.8.8"], &["127.0.0.1"]]);
    assert_eq!(read(&client, &format!("http://rebind.example:{port}/")).await.unwrap(), b"public");
    assert_eq!(*net.asked.lock(), ["rebind.example"], "asked once");
    let dialed: Vec<_> = net.dialed.lock().drain(..).map(|address| (address.ip(), address.port())).collect();
    assert_eq!(dialed, [(ip("8.8.8.8"), port)]);

    // A second request, and a redirect to the same name, ask anew and vet anew.
    assert_eq!(failure(&client, &format!("http://rebind.example:{port}/")).await, Failure::Unreachable);
    net.name("rebind.example", &[&["8.8.8.8"], &["127.0.0.1"]]);
    assert_eq!(failure(&client, &format!("http://rebind.example:{port}/again")).await, Failure::Unreachable);
    assert_eq!(net.dialed.lock().len(), 1);
    assert_eq!(canary.connections().await, 0);
}

#[tokio::test]
async fn redirects_do_not_lead_inside() {
    let canary = Server::start(|_| ok("reached")).await;
    // `http:host` without slashes is relative to an address of the same scheme: it leads to the server itself.
    let absolute = SPELLINGS.iter().filter(|spelling| !spelling.starts_with("http:127"));
    let locations: Vec<String> = absolute.map(|spelling| spelled(spelling, &canary)).collect();
    let scripted = locations.clone();
    let script = move |path: &str| -> Reply {
        let n: usize = path.trim_start_matches('/').parse().unwrap();
        redirect(&scripted[n])
    };
    let (server, net, client) = one_server(settings(&canary), script).await;
    net.name("localhost", &[&["127.0.0.1", "::1"]]);
    net.name("localhost.", &[&["::1", "127.0.0.1"]]);
    for (n, location) in locations.iter().enumerate() {
        let error = read(&client, &format!("http://good.example/{n}")).await.unwrap_err();
        let FetchError::Failed { url, failure } = &error else { panic!("{location}: {error:?}") };
        assert_eq!(*failure, Failure::Unreachable, "{location}");
        assert_eq!(*url, format!("http://good.example/{n}"), "the answer does not tell where it led");
    }
    assert!(net.dialed.lock().iter().all(|address| address.ip() == ip("8.8.8.8")));
    assert!(server.connections().await >= locations.len());
    assert_eq!(canary.connections().await, 0);
}
