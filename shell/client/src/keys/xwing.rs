//! X-Wing (draft-connolly-cfrg-xwing-kem): a hybrid KEM of ML-KEM-768 (FIPS 203) and X25519 (RFC 7748), which is secure
//! as long as one of them is.
//!
//! The combiner stands here because the `x-wing` crate needs a release of the `kem` crate that cannot stand beside the
//! one which age needs. The tests run the vectors of the draft.

use ml_kem::kem::{Decapsulate as _, DecapsulationKey, Encapsulate as _, EncapsulationKey};
use ml_kem::{EncodedSizeUser as _, KemCore as _, MlKem768, MlKem768Params};
use rand::rngs::OsRng;
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
    let (ml_kem, x25519) = public.split_at_checked(ML_KEM_PUBLIC_LEN)?;
    let receiver = PublicKey::from(<[u8; X25519_LEN]>::try_from(x25519).ok()?);
    let key = EncapsulationKey::<MlKem768Params>::from_bytes(&ml_kem.try_into().ok()?);
    // The modulus check of FIPS 203, section 7.2.
    if key.as_bytes().as_slice() != ml_kem {
        return None;
    }
    let (sealed, mut shared) = key.encapsulate(&mut OsRng).ok()?;
    let ephemeral = StaticSecret::random_from_rng(OsRng);
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
