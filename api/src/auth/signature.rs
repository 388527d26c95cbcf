//! Signatures of upload parameters, of upload answers and of delivery addresses.
//!
//! All of them are a plain hash of `text ++ api_secret`, not an HMAC. Sources: api.md 2.2, 2.3 and 2.8,
//! transformations.md 1.7.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha1::{Digest, Sha1};
use sha2::Sha256;
use std::borrow::Cow;
use std::collections::BTreeMap;
use subtle::ConstantTimeEq;
use time::OffsetDateTime;
use time::macros::format_description;

/// How long a signed request may travel.
pub const MAX_AGE_S: i64 = 3600;
/// How far a client's clock may be ahead of ours.
pub const MAX_FUTURE_SKEW_S: i64 = 900;

/// Parameters that are never signed.
const UNSIGNED: [&str; 5] = ["file", "cloud_name", "resource_type", "api_key", "signature"];

/// Why a signed request is refused. The text goes to the client: it is what SDK users debug with.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SignatureError {
    #[error("Invalid Signature {received}. String to sign - '{string_to_sign}'.")]
    Mismatch { received: String, string_to_sign: String },
    #[error("Missing required parameter - timestamp")]
    MissingTimestamp,
    #[error("Invalid value {0} for parameter timestamp")]
    MalformedTimestamp(String),
    #[error("Stale request - reported time is {} which is more than 1 hour ago", format_time(*.0))]
    Stale(i64),
    #[error("Invalid timestamp - reported time is {} which is in the future", format_time(*.0))]
    Future(i64),
}

impl SignatureError {
    /// True when the caller failed to prove who it is; the other cases are malformed or late requests.
    pub fn is_unauthorized(&self) -> bool {
        matches!(self, SignatureError::Mismatch { .. })
    }
}

/// Hash of a signature.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Algorithm {
    Sha1,
    Sha256,
}

impl Algorithm {
    fn digest(self, text: &str, secret: &str) -> Vec<u8> {
        match self {
            Algorithm::Sha1 => Sha1::new().chain_update(text).chain_update(secret).finalize().to_vec(),
            Algorithm::Sha256 => Sha256::new().chain_update(text).chain_update(secret).finalize().to_vec(),
        }
    }
}

/// Version of the rules for signing parameters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Version {
    /// Values as they are. An `&` in a value can smuggle in a parameter, so it can be switched off.
    V1,
    /// `&` in names and values written as `%26`.
    V2,
}

/// Which of the signatures in use are accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SignaturePolicy {
    pub accept_v1: bool,
}

impl Default for SignaturePolicy {
    fn default() -> Self {
        SignaturePolicy { accept_v1: true }
    }
}

/// Constant time in the bytes; the lengths are public.
pub fn equal(a: &str, b: &str) -> bool {
    a.as_bytes().ct_eq(b.as_bytes()).into()
}

/// The text whose hash is the signature: parameters without `[]`, sorted, empty ones left out, joined with `&`.
///
/// Repeated names are one list, joined with commas in the order received.
pub fn string_to_sign<'a>(params: impl IntoIterator<Item = (&'a str, &'a str)>, version: Version) -> String {
    let mut lists: BTreeMap<&str, String> = BTreeMap::new();
    for (name, value) in params {
        let name = list_name(name);
        if UNSIGNED.contains(&name) || value.is_empty() {
            continue;
        }
        let list = lists.entry(name).or_default();
        if !list.is_empty() {
            list.push(',');
        }
        list.push_str(value);
    }
    let pairs: Vec<String> = lists
        .into_iter()
        .map(|(name, value)| {
            let pair = format!("{name}={value}");
            match version {
                Version::V1 => pair,
                Version::V2 => pair.replace('&', "%26"),
            }
        })
        .collect();
    pairs.join("&")
}

/// `tags[]` and `tags[3]` are elements of the list `tags`.
pub fn list_name(name: &str) -> &str {
    match name.strip_suffix(']').and_then(|rest| rest.rsplit_once('[')) {
        Some((list, index)) if !list.is_empty() && index.bytes().all(|byte| byte.is_ascii_digit()) => list,
        _ => name,
    }
}

/// Hexadecimal signature of parameters, as SDKs send it.
pub fn sign_params<'a>(
    params: impl IntoIterator<Item = (&'a str, &'a str)>,
    secret: &str,
    version: Version,
    algorithm: Algorithm,
) -> String {
    hex::encode(algorithm.digest(&string_to_sign(params, version), secret))
}

