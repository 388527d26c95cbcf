//! One address, parsed once: the host that is vetted is the host that is asked.

use super::error::{Failure, FetchError};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use percent_encoding::percent_decode_str;
use url::{Host, Position, Url};

/// Longest address that is taken.
const MAX_URL_BYTES: usize = 8192;
/// Longest address that is shown in an error.
const MAX_SHOWN_CHARS: usize = 300;

/// An http or https address in its normal form: odd spellings of IPv4 are addresses by now, names are in ASCII.
#[derive(Debug, Clone)]
pub(super) struct Target {
    url: Url,
}

/// The address as errors show it: short, without name and password.
pub(super) fn shown(address: &str) -> String {
    let text = match Url::parse(address) {
        Ok(mut url) if url.has_authority() && (!url.username().is_empty() || url.password().is_some()) => {
            let _ = url.set_username("");
            let _ = url.set_password(None);
            url.to_string()
        }
        Ok(_) => address.to_owned(),
        // What is no address may still hold a password before an at sign.
        Err(_) => match address.rsplit_once('@') {
            Some((_, rest)) => format!("…@{rest}"),
            None => address.to_owned(),
        },
    };
    text.chars().filter(|character| !character.is_control()).take(MAX_SHOWN_CHARS).collect()
}

impl Target {
    pub(super) fn parse(address: &str) -> Result<Target, FetchError> {
        let unsupported = || FetchError::Unsupported { url: shown(address) };
        // Parsers disagree about control characters: an address with one is refused, not mended.
        if address.len() > MAX_URL_BYTES || address.chars().any(char::is_control) {
            return Err(unsupported());
        }
        Url::parse(address).ok().and_then(Self::checked).ok_or_else(unsupported)
    }

    fn checked(mut url: Url) -> Option<Target> {
        if !matches!(url.scheme(), "http" | "https")
            || url.host_str().is_none_or(str::is_empty)
            || url.port() == Some(0)
        {
            return None;
        }
        url.set_fragment(None);
        Some(Target { url })
    }

    /// Where a redirect leads. A step from https down to http is refused: whoever asked for https must not be given bytes
    /// that anybody on the way could have changed.
    pub(super) fn redirected(&self, location: &[u8]) -> Result<Target, Failure> {
        let location = std::str::from_utf8(location).map_err(|_| Failure::Redirect)?;
        if location.len() > MAX_URL_BYTES || location.chars().any(char::is_control) {
            return Err(Failure::Redirect);
        }
        let mut url = self.url.join(location).map_err(|_| Failure::Redirect)?;
        // A relative redirect inherits the credentials; an absolute one to the same origin gets them again. Elsewhere
        // they never go, and a redirect cannot bring its own.
        let keep = url.origin() == self.url.origin();
        let (name, password) = if keep { (self.url.username(), self.url.password()) } else { ("", None) };
        if url.has_authority() {
            let _ = url.set_username(name);
            let _ = url.set_password(password);
        }
        let next = Self::checked(url).ok_or(Failure::Redirect)?;
        if self.is_https() && !next.is_https() { Err(Failure::Redirect) } else { Ok(next) }
    }

    pub(super) fn is_https(&self) -> bool {
        self.url.scheme() == "https"
    }

    pub(super) fn host(&self) -> Host<&str> {
        self.url.host().unwrap_or(Host::Domain(""))
    }

    /// The host as the rules know it: without the brackets of IPv6.
    pub(super) fn host_name(&self) -> String {
        match self.host() {
            Host::Domain(name) => name.to_owned(),
            Host::Ipv4(address) => address.to_string(),
            Host::Ipv6(address) => address.to_string(),
        }
    }

    pub(super) fn port(&self) -> u16 {
        self.url.port_or_known_default().unwrap_or(0)
    }

    /// Value of `Host`.
    pub(super) fn authority(&self) -> &str {
        &self.url[Position::BeforeHost..Position::AfterPort]
    }

    /// What stands in the request line.
    pub(super) fn path_and_query(&self) -> &str {
        &self.url[Position::BeforePath..Position::AfterQuery]
    }

    /// Value of `Authorization`, from the user part of the address.
    pub(super) fn basic_credentials(&self) -> Option<String> {
        let password = self.url.password();
        if self.url.username().is_empty() && password.is_none() {
            return None;
        }
        let mut text: Vec<u8> = percent_decode_str(self.url.username()).collect();
        text.push(b':');
        text.extend(percent_decode_str(password.unwrap_or_default()));
        Some(format!("Basic {}", STANDARD.encode(text)))
    }

