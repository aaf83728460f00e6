//! Paths of the files of one profile on this device: in the XDG folders, or below one given folder.

use std::ffi::OsStr;
use std::fs::{File, TryLockError};
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use data_encoding::HEXLOWER;
use etcetera::BaseStrategy as _;
use keyshell_base::files;
use serde::{Deserialize, Serialize};
use shared::ids::Digest;
use shared::names::AccountName;
use shared::secret::{Key, SecretBytes};
use zeroize::Zeroizing;

use crate::device::identity::DeviceIdentity;
use crate::error::{Error, Result};

const MAX_FILE: u64 = 64 * 1024;
/// Bytes of a digest that go into file names.
const STEM_LEN: usize = 10;

/// The settings of a profile, which later runs use as defaults.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Profile {
    /// The address of the server.
    pub server: Option<String>,
    /// The account.
    pub account: Option<String>,
    /// The server's TLS key: `sha256:` of its SubjectPublicKeyInfo.
    pub pin: Option<String>,
    /// A file of CA certificates (PEM).
    pub ca_file: Option<PathBuf>,
    /// Whether values may go to the terminal's clipboard where there is no display; `None` until the owner was asked.
    pub terminal_clipboard: Option<bool>,
    /// Whether a secret in the desktop's keyring protects the local store as well; `None` until the owner was asked.
    pub keyring: Option<bool>,
}

/// A verification error that was not followed by a successful verification.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Distrust {
    /// The text of the error.
    pub what: String,
    /// Whether the server failed the check of a state code: a login without one would check less.
    pub needs_code: bool,
}

/// The second line of a [`Distrust`] on the disk, for one that needs a state code.
const NEEDS_CODE: &str = "state code";

/// The folders of one profile.
#[derive(Debug, Clone)]
pub struct Home {
    profile: String,
    config: PathBuf,
    state: PathBuf,
    cache: PathBuf,
    data: PathBuf,
    /// The folder of the user's login session; `None` where there is none, or a base folder was given.
    runtime: Option<PathBuf>,
}

impl Home {
    /// Determines the folders of profile `name`; `base` replaces the XDG folders.
    ///
    /// # Errors
    /// [`Error::Usage`] for a name that does not consist of 1 to 64 letters, digits and `-_.@`, or where no home folder
    /// is known.
    pub fn new(name: &str, base: Option<&Path>) -> Result<Self> {
        let plain = |c: char| c.is_alphanumeric() || "-_.@".contains(c);
        if name.is_empty() || name.len() > 64 || name.starts_with('.') || !name.chars().all(plain) {
            let text = "a profile's name is made of letters, digits and -_.@";
            return Err(Error::Usage(text.into()));
        }
        let folders = match base {
            Some(base) => ["config", "state", "cache", "data"].map(|part| base.join(part)),
            None => xdg_folders()?,
        };
        let [config, state, cache, data] = folders;
        Ok(Self {
            profile: name.to_owned(),
            config: config.join("profiles"),
            state: state.join(name),
            cache: cache.join(name),
            data: data.join(name),
            runtime: session_folder().filter(|_| base.is_none()),
        })
    }

    /// The profile's name.
    pub fn profile(&self) -> &str {
        &self.profile
    }

    /// The folders that hold the profile's files.
    pub fn folders(&self) -> [&Path; 4] {
        [&self.config, &self.state, &self.cache, &self.data].map(PathBuf::as_path)
    }

    fn profile_path(&self) -> PathBuf {
        self.config.join(format!("{}.toml", self.profile))
    }

    /// Reads the profile's settings; the defaults if there is no file yet.
    ///
    /// # Errors
    /// [`Error::Failed`] if it cannot be read, naming the file.
    pub fn load_profile(&self) -> Result<Profile> {
        let path = self.profile_path();
        let bad = |why: String| Error::Failed(format!("profile {}: {why}", path.display()));
        let Some(content) = files::read(&path, MAX_FILE).map_err(|e| bad(e.to_string()))? else {
            return Ok(Profile::default());
        };
        let text = std::str::from_utf8(content.expose()).map_err(|e| bad(e.to_string()))?;
        toml::from_str(text).map_err(|e| bad(e.message().to_owned()))
    }

    /// Writes the profile's settings.
    ///
    /// # Errors
    /// [`Error::Failed`].
    pub fn save_profile(&self, profile: &Profile) -> Result<()> {
        let text = toml::to_string(profile).map_err(Error::failed)?;
        write(&self.profile_path(), text.as_bytes())
    }

