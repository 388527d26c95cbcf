//! What the server does, one verb a file. No HTTP and no SQL here.

pub mod deliver_types;
