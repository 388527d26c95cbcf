//! What the server does, one verb a file. No HTTP and no SQL here.

pub mod access;
pub mod answer;
pub mod call;
pub mod deliver;
pub mod deliver_types;
pub mod derive;
pub mod keep;
pub mod library;
pub mod meter;
pub mod naming;
pub mod params;
pub mod pictures;
pub mod renderer;
pub mod search;
pub mod spool;
pub mod upload;
