//! The one door to MessagePack: bounded, strict, canonical.
//!
//! Structures are arrays in field order, enum variants are `"name"` or `{"name": content}`, bytes are `bin`,
//! integers take their shortest form. Decoding encodes again and compares, so that each message has exactly one
//! encoding: unknown fields, over-long integers and trailing bytes are all refused.

use serde::Serialize;
use serde::de::DeserializeOwned;

/// Why bytes are not a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CodecError {
    /// The bytes exceed the limit for this kind of message.
    #[error("message of {len} bytes exceeds the limit of {limit} bytes")]
    TooLong {
        /// Length received, in bytes.
        len: usize,
        /// Longest length accepted, in bytes.
        limit: usize,
    },
    /// The bytes do not decode, or are not the canonical encoding of what they decode to.
    #[error("message is malformed")]
    Malformed,
}

/// No message of the protocol nests deeper than this many arrays and maps.
const MAX_DEPTH: usize = 16;

/// Encodes a message canonically.
///
/// # Errors
/// [`CodecError::Malformed`] if the type cannot be expressed in MessagePack; no type of this crate is such.
pub fn encode<T: Serialize>(message: &T) -> Result<Vec<u8>, CodecError> {
    rmp_serde::to_vec(message).map_err(|_| CodecError::Malformed)
}

/// Decodes a message of at most `limit` bytes.
///
/// # Errors
/// [`CodecError::TooLong`] before anything is parsed, else [`CodecError::Malformed`].
pub fn decode<T: Serialize + DeserializeOwned>(
    bytes: &[u8],
    limit: usize,
) -> Result<T, CodecError> {
    if bytes.len() > limit {
        return Err(CodecError::TooLong {
            len: bytes.len(),
            limit,
        });
    }
    let mut reader = rmp_serde::Deserializer::from_read_ref(bytes);
    reader.set_max_depth(MAX_DEPTH);
    let message = T::deserialize(&mut reader).map_err(|_| CodecError::Malformed)?;
    if encode(&message)? != bytes {
        return Err(CodecError::Malformed);
    }
    Ok(message)
}
