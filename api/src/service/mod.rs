//! What the server does, one verb a file. No HTTP and no SQL here.

pub mod access;
pub mod answer;
pub mod deliver;
pub mod deliver_types;
pub mod derive;
pub mod keep;
pub mod meter;
pub mod naming;
pub mod params;
pub mod pictures;
mod remote_file;
pub mod renderer;
pub mod spool;
pub mod upload;
