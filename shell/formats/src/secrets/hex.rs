//! `hex`: lower-case out; either case in.

use data_encoding::{HEXLOWER, HEXLOWER_PERMISSIVE};
use shared::secret::SecretBytes;

use crate::format::{Ask, FormatError, Portable, SecretFormat, bounded};

/// The format.
pub const FORMAT: SecretFormat =
    SecretFormat::new("hex", "the value in hexadecimal", encode, decode);

fn encode(secret: &Portable, _: &dyn Ask) -> Result<SecretBytes, FormatError> {
    let text = HEXLOWER.encode(secret.value.expose());
    Ok(SecretBytes::new(text.into_bytes()))
}

fn decode(bytes: &[u8], _: &dyn Ask) -> Result<Portable, FormatError> {
    let value = HEXLOWER_PERMISSIVE
        .decode(bytes.trim_ascii())
        .map_err(|error| FormatError::not_this_format(format!("this is not hex: {error}")))?;
    bounded(value).map(Portable::bare)
}
