//! The corpus that fuzzing begins with: what the vectors record, and one good instance of everything that is parsed.
//!
//! `cargo test -p parsers --test seeds -- --ignored` writes it anew, the same each time.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::missing_panics_doc
)]

mod device;
mod exports;
mod files;
mod keys;
mod log;
mod scripts;
mod tables;
mod vaults;
mod wire;

use std::fs;
use std::path::{Path, PathBuf};

use data_encoding::HEXLOWER;
use serde_json::Value;

/// Writes one seed: the choice that the target reads first, then the content.
pub fn seed(target: &str, name: &str, choice: u8, content: impl AsRef<[u8]>) {
    plain(target, name, [&[choice], content.as_ref()].concat());
}

/// Writes one seed of a target without a choice.
pub fn plain(target: &str, name: &str, content: impl AsRef<[u8]>) {
    let folder = fuzz().join("corpus").join(target);
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join(format!("seed-{name}")), content).unwrap();
}

/// Two bytes of length, then the bytes: how scripts hold a chunk.
pub fn chunk(bytes: impl AsRef<[u8]>) -> Vec<u8> {
    let bytes = bytes.as_ref();
    let len = u16::try_from(bytes.len()).unwrap();
    [&len.to_be_bytes(), bytes].concat()
}

/// One of the files in `docs/vectors`.
pub fn vectors(name: &str) -> Value {
    let path = fuzz().join(format!("../docs/vectors/{name}.json"));
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

/// Bytes that stand as hex in a file of vectors.
pub fn bytes(value: &Value) -> Vec<u8> {
    HEXLOWER.decode(value.as_str().unwrap().as_bytes()).unwrap()
}

fn fuzz() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

#[test]
#[ignore = "writes fuzz/corpus"]
fn write() {
    wire::write();
    log::write();
    scripts::write();
    exports::write();
    files::write();
    keys::write();
    device::write();
    tables::write();
    vaults::write();
}
