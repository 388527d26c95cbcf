//! Integration tests of the server.

#![allow(clippy::unwrap_used, clippy::panic)]

mod app;
mod catalog;
mod doubles;
mod http;
mod serve;
mod signatures;
mod storage;
mod upload;
