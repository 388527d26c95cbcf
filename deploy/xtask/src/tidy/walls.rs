//! The walls between modules: what may not be named where.

use super::Finding;
use super::paths::{PathUse, paths_of};
use super::tree::Tree;

/// Paths that some folders may not name.
struct Wall {
    /// Beginnings of forbidden paths.
    forbidden: &'static [&'static str],
    /// Files and folders, without extension, where the rule holds; none means everywhere.
    within: &'static [&'static str],
    /// Files and folders where it does not.
    except: &'static [&'static str],
    /// Whether it holds in tests too.
    in_tests: bool,
}

const SQLITE: &[&str] = &["rusqlite", "libsqlite3_sys"];
const POSTGRES: &[&str] = &["deadpool_postgres", "tokio_postgres", "postgres"];
const AWS: &[&str] = &["aws_sdk_s3", "aws_smithy_http_client", "aws_credential_types"];
const HTTP_AND_SQL: &[&str] = &["axum", "hyper", "tower_http", "rusqlite", "deadpool_postgres", "tokio_postgres"];
const OUTSIDE_WORLD: &[&str] = &[
    "tokio",
    "std::fs",
    "std::env",
    "std::net",
    "std::process",
    "std::time::Instant",
    "std::time::SystemTime",
    "std::time::UNIX_EPOCH",
];

const WALLS: &[Wall] = &[
    Wall { forbidden: &["wgpu"], within: &[], except: &["render/src/gpu"], in_tests: true },
    Wall { forbidden: &["naga"], within: &[], except: &["shaders"], in_tests: true },
    Wall { forbidden: &["image"], within: &[], except: &["render/src/codec"], in_tests: false },
    Wall { forbidden: &["axum"], within: &[], except: &["api/src/http"], in_tests: false },
    Wall { forbidden: AWS, within: &[], except: &["api/src/storage/s3"], in_tests: false },
    Wall { forbidden: SQLITE, within: &[], except: &["api/src/catalog/sqlite"], in_tests: false },
    Wall { forbidden: POSTGRES, within: &[], except: &["api/src/catalog/postgres"], in_tests: false },
    Wall { forbidden: OUTSIDE_WORLD, within: &["render/src", "shaders/src"], except: &[], in_tests: false },
    Wall { forbidden: HTTP_AND_SQL, within: &["scheduler"], except: &[], in_tests: true },
    Wall { forbidden: HTTP_AND_SQL, within: &["api/src/service"], except: &[], in_tests: true },
    Wall { forbidden: &["crate::http"], within: &["api/src/service"], except: &[], in_tests: false },
    Wall { forbidden: &["crate::catalog"], within: &["api/src/storage"], except: &[], in_tests: false },
    Wall { forbidden: &["crate::storage"], within: &["api/src/catalog"], except: &[], in_tests: false },
    Wall { forbidden: &["crate::plan"], within: &["render/src/language"], except: &[], in_tests: false },
    Wall {
        forbidden: &["crate::codec", "crate::cpu", "crate::gpu"],
        within: &["render/src/plan"],
        except: &[],
        in_tests: false,
    },
    Wall { forbidden: &["crate::gpu"], within: &["render/src/cpu"], except: &[], in_tests: false },
    Wall { forbidden: &["crate::cpu"], within: &["render/src/gpu"], except: &[], in_tests: false },
    // The only permitted arrows: api, benches, scheduler, render, shaders, each to those after it.
    Wall {
        forbidden: &["tintype_api"],
        within: &["benches", "scheduler", "render", "shaders"],
        except: &[],
        in_tests: true,
    },
    Wall { forbidden: &["tintype_benches"], within: &["scheduler", "render", "shaders"], except: &[], in_tests: true },
    Wall { forbidden: &["tintype_scheduler"], within: &["render", "shaders"], except: &[], in_tests: true },
    Wall { forbidden: &["tintype_render"], within: &["shaders"], except: &[], in_tests: true },
    Wall { forbidden: &["tintype_shaders"], within: &["api", "benches", "scheduler"], except: &[], in_tests: true },
];

/// A folder that may name, of our own code, only what is listed.
struct Cell {
    folder: &'static str,
    allowed: &'static [&'static str],
}

