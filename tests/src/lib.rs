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

use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// Path of one of the workspace's binaries; a missing one, or one older than its sources, fails the test.
pub fn binary(name: &str) -> PathBuf {
    let test = std::env::current_exe().expect("a test has a path");
    let folder = test.parent().and_then(Path::parent);
    let path = folder.expect("tests are in target/*/deps").join(name);
    assert!(
        path.exists(),
        "{} is missing: run `cargo build --workspace` first",
        path.display()
    );
    let built = path.metadata().and_then(|file| file.modified()).unwrap();
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    for package in ["shared", "keyserver", "shell"] {
        assert!(
            newest(&root.join(package).join("src")) <= built,
            "{} is older than {package}: run `cargo build --workspace` first",
            path.display()
        );
    }
    path
}

fn newest(folder: &Path) -> SystemTime {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| {
        let entry = entry.unwrap();
        if entry.file_type().unwrap().is_dir() {
            newest(&entry.path())
        } else {
            entry.metadata().unwrap().modified().unwrap()
        }
    });
    entries.max().unwrap_or(SystemTime::UNIX_EPOCH)
}
