//! Length-prefixed fields of the outer and the inner header.

use crate::error::FormatError;

/// A piece of the file, and what is behind it.
pub fn split(bytes: &[u8], len: usize) -> Result<(&[u8], &[u8]), FormatError> {
    let cut = || FormatError::malformed("the database is truncated");
    bytes.split_at_checked(len).ok_or_else(cut)
}

/// A number of four bytes, and what is behind it.
pub fn number(bytes: &[u8]) -> Result<(u32, &[u8]), FormatError> {
    let (number, rest) = split(bytes, 4)?;
    let number = number.try_into().unwrap_or_default();
    Ok((u32::from_le_bytes(number), rest))
}

/// A field: its kind, its value, and what is behind it.
pub fn field(bytes: &[u8], max: usize) -> Result<(u8, &[u8], &[u8]), FormatError> {
    let (kind, rest) = split(bytes, 1)?;
    let (len, rest) = number(rest)?;
    valued(kind, len, rest, max)
}

/// A field of KDBX 3, whose length is a number of two bytes.
pub fn short_field(bytes: &[u8]) -> Result<(u8, &[u8], &[u8]), FormatError> {
    let (kind, rest) = split(bytes, 1)?;
    let (len, rest) = split(rest, 2)?;
    let len = u16::from_le_bytes(len.try_into().unwrap_or_default());
    valued(kind, len.into(), rest, usize::MAX)
}

fn valued<'a>(
    kind: &[u8],
    len: u32,
    rest: &'a [u8],
    max: usize,
) -> Result<(u8, &'a [u8], &'a [u8]), FormatError> {
    let len = usize::try_from(len).unwrap_or(usize::MAX);
    let what = format_args!("a field of the database's header has {len} bytes");
    FormatError::check_size(what, len, max, "bytes")?;
    let (value, rest) = split(rest, len)?;
    Ok((kind.first().copied().unwrap_or_default(), value, rest))
}

/// Writes a field.
pub fn put(out: &mut Vec<u8>, kind: u8, value: &[u8]) {
    out.push(kind);
    let len = u32::try_from(value.len()).unwrap_or(u32::MAX);
    out.extend(len.to_le_bytes());
    out.extend(value);
}
