//! The client: one request, or a chain of redirects, under all ceilings.

use super::body::{BodyCeilings, Driver, RemoteFile, RemoteHead};
use super::connect::{Connector, Dialer, SystemDialer};
use super::error::{Failure, FetchError, SetupError};
use super::gate::{Admission, Full, Gate};
use super::policy::{ContentTypes, FetchSettings, Timeouts};
use super::resolve::{Resolver, SystemResolver};
use super::target::{Target, shown};
use bytes::Bytes;
use http_body_util::Full as FullBody;
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper::header::{
    ACCEPT, ACCEPT_ENCODING, AUTHORIZATION, CONNECTION, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, HOST,
    HeaderName, HeaderValue, LOCATION, USER_AGENT,
};
use hyper::{HeaderMap, Method, Request, Response, StatusCode, Uri};
use hyper_util::rt::TokioIo;
use std::fmt;
use std::future::Future;
use std::sync::Arc;
use tokio::time::{Instant, timeout_at};

/// Longest head of a response.
const MAX_HEAD_BYTES: usize = 32 << 10;
/// Most headers of a response.
const MAX_HEADERS: usize = 100;
/// Longest body of a POST.
const MAX_POST_BYTES: usize = 16 << 20;
const OWN_NAME: &str = concat!("Tintype/", env!("CARGO_PKG_VERSION"));

/// Reads and notifies remote addresses. Clones share their limits. It keeps no connections and no cookies.
#[derive(Clone)]
pub struct RemoteClient {
    parts: Arc<Parts>,
}

struct Parts {
    connector: Connector,
    gate: Gate,
    timeouts: Timeouts,
    max_redirects: usize,
}

/// One answer with all that keeps it alive.
struct Answer {
    response: Response<Incoming>,
    driver: Driver,
    admission: Admission,
}

/// What is sent.
struct Message {
    method: Method,
    headers: HeaderMap,
    body: Bytes,
}

impl RemoteClient {
    /// A client over the name service and the network of this machine.
    pub fn new(settings: FetchSettings) -> Result<Self, SetupError> {
        Self::over(settings, Arc::new(SystemResolver::default()), Arc::new(SystemDialer))
    }

    /// The same over a given name service and network.
    pub fn over(
        settings: FetchSettings,
        resolver: Arc<dyn Resolver>,
        dialer: Arc<dyn Dialer>,
    ) -> Result<Self, SetupError> {
        let FetchSettings { policy, timeouts, max_redirects, authorities_pem, .. } = &settings;
        let connector = Connector::new(policy.clone(), timeouts.connect, authorities_pem, resolver, dialer)?;
        let gate = Gate::new(settings.max_reads, settings.max_reads_per_host, settings.max_waiting);
        let parts = Parts { connector, gate, timeouts: *timeouts, max_redirects: *max_redirects };
        Ok(RemoteClient { parts: Arc::new(parts) })
    }

    /// Begins to read a file of at most `max_bytes`, following redirects. A declared length is checked before a byte of
    /// the body is read, and the bytes are counted all the same.
    pub async fn get(&self, address: &str, max_bytes: u64, types: ContentTypes) -> Result<RemoteFile, FetchError> {
        let deadline = Instant::now() + self.parts.timeouts.total;
        let (target, answer) = self.parts.follow(address, Method::GET, deadline).await?;
        let url = shown(address);
        let Answer { response, driver, admission } = answer;
        let head = read_head(&url, &target, &response)?;
        if !types.takes(head.content_type()) {
            return Err(FetchError::Failed { url, failure: Failure::ContentType });
        }
        if let Some(got) = head.content_length.filter(|length| *length > max_bytes) {
            return Err(FetchError::TooLarge { got, max: max_bytes });
        }
        let ceilings = BodyCeilings { max_bytes, idle: self.parts.timeouts.idle, deadline };
        Ok(RemoteFile::new(head, response.into_body(), ceilings, url, driver, admission))
    }

    /// Asks about a file without reading it, following redirects.
    pub async fn head(&self, address: &str) -> Result<RemoteHead, FetchError> {
        let deadline = Instant::now() + self.parts.timeouts.total;
        let (target, answer) = self.parts.follow(address, Method::HEAD, deadline).await?;
        read_head(&shown(address), &target, &answer.response)
    }

    /// Sends a small body and gives the status of the answer, whichever it is. Redirects are not followed: a notification
    /// goes where it was ordered, or fails.
    pub async fn post(
        &self,
        address: &str,
        headers: &[(&str, &str)],
        content_type: &str,
        body: Bytes,
    ) -> Result<u16, FetchError> {
        let url = shown(address);
        if body.len() > MAX_POST_BYTES {
            return Err(FetchError::TooLarge { got: body.len() as u64, max: MAX_POST_BYTES as u64 });
        }
        let target = Target::parse(address)?;
        let deadline = Instant::now() + self.parts.timeouts.total;
        let headers = own_headers(headers, content_type)
            .ok_or_else(|| FetchError::Failed { url: url.clone(), failure: Failure::Response })?;
        let message = Message { method: Method::POST, headers, body };
        let answer = self.parts.ask(&url, &target, &message, deadline).await?;
        Ok(answer.response.status().as_u16())
    }
}

impl fmt::Debug for RemoteClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RemoteClient").field("timeouts", &self.parts.timeouts).finish_non_exhaustive()
    }
}