    /// The identity of this device, made at first use; concurrent first uses agree on one.
    ///
    /// # Errors
    /// [`Error::Failed`].
    pub fn device(&self) -> Result<DeviceIdentity> {
        let path = self.state.join("device");
        if let Some(device) = read_device(&path)? {
            return Ok(device);
        }
        make_parent(&path)?;
        let seed = Zeroizing::new(HEXLOWER.encode(DeviceIdentity::random().seed().expose()));
        let line = Zeroizing::new(format!("{}\n", seed.as_str()));
        match files::create_new(&path, line.as_bytes()) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                Err(Error::writing(&path)(error))
            }
            _ => read_device(&path)?
                .ok_or_else(|| Error::Failed(format!("{} is gone again", path.display()))),
        }
    }

    /// The file that names the process which has to clear a clipboard; common to all profiles where the login session
    /// has a folder.
    ///
    /// # Errors
    /// [`Error::Failed`] where the current folder is not known.
    pub fn clipboard(&self, place: impl AsRef<OsStr>) -> Result<PathBuf> {
        let session = session_folder().filter(|folder| folder.is_dir());
        let folder = session.map_or_else(|| self.state.clone(), |folder| folder.join("keyshell"));
        let name = digest_name(place.as_ref().as_encoded_bytes());
        let path = folder.join(format!("clipboard-{name}"));
        // The process that clears it runs in another folder.
        std::path::absolute(&path).map_err(Error::io(format!("finding {}", path.display())))
    }

    /// The folder of state files.
    pub fn state(&self) -> &Path {
        &self.state
    }

    /// The file of lines typed in the REPL.
    pub fn history(&self) -> PathBuf {
        self.state.join("history")
    }

    /// The file of the pins of an account.
    pub fn pins(&self, account: &AccountName) -> PathBuf {
        self.state.join(format!("{}.pins.json", stem(account)))
    }

    /// The file of an account's device key, or of the id of the keyring's item that holds it.
    pub fn device_key(&self, account: &AccountName) -> PathBuf {
        self.state.join(format!("{}.key", stem(account)))
    }

    /// Removes the file of the device key, if there is one.
    ///
    /// # Errors
    /// [`Error::Failed`].
    pub fn forget_device_key(&self, account: &AccountName) -> Result<()> {
        remove(&self.device_key(account))
    }

    fn distrust_path(&self, account: &AccountName) -> PathBuf {
        self.state.join(format!("{}.distrust", stem(account)))
    }

    /// The verification error that was not followed by a successful verification, if there is one.
    ///
    /// # Errors
    /// [`Error::Failed`].
    pub fn distrust(&self, account: &AccountName) -> Result<Option<Distrust>> {
        let path = self.distrust_path(account);
        let content = files::read(&path, MAX_FILE).map_err(Error::reading(&path))?;
        Ok(content.map(|content| {
            let text = String::from_utf8_lossy(content.expose());
            let mut lines = text.trim().lines();
            Distrust {
                what: lines.next().unwrap_or_default().to_owned(),
                needs_code: lines.any(|line| line == NEEDS_CODE),
            }
        }))
    }

    /// Records a verification error.
    ///
    /// # Errors
    /// [`Error::Failed`].
    pub fn note_distrust(&self, account: &AccountName, distrust: &Distrust) -> Result<()> {
        let mut text = distrust.what.replace('\n', " ");
        text.push('\n');
        if distrust.needs_code {
            text.push_str(NEEDS_CODE);
            text.push('\n');
        }
        write(&self.distrust_path(account), text.as_bytes())
    }

    /// Removes the record of a verification error.
    ///
    /// # Errors
    /// [`Error::Failed`].
    pub fn forget_distrust(&self, account: &AccountName) -> Result<()> {
        remove(&self.distrust_path(account))
    }

    /// Removes all files of a deleted account: pins, index, local store, device key.
    ///
    /// # Errors
    /// [`Error::Failed`].
    pub fn forget_account(&self, account: &AccountName) -> Result<()> {
        self.forget_distrust(account)?;
        for path in [
            self.index(account),
            self.local_store(account),
            self.device_key(account),
            self.pins(account),
            self.handed_over(account),
        ] {
            remove(&path)?;
        }
        Ok(())
    }

    /// The file that exists while an agent has, or had, this device's credential for the account, and the server has not
    /// ended the lease of that credential.
    pub fn handed_over(&self, account: &AccountName) -> PathBuf {
        self.state.join(format!("{}.handed-over", stem(account)))
    }

    /// The socket of this profile's agent. Short, since the path of a socket has at most some hundred bytes.
    pub fn agent_socket(&self) -> PathBuf {
        match &self.runtime {
            Some(runtime) => runtime
                .join("keyshell")
                .join(format!("{}.agent", self.profile)),
            None => self.state.join("agent"),
        }
    }

    /// The file that this profile's agent keeps locked. Its folder does not depend on the environment, as that of the
    /// socket does.
    pub fn agent_lock(&self) -> PathBuf {
        self.state.join("agent.lock")
    }

    /// The file that holds the path of the running agent's socket.
    pub fn agent_place(&self) -> PathBuf {
        self.state.join("agent.place")
    }

    /// The file of the cached index, encrypted.
    pub fn index(&self, account: &AccountName) -> PathBuf {
        self.cache.join(format!("{}.index", stem(account)))
    }

    /// The file of the local store, encrypted.
    pub fn local_store(&self, account: &AccountName) -> PathBuf {
        self.data.join(format!("{}.local", stem(account)))
    }

    /// The data folder of the embedded server.
    pub fn embedded_server(&self) -> PathBuf {
        self.data.join("server")
    }
}

