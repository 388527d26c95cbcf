//! The Tintype server: nouns, ports and, above them, services and HTTP.

pub mod app;
pub mod archive;
pub mod auth;
pub mod cache;
pub mod catalog;
pub mod cli;
pub mod config;
pub mod demo;
pub mod domain;
pub mod fetch;
mod font_files;
pub mod heap;
pub mod http;
pub mod import;
pub mod jobs;
mod metrics;
pub mod pipeline_files;
pub mod probe;
pub mod recipes;
pub mod search;
pub mod service;
mod signals;
pub mod storage;
mod stores;
mod tidying;
pub mod upkeep;
