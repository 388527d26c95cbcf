//! The `Authorization` header.

use base64::Engine;
use base64::engine::GeneralPurpose;
use base64::engine::general_purpose::{GeneralPurposeConfig, STANDARD};
use base64::{alphabet, engine::DecodePaddingMode};
use std::fmt;

/// Clients disagree about padding.
const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// Longest header value that is looked at.
const MAX_HEADER_BYTES: usize = 4096;

/// What an `Authorization` header says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Authorization {
    /// `Basic base64(key:secret)`
    Basic(BasicCredentials),
    /// `Bearer token`: an OAuth token, of which this server issues none.
    Bearer,
}

/// An API key with the secret that the caller claims for it.
#[derive(Clone, PartialEq, Eq)]
pub struct BasicCredentials {
    pub api_key: String,
    pub api_secret: String,
}

impl fmt::Debug for BasicCredentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BasicCredentials").field("api_key", &self.api_key).field("api_secret", &"***").finish()
    }
}

/// The header that proves a key pair: for calls that the server makes to its own services.
pub fn basic_header(api_key: &str, api_secret: &str) -> String {
    format!("Basic {}", STANDARD.encode(format!("{api_key}:{api_secret}")))
}

/// Why an `Authorization` header cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AuthorizationError {
    #[error("unknown authorization scheme")]
    UnknownScheme,
    #[error("malformed basic credentials")]
    Malformed,
}

/// Reads the value of an `Authorization` header. Scheme names are case-insensitive.
pub fn parse_authorization(value: &str) -> Result<Authorization, AuthorizationError> {
    if value.len() > MAX_HEADER_BYTES {
        return Err(AuthorizationError::Malformed);
    }
    let (scheme, rest) = value.trim().split_once(' ').ok_or(AuthorizationError::UnknownScheme)?;
    if scheme.eq_ignore_ascii_case("bearer") {
        return Ok(Authorization::Bearer);
    }
    if !scheme.eq_ignore_ascii_case("basic") {
        return Err(AuthorizationError::UnknownScheme);
    }
    let decoded = LENIENT.decode(rest.trim()).map_err(|_| AuthorizationError::Malformed)?;
    let text = String::from_utf8(decoded).map_err(|_| AuthorizationError::Malformed)?;
    let (api_key, api_secret) = text.split_once(':').ok_or(AuthorizationError::Malformed)?;
    if api_key.is_empty() {
        return Err(AuthorizationError::Malformed);
    }
    Ok(Authorization::Basic(BasicCredentials { api_key: api_key.to_owned(), api_secret: api_secret.to_owned() }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn basic(api_key: &str, api_secret: &str) -> Result<Authorization, AuthorizationError> {
        Ok(Authorization::Basic(BasicCredentials { api_key: api_key.into(), api_secret: api_secret.into() }))
    }

    #[test]
    fn credentials_are_read_with_any_case_and_padding() {
        assert_eq!(parse_authorization("Basic a2V5OnNlY3JldA=="), basic("key", "secret"));
        assert_eq!(parse_authorization("basic a2V5OnNlY3JldA"), basic("key", "secret"));
        assert_eq!(parse_authorization("BASIC a2V5OmE6Yg=="), basic("key", "a:b"));
        assert_eq!(parse_authorization("Bearer abc"), Ok(Authorization::Bearer));
    }

    #[test]
    fn nonsense_is_refused() {
        for value in ["", "Basic", "Basic ", "Basic %%%", "Basic a2V5", "Basic OnNlY3JldA==", "Basic //8="] {
            assert!(parse_authorization(value).is_err(), "{value}");
        }
        assert_eq!(parse_authorization("Digest a=b"), Err(AuthorizationError::UnknownScheme));
        assert_eq!(
            parse_authorization(&format!("Basic {}", "a".repeat(MAX_HEADER_BYTES))),
            Err(AuthorizationError::Malformed)
        );
    }

    #[test]
    fn a_secret_is_not_printed() {
        let text = format!("{:?}", parse_authorization("Basic a2V5OnNlY3JldA=="));
        assert!(text.contains("key") && !text.contains("secret\""), "{text}");
    }
}
