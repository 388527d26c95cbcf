//! What kind of file some first bytes begin. Content decides, never a name.

use tintype_render::codec::{self, Container};

/// What a file seems to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Seems {
    /// A picture, built or not.
    Image,
    /// A video or sound file, with its usual extension.
    Video {
        format: &'static str,
        is_audio: bool,
    },
    Other,
}

/// Bytes that are enough to tell.
pub const HEAD_BYTES: usize = 4096;

/// Looks at the beginning of a file.
pub fn sniff(head: &[u8]) -> Seems {
    let at = |offset: usize, magic: &[u8]| head.get(offset..offset + magic.len()) == Some(magic);
    let video = |format| Seems::Video { format, is_audio: false };
    let audio = |format| Seems::Video { format, is_audio: true };
    if at(4, b"ftyp") {
        return match head.get(8..12) {
            Some(b"avif" | b"avis" | b"heic" | b"heix" | b"hevc" | b"heim" | b"heis" | b"mif1" | b"msf1") => {
                Seems::Image
            }
            Some(b"qt  ") => video("mov"),
            Some(b"M4A " | b"M4B ") => audio("m4a"),
            Some([b'3', b'g', ..]) => video("3gp"),
            _ => video("mp4"),
        };
    }
    if at(0, b"RIFF") {
        return match head.get(8..12) {
            Some(b"WEBP") => Seems::Image,
            Some(b"AVI ") => video("avi"),
            Some(b"WAVE") => audio("wav"),
            _ => Seems::Other,
        };
    }
    if at(0, &[0x1a, 0x45, 0xdf, 0xa3]) {
        // The document's type stands within the first elements.
        let webm = head.iter().take(64).copied().collect::<Vec<u8>>().windows(4).any(|window| window == b"webm");
        return video(if webm { "webm" } else { "mkv" });
    }
    if at(0, b"OggS") {
        let is_video = head.windows(6).take(200).any(|window| window == b"theora");
        return if is_video { video("ogv") } else { audio("ogg") };
    }
    if at(0, b"FLV\x01") {
        return video("flv");
    }
    if at(0, b"fLaC") {
        return audio("flac");
    }
    if at(0, b"ID3") || (at(0, &[0xff]) && head.get(1).is_some_and(|byte| matches!(byte, 0xfb | 0xf3 | 0xf2 | 0xfa))) {
        return audio("mp3");
    }
    if at(0, &[0x00, 0x00, 0x01, 0xba]) || at(0, &[0x00, 0x00, 0x01, 0xb3]) {
        return video("mpeg");
    }
    if at(0, &[0x47]) && at(188, &[0x47]) && at(376, &[0x47]) {
        return video("ts");
    }
    let images: &[&[u8]] = &[
        b"\xff\xd8\xff",
        b"\x89PNG\r\n\x1a\n",
        b"GIF87a",
        b"GIF89a",
        b"II*\0",
        b"MM\0*",
        b"8BPS",
        b"\x00\x00\x01\x00",
        b"%PDF-",
        b"%!PS",
        b"\xff\x0a",
        b"\x00\x00\x00\x0cJXL ",
        b"\x00\x00\x00\x0cjP  ",
    ];
    if images.iter().any(|magic| at(0, magic)) || codec::sniff(head) == Some(Container::Bmp) || is_svg(head) {
        return Seems::Image;
    }
    Seems::Other
}

/// Whether the root element is `svg`: there may be a declaration, comments and a document type before it.
fn is_svg(head: &[u8]) -> bool {
    let text = String::from_utf8_lossy(head);
    let text = text.trim_start_matches('\u{feff}').trim_start();
    text.starts_with("<svg") || (text.starts_with("<?xml") || text.starts_with("<!")) && text.contains("<svg")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_decides() {
        let video = |format| Seems::Video { format, is_audio: false };
        let audio = |format| Seems::Video { format, is_audio: true };
        let cases: &[(&[u8], Seems)] = &[
            (b"\xff\xd8\xff\xe0", Seems::Image),
            (b"\0\0\0\x20ftypavif\0\0", Seems::Image),
            (b"\0\0\0\x20ftypisom\0\0", video("mp4")),
            (b"\0\0\0\x20ftypqt  \0\0", video("mov")),
            (b"RIFF\0\0\0\0WEBPVP8 ", Seems::Image),
            (b"RIFF\0\0\0\0WAVEfmt ", audio("wav")),
            (b"\x1a\x45\xdf\xa3\x9f\x42\x82\x84webm", video("webm")),
            (b"ID3\x04", audio("mp3")),
            (b"OggS\0\x02 vorbis", audio("ogg")),
            (b"<?xml version='1.0'?>\n<svg xmlns=''/>", Seems::Image),
            (b"<?xml version='1.0'?><note/>", Seems::Other),
            (b"plain text", Seems::Other),
            (b"", Seems::Other),
        ];
        for (head, wanted) in cases {
            assert_eq!(sniff(head), *wanted, "{:?}", String::from_utf8_lossy(head));
        }
    }
}
