//! The passphrase of the shares: a Feistel network of four rounds of PBKDF2 (SLIP-39), which turns any secret of even
//! length into another. Every passphrase gives a secret; the right one cannot be recognised.

use sha2::Sha256;
use zeroize::Zeroizing;

use super::share::Scheme;

const ROUNDS: u8 = 4;
/// Rounds of PBKDF2 altogether, before they are doubled.
const BASE: u32 = 10_000;

/// Encrypts the secret before it is split.
pub fn encrypt(scheme: Scheme, passphrase: &str, secret: &[u8]) -> Zeroizing<Vec<u8>> {
    feistel(scheme, passphrase, secret, [0, 1, 2, 3])
}

/// Decrypts the value that was restored.
pub fn decrypt(scheme: Scheme, passphrase: &str, shared: &[u8]) -> Zeroizing<Vec<u8>> {
    feistel(scheme, passphrase, shared, [3, 2, 1, 0])
}

fn feistel(
    scheme: Scheme,
    passphrase: &str,
    bytes: &[u8],
    rounds: [u8; ROUNDS as usize],
) -> Zeroizing<Vec<u8>> {
    let (left, right) = bytes.split_at(bytes.len() / 2);
    let (mut left, mut right) = (
        Zeroizing::new(left.to_vec()),
        Zeroizing::new(right.to_vec()),
    );
    for round in rounds {
        let mut mixed = mix(scheme, round, passphrase, &right);
        mixed
            .iter_mut()
            .zip(left.iter())
            .for_each(|(to, with)| *to ^= with);
        left = std::mem::replace(&mut right, mixed);
    }
    Zeroizing::new([right.as_slice(), &left].concat())
}

fn mix(scheme: Scheme, round: u8, passphrase: &str, right: &[u8]) -> Zeroizing<Vec<u8>> {
    let password = Zeroizing::new([&[round], passphrase.as_bytes()].concat());
    let mut salt = Zeroizing::new(Vec::new());
    if !scheme.extendable {
        salt.extend(b"shamir");
        salt.extend(scheme.identifier.to_be_bytes());
    }
    salt.extend(right);
    let rounds = (BASE << scheme.exponent) / u32::from(ROUNDS);
    let mut mixed = Zeroizing::new(vec![0; right.len()]);
    pbkdf2::pbkdf2_hmac::<Sha256>(&password, &salt, rounds, &mut mixed);
    mixed
}
