//! What a file is, from its first bytes.

/// Kinds of files that can be told apart, readable or not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Container {
    Jpeg,
    Png,
    WebP,
    Gif,
    Avif,
    Heic,
    Tiff,
    Bmp,
    Ico,
    Svg,
    Pdf,
    Psd,
    Jxl,
    Mp4,
    WebM,
}

impl Container {
    /// Usual extension.
    pub const fn extension(self) -> &'static str {
        match self {
            Container::Jpeg => "jpg",
            Container::Png => "png",
            Container::WebP => "webp",
            Container::Gif => "gif",
            Container::Avif => "avif",
            Container::Heic => "heic",
            Container::Tiff => "tiff",
            Container::Bmp => "bmp",
            Container::Ico => "ico",
            Container::Svg => "svg",
            Container::Pdf => "pdf",
            Container::Psd => "psd",
            Container::Jxl => "jxl",
            Container::Mp4 => "mp4",
            Container::WebM => "webm",
        }
    }
}

/// Recognises a file by its magic bytes; the name and the declared type of a file are never trusted.
pub fn sniff(bytes: &[u8]) -> Option<Container> {
    const MAGIC: &[(&[u8], Container)] = &[
        (b"\xFF\xD8\xFF", Container::Jpeg),
        (b"\x89PNG\r\n\x1A\n", Container::Png),
        (b"GIF87a", Container::Gif),
        (b"GIF89a", Container::Gif),
        (b"II*\0", Container::Tiff),
        (b"MM\0*", Container::Tiff),
        (b"\0\0\x01\0", Container::Ico),
        (b"%PDF-", Container::Pdf),
        (b"8BPS", Container::Psd),
        (b"\xFF\x0A", Container::Jxl),
        (b"\0\0\0\x0CJXL \r\n\x87\n", Container::Jxl),
        (b"\x1A\x45\xDF\xA3", Container::WebM),
    ];
    if bytes.starts_with(b"RIFF") && bytes.get(8..12) == Some(b"WEBP") {
        return Some(Container::WebP);
    }
    if bytes.get(4..8) == Some(b"ftyp") {
        return Some(match bytes.get(8..12) {
            Some(b"avif" | b"avis") => Container::Avif,
            Some(b"heic" | b"heix" | b"mif1" | b"msf1" | b"heim" | b"heis") => Container::Heic,
            _ => Container::Mp4,
        });
    }
    if is_bmp(bytes) {
        return Some(Container::Bmp);
    }
    if let Some((_, container)) = MAGIC.iter().find(|(magic, _)| bytes.starts_with(magic)) {
        return Some(*container);
    }
    let start = String::from_utf8_lossy(&bytes[..bytes.len().min(1024)]);
    let text = start.trim_start_matches('\u{feff}').trim_start();
    (text.starts_with("<svg") || (text.starts_with("<?xml") && text.contains("<svg"))).then_some(Container::Svg)
}

/// Two letters are too few to tell: after the file's header there is the length of one of the known ones.
fn is_bmp(bytes: &[u8]) -> bool {
    let length = bytes.get(14..18).map(|four| u32::from_le_bytes([four[0], four[1], four[2], four[3]]));
    bytes.starts_with(b"BM") && matches!(length, Some(12 | 16 | 40 | 52 | 56 | 64 | 108 | 124))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_known_by_their_first_bytes() {
        for (bytes, expected) in [
            (&b"\xFF\xD8\xFF\xE0"[..], Some(Container::Jpeg)),
            (b"RIFF\0\0\0\0WEBPVP8 ", Some(Container::WebP)),
            (b"RIFF\0\0\0\0WAVE", None),
            (b"\0\0\0\x20ftypavif", Some(Container::Avif)),
            (b"\0\0\0\x20ftypisom", Some(Container::Mp4)),
            (b"  <svg xmlns=", Some(Container::Svg)),
            (b"BM\x9a\0\0\0\0\0\0\0\x36\0\0\0\x28\0\0\0", Some(Container::Bmp)),
            (b"BMW makes cars in Munich", None),
            (b"hello", None),
            (b"", None),
        ] {
            assert_eq!(sniff(bytes), expected, "{bytes:?}");
        }
    }
}
