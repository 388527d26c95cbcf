//! Integration tests: one binary, one module a subject.

mod catalog;
mod storage;
