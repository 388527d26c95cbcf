//! Every format that the language knows by name, with what this server does with it.

use super::transformation::Format;

/// One format that may stand after `f_` or as the extension of an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KnownFormat {
    /// Canonical name.
    pub name: &'static str,
    /// Other spellings.
    pub aliases: &'static [&'static str],
    pub family: Family,
    /// The format that is written; `None` where this server cannot write it yet.
    pub writes: Option<Format>,
}

/// What kind of asset a format holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Family {
    Image,
    Document,
    Video,
    Audio,
    Model,
}

impl Family {
    pub const fn name(self) -> &'static str {
        match self {
            Family::Image => "image",
            Family::Document => "document",
            Family::Video => "video",
            Family::Audio => "audio",
            Family::Model => "3D model",
        }
    }
}

const fn row(name: &'static str, aliases: &'static [&'static str], family: Family) -> KnownFormat {
    KnownFormat { name, aliases, family, writes: None }
}

const fn written(format: Format, aliases: &'static [&'static str]) -> KnownFormat {
    KnownFormat { name: format.extension(), aliases, family: Family::Image, writes: Some(format) }
}

/// All formats, those that are written first.
pub static FORMATS: &[KnownFormat] = &[
    written(Format::Jpeg, &["jpeg", "jpe"]),
    written(Format::Png, &[]),
    written(Format::WebP, &[]),
    written(Format::Avif, &[]),
    written(Format::Gif, &[]),
    written(Format::Tiff, &["tif"]),
    written(Format::Bmp, &[]),
    written(Format::Ico, &[]),
    row("svg", &[], Family::Image),
    row("jxl", &[], Family::Image),
    row("heic", &["heif"], Family::Image),
    row("jp2", &["j2k"], Family::Image),
    row("jxr", &["wdp", "hdp"], Family::Image),
    row("tga", &[], Family::Image),
    row("flif", &[], Family::Image),
    row("djvu", &[], Family::Image),
    row("psd", &[], Family::Image),
    row("arw", &[], Family::Image),
    row("cr2", &[], Family::Image),
    row("cr3", &[], Family::Image),
    row("dng", &[], Family::Image),
    row("pdf", &[], Family::Document),
    row("ai", &[], Family::Document),
    row("eps", &["ps"], Family::Document),
    row("ept", &[], Family::Document),
    row("indd", &[], Family::Document),
    row("mp4", &["m4v"], Family::Video),
    row("webm", &[], Family::Video),
    row("mov", &[], Family::Video),
    row("ogv", &[], Family::Video),
    row("mkv", &[], Family::Video),
    row("avi", &[], Family::Video),
    row("flv", &[], Family::Video),
    row("mpeg", &["mpg"], Family::Video),
    row("ts", &["m2ts", "mts"], Family::Video),
    row("wmv", &[], Family::Video),
    row("3gp", &["3g2"], Family::Video),
    row("m3u8", &[], Family::Video),
    row("mpd", &[], Family::Video),
    row("mp3", &[], Family::Audio),
    row("wav", &[], Family::Audio),
    row("ogg", &[], Family::Audio),
    row("opus", &[], Family::Audio),
    row("aac", &[], Family::Audio),
    row("m4a", &[], Family::Audio),
    row("flac", &[], Family::Audio),
    row("aiff", &[], Family::Audio),
    row("amr", &[], Family::Audio),
    row("glb", &[], Family::Model),
    row("gltf", &["gltz"], Family::Model),
    row("fbx", &[], Family::Model),
    row("obj", &[], Family::Model),
    row("usdz", &[], Family::Model),
    row("ply", &[], Family::Model),
    row("u3ma", &[], Family::Model),
];

/// The format of this name or alias, in any case.
pub fn known_format(name: &str) -> Option<&'static KnownFormat> {
    FORMATS.iter().find(|format| {
        format.name.eq_ignore_ascii_case(name) || format.aliases.iter().any(|alias| alias.eq_ignore_ascii_case(name))
    })
}

/// Splits a known extension off the end of an id: `a/b.jpg` gives `a/b` and jpg. The id never becomes empty, nor does
/// its last segment.
pub fn split_known_extension(id: &str) -> Option<(&str, &'static KnownFormat)> {
    let (stem, extension) = id.rsplit_once('.')?;
    if stem.is_empty() || stem.ends_with('/') {
        return None;
    }
    Some((stem, known_format(extension)?))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn names_are_unique_and_aliases_lead_home() {
        let mut names: Vec<&str> = FORMATS.iter().flat_map(|f| f.aliases.iter().chain([&f.name])).copied().collect();
        let n_names = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), n_names);
        assert_eq!(known_format("JPE").unwrap().writes, Some(Format::Jpeg));
        assert_eq!(known_format("tif").unwrap().name, "tiff");
        assert!(known_format("csv").is_none());
    }

    #[test]
    fn only_known_extensions_are_split_off() {
        assert_eq!(split_known_extension("a/b.jpeg").unwrap().0, "a/b");
        assert_eq!(split_known_extension("a.png.png").unwrap().0, "a.png");
        for whole in ["a", "a.b", ".png", "a/.png", "png"] {
            assert!(split_known_extension(whole).is_none(), "{whole}");
        }
    }
}
