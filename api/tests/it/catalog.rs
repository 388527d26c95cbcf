//! Both catalogs against the conformance suite, and what is particular to each.

mod moving;
mod notices;
pub mod postgres;
mod sqlite;
mod versions;

const KEY: [u8; 32] = [42; 32];
const OTHER_KEY: [u8; 32] = [43; 32];
