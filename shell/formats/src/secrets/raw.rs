//! `raw`: the value, byte for byte.

use crate::format::{Portable, SecretFormat, bounded};

/// The format.
pub const FORMAT: SecretFormat = SecretFormat::new(
    "raw",
    "the value, byte for byte",
    |secret, _| Ok(secret.value.clone()),
    |bytes, _| bounded(bytes.to_vec()).map(Portable::bare),
);
