//! Formats and rules that `keyserver` and `keyshell` must agree on: no I/O, no async, no keys that open values.
//!
//! `docs/protocol.md` specifies every format in this crate.
#![forbid(unsafe_code)]

pub mod aead;
pub mod audit_record;
pub mod channel;
pub mod checkpoint;
pub mod codec;
pub mod ids;
pub mod kdf;
pub mod merkle;
mod named_enum;
pub mod names;
pub mod opaque;
pub mod request;
pub mod secret;
pub mod vault_log;
pub mod wire;

/// Protocol version: part of every key-derivation label and of the OPAQUE context.
pub const PROTOCOL_VERSION: u8 = 2;
