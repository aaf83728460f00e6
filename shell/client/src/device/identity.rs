//! The identity of a device: a seed of 32 random bytes in a file of mode 0600, from which its signing key descends.

use ed25519_dalek::SigningKey;
use shared::ids::{DeviceId, PublicKey};
use shared::kdf::derive;
use shared::secret::Key;

/// The seed of a device. Its signing key signs requests; its id is a hash of the public half.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeviceIdentity {
    seed: Key,
    public: PublicKey,
}

impl DeviceIdentity {
    /// The identity that descends from a seed.
    pub fn new(seed: Key) -> Self {
        let public = signing_key(&seed).verifying_key().to_bytes();
        Self {
            seed,
            public: PublicKey::new(public),
        }
    }

    /// A new identity, from the operating system's CSPRNG.
    pub fn random() -> Self {
        Self::new(Key::random())
    }

    /// The seed, for the file that keeps it and for the KEM key of the device's slot.
    pub fn seed(&self) -> &Key {
        &self.seed
    }

    /// The key (Ed25519) that signs requests. Derived at each use, since moving its type leaves a copy behind.
    pub fn signing(&self) -> SigningKey {
        signing_key(&self.seed)
    }

    /// The public half of [`Self::signing`].
    pub fn public(&self) -> PublicKey {
        self.public
    }

    /// The id of the device.
    pub fn id(&self) -> DeviceId {
        DeviceId::of(&self.public)
    }
}

fn signing_key(seed: &Key) -> SigningKey {
    SigningKey::from_bytes(&derive::<32>(
        seed.expose(),
        "keyshell/2 device signing",
        &[],
    ))
}
