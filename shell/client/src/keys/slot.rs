//! The key pairs of a credential: a KEM key (X-Wing, draft-connolly-cfrg-xwing-kem) to which later account keys are
//! encapsulated, and a signing key that authorises a device's key for a session. The owner's log names the public
//! halves, so that the server can substitute neither.

use ed25519_dalek::SigningKey;
use serde_bytes::ByteBuf;
use shared::aead::{self, OpenError};
use shared::ids::{AccountId, Digest, PublicKey};
use shared::kdf::{derive, length_prefixed};
use shared::opaque::{SUITE, Slot};
use shared::secret::Key;
use shared::vault_log::CredentialKeys;
use shared::wire::slots::SlotKey;
use zeroize::Zeroizing;

use crate::device::identity::DeviceIdentity;
use crate::keys::xwing::{self, CIPHERTEXT_LEN, PrivateKey};

/// One credential of an account: what its keys are bound to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SlotContext {
    /// The account.
    pub account: AccountId,
    /// The slot.
    pub slot: Slot,
    /// The generation of the credential.
    pub generation: u64,
}

/// The private keys of a credential.
pub struct SlotKeys {
    context: SlotContext,
    kem: PrivateKey,
    signing: Zeroizing<[u8; 32]>,
}

impl SlotContext {
    /// The keys of the credential: those of a device's slot descend from `account_key`, that of the epoch in which this
    /// generation began, and from the device; others from the OPAQUE export key (64 bytes).
    pub fn keys_of(
        self,
        export_key: &[u8],
        account_key: &Key,
        device: &DeviceIdentity,
    ) -> SlotKeys {
        match self.slot {
            Slot::Device(_) => self.device_keys(account_key, device),
            Slot::Password | Slot::Recovery => self.keys(export_key),
        }
    }

    fn keys(self, export_key: &[u8]) -> SlotKeys {
        SlotKeys {
            kem: self.kem(export_key),
            signing: self.derive(export_key, "keyshell/2 slot signing"),
            context: self,
        }
    }

    /// The seed is on the device's disk and the account key is not: a device that is switched off does not hold the KEM
    /// key.
    fn device_keys(self, account_key: &Key, device: &DeviceIdentity) -> SlotKeys {
        let both = Zeroizing::new(length_prefixed(&[
            account_key.expose(),
            device.seed().expose(),
        ]));
        SlotKeys {
            kem: self.kem(&both),
            signing: Zeroizing::new(device.signing().to_bytes()),
            context: self,
        }
    }

    fn kem(&self, ikm: &[u8]) -> PrivateKey {
        PrivateKey::new(&self.derive(ikm, "keyshell/2 slot kem"))
    }

    fn derive(&self, ikm: &[u8], label: &str) -> Zeroizing<[u8; 32]> {
        let fields: [&[u8]; 3] = [
            self.account.as_bytes(),
            &self.slot.label(),
            &self.generation.to_be_bytes(),
        ];
        derive::<32>(ikm, label, &fields)
    }

    /// Encapsulates the account key of an epoch to the KEM key that the log names for this credential.
    ///
    /// # Errors
    /// [`OpenError`] for bytes that are no KEM key.
    pub fn encapsulate(
        self,
        kem: &[u8],
        epoch: u32,
        account_key: &Key,
    ) -> Result<SlotKey, OpenError> {
        let (mut blob, secret) = xwing::encapsulate(kem).ok_or(OpenError)?;
        let key = self.sealing_key(&secret, epoch);
        blob.extend(aead::seal(
            &key,
            &NONCE,
            &self.aad(epoch),
            account_key.expose(),
        ));
        Ok(SlotKey {
            slot: self.slot,
            generation: self.generation,
            epoch,
            blob: ByteBuf::from(blob),
        })
    }

    fn sealing_key(&self, secret: &[u8; 32], epoch: u32) -> Key {
        let fields: [&[u8]; 4] = [
            self.account.as_bytes(),
            &self.slot.label(),
            &self.generation.to_be_bytes(),
            &epoch.to_be_bytes(),
        ];
        Key::new(*derive::<32>(secret, "keyshell/2 slot key", &fields))
    }

    fn aad(&self, epoch: u32) -> Vec<u8> {
        length_prefixed(&[
            b"keyshell/2 slot key",
            &[SUITE],
            self.account.as_bytes(),
            &self.slot.label(),
            &self.generation.to_be_bytes(),
            &epoch.to_be_bytes(),
        ])
    }
}

/// The shared secret of each encapsulation is fresh and seals once, so that the nonce need not differ.
const NONCE: [u8; 12] = [0; 12];

impl SlotKeys {
    /// The public halves, as the `credential` entry names them; `wrapped` is the blob of the wrapped account key.
    pub fn public(&self, wrapped: &[u8]) -> CredentialKeys {
        CredentialKeys {
            wrapped: Digest::of(wrapped),
            kem: ByteBuf::from(self.kem.public()),
            signing: PublicKey::new(self.signing().verifying_key().to_bytes()),
        }
    }

    /// The key that authorises a device's key for a session.
    pub fn signing(&self) -> SigningKey {
        SigningKey::from_bytes(&self.signing)
    }

    /// Opens the account key that was encapsulated to this credential.
    ///
    /// # Errors
    /// [`OpenError`] for a slot key of another slot or generation, and for one that does not open.
    pub fn open(&self, sealed: &SlotKey) -> Result<Key, OpenError> {
        let SlotContext {
            slot, generation, ..
        } = self.context;
        if (sealed.slot, sealed.generation) != (slot, generation) {
            return Err(OpenError);
        }
        let (ciphertext, sealed_key) = sealed
            .blob
            .split_at_checked(CIPHERTEXT_LEN)
            .ok_or(OpenError)?;
        let secret = self.kem.decapsulate(ciphertext).ok_or(OpenError)?;
        let key = self.context.sealing_key(&secret, sealed.epoch);
        let opened = aead::open(&key, &NONCE, &self.context.aad(sealed.epoch), sealed_key)?;
        Key::from_slice(opened.expose()).ok_or(OpenError)
    }
}

impl std::fmt::Debug for SlotKeys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("[redacted]")
    }
}
