//! Integration tests: one binary, one module a subject.

mod app;
mod delivery;
mod doubles;
mod http;
mod serve;
mod signatures;
mod upload;
mod whole_app;
