//! The `tintype` program.

use std::process::ExitCode;

fn main() -> ExitCode {
    tintype_api::cli::main()
}
