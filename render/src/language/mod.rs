//! The transformation language and the addresses of delivered pictures: text in, typed values out. Never sees a plan.

pub mod transformation;

pub use transformation::*;
