//! Opens files with the program `gpg`, which has the keys and asks for what it needs.

use std::fs::File;
use std::process::{Command, Stdio};

use keyshell_base::files;
use shared::secret::SecretBytes;

use super::tree::MAX_TEXT;
use crate::error::FormatError;

/// Opens a file; the inner error is why this one does not open.
///
/// # Errors
/// [`FormatError`] where there is no `gpg`.
pub fn open(file: File) -> Result<Result<SecretBytes, String>, FormatError> {
    let child = Command::new("gpg")
        .args(["--batch", "--quiet", "--decrypt"])
        .stdin(file)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn();
    let mut child = child.map_err(|error| {
        FormatError::library(format!(
            "the program `gpg`, which opens a password-store, cannot be started: {error}"
        ))
    })?;
    let read = child
        .stdout
        .take()
        .map(|out| files::read_all(out, MAX_TEXT));
    if !matches!(read, Some(Ok(_))) {
        // The process may write more than is read.
        let _ = child.kill();
    }
    let ended = child.wait();
    Ok(match (read, ended) {
        (Some(Ok(text)), Ok(status)) if status.success() => Ok(text),
        (Some(Err(error)), _) => Err(format!("what gpg says cannot be taken: {error}")),
        _ => Err("gpg does not open it; `gpg --decrypt FILE` says why".into()),
    })
}
