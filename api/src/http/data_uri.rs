//! Data URIs, decoded as they arrive.

use base64::Engine;
use base64::alphabet;
use base64::engine::general_purpose::GeneralPurposeConfig;
use base64::engine::{DecodePaddingMode, GeneralPurpose};
use bytes::Bytes;

/// Longest part before the comma.
const MAX_HEADER_BYTES: usize = 1024;

const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true),
);

/// Why a data URI cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DataUriError {
    #[error("Invalid data URI: its header is malformed")]
    Header,
    #[error("Invalid data URI: only base64 is supported")]
    NotBase64,
    #[error("Invalid data URI: malformed base64")]
    Base64,
}

/// Takes the text in pieces and gives bytes. Whitespace is left out: clients break lines.
#[derive(Debug, Default)]
pub struct DataUriDecoder {
    header: Option<Vec<u8>>,
    in_payload: bool,
    /// Up to three characters that wait for their group of four.
    rest: Vec<u8>,
    /// A padding sign ends the text.
    padded: bool,
}

impl DataUriDecoder {
    pub fn new() -> Self {
        Self::default()
    }

    /// Decodes the next piece of the text, which begins with `data:`.
    pub fn push(&mut self, mut text: &[u8]) -> Result<Bytes, DataUriError> {
        if !self.in_payload {
            let header = self.header.get_or_insert_default();
            match text.iter().position(|byte| *byte == b',') {
                Some(comma) if header.len() + comma <= MAX_HEADER_BYTES => {
                    header.extend_from_slice(&text[..comma]);
                    text = &text[comma + 1..];
                    check_header(header)?;
                    self.in_payload = true;
                }
                None if header.len() + text.len() <= MAX_HEADER_BYTES => {
                    header.extend_from_slice(text);
                    return Ok(Bytes::new());
                }
                _ => return Err(DataUriError::Header),
            }
        }
        let mut group = std::mem::take(&mut self.rest);
        group.reserve(text.len());
        for byte in text.iter().copied().filter(|byte| !byte.is_ascii_whitespace()) {
            match byte {
                b'=' => self.padded = true,
                _ if self.padded => return Err(DataUriError::Base64),
                _ => group.push(byte),
            }
        }
        self.rest = group.split_off(group.len() / 4 * 4);
        BASE64.decode(&group).map(Bytes::from).map_err(|_| DataUriError::Base64)
    }

    /// The bytes of the last, incomplete group.
    pub fn finish(self) -> Result<Bytes, DataUriError> {
        if !self.in_payload {
            return Err(DataUriError::Header);
        }
        BASE64.decode(&self.rest).map(Bytes::from).map_err(|_| DataUriError::Base64)
    }
}

/// `data:[mime][;name=value]*;base64`
fn check_header(header: &[u8]) -> Result<(), DataUriError> {
    let text = std::str::from_utf8(header).map_err(|_| DataUriError::Header)?;
    let rest = text.strip_prefix("data:").ok_or(DataUriError::Header)?;
    match rest.rsplit(';').next() {
        Some(last) if last.trim().eq_ignore_ascii_case("base64") => Ok(()),
        _ => Err(DataUriError::NotBase64),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn decode(text: &str, step: usize) -> Result<Vec<u8>, DataUriError> {
        let mut decoder = DataUriDecoder::new();
        let mut bytes = Vec::new();
        for piece in text.as_bytes().chunks(step) {
            bytes.extend_from_slice(&decoder.push(piece)?);
        }
        bytes.extend_from_slice(&decoder.finish()?);
        Ok(bytes)
    }

    #[test]
    fn pieces_of_any_length_give_the_same_bytes() {
        let text = "data:image/png;charset=utf-8;base64,SGVs\nbG8g\r\n d29y bGQ=";
        for step in 1..text.len() {
            assert_eq!(decode(text, step).unwrap(), b"Hello world", "{step}");
        }
        assert_eq!(decode("data:;base64,SGVsbG8gd29ybGQ", 5).unwrap(), b"Hello world");
        assert_eq!(decode("data:;base64,", 5).unwrap(), b"");
    }

    #[test]
    fn nonsense_is_refused() {
        for (text, expected) in [
            ("data:image/png,abc", DataUriError::NotBase64),
            ("data:image/png;base64", DataUriError::Header),
            ("date:;base64,AAAA", DataUriError::Header),
            ("data:;base64,AA*A", DataUriError::Base64),
            ("data:;base64,A", DataUriError::Base64),
            ("data:;base64,AA==AA", DataUriError::Base64),
        ] {
            for step in [1, 7, 100] {
                assert_eq!(decode(text, step), Err(expected), "{text}");
            }
        }
        assert_eq!(decode(&format!("data:{}", "x".repeat(2000)), 100), Err(DataUriError::Header));
    }
}
