//! X-Wing (draft-connolly-cfrg-xwing-kem): a hybrid KEM of ML-KEM-768 (FIPS 203) and X25519 (RFC 7748), which is secure
//! as long as one of them is.
//!
//! The combiner stands here because the `x-wing` crate needs a release of the `kem` crate that cannot stand beside the
//! one which age needs. The tests run the vectors of the draft.

use ml_kem::kem::{Decapsulate as _, DecapsulationKey, Encapsulate as _, EncapsulationKey};
use ml_kem::{EncodedSizeUser as _, KemCore as _, MlKem768, MlKem768Params};
use rand::rngs::OsRng;
use rand::{CryptoRng, RngCore};
use sha3::digest::{ExtendableOutput as _, Update as _, XofReader as _};
use sha3::{Digest as _, Sha3_256, Shake256};
use x25519_dalek::{PublicKey, StaticSecret};
use zeroize::Zeroizing;

/// Length of a ciphertext, in bytes.
pub const CIPHERTEXT_LEN: usize = ML_KEM_CIPHERTEXT_LEN + X25519_LEN;
/// Length of a seed, and of a shared secret, in bytes.
pub const SECRET_LEN: usize = 32;

const ML_KEM_PUBLIC_LEN: usize = 1184;
const ML_KEM_CIPHERTEXT_LEN: usize = 1088;
const X25519_LEN: usize = 32;
const LABEL: &[u8; 6] = br"\.//^\";

/// A shared secret.
pub type SharedSecret = Zeroizing<[u8; SECRET_LEN]>;

/// A private key, expanded from its seed.
pub struct PrivateKey {
    ml_kem: DecapsulationKey<MlKem768Params>,
    x25519: StaticSecret,
}

impl PrivateKey {
    /// Expands a seed of 32 bytes (section 5.2 of the draft).
    pub fn new(seed: &[u8; SECRET_LEN]) -> Self {
        let mut expanded = Zeroizing::new([0; 3 * SECRET_LEN]);
        let mut shake = Shake256::default();
        shake.update(seed);
        shake.finalize_xof().read(&mut expanded[..]);
        let (d, rest) = expanded.split_at(SECRET_LEN);
        let (z, x25519) = rest.split_at(SECRET_LEN);
        let mut scalar = Zeroizing::new([0; SECRET_LEN]);
        scalar.copy_from_slice(x25519);
        let (mut d_array, mut z_array) = (ml_kem::B32::default(), ml_kem::B32::default());
        d_array.copy_from_slice(d);
        z_array.copy_from_slice(z);
        let (ml_kem, _) = MlKem768::generate_deterministic(&d_array, &z_array);
        Self {
            ml_kem,
            x25519: StaticSecret::from(*scalar),
        }
    }

    /// The public key, 1,216 bytes.
    pub fn public(&self) -> Vec<u8> {
        let mut public = self.ml_kem.encapsulation_key().as_bytes().to_vec();
        public.extend_from_slice(PublicKey::from(&self.x25519).as_bytes());
        public
    }

    /// Opens a ciphertext of [`CIPHERTEXT_LEN`] bytes; `None` for another length. A ciphertext of another key yields
    /// another secret.
    pub fn decapsulate(&self, ciphertext: &[u8]) -> Option<SharedSecret> {
        let (ml_kem, x25519) = ciphertext.split_at_checked(ML_KEM_CIPHERTEXT_LEN)?;
        let sent = PublicKey::from(<[u8; X25519_LEN]>::try_from(x25519).ok()?);
        let mut shared = self.ml_kem.decapsulate(&ml_kem.try_into().ok()?).ok()?;
        let public = PublicKey::from(&self.x25519);
        let combined = combine(&shared, &self.x25519, &sent, (&sent, &public));
        zeroize::Zeroize::zeroize(shared.as_mut_slice());
        Some(combined)
    }
}

/// Makes a shared secret for the holder of a public key; `None` for bytes that are no public key.
pub fn encapsulate(public: &[u8]) -> Option<(Vec<u8>, SharedSecret)> {
    encapsulate_from(&mut OsRng, public)
}

fn encapsulate_from(
    rng: &mut (impl CryptoRng + RngCore),
    public: &[u8],
) -> Option<(Vec<u8>, SharedSecret)> {
    let (ml_kem, x25519) = public.split_at_checked(ML_KEM_PUBLIC_LEN)?;
    let receiver = PublicKey::from(<[u8; X25519_LEN]>::try_from(x25519).ok()?);
    let key = EncapsulationKey::<MlKem768Params>::from_bytes(&ml_kem.try_into().ok()?);
    // The modulus check of FIPS 203, section 7.2.
    if key.as_bytes().as_slice() != ml_kem {
        return None;
    }
    let (sealed, mut shared) = key.encapsulate(rng).ok()?;
    let ephemeral = StaticSecret::random_from_rng(rng);
    let sent = PublicKey::from(&ephemeral);
    let combined = combine(&shared, &ephemeral, &receiver, (&sent, &receiver));
    zeroize::Zeroize::zeroize(shared.as_mut_slice());
    let mut ciphertext = sealed.to_vec();
    ciphertext.extend_from_slice(sent.as_bytes());
    Some((ciphertext, combined))
}

