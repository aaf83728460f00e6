//! The key file: long-lived secrets that are kept apart from the database, and the identity of the server.
//!
//! A header line with a version, then base64 of canonical MessagePack and its SHA-256, without which damage to the
//! random bytes would show only as failing logins. Written once, at the first start.

use std::fs::File;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use data_encoding::BASE64;
use ed25519_dalek::SigningKey;
use opaque_ke::ServerSetup;
use rand::rngs::OsRng;
use serde::{Deserialize, Serialize};
use serde_bytes::{ByteArray, ByteBuf};
use shared::codec;
use shared::ids::{Digest, PublicKey, ServerId};
use shared::opaque::Suite;
use shared::secret::Key;
use zeroize::{Zeroize as _, Zeroizing};

use crate::files;

/// Name of the key file in the data folder, and of the systemd credential.
pub const NAME: &str = "keyserver.keys";

const HEADER: &str = "keyserver keys 1";
const MAX_LEN: usize = 4096;

/// The server's long-lived keys.
pub struct KeyFile {
    /// Id of the server.
    pub server_id: ServerId,
    /// OPRF seed and OPAQUE key pair.
    pub opaque: ServerSetup<Suite>,
    /// Signs audit checkpoints (Ed25519).
    pub checkpoint: SigningKey,
    /// Root of the keys that encrypt names and addresses in the database.
    pub at_rest: Key,
}

impl std::fmt::Debug for KeyFile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("KeyFile([redacted])")
    }
}

/// The key file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum KeyFileError {
    /// There is a database without a key file; new keys would not decrypt it.
    #[error(
        "there is a database but no key file {0}: put the key file back, it cannot be made anew"
    )]
    Missing(PathBuf),
    /// Other users can read the key file.
    #[error(
        "others can read the key file {0}: `chmod 600` it, and take the keys for known if they may have been read"
    )]
    Exposed(PathBuf),
    /// The key file is damaged, or of another version.
    #[error("{0} is damaged, or not a key file that this version reads: put its copy back")]
    Malformed(PathBuf),
    /// Reading or writing failed.
    #[error("key file {path}: {error}")]
    Io {
        /// Which file.
        path: PathBuf,
        /// What went wrong.
        error: io::Error,
    },
}

#[derive(Serialize, Deserialize)]
struct Stored {
    server_id: ServerId,
    opaque: ByteBuf,
    checkpoint_seed: ByteArray<32>,
    at_rest: ByteArray<32>,
}

impl Drop for Stored {
    fn drop(&mut self) {
        self.opaque.zeroize();
        self.checkpoint_seed.zeroize();
        self.at_rest.zeroize();
    }
}

impl KeyFile {
    /// Reads the key file: the systemd credential if there is one, else the one in the data folder. Creates one if
    /// there is neither a key file nor a database.
    pub fn open(data_dir: &Path, credentials: Option<&Path>) -> Result<Self, KeyFileError> {
        if let Some(path) = credentials.map(|folder| folder.join(NAME))
            && path.exists()
        {
            return Self::read(&path);
        }
        let path = data_dir.join(NAME);
        if path.exists() {
            return Self::read(&path);
        }
        if has_database(data_dir) {
            return Err(KeyFileError::Missing(path));
        }
        let keys = Self::generate();
        keys.write(&path)?;
        Ok(keys)
    }

    /// The OPAQUE static public key.
    pub fn opaque_key(&self) -> PublicKey {
        PublicKey::new(self.opaque.keypair().public().serialize().into())
    }

    /// The public half of the checkpoint key.
    pub fn checkpoint_key(&self) -> PublicKey {
        PublicKey::new(self.checkpoint.verifying_key().to_bytes())
    }

    /// Random keys from the operating system's CSPRNG.
    pub fn generate() -> Self {
        Self {
            server_id: ServerId::random(),
            opaque: ServerSetup::new(&mut OsRng),
            checkpoint: SigningKey::from_bytes(Key::random().expose()),
            at_rest: Key::random(),
        }
    }

    fn read(path: &Path) -> Result<Self, KeyFileError> {
        let io = |error| KeyFileError::Io {
            path: path.to_owned(),
            error,
        };
        let file = File::open(path).map_err(io)?;
        let mode = file.metadata().map_err(io)?.permissions().mode();
        if mode & 0o077 != 0 {
            return Err(KeyFileError::Exposed(path.to_owned()));
        }
        let contents = Zeroizing::new(files::read_open(&file).map_err(io)?);
        Self::parse(&contents).ok_or_else(|| KeyFileError::Malformed(path.to_owned()))
    }

