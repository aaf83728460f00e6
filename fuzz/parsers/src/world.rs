//! Who takes part: the ids and keys of `docs/vectors/formats.json`, so that what is recorded there opens here.

use std::cell::RefCell;
use std::path::PathBuf;

use ed25519_dalek::SigningKey;
use keyshell_client::device::local::Owner;
use keyshell_client::keys::account::AccountKeys;
use shared::ids::{AccountId, DeviceId, PublicKey, SecretId, ServerId};
use shared::secret::Key;
use shared::vault_log::{FIRST_EPOCH, Identity};
use tempfile::TempDir;

/// The account.
pub const ACCOUNT: AccountId = AccountId::new([0x11; 16]);
/// A secret of it.
pub const SECRET: SecretId = SecretId::new([0x22; 16]);
/// A device of it.
pub const DEVICE: DeviceId = DeviceId::new([0x33; 16]);
/// The server.
pub const SERVER: ServerId = ServerId::new([0x55; 16]);
/// OPAQUE's export key.
pub const EXPORT_KEY: [u8; 64] = [0x77; 64];
/// OPAQUE's session key.
pub const SESSION_KEY: [u8; 64] = [0x88; 64];
/// Whose the local store is.
pub const OWNER: Owner = Owner {
    account: ACCOUNT,
    device: DEVICE,
};

/// The account's keys.
pub fn keys() -> AccountKeys {
    AccountKeys::new(ACCOUNT, FIRST_EPOCH, Key::new([0x66; 32]))
}

/// The key that signs checkpoints.
pub fn checkpoint_key() -> SigningKey {
    SigningKey::from_bytes(&[0x99; 32])
}

/// The public half of [`checkpoint_key`].
pub fn checkpoint_public() -> PublicKey {
    PublicKey::new(checkpoint_key().verifying_key().to_bytes())
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
