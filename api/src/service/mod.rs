//! What the server does, one verb a file. No HTTP and no SQL here.

pub mod access;
pub mod answer;
pub mod call;
pub mod chunked;
pub mod delete_token;
pub mod deliver;
pub mod deliver_types;
pub mod derive;
pub mod gate;
pub mod keep;
pub mod library;
pub mod media_type;
pub mod meter;
pub mod naming;
pub mod params;
pub mod pictures;
pub mod provisioning;
pub mod quota;
pub mod renderer;
pub mod rules;
pub mod sniff;
pub mod spool;
pub mod tenants;
pub mod upgrade;
pub mod upload;
