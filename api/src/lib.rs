//! The Tintype server: nouns, ports and, above them, services and HTTP.

pub mod catalog;
pub mod domain;
pub mod storage;
