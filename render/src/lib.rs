//! The renderer of Tintype: bytes and facts in, pixels and bytes out.
//!
//! Pure: no async runtime, no network, no files, no clock, no environment. The text of a transformation is parsed once
//! ([`language`]), resolved into numbers ([`plan`]), bound to the surfaces that the decoders ([`codec`]) really gave,
//! executed by one of two twin backends ([`cpu`], [`gpu`]) behind [`backend::Backend`], and encoded.
//! [`pipeline`] joins these parts around a backend.

pub mod analyze;
pub mod backend;
pub mod bands;
pub mod choice;
pub mod codec;
pub mod cpu;
pub mod error;
pub mod face;
pub mod forecast;
pub mod frame;
pub mod gpu;
mod lanes;
pub mod language;
pub mod limits;
pub mod pipeline;
pub mod plan;
pub mod planes;
pub mod pool;
pub mod text;

pub use error::{Error, Result};
pub use limits::Limits;
