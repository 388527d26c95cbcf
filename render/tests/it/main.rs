//! Integration tests.

#![allow(clippy::unwrap_used, clippy::panic)]

mod allocation;
mod compare;
mod kernels;
mod oracle;
mod random_plan;