    /// Last part of the path, decoded; empty when the path ends with a slash. It may hold any character.
    pub(super) fn filename(&self) -> String {
        let last = self.url.path().rsplit('/').next().unwrap_or_default();
        percent_decode_str(last).decode_utf8_lossy().into_owned()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn target(address: &str) -> Target {
        Target::parse(address).unwrap()
    }

    #[test]
    fn odd_spellings_become_addresses() {
        for address in [
            "http://127.0.0.1/",
            "http://127.1/",
            "http://0x7f.1/",
            "http://0x7f000001/",
            "http://017700000001/",
            "http://2130706433/",
            "http://0177.0.0.01/",
            "http:\\\\127.0.0.1\\",
            "http:127.0.0.1",
            "HTTP:///127.0.0.1",
            "http://１２７.0.0.1/",
            "http://127。0。0。1/",
            "http://%31%32%37.0.0.1/",
            "http://a@127.0.0.1/#@b.example",
        ] {
            assert_eq!(target(address).host_name(), "127.0.0.1", "{address}");
        }
        assert_eq!(target("http://[::ffff:127.0.0.1]/").host_name(), "::ffff:127.0.0.1");
        assert_eq!(target("http://BÜCHER.example/").host_name(), "xn--bcher-kva.example");
    }

    #[test]
    fn what_is_no_web_address_is_refused_without_its_password() {
        for address in [
            "ftp://a.example/x",
            "s3://bucket/key",
            "gs://bucket/key",
            "file:///etc/passwd",
            "gopher://a/",
            "http://",
            "x",
            "http://a.example:0/",
            "http://a.example:99999/",
            "http://a b/",
            "http://a.example/\r\nX: y",
            "http://1.2.3.4.5/",
            "http://[::1/",
            "javascript:alert(1)",
        ] {
            assert!(matches!(Target::parse(address), Err(FetchError::Unsupported { .. })), "{address}");
        }
        assert!(Target::parse(&format!("http://a.example/{}", "x".repeat(MAX_URL_BYTES))).is_err());
        for address in ["ftp://u:hunter2@a.example/x", "http://u:hunter2@a.example:0/", "http://u:hunter2@a b/"] {
            let text = Target::parse(address).unwrap_err().to_string();
            assert!(!text.contains("hunter2"), "{text}");
        }
        assert_eq!(shown("https://u:p@a.example/x?y#z"), "https://a.example/x?y#z");
    }

    #[test]
    fn parts_of_a_request() {
        let target = target("https://us%40er:p%3Ass@A.example:8443/a%20b/c%C3%A4t.jpg?x=1|2#frag");
        assert_eq!((target.authority(), target.port()), ("a.example:8443", 8443));
        assert_eq!(target.path_and_query(), "/a%20b/c%C3%A4t.jpg?x=1|2");
        assert_eq!(target.filename(), "cät.jpg");
        let credentials = STANDARD.encode("us@er:p:ss");
        assert_eq!(target.basic_credentials(), Some(format!("Basic {credentials}")));
        assert_eq!(super::Target::parse("http://a.example:80").unwrap().authority(), "a.example");
        assert_eq!(super::Target::parse("http://a.example/b/").unwrap().filename(), "");
    }

    #[test]
    fn redirects_keep_credentials_at_home_and_never_leave_https() {
        let start = target("https://u:p@a.example/x/y");
        let next = start.redirected(b"../z?q#f").unwrap();
        assert_eq!((next.path_and_query(), next.basic_credentials().is_some()), ("/z?q", true));
        assert!(start.redirected(b"https://a.example/z").unwrap().basic_credentials().is_some());
        for elsewhere in ["https://b.example/", "https://a.example:8443/", "//b.example/", "https://x:y@b.example/"] {
            let next = start.redirected(elsewhere.as_bytes()).unwrap();
            assert!(next.basic_credentials().is_none(), "{elsewhere}");
        }
        for bad in ["http://a.example/", "ftp://a.example/", "file:///etc/passwd", "http://", "https://a:0/"] {
            assert_eq!(start.redirected(bad.as_bytes()).unwrap_err(), Failure::Redirect, "{bad}");
        }
        assert_eq!(start.redirected(b"/\xff").unwrap_err(), Failure::Redirect);
        assert!(target("http://a.example/").redirected(b"https://a.example/").is_ok());
    }
}
