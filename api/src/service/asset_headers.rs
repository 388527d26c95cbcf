//! Headers that an asset's owner adds to its deliveries (`headers` of upload, explicit and update; api.md 3.1).

use crate::domain::Asset;

/// The headers that may be added. Any other could change what the answer means or who may read it.
const ALLOWED: &[&str] = &["Link", "X-Robots-Tag"];
/// Longest value, in bytes.
const MAX_VALUE_BYTES: usize = 2048;
/// Most lines.
const MAX_LINES: usize = 20;

/// Reads lines of `Name: value`. The error is the line that cannot be used.
pub fn parse(text: &str) -> Result<Vec<(&'static str, String)>, String> {
    let mut headers = Vec::new();
    for line in text.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let known = line.split_once(':').and_then(|(name, value)| {
            let name = ALLOWED.iter().find(|allowed| allowed.eq_ignore_ascii_case(name.trim()))?;
            Some((*name, value.trim()))
        });
        let usable = |value: &str| {
            !value.is_empty() && value.len() <= MAX_VALUE_BYTES && value.bytes().all(|byte| matches!(byte, b' '..=b'~'))
        };
        match known {
            Some((name, value)) if usable(value) && headers.len() < MAX_LINES => headers.push((name, value.to_owned())),
            _ => return Err(line.to_owned()),
        }
    }
    Ok(headers)
}

/// What deliveries of an asset add.
pub fn of(asset: &Asset) -> Vec<(&'static str, String)> {
    // They were checked when they were stored.
    parse(&asset.details.headers).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn lines_are_headers_of_a_few_names() {
        let expected = vec![("X-Robots-Tag", "noindex, nofollow".to_owned()), ("Link", "<a:b>; rel=c".to_owned())];
        assert_eq!(parse("X-Robots-Tag: noindex, nofollow\nlink:<a:b>; rel=c\n").unwrap(), expected);
        assert_eq!(parse("").unwrap(), vec![]);
        for line in ["Set-Cookie: a=b", "Link", "Link:", "Link: a\u{1}b", "Content-Type: text/html", "Link: ä"] {
            assert_eq!(parse(line).unwrap_err(), line, "{line}");
        }
        assert!(parse(&"Link: a\n".repeat(MAX_LINES)).is_ok());
        assert!(parse(&"Link: a\n".repeat(MAX_LINES + 1)).is_err());
    }
}
