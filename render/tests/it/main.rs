//! Integration tests.
#![allow(clippy::unwrap_used, clippy::panic)]

mod allocation;
mod choice;
mod compare;
mod gpu;
mod kernels;
mod oracle;
mod parity;
mod random_plan;
