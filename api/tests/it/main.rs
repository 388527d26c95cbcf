//! Integration tests: one binary, one module a subject.

mod app;
mod doubles;
mod http;
mod signatures;
mod upload;
