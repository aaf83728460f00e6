//! The sharing itself: polynomials over GF(2^8), one for each byte, with the secret at x = 255 and its digest at 254.
//!
//! The arithmetic and the interpolation are those of `vsss-rs`: over Rijndael's polynomial, as SLIP-39 has it, without
//! tables or branches that depend on secrets. It interpolates at 0 alone; in this field subtraction is XOR, so moving all
//! points by `x` moves any place there. Of the others that were looked at, `blahaj` and `sharks` are over another
//! polynomial (0x11d), with tables; `bc-shamir` brings a second set of cryptographic crates along.

use hmac::{Hmac, Mac as _};
use sha2::Sha256;
use shared::secret::SecretBytes;
use subtle::ConstantTimeEq as _;
use vsss_rs::{DefaultShare, Gf256, IdentifierGf256, ReadableShareSet as _};
use zeroize::Zeroizing;

use crate::error::FormatError;

/// The x of the secret.
const SECRET: u8 = 255;
/// The x of the digest of the secret, which random bytes follow.
const DIGEST: u8 = 254;
const DIGEST_LEN: usize = 4;

/// An x and the values of the polynomials there.
pub type Point = (u8, Zeroizing<Vec<u8>>);

/// Splits a secret into shares at x = 0, 1, …; `threshold` of them restore it.
///
/// # Errors
/// [`FormatError`] for parameters that the arithmetic does not allow.
pub fn split(
    threshold: u8,
    count: u8,
    secret: &[u8],
) -> Result<Vec<Zeroizing<Vec<u8>>>, FormatError> {
    let own = || Zeroizing::new(secret.to_vec());
    if threshold <= 1 {
        return Ok((0..count).map(|_| own()).collect());
    }
    let random = |len: usize| Zeroizing::new(SecretBytes::random(len).expose().to_vec());
    let free = threshold - 2;
    let mut base: Vec<Point> = (0..free)
        .map(|place| (place, random(secret.len())))
        .collect();
    let salt = random(secret.len().saturating_sub(DIGEST_LEN));
    let digest = digest(&salt, secret)?;
    base.push((DIGEST, Zeroizing::new([digest.as_slice(), &salt].concat())));
    base.push((SECRET, own()));
    (0..count)
        .map(|place| match base.get(usize::from(place)) {
            Some((at, value)) if *at == place => Ok(value.clone()),
            _ => at(&base, place),
        })
        .collect()
}

/// Restores a secret; more points than needed must agree with the others.
///
/// # Errors
/// [`FormatError`] for points of different secrets.
pub fn join(threshold: u8, points: &[Point]) -> Result<Zeroizing<Vec<u8>>, FormatError> {
    let foreign =
        || FormatError::malformed("the shares do not belong to one secret, or one was altered");
    if threshold <= 1 {
        let (_, first) = points.first().ok_or_else(foreign)?;
        let agree = points.iter().all(|(_, value)| value == first);
        return agree.then(|| first.clone()).ok_or_else(foreign);
    }
    let secret = at(points, SECRET)?;
    let vouching = at(points, DIGEST)?;
    let (says, salt) = vouching.split_at_checked(DIGEST_LEN).ok_or_else(foreign)?;
    let is = digest(salt, &secret)?;
    bool::from(is.ct_eq(says))
        .then_some(secret)
        .ok_or_else(foreign)
}

fn digest(salt: &[u8], secret: &[u8]) -> Result<[u8; DIGEST_LEN], FormatError> {
    let mut hmac = <Hmac<Sha256>>::new_from_slice(salt).map_err(arithmetic)?;
    hmac.update(secret);
    let mut digest = [0; DIGEST_LEN];
    let all = hmac.finalize().into_bytes();
    digest.iter_mut().zip(all).for_each(|(to, from)| *to = from);
    Ok(digest)
}

/// The values of the polynomials at `x`, which is not the x of a point.
fn at(points: &[Point], x: u8) -> Result<Zeroizing<Vec<u8>>, FormatError> {
    let len = points.first().map_or(0, |(_, value)| value.len());
    let mut found = Zeroizing::new(Vec::with_capacity(len));
    let element = |byte: u8| IdentifierGf256(Gf256(byte));
    for place in 0..len {
        let shares = points.iter().map(|(at, value)| DefaultShare {
            identifier: element(at ^ x),
            value: element(value.get(place).copied().unwrap_or_default()),
        });
        let shares = Zeroizing::new(shares.collect::<Vec<_>>());
        let IdentifierGf256(Gf256(byte)) = shares.combine().map_err(arithmetic)?;
        found.push(byte);
    }
    Ok(found)
}

fn arithmetic(error: impl std::fmt::Debug) -> FormatError {
    FormatError::library(format!("the shares cannot be joined: {error:?}"))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn so_many_shares_join_and_fewer_do_not(
            secret in proptest::collection::vec(any::<u8>(), 16..=32),
            threshold in 2_u8..=6,
            more in 0_u8..=4,
            from in any::<prop::sample::Index>(),
        ) {
            let count = threshold + more;
            let shares = split(threshold, count, &secret).unwrap();
            prop_assert_eq!(shares.len(), usize::from(count));
            let mut points: Vec<Point> = (0..count).zip(shares).collect();
            let joined = join(threshold, &points).unwrap();
            prop_assert_eq!(joined.as_slice(), &secret);
            let from = from.index(usize::from(count));
            points.rotate_left(from);
            points.truncate(usize::from(threshold));
            let joined = join(threshold, &points).unwrap();
            prop_assert_eq!(joined.as_slice(), &secret);
            points.pop();
            prop_assert!(join(threshold, &points).is_err());
        }
    }

    #[test]
    fn an_altered_share_is_noticed_even_where_it_is_not_needed() {
        let shares = split(2, 3, &[7; 16]).unwrap();
        let mut points: Vec<Point> = (0..3).zip(shares).collect();
        assert!(join(2, &points).is_ok());
        points[2].1[0] ^= 1;
        assert!(join(2, &points).is_err());
    }
}
