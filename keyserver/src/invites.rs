//! Invite files: `keyserver invite` writes one into the data folder, the running server imports it into its database.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use data_encoding::BASE32_NOPAD;
use shared::ids::Digest;
use shared::secret::SecretBytes;
use shared::wire::error::Refusal;
use storage::now_ms;
use tokio::sync::Mutex;

use crate::files;

const FOLDER: &str = "invites";
/// Random bytes of a code: 160 bits, 32 characters.
const CODE_LEN: usize = 20;

/// Creates an invite code for one account, valid for `lifetime`. The file is named by the code's SHA-256.
///
/// # Errors
/// Those of the file system.
pub fn create(data_dir: &Path, lifetime: Duration) -> io::Result<String> {
    let code = BASE32_NOPAD.encode(SecretBytes::random(CODE_LEN).expose());
    let folder = data_dir.join(FOLDER);
    let path = folder.join(Digest::of(code.as_bytes()).to_string());
    let lifetime = u64::try_from(lifetime.as_millis()).unwrap_or(u64::MAX);
    let expires = now_ms().saturating_add(lifetime).to_string();
    files::make_folder(&folder)?;
    files::write_new(&path, expires.as_bytes(), 0o600)?;
    Ok(code)
}

/// The folder of invite files, as the running server imports them.
#[derive(Debug, Clone)]
pub struct Invites {
    folder: PathBuf,
    /// Held during an import: a second import of one file would make a used invite valid again.
    importing: Arc<Mutex<()>>,
}

impl Invites {
    /// The invites of a data folder.
    pub fn new(data_dir: &Path) -> Self {
        Self {
            folder: data_dir.join(FOLDER),
            importing: Arc::new(Mutex::new(())),
        }
    }

    /// Imports the invite of this digest if there is a file for it. `add` stores it with the time it expires at, in
    /// milliseconds since 1970-01-01 UTC. The file is removed durably before the invite can be used, so that it is
    /// imported once.
    pub(crate) async fn import(
        &self,
        code: &Digest,
        add: impl AsyncFnOnce(u64) -> Result<(), Refusal>,
    ) -> Result<(), Refusal> {
        let _guard = self.importing.lock().await;
        let path = self.folder.join(code.to_string());
        let Some(expires_ms) = read(&path).map_err(|error| failed(&error))? else {
            return Ok(());
        };
        add(expires_ms).await?;
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
        let code = create(folder.path(), Duration::from_mins(1)).unwrap();
        let digest = Digest::of(code.as_bytes()).to_string();
        let path = folder.path().join(FOLDER).join(digest);
        let expires = read(&path).unwrap().unwrap();
        assert!(expires > now_ms() && expires <= now_ms() + 60_000);
    }
}
