//! Where secrets may come to light: disks, logs, processes, memory, the wire. Recognisable ones are planted, and looked
//! for in each place; every search is shown to find what is there.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::missing_panics_doc
)]

mod debug;
mod disk;
mod errors;
mod memory;
mod network;
mod processes;
mod proxy;

use std::path::Path;

pub const ACCOUNT: &str = "planted-account-91bc";
pub const PASSWORD: &str = "planted-password-7f3a-long-enough-to-grow-a-buffer-twice";
pub const NAME: &str = "planted-name-c04d";
pub const TAG: &str = "planted-tag-e81f";
pub const NOTE: &str = "planted-note-26aa";
/// What all of them begin with.
pub const PLANTED: &[u8] = b"planted-";

/// A value that nothing else looks like.
pub fn value() -> String {
    "planted-value-5d2e!".repeat(8)
}

/// Whether bytes are somewhere in others.
pub fn contains(haystack: &[u8], needle: &[u8]) -> bool {
    count(haystack, needle) > 0
}

/// How often bytes are in others.
pub fn count(haystack: &[u8], needle: &[u8]) -> usize {
    let (first, rest) = needle.split_first().unwrap();
    let mut found = 0;
    let mut from = haystack;
    // By the first byte, which is quick, and then the rest.
    while let Some(position) = from.iter().position(|byte| byte == first) {
        from = &from[position + 1..];
        found += usize::from(from.starts_with(rest));
    }
    found
}

/// Whether bytes are in any file of a folder.
pub fn holds(folder: &Path, needle: &[u8]) -> bool {
    std::fs::read_dir(folder).unwrap().any(|entry| {
        let path = entry.unwrap().path();
        if path.is_dir() {
            return holds(&path, needle);
        }
        contains(&std::fs::read(&path).unwrap(), needle)
    })
}
