//! The one table of parameters. The parser knows exactly these keys, and the documentation is generated from it.

use super::public_id::excerpt;
use super::transformation::Component;
use super::values;
use crate::error::{Error, Result};

/// How much of a parameter is built.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// Every constant value works. Expressions and variables are rows of their own.
    Full,
    /// The note says what is missing.
    Partial(&'static str),
    /// Known, and refused by name.
    None,
    /// Put in by the server before the text is read; the note says what. Here it is refused.
    Replaced(&'static str),
}

impl Status {
    /// Whether the renderer does it, all or in part.
    pub const fn is_built(self) -> bool {
        matches!(self, Status::Full | Status::Partial(_))
    }
}

/// Reads a value into the component.
pub type ParseValue = fn(&Param<'_>, &mut Component) -> Result<()>;

/// One key of the language.
#[derive(Debug, Clone, Copy)]
pub struct Row {
    /// What stands before the underscore; `$` stands for every variable.
    pub key: &'static str,
    /// Name in messages.
    pub long_name: &'static str,
    /// Legal values, in words.
    pub values: &'static str,
    /// One legal part of a component.
    pub example: &'static str,
    pub status: Status,
    /// Never `None` unless the status is. A row that is not built may still tell malformed values from missing ones.
    pub parse: Option<ParseValue>,
}

/// A row with one value, as written.
#[derive(Debug, Clone, Copy)]
pub struct Param<'a> {
    pub row: &'static Row,
    /// The whole part: key, underscore and value.
    pub part: &'a str,
    pub value: &'a str,
    /// Position of the value in the text of the transformation, in bytes.
    pub start: usize,
}

impl Param<'_> {
    /// The value is malformed or out of range.
    pub(super) fn invalid(&self) -> Error {
        self.invalid_as(self.row.long_name, self.value)
    }

    /// A piece of the value is malformed; `name` says what it should have been.
    pub(super) fn invalid_as(&self, name: &str, piece: &str) -> Error {
        let offset = self.value.find(piece).unwrap_or(0);
        let start = self.start + offset;
        Error::invalid(name, &excerpt(piece), start..start + piece.len())
    }

    /// The value is known but not built; named up to its first `:`.
    pub(super) fn unsupported(&self) -> Error {
        Error::unsupported(excerpt(self.part.split(':').next().unwrap_or(self.part)))
    }

    /// The value is known but not built, and its beginning alone would be: named whole.
    pub(super) fn unsupported_whole(&self) -> Error {
        Error::unsupported(excerpt(self.part))
    }
}

const fn full(
    key: &'static str,
    long_name: &'static str,
    values: &'static str,
    example: &'static str,
    parse: ParseValue,
) -> Row {
    Row { key, long_name, values, example, status: Status::Full, parse: Some(parse) }
}

const fn partial(
    key: &'static str,
    long_name: &'static str,
    values: &'static str,
    example: &'static str,
    note: &'static str,
    parse: ParseValue,
) -> Row {
    Row { key, long_name, values, example, status: Status::Partial(note), parse: Some(parse) }
}

const fn none(key: &'static str, long_name: &'static str, values: &'static str, example: &'static str) -> Row {
    Row { key, long_name, values, example, status: Status::None, parse: None }
}