const CELLS: &[Cell] = &[Cell { folder: "api/src/domain", allowed: &["crate::domain", "tintype_render::language"] }];

pub fn check(tree: &Tree, findings: &mut Vec<Finding>) {
    for (file, text) in tree.texts(&["rs"]) {
        let is_test_file = file.contains("/tests/") || file.ends_with("/tests.rs") || file.contains("/examples/");
        for path in paths_of(file, text) {
            let is_test = is_test_file || path.in_tests;
            if let Some(forbidden) = broken_wall(file, &path, is_test) {
                findings.push(Finding::fault(
                    file,
                    path.line,
                    format!("may not name {forbidden}: {}", path.segments.join("::")),
                ));
            }
            if !is_test && let Some(cell) = left_cell(file, &path) {
                let allowed = cell.allowed.join(" and ");
                findings.push(Finding::fault(
                    file,
                    path.line,
                    format!("may see only {allowed}: {}", path.segments.join("::")),
                ));
            }
        }
    }
    // A use in a group or a repeated path would otherwise be told once for each name.
    findings.dedup();
}

fn broken_wall(file: &str, path: &PathUse, is_test: bool) -> Option<&'static str> {
    WALLS
        .iter()
        .filter(|wall| wall.in_tests || !is_test)
        .filter(|wall| wall.within.is_empty() || wall.within.iter().any(|place| lies_in(file, place)))
        .filter(|wall| !wall.except.iter().any(|place| lies_in(file, place)))
        .flat_map(|wall| wall.forbidden)
        .find(|forbidden| covers(forbidden, &path.segments))
        .copied()
}

fn left_cell(file: &str, path: &PathUse) -> Option<&'static Cell> {
    let first = path.segments.first()?;
    let is_ours = first == "crate" || first.starts_with("tintype_");
    CELLS
        .iter()
        .filter(|cell| is_ours && lies_in(file, cell.folder))
        .find(|cell| !cell.allowed.iter().any(|allowed| begins_with(allowed, &path.segments)))
}

/// Whether a file is a place itself (`a/b` is `a/b.rs`) or lies below it.
fn lies_in(file: &str, place: &str) -> bool {
    file.strip_prefix(place).is_some_and(|rest| rest.starts_with('/') || rest == ".rs")
}

fn begins_with(prefix: &str, segments: &[String]) -> bool {
    let n_segments = prefix.split("::").count();
    segments.len() >= n_segments && prefix.split("::").zip(segments).all(|(wanted, found)| wanted == found)
}

/// Whether a path names something forbidden, or takes it in with a glob.
fn covers(forbidden: &str, segments: &[String]) -> bool {
    if let Some(("*", above)) = segments.split_last().map(|(last, above)| (last.as_str(), above))
        && !above.is_empty()
        && forbidden.split("::").count() == above.len() + 1
    {
        return forbidden.split("::").zip(above).all(|(wanted, found)| wanted == found);
    }
    begins_with(forbidden, segments)
}

#[cfg(test)]
mod tests {
    use super::super::tests::faults;
    use super::*;

