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
    if let Err(reason) = is_current(&path) {
        panic!("{reason}: run `cargo build` (of the same profile) first");
    }
    path
}

/// Checks that a binary is there, and no older than the sources that cargo lists in the make rule beside it.
///
/// `cargo build` writes that rule. `cargo test` writes none and leaves an old one as it is, but builds the programs
/// anew before any test runs: a missing rule or a listed source that is gone proves nothing.
///
/// # Errors
/// The reason: the binary is missing, or a source is newer.
pub fn is_current(binary: &Path) -> Result<(), String> {
    let modified = |path: &Path| path.metadata().and_then(|file| file.modified());
    let shown = binary.display();
    let built = modified(binary).map_err(|_| format!("{shown} is missing"))?;
    let sources = std::fs::read_to_string(binary.with_extension("d")).unwrap_or_default();
    for source in sources.split_whitespace().skip(1) {
        if modified(Path::new(source)).is_ok_and(|changed| changed > built) {
            return Err(format!("{shown} is older than {source}"));
        }
    }
    Ok(())
}
