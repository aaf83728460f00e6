//! `len`: one length byte, then the value. `len32`: the same with four length bytes, big-endian.

use shared::secret::SecretBytes;

use crate::format::{FormatError, Portable, SecretFormat, bounded};

/// The format `len`.
pub const ONE_BYTE: SecretFormat = SecretFormat::new(
    "len",
    "one length byte, then the value: at most 255 bytes",
    |secret, _| encode(1, secret),
    |bytes, _| decode("len", 1, bytes),
);
/// The format `len32`.
pub const FOUR_BYTES: SecretFormat = SecretFormat::new(
    "len32",
    "four length bytes (big-endian), then the value",
    |secret, _| encode(4, secret),
    |bytes, _| decode("len32", 4, bytes),
);

fn encode(width: usize, secret: &Portable) -> Result<SecretBytes, FormatError> {
    let len = secret.value.len();
    let bytes = u32::try_from(len).unwrap_or(u32::MAX).to_be_bytes();
    let (unused, prefix) = bytes.split_at(bytes.len() - width);
    if unused.iter().any(|byte| *byte != 0) {
        return Err(FormatError::cannot_carry(format!(
            "format `len` carries at most 255 bytes, this value has {len}: use --format len32"
        )));
    }
    Ok(SecretBytes::new([prefix, secret.value.expose()].concat()))
}

fn decode(name: &str, width: usize, bytes: &[u8]) -> Result<Portable, FormatError> {
    let not = |why: &str| FormatError::not_this_format(format!("this is not `{name}`: {why}"));
    let parts = bytes.split_at_checked(width);
    let (prefix, value) = parts.ok_or_else(|| not("it is too short"))?;
    let stated = prefix
        .iter()
        .fold(0, |len, byte| (len << 8) | usize::from(*byte));
    if value.len() != stated {
        let len = value.len();
        let why = format!("the prefix states {stated} bytes, but {len} follow");
        return Err(not(&why));
    }
    bounded(value.to_vec()).map(Portable::bare)
}
