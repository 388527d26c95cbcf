//! Integration tests of the renderer.

#![allow(clippy::unwrap_used, clippy::panic)]

mod allocation;
mod avif;
mod avif_reader;
mod choice;
mod codec;
mod compare;
mod compatibility;
mod example_table;
mod golden;
mod golden_sources;
mod gpu;
mod gpu_bytes;
mod gpu_fleet;
mod gpu_photograph;
mod kernels;
mod language;
mod oracle;
mod parity;
mod parser_vectors;
mod planar;
mod planar_webp;
mod property_language;
mod property_plan;
mod random_language;
mod random_plan;
mod reduced_decode;
mod share;
mod stream;
mod support;
