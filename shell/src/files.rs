//! Files of the owner's: readable by nobody else, replaced as a whole or not at all.

use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::Path;

use shared::secret::SecretBytes;

/// Makes a folder with its parents, open to the owner alone.
///
/// # Errors
/// What the operating system says.
pub fn create_dir(path: &Path) -> io::Result<()> {
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
}

/// Writes a file with mode 0600 so that after a power cut there is the old content or the new.
///
/// # Errors
/// What the operating system says.
pub fn replace(path: &Path, content: &[u8]) -> io::Result<()> {
    let folder = path
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty())
        .unwrap_or(Path::new("."));
    // tempfile makes its files with mode 0600.
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    file.write_all(content)?;
    file.as_file().sync_all()?;
    file.persist(path).map_err(|error| error.error)?;
    File::open(folder)?.sync_all()
}

/// Writes a new file with mode 0600; one that exists is an error.
///
/// # Errors
/// What the operating system says.
pub fn create_new(path: &Path, content: &[u8]) -> io::Result<()> {
    let mut file = File::options()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)?;
    file.write_all(content)?;
    file.sync_all()
}

/// Reads a whole file of at most `limit` bytes; `None` if there is none.
///
/// # Errors
/// What the operating system says, or [`io::ErrorKind::FileTooLarge`].
pub fn read(path: &Path, limit: u64) -> io::Result<Option<SecretBytes>> {
    match read_existing(path, limit) {
        Ok(content) => Ok(Some(content)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Reads a whole file of at most `limit` bytes; a missing one is an error.
///
/// # Errors
/// What the operating system says, or [`io::ErrorKind::FileTooLarge`].
pub fn read_existing(path: &Path, limit: u64) -> io::Result<SecretBytes> {
    read_all(File::open(path)?, limit)
}

/// Reads to the end, at most `limit` bytes.
///
/// # Errors
/// What the operating system says, or [`io::ErrorKind::FileTooLarge`].
pub fn read_all(source: impl io::Read, limit: u64) -> io::Result<SecretBytes> {
    let mut content = Vec::new();
    source.take(limit + 1).read_to_end(&mut content)?;
    let content = SecretBytes::new(content);
    if u64::try_from(content.len()).is_ok_and(|len| len <= limit) {
        return Ok(content);
    }
    Err(io::Error::new(
        io::ErrorKind::FileTooLarge,
        format!("longer than {limit} bytes"),
    ))
}