/// Checks the signature of an upload call over all parameters that were received.
///
/// A client may also send parameters that it did not sign and that this server does not know: the signature over the
/// known ones alone is accepted too, because unknown ones have no effect. The digest's length tells the hash.
pub fn verify_params(
    params: &[(String, String)],
    is_known: impl Fn(&str) -> bool,
    signature: &str,
    secret: &str,
    policy: SignaturePolicy,
) -> Result<(), SignatureError> {
    let received = || params.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    let expected = string_to_sign(received(), Version::V2);
    let algorithm = match signature.len() {
        40 => Some(Algorithm::Sha1),
        64 => Some(Algorithm::Sha256),
        _ => None,
    };
    if let Some(algorithm) = algorithm {
        let signature = signature.to_ascii_lowercase();
        let versions: &[Version] = if policy.accept_v1 { &[Version::V2, Version::V1] } else { &[Version::V2] };
        for version in versions {
            let all = string_to_sign(received(), *version);
            let known = string_to_sign(received().filter(|(name, _)| is_known(list_name(name))), *version);
            for text in [all, known] {
                if equal(&hex::encode(algorithm.digest(&text, secret)), &signature) {
                    return Ok(());
                }
            }
        }
    }
    Err(SignatureError::Mismatch { received: signature.to_owned(), string_to_sign: expected })
}

/// Checks that a signed request is not older than an hour, nor from a clock that is far ahead.
///
/// `now_s` is in Unix seconds.
pub fn verify_timestamp(timestamp: Option<&str>, now_s: i64) -> Result<(), SignatureError> {
    let text = timestamp.map(str::trim).filter(|text| !text.is_empty()).ok_or(SignatureError::MissingTimestamp)?;
    let reported = text
        .parse::<i64>()
        .ok()
        .filter(|seconds| (0..=253_402_300_799).contains(seconds))
        .ok_or_else(|| SignatureError::MalformedTimestamp(text.chars().take(40).collect()))?;
    if reported < now_s.saturating_sub(MAX_AGE_S) {
        return Err(SignatureError::Stale(reported));
    }
    if reported > now_s.saturating_add(MAX_FUTURE_SKEW_S) {
        return Err(SignatureError::Future(reported));
    }
    Ok(())
}

fn format_time(seconds: i64) -> Cow<'static, str> {
    let format = format_description!("[year]-[month]-[day] [hour]:[minute]:[second] +0000");
    OffsetDateTime::from_unix_timestamp(seconds)
        .ok()
        .and_then(|time| time.format(&format).ok())
        .map_or(Cow::Borrowed("out of range"), Cow::Owned)
}

/// `signature` of an upload answer: always by the rules of version 1, so that SDKs can verify it.
pub fn sign_response(public_id: &str, version: i64, secret: &str, algorithm: Algorithm) -> String {
    hex::encode(algorithm.digest(&format!("public_id={public_id}&version={version}"), secret))
}

/// The three forms of a delivery signature, without `s--` and `--`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UrlSignature {
    /// 8 characters of SHA-1.
    Sha1,
    /// 8 characters of SHA-256.
    Sha256,
    /// 32 characters of SHA-256.
    Long,
}

/// Signature of the text `transformation/source` as it stands in a delivery address.
pub fn sign_url(to_sign: &str, secret: &str, form: UrlSignature) -> String {
    let (algorithm, length) = match form {
        UrlSignature::Sha1 => (Algorithm::Sha1, 8),
        UrlSignature::Sha256 => (Algorithm::Sha256, 8),
        UrlSignature::Long => (Algorithm::Sha256, 32),
    };
    let mut text = URL_SAFE_NO_PAD.encode(algorithm.digest(to_sign, secret));
    text.truncate(length);
    text
}

