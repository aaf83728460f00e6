//! `hex`: lower-case out; either case in.

use data_encoding::{HEXLOWER, HEXLOWER_PERMISSIVE};
use shared::secret::SecretBytes;

use crate::format::{FormatError, Portable, SecretFormat, bounded};

/// The format.
pub const FORMAT: SecretFormat = SecretFormat::new(
    "hex",
    "the value in hexadecimal",
    |secret, _| {
        let text = HEXLOWER.encode(secret.value.expose());
        Ok(SecretBytes::new(text.into_bytes()))
    },
    |bytes, _| {
        let value = HEXLOWER_PERMISSIVE.decode(bytes.trim_ascii());
        let bad = |error| FormatError::not_this_format(format!("this is not hex: {error}"));
        bounded(value.map_err(bad)?).map(Portable::bare)
    },
);
