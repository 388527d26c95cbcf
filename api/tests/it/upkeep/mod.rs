//! Works on a whole server: comparing its rows with its blobs, backing it up and bringing it back.
#![allow(clippy::unwrap_used, clippy::panic)]

mod backup;
mod verify;
