//! The key file: long-lived secrets that are kept apart from the database, and the identity of the server.
//!
//! A header line with a version, then base64 of canonical MessagePack and its SHA-256, without which damage to the
//! random bytes would show only as failing logins. Written once, at the first start, outside of the data folder: a copy
//! of that folder alone is no basis for guesses.

use std::fs::File;
use std::io;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
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

/// Name of the systemd credential that is the key file.
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

/// Where the key file is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeyFilePath {
    /// The operator named it: by an option, or as systemd's credential.
    Named(PathBuf),
    /// Beside the data folder.
    Default(PathBuf),
}

impl KeyFilePath {
    /// The place by option, else systemd's credential if there is one, else `DATA_DIR.keys`.
    pub fn find(option: Option<&Path>, credentials: Option<&Path>, data_dir: &Path) -> Self {
        if let Some(path) = option {
            return Self::Named(path.to_owned());
        }
        let credential = credentials.map(|folder| folder.join(NAME));
        if let Some(path) = credential.filter(|path| path.exists()) {
            return Self::Named(path);
        }
        let data_dir = std::path::absolute(data_dir).unwrap_or_else(|_| data_dir.to_owned());
        // Without a trailing slash.
        let mut path = data_dir.components().collect::<PathBuf>().into_os_string();
        path.push(".keys");
        Self::Default(path.into())
    }

    /// Path of the file.
    pub fn path(&self) -> &Path {
        match self {
            Self::Named(path) | Self::Default(path) => path,
        }
    }

    /// The warning for a key file inside the data folder.
    pub fn warning(&self, data_dir: &Path) -> Option<String> {
        let path = self.path();
        let within = path
            .canonicalize()
            .ok()?
            .starts_with(data_dir.canonicalize().ok()?);
        within.then(|| {
            format!(
                "the key file {} is in the data folder: copies of the folder allow password guesses; move the file, \
                 and name its new place with --key-file",
                path.display()
            )
        })
    }
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
    /// A key file beside this data folder would be on another file system, which may not last as long.
    #[error(
        "{0} is a file system of its own, so the new key file has no safe place beside it: name one with --key-file"
    )]
    NoPlace(PathBuf),
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
    /// Reads the key file of a data folder. Creates it if there is neither a key file nor a database.
    pub fn open(place: &KeyFilePath, data_dir: &Path) -> Result<Self, KeyFileError> {
        let path = place.path();
        if path.exists() {
            return Self::read(path);
        }
        if storage_lmdb::holds_database(data_dir) {
            return Err(KeyFileError::Missing(path.to_owned()));
        }
        let file_system = |path: &Path| path.metadata().map(|folder| folder.dev()).ok();
        if let KeyFilePath::Default(path) = place
            && path.parent().and_then(file_system) != file_system(data_dir)
        {
            return Err(KeyFileError::NoPlace(data_dir.to_owned()));
        }
        let keys = Self::generate();
        keys.write(path)?;
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

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use super::*;

    fn place(data_dir: &Path) -> KeyFilePath {
        KeyFilePath::find(None, None, data_dir)
    }

    fn open(data_dir: &Path) -> Result<KeyFile, KeyFileError> {
        KeyFile::open(&place(data_dir), data_dir)
    }

    #[test]
    fn is_made_once_beside_the_data_folder_and_then_read_again() {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("data");
        std::fs::create_dir(&data).unwrap();
        let first = open(&data).unwrap();
        let path = folder.path().join("data.keys");
        let mode = std::fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let second = open(&data).unwrap();
        assert_eq!(first.server_id, second.server_id);
        assert_eq!(first.opaque.serialize(), second.opaque.serialize());
        assert_eq!(first.checkpoint.to_bytes(), second.checkpoint.to_bytes());
        assert_eq!(first.at_rest, second.at_rest);
        assert_eq!(place(&data).warning(&data), None);
    }

    #[test]
    fn is_not_made_for_a_database() {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("data");
        std::fs::create_dir_all(data.join("db")).unwrap();
        std::fs::write(data.join("db/data.mdb"), b"").unwrap();
        let error = open(&data).unwrap_err();
        assert!(matches!(error, KeyFileError::Missing(_)));
    }

    #[test]
    fn is_not_made_beside_a_file_system_of_its_own() {
        // The kernel's, on every Linux.
        let error = open(Path::new("/proc")).unwrap_err();
        assert!(matches!(error, KeyFileError::NoPlace(_)));
        assert!(!Path::new("/proc.keys").exists());
    }

    #[test]
    fn is_refused_when_others_can_read_it_or_when_it_is_damaged() {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("data");
        std::fs::create_dir(&data).unwrap();
        open(&data).unwrap();
        let path = place(&data).path().to_owned();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).unwrap();
        let error = open(&data).unwrap_err();
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
            let error = open(&data).unwrap_err();
            assert!(matches!(error, KeyFileError::Malformed(_)));
        }
    }

    #[test]
    fn the_option_wins_over_the_credential_over_the_default() {
        let (credentials, folder) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let data = folder.path().join("data");
        let option = folder.path().join("option");
        let find = |option| KeyFilePath::find(option, Some(credentials.path()), &data);
        assert_eq!(
            find(None),
            KeyFilePath::Default(folder.path().join("data.keys"))
        );
        let slash = PathBuf::from(format!("{}/", data.display()));
        assert_eq!(KeyFilePath::find(None, None, &slash), find(None));
        let credential = credentials.path().join(NAME);
        std::fs::write(&credential, b"").unwrap();
        assert_eq!(find(None), KeyFilePath::Named(credential));
        assert_eq!(find(Some(&option)), KeyFilePath::Named(option.clone()));
    }

    #[test]
    fn a_key_file_in_the_data_folder_is_warned_of() {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path();
        let inside = KeyFilePath::Named(data.join("db/keys"));
        std::fs::create_dir(data.join("db")).unwrap();
        KeyFile::open(&inside, data).unwrap();
        assert!(inside.warning(data).unwrap().contains("--key-file"));
    }
}