/// Every key, sorted by key; `if` and `$` stand last.
#[rustfmt::skip]
pub static PARAMS: &[Row] = &[
    partial("a", "angle", "degrees, `hflip`, `vflip`, `ignore`, `auto_right`, `auto_left`; several joined by `.`", "a_90.hflip",
        "multiples of 90 degrees only; no `auto_right`, no `auto_left`", values::angle),
    none("ac", "audio_codec", "`none`, `aac`, `vorbis`, `mp3`, `opus`, `pcm24`", "ac_none"),
    none("af", "audio_frequency", "hertz or `iaf`", "af_44100"),
    full("ar", "aspect_ratio", "`a:b` or a decimal, greater than 0", "ar_16:9", values::aspect_ratio),
    partial("b", "background", "color; `auto…`, `blurred…`, `gen_fill…`", "b_rgb:20a020", "colors only", values::background),
    none("bl", "baseline", "name of a transformation", "bl_base"),
    full("bo", "border", "`<n>px_solid_<color>`", "bo_5px_solid_black", values::border),
    none("br", "bit_rate", "bits per second, with `k` or `m`", "br_500k"),
    partial("c", "crop", "crop mode", "c_fill", "see crop modes", values::crop),
    none("co", "color", "color", "co_red"),
    none("cs", "color_space", "`srgb`, `tinysrgb`, `cmyk`, `no_cmyk`, `keep_cmyk`, `icc:<id>`, `copy`", "cs_srgb"),
    none("d", "default_image", "public id with extension", "d_avatar.png"),
    none("dl", "delay", "milliseconds", "dl_200"),
    none("dn", "density", "dots per inch", "dn_150"),
    partial("dpr", "dpr", "decimal greater than 0, at most 20; `auto`", "dpr_2.0", "no `auto`", values::dpr),
    none("dr", "dynamic_range", "`high`", "dr_high"),
    none("du", "duration", "seconds or percent", "du_5"),
    Row { parse: Some(values::effect), ..none("e", "effect", "name and arguments", "e_blur:300") },
    none("eo", "end_offset", "seconds or percent", "eo_70p"),
    partial("f", "fetch_format", "format or `auto[:image|video|animated]`", "f_auto", "see formats", values::format),
    partial("fl", "flags", "flags joined by `.`", "fl_relative.no_overflow", "see flags", values::flags),
    none("fn", "custom_function", "`wasm:…`, `remote:…`", "fn_wasm:blur.wasm"),
    none("fps", "fps", "frames per second, or a range", "fps_25"),
    partial("g", "gravity", "compass direction, `face`, `faces`, `custom`, `auto`, …", "g_north_east", "see gravities", values::gravity),
    partial("h", "height", "pixels, decimal fraction, `iw`, `ih`", "h_0.5", "no `auto`", values::height),
    none("ki", "keyframe_interval", "seconds", "ki_2"),
    partial("l", "overlay", "public id of an image, `:` between folders; `text:…`, `fetch:…`, …", "l_folder:logo",
        "uploaded images in the one-component form only", values::overlay),
    full("o", "opacity", "0 to 100", "o_50", values::opacity),
    partial("p", "prefix", "prefix of CSS classes of sprites", "p_icons", "classes of sprites only", values::prefix),
    partial("pg", "page", "number, range or name of pages, frames, or layers", "pg_2",
        "numbers only, for frames of GIFs", values::page),
    partial("q", "quality", "1 to 100 with `:420` or `:444`; `auto[:best|good|eco|low][:sensitive]`", "q_auto:good",
        "no `sensitive`, no `jpegmini`, no `qmax`", values::quality),
    full("r", "radius", "`max`, or one to four whole pixels joined by `:`", "r_20:0:40", values::radius),
    none("so", "start_offset", "seconds or percent, `auto`", "so_35p"),
    none("sp", "streaming_profile", "name of a profile", "sp_hd"),
    Row {
        status: Status::Replaced("the server puts in what the names stand for; `tintype render` knows none"),
        ..none("t", "named_transformation", "names joined by `.`", "t_thumb")
    },
    partial("u", "underlay", "as overlay", "u_background", "uploaded images in the one-component form only", values::underlay),
    none("vc", "video_codec", "codec, profile and level", "vc_h264"),
    none("vs", "video_sampling", "frames, or seconds with `s`", "vs_20"),
    partial("w", "width", "pixels, decimal fraction, `iw`, `ih`, `auto…`", "w_400", "no `auto`", values::width),
    full("x", "x", "pixels or decimal fraction", "x_-10", values::x),
    full("y", "y", "pixels or decimal fraction", "y_0.1", values::y),
    full("z", "zoom", "decimal greater than 0", "z_0.75", values::zoom),
    none("if", "condition", "condition, `else`, `end`", "if_w_gt_300"),
    none("$", "variable", "`$name_value`", "$size_150"),
];

/// The row and the value of one part of a component. `None` when the part is no parameter at all.
pub fn split_part(part: &str) -> Option<(&'static Row, &str)> {
    if let Some(rest) = part.strip_prefix('$') {
        let (name, value) = rest.split_once('_').unwrap_or((rest, ""));
        let legal =
            name.starts_with(|c: char| c.is_ascii_alphabetic()) && name.bytes().all(|b| b.is_ascii_alphanumeric());
        return if legal { Some((find("$")?, value)) } else { None };
    }
    let (key, value) = part.split_once('_')?;
    if value.is_empty() { None } else { Some((find(key)?, value)) }
}

fn find(key: &str) -> Option<&'static Row> {
    PARAMS.iter().find(|row| row.key == key)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_built_row_has_a_parser() {
        for row in PARAMS {
            assert!(row.parse.is_some() || matches!(row.status, Status::None | Status::Replaced(_)), "{}", row.key);
            assert!(split_part(row.example).is_some_and(|(found, _)| found.key == row.key), "{}", row.key);
        }
    }

    #[test]
    fn keys_are_sorted_and_unique() {
        let keys: Vec<&str> = PARAMS.iter().map(|row| row.key).collect();
        assert!(keys[..keys.len() - 2].windows(2).all(|pair| pair[0] < pair[1]));
        assert_eq!(keys[keys.len() - 2..], ["if", "$"]);
    }

    #[test]
    fn parts_that_are_no_parameters() {
        for part in ["", "_", "w", "w_", "W_100", "foo_1", "$", "$1_2", "$a-b_2", "docs", "ab_cd"] {
            assert!(split_part(part).is_none(), "{part}");
        }
    }
}