/// The combiner (section 5.3 of the draft): SHA3-256 over both secrets, the X25519 ciphertext, the X25519 public key and
/// the label.
fn combine(
    ml_kem: &[u8],
    x25519: &StaticSecret,
    peer: &PublicKey,
    (ciphertext, public): (&PublicKey, &PublicKey),
) -> SharedSecret {
    let mut hash = Sha3_256::new();
    sha3::Digest::update(&mut hash, ml_kem);
    sha3::Digest::update(&mut hash, x25519.diffie_hellman(peer).as_bytes());
    sha3::Digest::update(&mut hash, ciphertext.as_bytes());
    sha3::Digest::update(&mut hash, public.as_bytes());
    sha3::Digest::update(&mut hash, LABEL);
    Zeroizing::new(hash.finalize().into())
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use data_encoding::HEXLOWER;
    use serde::Deserialize;

    use super::*;

    /// The vectors of draft-connolly-cfrg-xwing-kem, from `tests/test-vectors.json` of the crate `x-wing` 0.1.1.
    const VECTORS: &str = include_str!("../../tests/vectors/xwing.json");

    #[derive(Deserialize)]
    struct Vector {
        sk: String,
        pk: String,
        eseed: String,
        ct: String,
        ss: String,
    }

    /// Yields the bytes of a seed; panics once they are used up.
    struct Seed(Vec<u8>);

    impl RngCore for Seed {
        fn next_u32(&mut self) -> u32 {
            u32::from_be_bytes(self.0.drain(..4).collect::<Vec<_>>().try_into().unwrap())
        }

        fn next_u64(&mut self) -> u64 {
            u64::from_be_bytes(self.0.drain(..8).collect::<Vec<_>>().try_into().unwrap())
        }

        fn fill_bytes(&mut self, to: &mut [u8]) {
            to.copy_from_slice(&self.0.drain(..to.len()).collect::<Vec<_>>());
        }

        fn try_fill_bytes(&mut self, to: &mut [u8]) -> Result<(), rand::Error> {
            self.fill_bytes(to);
            Ok(())
        }
    }

    impl CryptoRng for Seed {}

    fn unhex(text: &str) -> Vec<u8> {
        HEXLOWER.decode(text.as_bytes()).unwrap()
    }

    fn key(first: u8) -> PrivateKey {
        PrivateKey::new(&[first; SECRET_LEN])
    }

    #[test]
    fn the_vectors_of_the_draft() {
        let vectors: Vec<Vector> = serde_json::from_str(VECTORS).unwrap();
        assert_eq!(vectors.len(), 3);
        for vector in vectors {
            let key = PrivateKey::new(&unhex(&vector.sk).try_into().unwrap());
            assert_eq!(HEXLOWER.encode(&key.public()), vector.pk);
            let mut seed = Seed(unhex(&vector.eseed));
            let (ciphertext, secret) = encapsulate_from(&mut seed, &key.public()).unwrap();
            assert!(seed.0.is_empty());
            assert_eq!(HEXLOWER.encode(&ciphertext), vector.ct);
            assert_eq!(HEXLOWER.encode(&secret[..]), vector.ss);
            assert_eq!(key.decapsulate(&ciphertext), Some(secret));
        }
    }

    #[test]
    fn a_ciphertext_is_for_one_key() {
        let (key, other) = (key(1), key(2));
        let (ciphertext, secret) = encapsulate(&key.public()).unwrap();
        assert_eq!(ciphertext.len(), CIPHERTEXT_LEN);
        assert_ne!(other.decapsulate(&ciphertext).unwrap(), secret);
        assert_ne!(encapsulate(&key.public()).unwrap().1, secret);
        // One bit in either half: ML-KEM rejects implicitly, and X25519's half is hashed.
        for place in [0, ML_KEM_CIPHERTEXT_LEN - 1, ML_KEM_CIPHERTEXT_LEN] {
            let mut altered = ciphertext.clone();
            altered[place] ^= 1;
            assert_ne!(key.decapsulate(&altered).unwrap(), secret, "{place}");
        }
        for len in [0, ML_KEM_CIPHERTEXT_LEN, CIPHERTEXT_LEN - 1] {
            assert_eq!(key.decapsulate(&ciphertext[..len]), None);
        }
        assert_eq!(
            key.decapsulate(&[ciphertext.as_slice(), &[0]].concat()),
            None
        );
    }

    #[test]
    fn bytes_that_are_no_public_key_are_refused() {
        let public = key(1).public();
        assert_eq!(public.len(), shared::vault_log::KEM_KEY_LEN);
        for len in [0, ML_KEM_PUBLIC_LEN, public.len() - 1] {
            assert_eq!(encapsulate(&public[..len]), None);
        }
        assert_eq!(encapsulate(&[public.as_slice(), &[0]].concat()), None);
        // A coefficient of 4095 is not below the modulus 3329.
        let mut unreduced = public;
        unreduced[..2].fill(0xff);
        assert_eq!(encapsulate(&unreduced), None);
    }
}
