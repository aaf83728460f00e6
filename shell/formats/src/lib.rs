//! File formats of single secrets and of whole vaults: reading, writing, and the losses of each.
//!
//! From the bottom up: `model` (the items), `error` and `ask`, `input` (files on their way in), `format` (the two kinds of
//! formats), the formats themselves in `secrets` and `vaults`, and `registry` with the lists of them.

mod ask;
mod capabilities;
mod ciphers;
mod document;
mod error;
mod folders;
mod foreign_content;
mod format;
mod input;
pub mod key;
mod lookalike;
mod model;
mod names;
mod otpauth;
mod registry;
mod round_trip;
mod secrets;
#[cfg(test)]
mod testing;
mod vaults;
mod words;

pub use ask::{Ask, Choices};
pub use error::FormatError;
pub use format::{
    FolderFile, Incoming, MAX_SECRET_FILE, SecretFormat, VaultFormat, Written, create_folder,
    pieces,
};
pub use input::{age_file, source};
pub use key::{openssh, pem};
pub use model::{Portable, item, record};
pub use registry::{ALL, Detected, VAULTS, detect, named, names, vault_named};
pub use secrets::shares;
pub use vaults::{
    bitwarden, csv, cxf, dotenv, enpass, jwks, keepass, keeper, native, onepif, onepux, otp, pass,
    proton, vault_kv,
};
