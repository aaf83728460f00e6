//! Padding of plaintexts before they are sealed, so that ciphertexts do not reveal exact lengths.
//!
//! `length (4 bytes, big-endian) || content || zeros`, up to the Padmé size of length and content (Nikitin et al., PETS
//! 2019), but at least a minimum.

use padme_padding::Padme;
use zeroize::Zeroizing;

const LENGTH_LEN: usize = 4;

/// Length of the padding of `len` bytes, at least `min`.
pub(crate) fn padded_len(len: usize, min: usize) -> usize {
    Padme::padded_len(LENGTH_LEN + len).max(min)
}

/// Pads `content`, which has less than 4 GiB, to at least `min` bytes.
pub(crate) fn pad(content: &[u8], min: usize) -> Zeroizing<Vec<u8>> {
    let len = u32::try_from(content.len()).unwrap_or(u32::MAX);
    let size = padded_len(content.len(), min);
    // One allocation of the right size: no copy is left behind.
    let mut padded = Zeroizing::new(Vec::with_capacity(size));
    padded.extend_from_slice(&len.to_be_bytes());
    padded.extend_from_slice(content);
    padded.resize(size, 0);
    padded
}

/// The content of padded bytes; `None` for all but the one padding that [`pad`] makes.
pub(crate) fn unpad(padded: &[u8], min: usize) -> Option<&[u8]> {
    let (len, rest) = padded.split_first_chunk::<LENGTH_LEN>()?;
    let len = usize::try_from(u32::from_be_bytes(*len)).ok()?;
    let (content, zeros) = rest.split_at_checked(len)?;
    let is_canonical = padded.len() == padded_len(len, min) && zeros.iter().all(|byte| *byte == 0);
    is_canonical.then_some(content)
}
