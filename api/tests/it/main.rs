//! Integration tests of the server.

#![allow(clippy::unwrap_used, clippy::panic)]

mod app;
mod bench;
mod bench_run;
mod catalog;
mod definitions;
mod delivery;
mod doubles;
mod durable_upload;
mod express;
mod files;
mod http;
mod library;
mod memory;
mod overload;
mod provisional;
mod s3;
mod serve;
mod sharing;
mod signatures;
mod storage;
mod tenants;
mod upload;
mod whole_app;