    /// A text that breaks each wall, where it does, and a place where the same text is fine.
    const PLANTED: &[(&str, &str, &str)] = &[
        ("render/src/cpu/a.rs", "use wgpu::Device;", "render/src/gpu/a.rs"),
        ("render/src/gpu/a.rs", "use naga::Module;", "shaders/build.rs"),
        ("render/src/face.rs", "fn f() { image::open() }", "render/src/codec/png.rs"),
        ("api/src/app.rs", "use axum::Router;", "api/src/http/mod.rs"),
        ("api/src/storage/fs.rs", "use aws_sdk_s3::Client;", "api/src/storage/s3.rs"),
        ("api/src/catalog/mod.rs", "use rusqlite::Connection;", "api/src/catalog/sqlite/mod.rs"),
        ("api/src/catalog/sqlite/mod.rs", "use tokio_postgres::Row;", "api/src/catalog/postgres/mod.rs"),
        ("api/src/app.rs", "use deadpool_postgres::Pool;", "api/src/catalog/postgres.rs"),
        ("render/src/choice.rs", "fn f() { tokio::spawn(x) }", "scheduler/src/lib.rs"),
        ("render/src/choice.rs", "fn f() { std::fs::read(x) }", "render/tests/it/a.rs"),
        ("shaders/src/lib.rs", "use std::env;", "shaders/build.rs"),
        ("render/src/gpu/device.rs", "use std::time::{Duration, Instant};", "scheduler/src/lib.rs"),
        ("render/src/plan/mod.rs", "use std::time::*;", "api/src/app.rs"),
        ("scheduler/src/lib.rs", "use hyper::Request;", "api/src/http/serve.rs"),
        ("api/src/service/deliver.rs", "use crate::http::error;", "api/src/app.rs"),
        ("api/src/storage/mod.rs", "use super::catalog::Catalog;", "api/src/service/mod.rs"),
        ("api/src/catalog/mod.rs", "use crate::{domain, storage::BlobKey};", "api/src/service/mod.rs"),
        ("render/src/language/parse.rs", "use crate::plan::Size;", "render/src/codec/mod.rs"),
        ("render/src/plan/crop.rs", "use super::super::codec;", "render/src/pipeline.rs"),
        ("render/src/plan/crop.rs", "fn f() { crate::cpu::run() }", "render/src/choice.rs"),
        ("render/src/cpu/mod.rs", "use super::gpu;", "render/src/choice.rs"),
        ("render/src/gpu/mod.rs", "use crate::cpu::lanes;", "render/src/choice.rs"),
        ("scheduler/src/lib.rs", "use tintype_api::app;", "api/src/main.rs"),
        ("scheduler/src/lib.rs", "use tintype_benches::run;", "api/src/main.rs"),
        ("render/src/lib.rs", "use tintype_scheduler::Work;", "benches/src/lib.rs"),
        ("shaders/src/lib.rs", "use tintype_render::frame;", "scheduler/src/lib.rs"),
        ("api/src/app.rs", "use tintype_shaders::KERNELS;", "render/src/gpu/mod.rs"),
        ("api/src/domain/asset.rs", "use crate::catalog::Catalog;", "api/src/service/mod.rs"),
        ("api/src/domain/asset.rs", "use tintype_render::plan::Size;", "api/src/service/mod.rs"),
    ];

    #[test]
    fn every_wall_stands() {
        for (wrong, text, right) in PLANTED {
            let found = faults(&[(wrong, text)]);
            assert!(
                !found.is_empty() && found[0].starts_with(&format!("{wrong}:1: may ")),
                "{wrong}: {text}: {found:?}"
            );
            assert!(faults(&[(right, text)]).is_empty(), "{right}: {text}");
        }
    }

    #[test]
    fn every_forbidden_path_is_planted_somewhere() {
        let planted: String = PLANTED.iter().map(|(_, text, _)| *text).collect();
        for wall in WALLS {
            assert!(
                wall.forbidden.iter().any(|path| planted.contains(path.rsplit("::").next().unwrap_or(path))),
                "{:?}",
                wall.forbidden
            );
        }
    }

    #[test]
    fn domain_sees_itself_and_the_language() {
        let text = "use super::ids::CloudId;\nuse crate::domain::Asset;\nuse tintype_render::language::Format;\nuse serde::Serialize;";
        assert!(faults(&[("api/src/domain/asset.rs", text)]).is_empty());
    }

    #[test]
    fn tests_may_look_over_some_walls() {
        let text = "#[cfg(test)]\nmod tests {\n    use image::open;\n    use std::fs;\n}\n";
        assert!(faults(&[("render/src/frame.rs", text)]).is_empty());
        assert_eq!(faults(&[("render/src/frame.rs", &text.replace("image", "wgpu"))]).len(), 1);
        assert!(faults(&[("render/tests/it/golden.rs", "use image::open;")]).is_empty());
    }

    #[test]
    fn places_end_at_a_border() {
        assert!(lies_in("a/b/c.rs", "a/b") && lies_in("a/b.rs", "a/b"));
        assert!(!lies_in("a/bc.rs", "a/b") && !lies_in("a/bc/d.rs", "a/b"));
    }
}
