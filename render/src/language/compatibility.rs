//! The page that says what of Cloudinary's language is built, made from the tables that the parser reads.

use super::formats::{FORMATS, Family};
use super::params::{PARAMS, Status};
use super::vocabulary::{CROP_MODES, EFFECTS, FLAGS, GRAVITIES, GRAVITY_PREFIXES, Word};
use std::fmt::Write;

/// COMPATIBILITY.md.
pub fn compatibility_markdown() -> String {
    let mut page = String::from(
        "# Compatibility with Cloudinary's transformation language\n\n\
         Made from the parser's tables by `make bless`; a test compares them. Whatever is listed as *none*, and everything\n\
         that is missing from a *partial* row, is refused with status 400 and a message that names it; nothing is silently\n\
         ignored.\n\n\
         ## Parameters\n\n| key | name | values | example | built | note |\n|---|---|---|---|---|---|\n",
    );
    for row in PARAMS {
        let (built, note) = match row.status {
            Status::Full => ("full", ""),
            Status::Partial(note) => ("partial", note),
            Status::Replaced(note) => ("full", note),
            Status::None => ("none", ""),
        };
        let values = row.values.replace('|', "\\|");
        let _ =
            writeln!(page, "| `{}` | {} | {values} | `{}` | {built} | {note} |", row.key, row.long_name, row.example);
    }
    words(&mut page, "Crop modes (`c_`)", CROP_MODES);
    words(&mut page, "Gravities (`g_`)", GRAVITIES);
    let _ = writeln!(page, "\nGravities that begin with {} are not built.", list(GRAVITY_PREFIXES.iter().copied()));
    words(&mut page, "Flags (`fl_`)", FLAGS);
    let _ = writeln!(page, "\n## Effects (`e_`)\n\nNot built: {}.", list(EFFECTS.iter().copied()));
    let written = FORMATS.iter().filter(|format| format.writes.is_some()).map(|format| format.name);
    let _ = writeln!(page, "\n## Formats (`f_` and extensions)\n\nWritten: {}.\n", list(written));
    page.push_str("Read: `jpg`, `png`, `webp` (no animations), `gif`, `tiff` (the first page), `bmp`, `ico` (the largest picture).\n\nKnown, not written:\n");
    for family in [Family::Image, Family::Document, Family::Video, Family::Audio, Family::Model] {
        let names = FORMATS.iter().filter(|format| format.family == family && format.writes.is_none());
        let _ = writeln!(page, "- {}: {}", family.name(), list(names.map(|format| format.name)));
    }
    page
}

fn words<T>(page: &mut String, title: &str, words: &[Word<T>]) {
    let names = |built: bool| list(words.iter().filter(|word| word.means.is_some() == built).map(|word| word.name));
    let _ = writeln!(page, "\n## {title}\n\nBuilt: {}.\n\nNot built: {}.", names(true), names(false));
}

fn list<'a>(names: impl Iterator<Item = &'a str>) -> String {
    names.map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}
