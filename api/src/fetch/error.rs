//! Why a remote address could not be read, in the words that clients of Cloudinary know.

/// Why the client cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    #[error("the certificates of further authorities are not valid: {0}")]
    Authorities(String),
    #[error("TLS cannot be set up: {0}")]
    Tls(String),
}

/// Why a remote address was not read. `url` is the address that the caller gave, without a password, never one that a
/// redirect or a name led to: the texts go to clients.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FetchError {
    #[error("Resource not found - {url}")]
    NotFound { url: String },
    #[error("Error in loading {url} - {failure}")]
    Failed { url: String, failure: Failure },
    #[error("File size too large. Got {got}. Maximum is {max}.")]
    TooLarge { got: u64, max: u64 },
    /// The address is none that this client reads: another scheme, or no address at all.
    #[error("Unsupported source URL: {url}")]
    Unsupported { url: String },
    /// Too many other addresses are being read, in all or at this host.
    #[error("too many remote addresses are being read, try again later")]
    Busy,
}

/// What went wrong on the way.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// An answer that is no success, with the standard text of its status.
    #[error("{}", status_text(*.0))]
    Status(u16),
    /// Refused by policy, unknown to the name service, or nobody answers there. One text for all of these, so that nobody
    /// learns from it which addresses and ports exist behind this server.
    #[error("the address cannot be reached")]
    Unreachable,
    #[error("timeout")]
    Timeout,
    #[error("TLS handshake failed")]
    Tls,
    #[error("too many redirects")]
    Redirects,
    /// A redirect without a usable address, or from https to http.
    #[error("invalid redirect")]
    Redirect,
    #[error("invalid response")]
    Response,
    #[error("the response ended early")]
    Incomplete,
    #[error("unsupported content encoding")]
    ContentEncoding,
    #[error("unsupported content type")]
    ContentType,
}

fn status_text(status: u16) -> String {
    match hyper::StatusCode::from_u16(status).ok().and_then(|status| status.canonical_reason()) {
        Some(reason) => format!("{status} {reason}"),
        None => status.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_those_that_clients_know() {
        let url = || "http://a.example/cat.jpg".to_owned();
        let failed = |failure| FetchError::Failed { url: url(), failure }.to_string();
        assert_eq!(failed(Failure::Status(403)), "Error in loading http://a.example/cat.jpg - 403 Forbidden");
        assert_eq!(failed(Failure::Status(599)), "Error in loading http://a.example/cat.jpg - 599");
        assert_eq!(failed(Failure::Timeout), "Error in loading http://a.example/cat.jpg - timeout");
        assert_eq!(FetchError::NotFound { url: url() }.to_string(), "Resource not found - http://a.example/cat.jpg");
        assert_eq!(
            FetchError::TooLarge { got: 11, max: 10 }.to_string(),
            "File size too large. Got 11. Maximum is 10."
        );
    }
}
