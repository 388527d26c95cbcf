//! Auth tokens of delivery (api.md 2.8): who brings one may see what its `acl` or its address says, for a while.

use hmac::{Hmac, Mac};
use percent_encoding::{AsciiSet, CONTROLS, percent_decode_str, utf8_percent_encode};
use sha2::Sha256;

/// Name of the query parameter and of the cookie.
pub const TOKEN_NAME: &str = "__cld_token__";

/// Longest token that is looked at.
const MAX_BYTES: usize = 4096;

/// What SDKs escape in an address or a list of patterns.
const UNSAFE: &AsciiSet = &CONTROLS
    .add(b' ')
    .add(b'"')
    .add(b'#')
    .add(b'%')
    .add(b'&')
    .add(b'\'')
    .add(b'/')
    .add(b':')
    .add(b';')
    .add(b'<')
    .add(b'=')
    .add(b'>')
    .add(b'?')
    .add(b'@')
    .add(b'[')
    .add(b'\\')
    .add(b']')
    .add(b'^')
    .add(b'`')
    .add(b'{')
    .add(b'|')
    .add(b'}')
    .add(b'~');

/// The token of a request, from its query or its cookies.
pub fn find<'a>(query: Option<&'a str>, cookie: Option<&'a str>) -> Option<&'a str> {
    let named = |part: &'a str| part.trim().strip_prefix(TOKEN_NAME)?.strip_prefix('=');
    let in_query = query.and_then(|query| query.split('&').find_map(named));
    in_query.or_else(|| cookie.and_then(|cookie| cookie.split(';').find_map(named)))
}

/// Whether a token made with `key` opens `path`, as received with its cloud, at a point in time.
///
/// A token that is bound to an address of a client is refused where that address is not known.
pub fn opens(token: &str, key: &[u8], path: &str, client: Option<&str>, now_s: i64) -> bool {
    if token.len() > MAX_BYTES {
        return false;
    }
    // Browsers and SDKs escape tokens within queries or leave them as they are; `%2f` of the list has to stay then.
    verify(token, key, path, client, now_s)
        || percent_decode_str(token).decode_utf8().is_ok_and(|token| verify(&token, key, path, client, now_s))
}

fn verify(token: &str, key: &[u8], path: &str, client: Option<&str>, now_s: i64) -> bool {
    let Some((signed, given)) = token.rsplit_once("~hmac=") else { return false };
    let Ok(given) = hex::decode(given) else { return false };
    let (mut end, mut acl) = (None, None);
    for part in signed.split('~') {
        let holds = match part.split_once('=') {
            Some(("exp", text)) => {
                end = text.parse::<i64>().ok();
                end.is_some()
            }
            Some(("st", text)) => text.parse::<i64>().is_ok_and(|start| start <= now_s),
            Some(("ip", text)) => client == Some(text),
            Some(("acl", text)) => {
                acl = Some(text);
                true
            }
            _ => false,
        };
        if !holds {
            return false;
        }
    }
    let escaped = escape(path);
    let message = match acl {
        Some(_) => signed.to_owned(),
        None => format!("{signed}~url={escaped}"),
    };
    // Patterns may leave out the cloud, which private host names do not spell.
    let without_cloud = path.trim_start_matches('/').split_once('/').map(|(_, rest)| escape(&format!("/{rest}")));
    let covered = acl.is_none_or(|acl| {
        acl.split('!').any(|pattern| {
            matches(pattern, &escaped) || without_cloud.as_deref().is_some_and(|path| matches(pattern, path))
        })
    });
    is_signed(key, &message, &given) && covered && end.is_some_and(|end| now_s < end)
}

/// Whether a sum is the HMAC-SHA256 of a message; both are compared in a time that does not depend on them.
fn is_signed(key: &[u8], message: &str, given: &[u8]) -> bool {
    // HMAC takes keys of any length.
    Hmac::<Sha256>::new_from_slice(key).is_ok_and(|hmac| hmac.chain_update(message).verify_slice(given).is_ok())
}

