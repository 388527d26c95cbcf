//! Percent-encoding as the official SDKs use it: one safe set, and decoding that may be strict or lenient.

/// Decodes every `%XX` once. `None` when a sequence is malformed or the bytes are no UTF-8.
pub fn decode_strict(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        if *first == b'%' {
            bytes.push(hex_pair(tail)?);
            rest = &tail[2..];
        } else {
            bytes.push(*first);
            rest = tail;
        }
    }
    String::from_utf8(bytes).ok()
}

/// Decodes every well-formed `%XX` once and keeps malformed ones as they are. Text whose bytes would not be UTF-8 stays
/// untouched.
pub fn decode_lenient(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        match hex_pair(tail) {
            Some(byte) if *first == b'%' => {
                bytes.push(byte);
                rest = &tail[2..];
            }
            _ => {
                bytes.push(*first);
                rest = tail;
            }
        }
    }
    String::from_utf8(bytes).unwrap_or_else(|_| text.to_owned())
}

/// Escapes like the SDKs' `smart_escape`: everything outside `A-Za-z0-9_.-/:` becomes `%XX`.
pub fn encode(text: &str) -> String {
    encode_where(text, |byte| byte.is_ascii_alphanumeric() || b"_.-/:".contains(&byte))
}

/// Escapes only what cannot stand in the path of an address, so that text which is already escaped stays as it is.
pub fn encode_illegal(text: &str) -> String {
    encode_where(text, |byte| byte.is_ascii_graphic() && !b"\"<>\\^`{|}?#".contains(&byte))
}

/// Escapes every byte for which `keep` is false.
pub fn encode_where(text: &str, keep: impl Fn(u8) -> bool) -> String {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii() && keep(byte) {
            out.push(char::from(byte));
        } else {
            out.push('%');
            out.push(char::from(DIGITS[usize::from(byte >> 4)]));
            out.push(char::from(DIGITS[usize::from(byte & 15)]));
        }
    }
    out
}

/// Value of the two hexadecimal digits at the start of `bytes`.
pub fn hex_pair(bytes: &[u8]) -> Option<u8> {
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|value| u8::try_from(value).ok());
    match bytes {
        [high, low, ..] => Some(digit(*high)? << 4 | digit(*low)?),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn decoding_is_done_once() {
        assert_eq!(decode_strict("a%252Cb%20c").unwrap(), "a%2Cb c");
        assert_eq!(decode_strict("%F0%9F%98%8D").unwrap(), "😍");
        for bad in ["%", "%2", "%zz", "%ff", "a%C3"] {
            assert_eq!(decode_strict(bad), None, "{bad}");
        }
        assert_eq!(decode_lenient("100%-%41%"), "100%-A%");
        assert_eq!(decode_lenient("%ff%41"), "%ff%41");
    }

    #[test]
    fn encoding_keeps_the_safe_set() {
        assert_eq!(encode("a/b c,ü:x.jpg"), "a/b%20c%2C%C3%BC:x.jpg");
        assert_eq!(encode_illegal("l_text:a%252Cb c,w_1"), "l_text:a%252Cb%20c,w_1");
    }
}
