//! The client for remote addresses against servers, names and routes of the tests' own.

#[path = "remote/canary.rs"]
mod canary;
#[path = "remote/limits.rs"]
mod limits;
#[path = "remote/net.rs"]
pub mod net;
#[path = "remote/redirects.rs"]
mod redirects;
#[path = "remote/requests.rs"]
mod requests;
#[path = "remote/upload.rs"]
mod upload;
