//! The daemon.

use std::process::ExitCode;

fn main() -> ExitCode {
    keyserver::cli::main()
}
