//! Who takes part: the ids and keys of `docs/vectors/formats.json`, so that what is recorded there opens here.

use std::cell::RefCell;
use std::path::PathBuf;
use std::sync::LazyLock;

use ed25519_dalek::SigningKey;
use keyshell_client::device::identity::DeviceIdentity;
use keyshell_client::device::local::Owner;
use keyshell_client::keys::account::AccountKeys;
use keyshell_client::keys::slot::{SlotContext, SlotKeys};
use shared::ids::{AccountId, PublicKey, SecretId, ServerId};
use shared::opaque::Slot;
use shared::secret::Key;
use shared::vault_log::Identity;
use tempfile::TempDir;

/// The account.
pub const ACCOUNT: AccountId = AccountId::new([0x11; 16]);
/// A secret of it.
pub const SECRET: SecretId = SecretId::new([0x22; 16]);
/// A device of it.
pub static DEVICE: LazyLock<DeviceIdentity> =
    LazyLock::new(|| DeviceIdentity::new(Key::new([0x33; 32])));
/// The server.
pub const SERVER: ServerId = ServerId::new([0x55; 16]);
/// OPAQUE's export key.
pub const EXPORT_KEY: [u8; 64] = [0x77; 64];
/// OPAQUE's session key.
pub const SESSION_KEY: [u8; 64] = [0x88; 64];
/// The generation of each credential.
pub const GENERATION: u64 = 1;

/// Whose the local store is.
pub fn owner() -> Owner {
    Owner {
        account: ACCOUNT,
        device: DEVICE.id(),
    }
}

/// The account's keys in the first key epoch.
pub fn keys() -> AccountKeys {
    AccountKeys::first(ACCOUNT, Key::new([0x66; 32]))
}

/// The account's keys in the second key epoch.
pub fn next_keys() -> AccountKeys {
    keys().with_next(Key::new([0x9e; 32]))
}

/// The slot of [`DEVICE`].
pub fn device_slot() -> Slot {
    Slot::Device(DEVICE.id())
}

/// What the keys of a slot's credential are bound to.
pub fn slot_context(slot: Slot) -> SlotContext {
    SlotContext {
        account: ACCOUNT,
        slot,
        generation: GENERATION,
    }
}

/// The private keys of a slot's credential.
pub fn slot_keys(slot: Slot) -> SlotKeys {
    slot_context(slot).keys_of(&EXPORT_KEY, keys().current(), &DEVICE)
}

/// The public half of a signing key.
pub fn public(key: &SigningKey) -> PublicKey {
    PublicKey::new(key.verifying_key().to_bytes())
}

/// The key that signs checkpoints.
pub fn checkpoint_key() -> SigningKey {
    SigningKey::from_bytes(&[0x99; 32])
}

/// The public half of [`checkpoint_key`].
pub fn checkpoint_public() -> PublicKey {
    public(&checkpoint_key())
}

/// Who the server is, as the genesis entry of [`ACCOUNT`] says.
pub fn identity() -> Identity {
    Identity {
        server: SERVER,
        opaque_key: PublicKey::new([0xcc; 32]),
        checkpoint_key: checkpoint_public(),
        log_key: keys().log_key(),
        suite: shared::opaque::SUITE,
    }
}

thread_local! {
    static FOLDER: RefCell<Option<TempDir>> = const { RefCell::new(None) };
}

/// A folder of this thread's own, for parsers that read files; `fuzz/run` puts it into memory.
pub fn folder() -> PathBuf {
    FOLDER.with_borrow_mut(|folder| {
        let folder = folder.get_or_insert_with(|| tempfile::tempdir().unwrap());
        folder.path().to_owned()
    })
}
