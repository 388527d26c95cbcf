//! Integration tests of the server.

#![allow(clippy::unwrap_used, clippy::panic)]

mod app;
mod background;
mod bench;
mod catalog;
mod delivery;
mod doubles;
mod durable_upload;
mod express;
mod http;
mod library;
mod memory;
mod overload;
mod serve;
mod sharing;
mod signatures;
mod storage;
mod upload;
mod whole_app;