fn escape(text: &str) -> String {
    // The escapes are in lower case; the text has none of its own, because `%` is escaped too.
    let mut escaped = String::with_capacity(text.len());
    for piece in utf8_percent_encode(text, UNSAFE) {
        if piece.starts_with('%') {
            escaped.push_str(&piece.to_ascii_lowercase());
        } else {
            escaped.push_str(piece);
        }
    }
    escaped
}

/// Whether a pattern with `*` for any text covers all of a text.
fn matches(pattern: &str, text: &str) -> bool {
    let mut pieces = pattern.split('*');
    let Some(mut rest) = pieces.next().and_then(|first| text.strip_prefix(first)) else { return false };
    let mut pieces: Vec<&str> = pieces.collect();
    let Some(last) = pieces.pop() else { return rest.is_empty() };
    for piece in pieces {
        match rest.find(piece) {
            Some(at) => rest = &rest[at + piece.len()..],
            None => return false,
        }
    }
    rest.ends_with(last)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const KEY: &[u8] = &[0x00, 0x11, 0x22, 0x33, 0xff, 0x99];
    const ACL: &str = "st=1700000000~exp=1700000300~acl=%2fimage%2fauthenticated%2f*~hmac=203a69078e32f204aeae80b2a6a9cee393bab78abf0c127b464fdbe3367e67b1";
    const URL: &str =
        "st=1700000000~exp=1700000300~hmac=eb151d9ae7292342d4fc41b5477d0bb5f15514b4d6ba6cb446e9ffb3d1b8d650";
    const PATH: &str = "/demo/image/authenticated/v1/cat.jpg";

    #[test]
    fn tokens_of_the_sdk_open_what_they_say() {
        let opens = |token: &str, path: &str, now: i64| opens(token, KEY, path, None, now);
        for token in [ACL, URL] {
            assert!(opens(token, PATH, 1_700_000_000) && opens(token, PATH, 1_700_000_299));
            assert!(!opens(token, PATH, 1_699_999_999) && !opens(token, PATH, 1_700_000_300));
            assert!(!super::opens(token, b"other", PATH, None, 1_700_000_001));
        }
        assert!(opens(ACL, "/demo/image/authenticated/v1/dog.jpg", 1_700_000_001));
        assert!(!opens(URL, "/demo/image/authenticated/v1/dog.jpg", 1_700_000_001));
        assert!(!opens(ACL, "/demo/image/upload/v1/cat.jpg", 1_700_000_001));
        assert!(opens(&ACL.replace('%', "%25"), PATH, 1_700_000_001));
        let longer = ACL.replace("exp=1700000300", "exp=1800000300");
        assert!(!opens(&longer, PATH, 1_700_000_001));
        for odd in ["", "hmac=00", "exp=1~hmac=", "exp=x~hmac=00", "~~~", "exp=9999999999~odd=1~hmac=00"] {
            assert!(!opens(odd, PATH, 1), "{odd}");
        }
    }

    #[test]
    fn a_bound_token_needs_its_client() {
        let signed = "ip=1.2.3.4~exp=100~acl=*";
        let token = format!(
            "{signed}~hmac={}",
            hex::encode(Hmac::<Sha256>::new_from_slice(KEY).unwrap().chain_update(signed).finalize().into_bytes())
        );
        assert!(opens(&token, KEY, PATH, Some("1.2.3.4"), 1));
        assert!(!opens(&token, KEY, PATH, Some("1.2.3.5"), 1) && !opens(&token, KEY, PATH, None, 1));
    }

    #[test]
    fn patterns_have_stars() {
        for (pattern, text, expected) in
            [("*", "x", true), ("a*c", "abc", true), ("a*c", "ab", false), ("ab", "abc", false), ("a*a", "a", false)]
        {
            assert_eq!(matches(pattern, text), expected, "{pattern} {text}");
        }
    }

    #[test]
    fn tokens_are_found_in_queries_and_cookies() {
        assert_eq!(find(Some("a=1&__cld_token__=exp=1~hmac=2&_a=x"), None), Some("exp=1~hmac=2"));
        assert_eq!(find(None, Some("a=b; __cld_token__=t; c=d")), Some("t"));
        assert_eq!(find(Some("a=1"), Some("x=y")), None);
    }
}
