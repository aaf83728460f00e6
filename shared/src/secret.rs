//! Containers for secrets: wiped when dropped, compared in constant time, printed as `[redacted]`.

use std::{fmt, io};

use rand::RngCore as _;
use rand::rngs::OsRng;
use subtle::ConstantTimeEq as _;
use zeroize::{Zeroize, ZeroizeOnDrop};

/// Secret bytes of any length: a value, a password, a decoded file.
#[derive(Clone, Default, Zeroize, ZeroizeOnDrop)]
pub struct SecretBytes(Vec<u8>);

impl SecretBytes {
    /// Takes ownership of `bytes`; the allocation is wiped when this container is dropped.
    pub fn new(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }

    /// `len` random bytes from the operating system's CSPRNG.
    pub fn random(len: usize) -> Self {
        let mut bytes = vec![0; len];
        OsRng.fill_bytes(&mut bytes);
        Self(bytes)
    }

    /// The bytes. The name makes every use easy to find.
    pub fn expose(&self) -> &[u8] {
        &self.0
    }

    /// Length in bytes.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether the length is 0.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl From<Vec<u8>> for SecretBytes {
    fn from(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }
}

impl From<&[u8]> for SecretBytes {
    fn from(bytes: &[u8]) -> Self {
        Self(bytes.to_vec())
    }
}

impl PartialEq for SecretBytes {
    fn eq(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl Eq for SecretBytes {}

impl fmt::Debug for SecretBytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

/// A growing buffer of secret bytes. When it moves to a larger allocation, the smaller one is wiped before it is
/// freed.
#[derive(Debug, Default)]
pub struct SecretWriter(SecretBytes);

impl SecretWriter {
    /// The bytes written.
    pub fn finish(self) -> SecretBytes {
        self.0
    }
}

impl io::Write for SecretWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let buffer = &mut self.0.0;
        let needed = buffer.len().saturating_add(bytes.len());
        if needed > buffer.capacity() {
            let mut larger = Vec::with_capacity(needed.saturating_mul(2));
            larger.extend_from_slice(buffer);
            buffer.zeroize();
            *buffer = larger;
        }
        buffer.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A 32-byte symmetric key or key seed on the heap: moving the owner moves a pointer, whereas moving an array would
/// leave an unwiped copy behind.
#[derive(Zeroize, ZeroizeOnDrop)]
pub struct Key(Box<[u8; Key::LEN]>);

impl Key {
    /// Length in bytes.
    pub const LEN: usize = 32;

    /// Wraps key bytes.
    pub fn new(mut bytes: [u8; Self::LEN]) -> Self {
        let mut key = Self::zero();
        key.0.copy_from_slice(&bytes);
        bytes.zeroize();
        key
    }

    /// A random key from the operating system's CSPRNG.
    pub fn random() -> Self {
        let mut key = Self::zero();
        OsRng.fill_bytes(&mut key.0[..]);
        key
    }

    /// A key from a slice of exactly 32 bytes; `None` for any other length.
    pub fn from_slice(bytes: &[u8]) -> Option<Self> {
        let mut key = Self::zero();
        (bytes.len() == Self::LEN).then(|| key.0.copy_from_slice(bytes))?;
        Some(key)
    }

    /// The key bytes. The name makes every use easy to find.
    pub fn expose(&self) -> &[u8; Self::LEN] {
        &self.0
    }

    fn zero() -> Self {
        Self(Box::new([0; Self::LEN]))
    }
}

/// Copies from heap to heap; the derived implementation would copy by way of the stack and leave the key there.
impl Clone for Key {
    fn clone(&self) -> Self {
        let mut key = Self::zero();
        key.0.copy_from_slice(&self.0[..]);
        key
    }
}

impl PartialEq for Key {
    fn eq(&self, other: &Self) -> bool {
        self.0[..].ct_eq(&other.0[..]).into()
    }
}

impl Eq for Key {}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::io::Write as _;

    use super::*;

    #[test]
    fn a_writer_holds_all_that_was_written_and_shows_nothing() {
        let mut writer = SecretWriter::default();
        for piece in [&b"abc"[..], b"", &[7; 5000], b"z"] {
            writer.write_all(piece).unwrap();
        }
        assert_eq!(format!("{writer:?}"), "SecretWriter([redacted])");
        let written = [&b"abc"[..], &[7; 5000], b"z"].concat();
        assert_eq!(writer.finish().expose(), written);
    }
}
