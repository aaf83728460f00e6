//! The harness of the black-box tests: the real binaries, each with a temporary folder of its own and a port that the
//! system picks.
//!
//! `cargo test --workspace` builds the binaries before any test runs; `cargo test -p tests` uses those that are there.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::missing_panics_doc,
    clippy::return_self_not_must_use
)]

pub mod client;
pub mod device;
pub mod display;
pub mod foreign;
pub mod keyring;
pub mod killer;
pub mod mitm;
pub mod operator;
pub mod owner;
pub mod picture;
pub mod proxy;
pub mod raw;
pub mod server;

use std::path::{Path, PathBuf};

/// The folder of the workspace's binaries: tests are in `target/*/deps`, programs beside the binaries.
fn programs() -> PathBuf {
    let own = std::env::current_exe().expect("a program has a path");
    let folder = own.parent().expect("a program is in a folder");
    let folder = match folder.parent() {
        Some(above) if folder.ends_with("deps") => above,
        _ => folder,
    };
    folder.to_owned()
}

/// Path of one of the workspace's binaries; a missing one, or one older than its sources, fails the test.
pub fn binary(name: &str) -> PathBuf {
    let path = programs().join(name);
    assert!(
        path.exists(),
        "{} is missing: run `cargo build --workspace` (of the same profile) first",
        path.display()
    );
    let modified = |path: &Path| path.metadata().and_then(|file| file.modified());
    let built = modified(&path).unwrap();
    // Cargo lists there what the binary was built from, in the form of a make rule.
    let sources = std::fs::read_to_string(path.with_extension("d")).unwrap_or_default();
    for source in sources.split_whitespace().skip(1) {
        assert!(
            !modified(Path::new(source)).is_ok_and(|changed| changed > built),
            "{} is older than {source}: run `cargo build --workspace` first",
            path.display()
        );
    }
    path
}