    fn parse(contents: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(contents).ok()?;
        let (header, body) = text.split_once('\n')?;
        if header != HEADER {
            return None;
        }
        let bytes = Zeroizing::new(BASE64.decode(body.trim_end().as_bytes()).ok()?);
        let (bytes, checksum) = bytes.split_last_chunk::<{ Digest::LEN }>()?;
        if Digest::of(bytes).as_bytes() != checksum {
            return None;
        }
        let stored: Stored = codec::decode(bytes, MAX_LEN).ok()?;
        Some(Self {
            server_id: stored.server_id,
            opaque: ServerSetup::deserialize(&stored.opaque).ok()?,
            checkpoint: SigningKey::from_bytes(&stored.checkpoint_seed),
            at_rest: Key::new(*stored.at_rest),
        })
    }

    fn write(&self, path: &Path) -> Result<(), KeyFileError> {
        let stored = Stored {
            server_id: self.server_id,
            opaque: ByteBuf::from(self.opaque.serialize().to_vec()),
            checkpoint_seed: ByteArray::new(self.checkpoint.to_bytes()),
            at_rest: ByteArray::new(*self.at_rest.expose()),
        };
        let failed = |error| KeyFileError::Io {
            path: path.to_owned(),
            error,
        };
        let bytes = codec::encode(&stored).map_err(|error| failed(io::Error::other(error)))?;
        let mut bytes = Zeroizing::new(bytes);
        let checksum = Digest::of(&bytes);
        bytes.extend_from_slice(checksum.as_bytes());
        let body = Zeroizing::new(BASE64.encode(&bytes));
        let text = Zeroizing::new(format!("{HEADER}\n{}\n", *body));
        files::write_new(path, text.as_bytes(), 0o600).map_err(failed)
    }
}

/// Whether there is an LMDB file in the folder or one level below.
fn has_database(folder: &Path) -> bool {
    let children = |folder: &Path| {
        std::fs::read_dir(folder)
            .into_iter()
            .flatten()
            .filter_map(|entry| Some(entry.ok()?.path()))
    };
    let is_database = |path: &PathBuf| path.extension().is_some_and(|ext| ext == "mdb");
    children(folder).any(|path| is_database(&path) || children(&path).any(|p| is_database(&p)))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use super::*;

    #[test]
    fn is_made_once_and_then_read_again() {
        let folder = tempfile::tempdir().unwrap();
        let first = KeyFile::open(folder.path(), None).unwrap();
        let path = folder.path().join(NAME);
        let mode = std::fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let second = KeyFile::open(folder.path(), None).unwrap();
        assert_eq!(first.server_id, second.server_id);
        assert_eq!(first.opaque.serialize(), second.opaque.serialize());
        assert_eq!(first.checkpoint.to_bytes(), second.checkpoint.to_bytes());
        assert_eq!(first.at_rest, second.at_rest);
    }

    #[test]
    fn is_not_made_beside_a_database() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("data.mdb"), b"").unwrap();
        let error = KeyFile::open(folder.path(), None).unwrap_err();
        assert!(matches!(error, KeyFileError::Missing(_)));
    }

    #[test]
    fn is_refused_when_others_can_read_it_or_when_it_is_damaged() {
        let folder = tempfile::tempdir().unwrap();
        KeyFile::open(folder.path(), None).unwrap();
        let path = folder.path().join(NAME);
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).unwrap();
        let error = KeyFile::open(folder.path(), None).unwrap_err();
        assert!(matches!(error, KeyFileError::Exposed(_)));
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        let whole = std::fs::read(&path).unwrap();
        // All but the line's end, which is no part of the keys.
        let mut damaged: Vec<Vec<u8>> = (0..whole.len() - 1)
            .map(|place| {
                let mut bytes = whole.clone();
                bytes[place] ^= 1;
                bytes
            })
            .collect();
        damaged.extend([
            vec![],
            whole[..100].to_vec(),
            b"keyserver keys 2\nAAAA\n".to_vec(),
        ]);
        for bytes in damaged {
            std::fs::write(&path, &bytes).unwrap();
            let error = KeyFile::open(folder.path(), None).unwrap_err();
            assert!(matches!(error, KeyFileError::Malformed(_)));
        }
    }

    #[test]
    fn comes_from_the_credentials_folder_first() {
        let (credentials, data) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let made = KeyFile::open(credentials.path(), None).unwrap();
        let read = KeyFile::open(data.path(), Some(credentials.path())).unwrap();
        assert_eq!(made.server_id, read.server_id);
        assert!(!data.path().join(NAME).exists());
    }
}
