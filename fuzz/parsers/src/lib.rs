//! Fuzz targets of everything that parses outside bytes, as plain functions: `fuzz/fuzz_targets` hands them what
//! libFuzzer thinks up, `tests/corpus.rs` what it found.
//!
//! None of them only asks for "no panic". Each states what must hold of whatever was accepted: it encodes to the same
//! bytes, it survives being written and read again, it is within its limits, and what was altered is not accepted.
#![forbid(unsafe_code)]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::missing_panics_doc
)]

pub mod age_files;
mod audit;
mod channel;
mod checkpoint;
pub mod codes;
mod cursor;
mod device;
pub mod exports;
pub mod imports;
pub mod keys;
pub mod local;
mod log;
mod marks;
mod proofs;
mod replay;
mod sealed;
pub mod server;
pub mod settings;
pub mod tables;
mod text;
pub mod vaults;
mod wire;
mod words;
pub mod world;

/// A target: any bytes in, a panic if something that must hold does not.
pub type Target = fn(&[u8]);

/// All targets by name; each has a file in `fuzz/fuzz_targets` and a folder in `fuzz/corpus`.
pub const TARGETS: [(&str, Target); 25] = [
    ("age_files", age_files::age_files),
    ("audit_file", audit::audit_file),
    ("audit_marks", marks::audit_marks),
    ("audit_record", audit::audit_record),
    ("channel", channel::channel),
    ("checkpoint", checkpoint::checkpoint),
    ("codes", codes::codes),
    ("device_files", device::device_files),
    ("exports", exports::exports),
    ("imports", imports::imports),
    ("keys", keys::keys),
    ("local_store", local::local_store),
    ("log_entry", log::log_entry),
    ("log_replay", replay::log_replay),
    ("proofs", proofs::proofs),
    ("repl_line", text::repl_line),
    ("sealed", sealed::sealed),
    ("server_config", settings::server_config),
    ("server_session", server::server_session),
    ("small_text", text::small_text),
    ("tables", tables::tables),
    ("vaults", vaults::vaults),
    ("wire_before_login", wire::wire_before_login),
    ("wire_session", wire::wire_session),
    ("words", words::words),
];

/// Runs one target, for the programs in `fuzz/fuzz_targets`.
pub fn run(name: &str, data: &[u8]) {
    let target = TARGETS.iter().find(|(known, _)| *known == name);
    target.expect("a target of this name").1(data);
}
