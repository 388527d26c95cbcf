//! Integration tests of the server.

#![allow(clippy::unwrap_used, clippy::panic)]

mod analysis;
mod app;
mod archives;
mod background;
mod bench;
mod bench_run;
mod catalog;
mod definitions;
mod delivery;
mod dev;
mod doubles;
mod durable_upload;
mod express;
mod files;
mod following;
mod http;
mod import;
mod library;
mod mapped;
mod memory;
mod nodes;
mod openapi;
mod overload;
mod provisional;
mod remote;
mod s3;
mod search;
mod serve;
mod sharing;
mod signatures;
mod storage;
mod tenants;
mod upload;
mod whole_app;
