//! The compatibility page says what the parser does.

use std::path::Path;
use tintype_render::language::params::{PARAMS, Status};
use tintype_render::language::{compatibility_markdown, parse};
use tintype_render::{Error, Limits};

#[test]
fn the_page_is_that_of_the_tables() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../COMPATIBILITY.md");
    let made = compatibility_markdown();
    if std::env::var_os("TINTYPE_BLESS").is_some() {
        std::fs::write(&path, &made).expect("writable");
    }
    let kept = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(kept == made, "COMPATIBILITY.md is out of date, run `make bless`");
}

#[test]
fn every_example_does_what_its_row_says() {
    for row in PARAMS {
        let result = parse(row.example, &Limits::default());
        match row.status {
            Status::Full | Status::Partial(_) => assert!(result.is_ok(), "{}: {result:?}", row.example),
            Status::None | Status::Replaced(_) => {
                let named =
                    matches!(&result, Err(Error::Unsupported { what }) if row.example.starts_with(what.as_str()));
                assert!(named, "{}: {result:?}", row.example);
            }
        }
    }
}