/// Whether `signature` fits any candidate text under any of the secrets. Every combination is compared, so that the
/// time says nothing about which of them came close.
pub fn verify_url<'a>(
    candidates: &[String],
    signature: &str,
    secrets: impl IntoIterator<Item = &'a str> + Clone,
) -> bool {
    let forms: &[UrlSignature] = match signature.len() {
        8 => &[UrlSignature::Sha1, UrlSignature::Sha256],
        32 => &[UrlSignature::Long],
        _ => return false,
    };
    let mut fits = false;
    for candidate in candidates {
        for secret in secrets.clone() {
            for form in forms {
                fits |= equal(&sign_url(candidate, secret, *form), signature);
            }
        }
    }
    fits
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &str = "s3cr3t";
    const VECTOR: [(&str, &str); 8] = [
        ("public_id", "cat/meow"),
        ("timestamp", "1700000000"),
        ("eager", "w_100,c_fill|w_20/png"),
        ("tags[]", "a"),
        ("tags[]", "b"),
        ("context", "alt=x&y"),
        ("api_key", "123"),
        ("folder", ""),
    ];

    fn owned(params: &[(&str, &str)]) -> Vec<(String, String)> {
        params.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    fn verify(params: &[(&str, &str)], signature: &str, policy: SignaturePolicy) -> Result<(), SignatureError> {
        verify_params(&owned(params), |name| name != "novelty", signature, SECRET, policy)
    }

    #[test]
    fn strings_to_sign_match_the_vectors() {
        assert_eq!(
            string_to_sign(VECTOR, Version::V1),
            "context=alt=x&y&eager=w_100,c_fill|w_20/png&public_id=cat/meow&tags=a,b&timestamp=1700000000"
        );
        assert_eq!(
            string_to_sign(VECTOR, Version::V2),
            "context=alt=x%26y&eager=w_100,c_fill|w_20/png&public_id=cat/meow&tags=a,b&timestamp=1700000000"
        );
    }

    #[test]
    fn parameter_signatures_match_the_vectors() {
        let cases = [
            (Version::V1, Algorithm::Sha1, "27138e6a344315e6c5e287eea405356fe8132fe2"),
            (Version::V1, Algorithm::Sha256, "086938674b6c096548f2c8c075a822f720442812095f03d113ca7bba8acb48a1"),
            (Version::V2, Algorithm::Sha1, "3a1f447e2f9c76c581c571daaf5d9b809f8014b8"),
            (Version::V2, Algorithm::Sha256, "158aef86ae404bf3ed1a92ffdbd02e098e1da1a02487ba7207c6ac102ebf5981"),
        ];
        for (version, algorithm, expected) in cases {
            assert_eq!(sign_params(VECTOR, SECRET, version, algorithm), expected);
            assert_eq!(verify(&VECTOR, expected, SignaturePolicy::default()), Ok(()), "{version:?} {algorithm:?}");
            let strict = verify(&VECTOR, expected, SignaturePolicy { accept_v1: false });
            assert_eq!(strict.is_ok(), version == Version::V2, "{version:?} {algorithm:?}");
        }
    }

    #[test]
    fn the_response_signature_matches_the_vector() {
        assert_eq!(
            sign_response("cat/meow", 1_700_000_001, SECRET, Algorithm::Sha1),
            "29319f99c10ea4763e13d44f1591f05b539b316c"
        );
    }

    #[test]
    fn url_signatures_match_the_vectors() {
        let cases = [
            ("c_fill,w_100/cat/meow.jpg", SECRET, UrlSignature::Sha1, "nWyMUGt9"),
            ("c_fill,w_100/cat/meow.jpg", SECRET, UrlSignature::Sha256, "McW07lKl"),
            ("c_fill,w_100/cat/meow.jpg", SECRET, UrlSignature::Long, "McW07lKlo8QXswpf6x-Y3cuBsNeYVZz6"),
            ("c_crop,h_20,w_10/image.jpg", "b", UrlSignature::Sha1, "Ai4Znfl3"),
            ("image.jpg", "b", UrlSignature::Sha1, "--SjmNDA"),
            ("http://google.com/path/to/image.png", "b", UrlSignature::Sha1, "hH_YcbiS"),
            ("co_red,l_text:Times_70_bold:Cool%25F0%259F%2598%258D/image.jpg", "b", UrlSignature::Sha1, "Uqk1a-5W"),
            ("sample.jpg", "b", UrlSignature::Sha1, "v2fTPYTu"),
            ("sample.jpg", "b", UrlSignature::Sha256, "2hbrSMPO"),
            ("sample.jpg", "b", UrlSignature::Long, "2hbrSMPOjj5BJ4xV7SgFbRDevFaQNUFf"),
        ];
        for (to_sign, secret, form, expected) in cases {
            assert_eq!(sign_url(to_sign, secret, form), expected, "{to_sign} {form:?}");
            let candidates = ["another".to_owned(), to_sign.to_owned()];
            assert!(verify_url(&candidates, expected, ["wrong", secret]));
            assert!(!verify_url(&candidates, expected, ["wrong"]));
            assert!(!verify_url(&candidates[..1], expected, [secret]));
            assert!(!verify_url(&candidates, &expected[..7], [secret]));
            let altered = format!("{}!", &expected[..expected.len() - 1]);
            assert!(!verify_url(&candidates, &altered, [secret]));
        }
        assert!(!verify_url(&[], "nWyMUGt9", [SECRET]));
    }

    #[test]
    fn a_changed_parameter_or_secret_breaks_the_signature() {
        let good = sign_params(VECTOR, SECRET, Version::V2, Algorithm::Sha1);
        let mut changed = VECTOR;
        changed[0].1 = "cat/bark";
        let error = verify(&changed, &good, SignaturePolicy::default()).expect_err("must be refused");
        assert!(error.is_unauthorized());
        assert_eq!(
            error.to_string(),
            format!(
                "Invalid Signature {good}. String to sign - 'context=alt=x%26y&eager=w_100,c_fill|w_20/png&public_id=cat/bark&tags=a,b&timestamp=1700000000'."
            )
        );
        assert!(!error.to_string().contains(SECRET));
        assert!(verify_params(&owned(&VECTOR), |_| true, &good, "other", SignaturePolicy::default()).is_err());
        for malformed in ["", "abc", "é", &"0".repeat(40), &"0".repeat(64), &good[..39]] {
            assert!(verify(&VECTOR, malformed, SignaturePolicy::default()).is_err(), "{malformed}");
        }
    }

    #[test]
    fn version_two_stops_a_smuggled_parameter() {
        let honest = [("public_id", "a&tags=b"), ("timestamp", "1")];
        let smuggled = [("public_id", "a"), ("tags", "b"), ("timestamp", "1")];
        let v2 = sign_params(honest, SECRET, Version::V2, Algorithm::Sha1);
        assert!(verify(&smuggled, &v2, SignaturePolicy { accept_v1: false }).is_err());
    }

    #[test]
    fn unknown_parameters_may_be_signed_or_not() {
        let with = [("public_id", "a"), ("novelty", "1"), ("timestamp", "1")];
        let without = [("public_id", "a"), ("timestamp", "1")];
        for signed in [&with[..], &without[..]] {
            let signature = sign_params(signed.iter().copied(), SECRET, Version::V2, Algorithm::Sha256);
            assert_eq!(verify(&with, &signature, SignaturePolicy::default()), Ok(()));
        }
        let unsigned_known = sign_params([("timestamp", "1")], SECRET, Version::V2, Algorithm::Sha1);
        assert!(verify(&with, &unsigned_known, SignaturePolicy::default()).is_err());
    }

    #[test]
    fn names_of_lists_lose_their_brackets_only() {
        assert_eq!(list_name("tags[]"), "tags");
        assert_eq!(list_name("tags[12]"), "tags");
        assert_eq!(list_name("tags[a]"), "tags[a]");
        assert_eq!(list_name("[]"), "[]");
        assert_eq!(list_name("tags"), "tags");
    }

    #[test]
    fn timestamps_have_a_window() {
        let now = 1_893_556_985 + MAX_AGE_S;
        assert_eq!(verify_timestamp(Some("1893556985"), now), Ok(()));
        assert_eq!(
            verify_timestamp(Some("1893556984"), now).map_err(|error| error.to_string()),
            Err("Stale request - reported time is 2030-01-02 04:03:04 +0000 which is more than 1 hour ago".to_owned())
        );
        assert_eq!(verify_timestamp(Some(&(now + MAX_FUTURE_SKEW_S).to_string()), now), Ok(()));
        assert!(matches!(
            verify_timestamp(Some(&(now + MAX_FUTURE_SKEW_S + 1).to_string()), now),
            Err(SignatureError::Future(_))
        ));
        assert_eq!(verify_timestamp(None, now), Err(SignatureError::MissingTimestamp));
        assert_eq!(verify_timestamp(Some(""), now), Err(SignatureError::MissingTimestamp));
        for text in ["soon", "-1", "1e9", "99999999999999999999", "253402300800"] {
            assert!(matches!(verify_timestamp(Some(text), now), Err(SignatureError::MalformedTimestamp(_))), "{text}");
        }
    }
}
