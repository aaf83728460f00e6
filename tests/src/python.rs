//! A Python with the packages of `tests/python/requirements.txt`, for files that others read and write.

#![allow(clippy::print_stderr)]

use std::path::PathBuf;
use std::process::Command;

/// The interpreter; `None` where there is none, which it says, and which is a failure where `CI` is set.
pub fn python() -> Option<PathBuf> {
    let python = std::env::var_os("KEYSHELL_TEST_PYTHON").map(PathBuf::from);
    if python.is_none() {
        assert!(
            std::env::var_os("CI").is_none(),
            "CI must set KEYSHELL_TEST_PYTHON"
        );
        eprintln!("skipped: KEYSHELL_TEST_PYTHON names no Python");
    }
    python
}

/// A command that it runs with these arguments.
pub fn script(python: &PathBuf, arguments: &[&str]) -> Command {
    let mut command = Command::new(python);
    command.args(arguments);
    command
}
