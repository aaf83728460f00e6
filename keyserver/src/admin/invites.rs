//! Invites: `keyserver invite` leaves a file in the data folder, the running server moves it into its database.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use actix::Addr;
use data_encoding::BASE32_NOPAD;
use shared::ids::Digest;
use shared::secret::SecretBytes;
use shared::wire::error::Refusal;
use storage::api::AddInvite;
use storage::now_ms;
use tokio::sync::Mutex;

use crate::admin::AdminError;
use crate::files;
use crate::storage::{Storage, ask};

const FOLDER: &str = "invites";
/// Random bytes of a code: 160 bits, 32 characters.
const CODE_LEN: usize = 20;

/// Makes an invite code that is good for `lifetime`, for one account.
pub fn invite(data_dir: &Path, lifetime: Duration) -> Result<String, AdminError> {
    if !data_dir.is_dir() {
        return Err(AdminError::NoServer(data_dir.to_owned()));
    }
    let code = BASE32_NOPAD.encode(SecretBytes::random(CODE_LEN).expose());
    let folder = data_dir.join(FOLDER);
    let path = folder.join(Digest::of(code.as_bytes()).to_string());
    let lifetime = u64::try_from(lifetime.as_millis()).unwrap_or(u64::MAX);
    let expires = now_ms().saturating_add(lifetime).to_string();
    files::make_folder(&folder)
        .and_then(|()| files::write_new(&path, expires.as_bytes(), 0o600))
        .map_err(|error| AdminError::Io { path, error })?;
    Ok(code)
}

/// The running server's side.
#[derive(Debug, Clone)]
pub struct Invites {
    folder: PathBuf,
    /// One import at a time: a second one of the same file would bring a used invite back to life.
    importing: Arc<Mutex<()>>,
}

impl Invites {
    /// Looks for invites in the data folder.
    pub fn new(data_dir: &Path) -> Self {
        Self {
            folder: data_dir.join(FOLDER),
            importing: Arc::new(Mutex::new(())),
        }
    }

    /// Moves the invite with this digest into the database if there is a file for it. The file is gone for good before
    /// the invite can be used, so it is never moved twice.
    pub async fn import(&self, storage: &Addr<Storage>, code: Digest) -> Result<(), Refusal> {
        let _guard = self.importing.lock().await;
        let path = self.folder.join(code.to_string());
        let expires_ms = match read(&path) {
            Ok(Some(expires_ms)) => expires_ms,
            Ok(None) => return Ok(()),
            Err(error) => return Err(failed(&error)),
        };
        ask(storage, AddInvite { code, expires_ms }).await?;
        std::fs::remove_file(&path)
            .and_then(|()| files::sync_folder(&self.folder))
            .map_err(|error| failed(&error))
    }
}

fn read(path: &Path) -> io::Result<Option<u64>> {
    let contents = match files::read_bounded(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        contents => contents?,
    };
    let expires = std::str::from_utf8(&contents).ok();
    let expires = expires.and_then(|text| text.trim().parse().ok());
    expires
        .map(Some)
        .ok_or_else(|| io::Error::other("not an invite"))
}

fn failed(error: &io::Error) -> Refusal {
    tracing::error!(%error, "an invite cannot be imported");
    Refusal::Internal
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn an_invite_is_a_file_that_does_not_hold_the_code() {
        let folder = tempfile::tempdir().unwrap();
        let code = invite(folder.path(), Duration::from_mins(1)).unwrap();
        let digest = Digest::of(code.as_bytes()).to_string();
        let path = folder.path().join(FOLDER).join(digest);
        let expires = read(&path).unwrap().unwrap();
        assert!(expires > now_ms() && expires <= now_ms() + 60_000);
    }
}
