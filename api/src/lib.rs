//! The Tintype server: nouns, ports and, above them, services and HTTP.

pub mod auth;
pub mod catalog;
pub mod config;
pub mod domain;
pub mod http;
pub mod service;
pub mod storage;