impl Parts {
    /// The first answer that is no redirect, with the target that the caller named.
    async fn follow(&self, address: &str, method: Method, deadline: Instant) -> Result<(Target, Answer), FetchError> {
        let url = shown(address);
        let failed = |failure| FetchError::Failed { url: url.clone(), failure };
        let first = Target::parse(address)?;
        let mut target = first.clone();
        let message = Message { method, headers: HeaderMap::new(), body: Bytes::new() };
        for _ in 0..=self.max_redirects {
            let answer = self.ask(&url, &target, &message, deadline).await?;
            if !is_redirect(answer.response.status()) {
                return Ok((first, answer));
            }
            let location = answer.response.headers().get(LOCATION).ok_or_else(|| failed(Failure::Redirect))?;
            target = target.redirected(location.as_bytes()).map_err(failed)?;
        }
        Err(failed(Failure::Redirects))
    }

    /// One request at one host.
    async fn ask(
        &self,
        url: &str,
        target: &Target,
        message: &Message,
        deadline: Instant,
    ) -> Result<Answer, FetchError> {
        let failed = |failure| FetchError::Failed { url: url.to_owned(), failure };
        let request = request(target, message).ok_or_else(|| FetchError::Unsupported { url: url.to_owned() })?;
        let admission = match timeout_at(deadline, self.gate.enter(&target.host_name())).await {
            Ok(Ok(admission)) => admission,
            Ok(Err(Full)) | Err(_) => return Err(FetchError::Busy),
        };
        let connection = within(deadline, self.connector.connect(target)).await.map_err(failed)?;
        let handshake = http1::Builder::new()
            .max_buf_size(MAX_HEAD_BYTES)
            .max_headers(MAX_HEADERS)
            .handshake::<_, FullBody<Bytes>>(TokioIo::new(connection));
        let (mut sender, connection) = handshake.await.map_err(|_| failed(Failure::Response))?;
        let driver = Driver(tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "a remote connection ended");
            }
        }));
        let until = deadline.min(Instant::now() + self.timeouts.first_byte);
        let answer = async {
            sender.send_request(request).await.map_err(|error| {
                tracing::debug!(%error, "a remote answer cannot be read");
                Failure::Response
            })
        };
        let response = within(until, answer).await.map_err(failed)?;
        Ok(Answer { response, driver, admission })
    }
}

async fn within<T>(until: Instant, work: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    timeout_at(until, work).await.unwrap_or(Err(Failure::Timeout))
}

fn is_redirect(status: StatusCode) -> bool {
    matches!(status.as_u16(), 301 | 302 | 303 | 307 | 308)
}

/// Headers of the caller; those that steer the connection are not its to give.
fn own_headers(given: &[(&str, &str)], content_type: &str) -> Option<HeaderMap> {
    let mut headers = HeaderMap::new();
    for (name, value) in given {
        headers.append(HeaderName::from_bytes(name.as_bytes()).ok()?, HeaderValue::from_str(value).ok()?);
    }
    headers.insert(CONTENT_TYPE, HeaderValue::from_str(content_type).ok()?);
    Some(headers)
}

fn request(target: &Target, message: &Message) -> Option<Request<FullBody<Bytes>>> {
    let mut request = Request::new(FullBody::new(message.body.clone()));
    *request.method_mut() = message.method.clone();
    *request.uri_mut() = target.path_and_query().parse::<Uri>().ok()?;
    let headers = request.headers_mut();
    *headers = message.headers.clone();
    headers.insert(HOST, HeaderValue::from_str(target.authority()).ok()?);
    headers.insert(USER_AGENT, HeaderValue::from_static(OWN_NAME));
    headers.insert(ACCEPT, HeaderValue::from_static("image/*, */*;q=0.8"));
    // A packed body could unfold to any size: it is neither asked for nor taken.
    headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
    headers.insert(CONNECTION, HeaderValue::from_static("close"));
    if let Some(credentials) = target.basic_credentials() {
        let mut value = HeaderValue::from_str(&credentials).ok()?;
        value.set_sensitive(true);
        headers.insert(AUTHORIZATION, value);
    }
    Some(request)
}

/// Checks that an answer is a success in plain encoding.
fn read_head(url: &str, target: &Target, response: &Response<Incoming>) -> Result<RemoteHead, FetchError> {
    let failed = |failure| FetchError::Failed { url: url.to_owned(), failure };
    let status = response.status();
    match status.as_u16() {
        404 | 410 => return Err(FetchError::NotFound { url: url.to_owned() }),
        // A part of a file was not asked for, and nothing is no file.
        204..=206 => return Err(failed(Failure::Status(status.as_u16()))),
        200..=299 => {}
        other => return Err(failed(Failure::Status(other))),
    }
    let headers = response.headers();
    let plain = headers.get_all(CONTENT_ENCODING).iter().all(|value| {
        let value = value.as_bytes().trim_ascii();
        value.is_empty() || value.eq_ignore_ascii_case(b"identity")
    });
    if !plain {
        return Err(failed(Failure::ContentEncoding));
    }
    let length = headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.trim().parse().ok());
    Ok(RemoteHead {
        status: status.as_u16(),
        headers: headers.clone(),
        filename: target.filename(),
        content_length: length,
    })
}
