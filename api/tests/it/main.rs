//! Integration tests of the server.

#![allow(clippy::unwrap_used, clippy::panic)]

mod app;
mod bench;
mod catalog;
mod delivery;
mod doubles;
mod http;
mod serve;
mod signatures;
mod storage;
mod upload;
mod whole_app;
