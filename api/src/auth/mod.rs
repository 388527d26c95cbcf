//! Who is asking: signatures of parameters and of addresses, and HTTP Basic. Nothing here knows of HTTP answers.

pub mod basic;
pub mod signature;
pub mod token;
