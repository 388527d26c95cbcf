//! Integration tests.

mod allocation;
mod compare;
mod kernels;
mod oracle;
mod random_plan;
