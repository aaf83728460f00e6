//! The harness of the black-box tests: the real binaries, each with a temporary folder of its own and a port that the
//! system picks.
//!
//! `cargo test --workspace` builds the binaries before any test runs; `cargo test -p tests` uses those that are there.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::missing_panics_doc,
    clippy::return_self_not_must_use
)]

pub mod device;
pub mod proxy;
pub mod server;

use std::path::PathBuf;

/// Path of one of the workspace's binaries.
pub fn binary(name: &str) -> PathBuf {
    let test = std::env::current_exe().expect("a test has a path");
    let folder = test.parent().and_then(std::path::Path::parent);
    let path = folder.expect("tests are in target/*/deps").join(name);
    assert!(
        path.exists(),
        "{} is missing: run `cargo build --workspace` first",
        path.display()
    );
    path
}
