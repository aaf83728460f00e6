//! Ownership of a clipboard: of several holders only the newest may clear it.
//!
//! A holder cannot see in the clipboard that the same value was copied again. Each holder therefore writes a random token
//! into a file, and ends if the file has another token.

use std::fs::File;
use std::path::{Path, PathBuf};

use keyshell_base::files;
use keyshell_client::device::home;
use rand::RngCore as _;
use rand::rngs::OsRng;

use crate::error::Result;

const TOKEN_LEN: usize = 16;
/// Maximum bytes that are read from the file.
const MAX_FILE: u64 = 1024;

/// The ownership of a clipboard.
#[derive(Debug)]
pub struct Ownership {
    path: PathBuf,
    token: Vec<u8>,
}

impl Ownership {
    /// Acquires the ownership and runs `act` under the file's lock; if `act` fails, the former owner keeps it.
    ///
    /// # Errors
    /// Those of `act`, and [`Error::failed`](crate::error::Error::failed) if the file cannot be used.
    pub fn acquire(path: &Path, act: impl FnOnce() -> Result<()>) -> Result<Self> {
        let mut token = vec![0; TOKEN_LEN];
        OsRng.fill_bytes(&mut token);
        let ownership = Self {
            path: path.to_owned(),
            token,
        };
        let _lock = ownership.lock()?;
        let before = ownership.current();
        home::write(path, &ownership.token)?;
        act().inspect_err(|_| {
            // Best effort: without it, the older value is not cleared.
            let _ = match before {
                Some(before) => files::replace(path, &before),
                None => std::fs::remove_file(path),
            };
        })?;
        Ok(ownership)
    }

    /// Whether no other holder has acquired it.
    pub fn is_held(&self) -> bool {
        self.current().is_some_and(|token| token == self.token)
    }

    /// Releases the ownership and runs `act` under the file's lock; does nothing if another holder has acquired it.
    ///
    /// # Errors
    /// As [`Self::acquire`].
    pub fn release(self, act: impl FnOnce() -> Result<()>) -> Result<()> {
        let _lock = self.lock()?;
        if !self.is_held() {
            return Ok(());
        }
        let _ = std::fs::remove_file(&self.path);
        act()
    }

    fn lock(&self) -> Result<File> {
        Ok(home::lock(&self.path.with_extension("lock"))?)
    }

    fn current(&self) -> Option<Vec<u8>> {
        let content = files::read(&self.path, MAX_FILE).ok()??;
        Some(content.expose().to_vec())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::error::Error;

    #[test]
    fn only_the_newest_may_act() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("below").join("owner");
        let nothing = || Ok::<(), Error>(());
        let first = Ownership::acquire(&path, nothing).unwrap();
        assert!(first.is_held());
        let failed = || Err(Error::failed("no"));
        Ownership::acquire(&path, failed).map(|_| ()).unwrap_err();
        assert!(
            first.is_held(),
            "the ownership stays where acquiring it failed"
        );
        let second = Ownership::acquire(&path, nothing).unwrap();
        assert!(!first.is_held() && second.is_held());
        first.release(failed).unwrap();
        assert!(second.is_held());
        second.release(failed).unwrap_err();
        assert!(!path.exists());
    }
}
