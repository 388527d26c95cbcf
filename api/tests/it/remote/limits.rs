//! Servers that are slow, endless, lying or broken.

use super::net::{MAX_BYTES, Reply, failure, ok, one_server, patient, read, redirect, text};
use std::time::Duration;
use tintype_api::fetch::{ContentTypes, Failure, FetchError, FetchSettings};

const SHORT: Duration = Duration::from_millis(150);
const HEAD: &str = "HTTP/1.1 200 OK\r\nContent-Type: image/png\r\n";

#[tokio::test]
async fn a_server_that_does_not_answer_times_out() {
    let mut settings = patient();
    settings.timeouts.first_byte = SHORT;
    let (_server, _net, client) = one_server(settings, |path| match path {
        "/silent" => Reply::Hang(Vec::new()),
        _ => Reply::Hang(HEAD.into()),
    })
    .await;
    for path in ["silent", "half"] {
        assert_eq!(failure(&client, &format!("http://good.example/{path}")).await, Failure::Timeout, "{path}");
    }
}

#[tokio::test]
async fn a_body_that_stops_or_drips_times_out() {
    let drip = || Reply::Endless(format!("{HEAD}\r\n").into(), b"x".to_vec(), Duration::from_millis(100));
    let mut settings = patient();
    settings.timeouts.idle = SHORT;
    let stopped = || Reply::Hang(format!("{HEAD}Content-Length: 100\r\n\r\nabc").into());
    let (_server, _net, client) = one_server(settings, move |_| stopped()).await;
    assert_eq!(failure(&client, "http://good.example/").await, Failure::Timeout);

    // Never idle for long, but a thousand bytes would take a hundred seconds.
    let mut settings = patient();
    settings.timeouts.total = Duration::from_secs(2);
    let (_server, _net, client) = one_server(settings, move |_| drip()).await;
    assert_eq!(failure(&client, "http://good.example/").await, Failure::Timeout);
}

#[tokio::test]
async fn bytes_are_capped_declared_or_not() {
    let (_server, _net, client) = one_server(patient(), |path| match path {
        "/exact" => ok(&"x".repeat(1000)),
        // The body never comes: the length alone decides.
        "/declared" => Reply::Hang(format!("{HEAD}Content-Length: 1001\r\n\r\n").into()),
        "/huge" => Reply::Hang(format!("{HEAD}Content-Length: 18446744073709551613\r\n\r\n").into()),
        "/chunked" => Reply::Endless(
            format!("{HEAD}Transfer-Encoding: chunked\r\n\r\n").into(),
            b"3\r\nabc\r\n".to_vec(),
            Duration::ZERO,
        ),
        _ => Reply::Endless(format!("{HEAD}\r\n").into(), vec![b'x'; 100], Duration::ZERO),
    })
    .await;
    assert_eq!(read(&client, "http://good.example/exact").await.unwrap().len(), 1000);
    let declared = read(&client, "http://good.example/declared").await.unwrap_err();
    assert_eq!(declared, FetchError::TooLarge { got: 1001, max: MAX_BYTES });
    assert_eq!(declared.to_string(), "File size too large. Got 1001. Maximum is 1000.");
    for path in ["huge", "chunked", "endless"] {
        let error = read(&client, &format!("http://good.example/{path}")).await.unwrap_err();
        assert!(matches!(error, FetchError::TooLarge { got, max: MAX_BYTES } if got > MAX_BYTES), "{path}: {error:?}");
    }
}

#[tokio::test]
async fn broken_answers_are_told_apart() {
    let (_server, _net, client) = one_server(patient(), |path| match path {
        "/short" => text(&format!("{HEAD}Content-Length: 100\r\n\r\nabc")),
        "/cut" => text(&format!("{HEAD}Transfer-Encoding: chunked\r\n\r\n64\r\nabc")),
        "/gzip" => text(&format!("{HEAD}Content-Encoding: gzip\r\nContent-Length: 3\r\n\r\n\u{1f}ab")),
        "/twice" => text(&format!("{HEAD}Content-Encoding: identity\r\nContent-Encoding: br\r\n\r\n")),
        "/long-header" => text(&format!("{HEAD}X: {}\r\n\r\n", "x".repeat(64 << 10))),
        "/many-headers" => text(&format!("{HEAD}{}\r\n", "X: y\r\n".repeat(200))),
        "/beyond" => text(&format!("{HEAD}Content-Length: 18446744073709551616\r\n\r\n")),
        "/lengths" => text(&format!("{HEAD}Content-Length: 1\r\nContent-Length: 2\r\n\r\nab")),
        "/garbage" => text("220 mail.example ESMTP\r\n\r\n"),
        "/partial" => text("HTTP/1.1 206 Partial Content\r\nContent-Length: 1\r\n\r\nx"),
        "/none" => text("HTTP/1.1 204 No Content\r\n\r\n"),
        "/secret" => text("HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n"),
        "/error" => text("HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\n\r\n"),
        _ => Reply::Send(Vec::new()),
    })
    .await;
    for (path, expected) in [
        ("short", Failure::Incomplete),
        ("cut", Failure::Incomplete),
        ("gzip", Failure::ContentEncoding),
        ("twice", Failure::ContentEncoding),
        ("long-header", Failure::Response),
        ("many-headers", Failure::Response),
        ("lengths", Failure::Response),
        ("beyond", Failure::Response),
        ("garbage", Failure::Response),
        ("partial", Failure::Status(206)),
        ("none", Failure::Status(204)),
        ("secret", Failure::Status(403)),
        ("error", Failure::Status(500)),
        ("closed", Failure::Response),
    ] {
        assert_eq!(failure(&client, &format!("http://good.example/{path}")).await, expected, "{path}");
    }
}

#[tokio::test]
async fn a_declared_length_that_is_too_small_cuts_the_rest() {
    let (_server, _net, client) =
        one_server(patient(), |_| text(&format!("{HEAD}Content-Length: 3\r\n\r\nabcHTTP/1.1 200 OK\r\n\r\n"))).await;
    assert_eq!(read(&client, "http://good.example/").await.unwrap(), b"abc");
}

#[tokio::test]
async fn reads_at_once_are_bounded_and_end_with_their_file() {
    let settings = FetchSettings { max_reads: 1, max_waiting: 0, ..patient() };
    let (_server, _net, client) = one_server(settings, |path| match path {
        "/held" => Reply::Hang(format!("{HEAD}Content-Length: 3\r\n\r\n").into()),
        "/moved" => redirect("/"),
        _ => ok("x"),
    })
    .await;
    assert_eq!(read(&client, "http://good.example/moved").await.unwrap(), b"x", "a hop gives its turn back");
    let held = client.get("http://good.example/held", MAX_BYTES, ContentTypes::Any).await.unwrap();
    assert_eq!(read(&client, "http://good.example/").await, Err(FetchError::Busy));
    drop(held);
    assert_eq!(read(&client, "http://good.example/").await.unwrap(), b"x");
}