/// Removes a file, if there is one.
///
/// # Errors
/// [`Error::Failed`].
pub fn remove(path: &Path) -> Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(Error::io(format!("removing {}", path.display()))(error))
        }
        _ => Ok(()),
    }
}

/// Stands for an account's name in file names, which do not reveal it.
fn stem(account: &AccountName) -> String {
    digest_name(account.as_str().as_bytes())
}

/// Hexadecimal digits of a digest, for text that may hold any character.
fn digest_name(text: &[u8]) -> String {
    let digest = Digest::of(text).to_string();
    digest.chars().take(2 * STEM_LEN).collect()
}

fn read_device(path: &Path) -> Result<Option<DeviceIdentity>> {
    let content = files::read(path, MAX_FILE).map_err(Error::reading(path))?;
    let Some(content) = content else {
        return Ok(None);
    };
    let text = std::str::from_utf8(content.expose()).unwrap_or_default();
    let seed = HEXLOWER
        .decode(text.trim().as_bytes())
        .map(SecretBytes::new);
    let seed = seed.ok().and_then(|seed| Key::from_slice(seed.expose()));
    let seed = seed.ok_or_else(|| {
        Error::Failed(format!(
            "{} does not hold the seed of a device",
            path.display()
        ))
    })?;
    Ok(Some(DeviceIdentity::new(seed)))
}

/// The folder of the user's login session.
fn session_folder() -> Option<PathBuf> {
    let folder = std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from);
    folder.filter(|folder| folder.is_absolute())
}

fn xdg_folders() -> Result<[PathBuf; 4]> {
    let text = "no home folder is known: set HOME, or name a folder for everything";
    let xdg = etcetera::base_strategy::Xdg::new().map_err(|_| Error::Usage(text.into()))?;
    let state = xdg.state_dir().unwrap_or_else(|| xdg.data_dir());
    Ok([xdg.config_dir(), state, xdg.cache_dir(), xdg.data_dir()].map(|dir| dir.join("keyshell")))
}

/// Writes a file of mode 0600 atomically, and makes its folder.
///
/// # Errors
/// [`Error::Failed`], naming the file.
pub fn write(path: &Path, content: &[u8]) -> Result<()> {
    make_parent(path)?;
    files::replace(path, content).map_err(Error::writing(path))
}

/// Waits for an exclusive lock on a file, which is held until the result is dropped.
///
/// # Errors
/// [`Error::Failed`].
pub fn lock(path: &Path) -> Result<File> {
    let file = lock_file(path)?;
    file.lock()
        .map_err(Error::io(format!("locking {}", path.display())))?;
    Ok(file)
}

/// As [`lock`]; `None` at once if another process holds the lock.
///
/// # Errors
/// [`Error::Failed`].
pub fn try_lock(path: &Path) -> Result<Option<File>> {
    let file = lock_file(path)?;
    match file.try_lock() {
        Ok(()) => Ok(Some(file)),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(error)) => {
            Err(Error::io(format!("locking {}", path.display()))(error))
        }
    }
}

fn lock_file(path: &Path) -> Result<File> {
    make_parent(path)?;
    let mut options = File::options();
    options.write(true).create(true).truncate(false).mode(0o600);
    options
        .open(path)
        .map_err(Error::io(format!("locking {}", path.display())))
}

/// Makes the folder of a file.
///
/// # Errors
/// [`Error::Failed`].
pub fn make_parent(path: &Path) -> Result<()> {
    path.parent()
        .map_or(Ok(()), files::create_dir)
        .map_err(Error::io(format!("making a folder for {}", path.display())))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::sync::Barrier;
    use std::thread;

    use super::*;

    #[test]
    fn runs_that_are_the_first_together_are_one_device() {
        for _ in 0..20 {
            let folder = tempfile::tempdir().unwrap();
            let home = Home::new("default", Some(folder.path())).unwrap();
            let together = Barrier::new(8);
            let first = || {
                together.wait();
                home.device().unwrap()
            };
            let devices: Vec<DeviceIdentity> = thread::scope(|scope| {
                let threads: Vec<_> = (0..8).map(|_| scope.spawn(first)).collect();
                threads.into_iter().map(|t| t.join().unwrap()).collect()
            });
            let kept = home.device().unwrap();
            assert!(devices.iter().all(|device| *device == kept));
        }
    }
}
