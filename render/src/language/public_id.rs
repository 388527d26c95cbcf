//! What may be the public id of an asset.

/// Longest public id in characters.
pub const MAX_PUBLIC_ID_CHARS: usize = 255;

/// Why a text is no public id. The texts are those of Cloudinary's answers.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PublicIdError {
    #[error("public_id ({0}) is too long")]
    TooLong(String),
    #[error("public_id ({0}) is invalid")]
    Invalid(String),
}

/// Checks a public id as uploads and addresses carry it, after percent-decoding.
///
/// Refused: nothing at all, more than 255 characters, control characters, any of `? & # \ % < > +`, a blank or slash at
/// either end, and path segments that are empty, `.` or `..`.
pub fn validate_public_id(id: &str) -> Result<(), PublicIdError> {
    if id.chars().count() > MAX_PUBLIC_ID_CHARS {
        return Err(PublicIdError::TooLong(excerpt(id)));
    }
    let forbidden = |c: char| c.is_control() || "?&#\\%<>+".contains(c);
    let blank = id.starts_with(' ') || id.ends_with(' ');
    if blank || id.contains(forbidden) || id.split('/').any(|segment| matches!(segment, "" | "." | "..")) {
        return Err(PublicIdError::Invalid(excerpt(id)));
    }
    Ok(())
}

/// Text of a client as it may stand in a message: bounded, without control characters.
pub(super) fn excerpt(text: &str) -> String {
    const MAX_CHARS: usize = 80;
    let mut out: String = text.chars().take(MAX_CHARS).map(|c| if c.is_control() { '?' } else { c }).collect();
    if text.chars().nth(MAX_CHARS).is_some() {
        out.push_str("...");
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_below_passes_and_one_above_fails() {
        assert_eq!(validate_public_id(&"ü".repeat(255)), Ok(()));
        assert!(matches!(validate_public_id(&"a".repeat(256)), Err(PublicIdError::TooLong(_))));
    }

    #[test]
    fn awkward_ids() {
        for good in ["a", "üni_näme_lögö", "folder/a b,c.d", "x(1)", "a..b", "...", "a=b;c@d!"] {
            assert_eq!(validate_public_id(good), Ok(()), "{good}");
        }
        for bad in [
            "", " a", "a ", "/a", "a/", "a//b", "..", "a/../b", "./a", "a\\b", "a%b", "a\nb", "a\0", "a?b", "<a>",
            "a+b",
        ] {
            assert!(matches!(validate_public_id(bad), Err(PublicIdError::Invalid(_))), "{bad:?}");
        }
    }
}
