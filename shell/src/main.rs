//! The shell.

use std::process::ExitCode;

fn main() -> ExitCode {
    keyshell::main()
}
