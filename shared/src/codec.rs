//! The only use of MessagePack: bounded, strict, canonical.
//!
//! Structures are arrays in field order, enum variants are `"name"` or `{"name": content}`, bytes are `bin`,
//! integers take their shortest form. Decoding encodes again and compares, so that each message has exactly one
//! encoding: unknown fields, over-long integers and trailing bytes are all refused.

use std::io::{self, Write};

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
    /// The bytes do not decode, or are not the canonical encoding of the decoded message.
    #[error("message is malformed")]
    Malformed,
}

/// No message of the protocol nests deeper than this many arrays and maps.
const MAX_DEPTH: usize = 16;

/// Encodes a message canonically, in one allocation that never grows: growing would leave an unwiped copy of secrets
/// behind.
///
/// # Errors
/// [`CodecError::Malformed`] if the type cannot be expressed in MessagePack; every type of this crate can.
pub fn encode<T: Serialize>(message: &T) -> Result<Vec<u8>, CodecError> {
    let mut bytes = Vec::with_capacity(encoded_len(message)?);
    write(message, &mut bytes)?;
    Ok(bytes)
}

/// Length of the encoding of a message, in bytes.
///
/// # Errors
/// As [`encode`].
pub fn encoded_len<T: Serialize>(message: &T) -> Result<usize, CodecError> {
    let mut counter = Counter(0);
    write(message, &mut counter)?;
    Ok(counter.0)
}

/// Decodes a message of at most `limit` bytes.
///
/// # Errors
/// [`CodecError::TooLong`], before anything is parsed, or [`CodecError::Malformed`].
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
    let mut comparison = Comparison(bytes);
    write(&message, &mut comparison)?;
    if comparison.0.is_empty() {
        Ok(message)
    } else {
        Err(CodecError::Malformed)
    }
}

fn write<T: Serialize>(message: &T, to: &mut impl Write) -> Result<(), CodecError> {
    rmp_serde::encode::write(to, message).map_err(|_| CodecError::Malformed)
}

/// Counts the bytes written.
struct Counter(usize);

impl Write for Counter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 = self.0.saturating_add(bytes.len());
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Compares written bytes with the expected ones, of which it holds the rest. Comparing with a whole second encoding
/// would leave one more plaintext to wipe.
struct Comparison<'a>(&'a [u8]);

impl Write for Comparison<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let rest = self.0.strip_prefix(bytes);
        self.0 = rest.ok_or(io::ErrorKind::InvalidData)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn an_encoding_fills_its_one_allocation() {
        let message = (7u8, "text", vec![300u16; 1000], Some([1u64; 3]));
        let bytes = encode(&message).unwrap();
        assert_eq!(bytes, rmp_serde::to_vec(&message).unwrap());
        assert_eq!(bytes.len(), encoded_len(&message).unwrap());
        assert_eq!(bytes.len(), bytes.capacity());
    }

    #[test]
    fn only_the_one_encoding_decodes() {
        let good = encode(&(5u32, "a".to_owned())).unwrap();
        let decoded: (u32, String) = decode(&good, 100).unwrap();
        assert_eq!(decoded, (5, "a".to_owned()));
        let over_long = [0x92, 0xcc, 5, 0xa1, b'a'];
        let longer = [good.as_slice(), &[0]].concat();
        let shorter = good.split_last().unwrap().1;
        for bad in [&over_long, longer.as_slice(), shorter, &[]] {
            assert!(decode::<(u32, String)>(bad, 100).is_err(), "{bad:?}");
        }
        assert!(matches!(
            decode::<(u32, String)>(&good, 3),
            Err(CodecError::TooLong { len: 4, limit: 3 })
        ));
    }
}
