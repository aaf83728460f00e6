//! Small files that are complete or absent: written to a temporary file, synced, renamed.

use std::fs::{File, Permissions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

/// Longest file that [`read_bounded`] takes.
const MAX_LEN: u64 = 1024 * 1024;

/// Reading or writing a file failed.
#[derive(Debug, thiserror::Error)]
#[error("{path}: {error}")]
pub struct FileError {
    /// Path of the file or folder.
    pub path: PathBuf,
    /// The error of the file system.
    pub error: io::Error,
}

/// Adds the path to an error.
pub fn at(path: &Path) -> impl Fn(io::Error) -> FileError {
    move |error| FileError {
        path: path.to_owned(),
        error,
    }
}

/// Writes a new file durably; fails if `path` exists.
pub fn write_new(path: &Path, contents: &[u8], mode: u32) -> Result<(), FileError> {
    let write = || {
        let folder = path.parent().ok_or(io::ErrorKind::InvalidInput)?;
        let mut file = tempfile::Builder::new()
            .prefix(".new-")
            .tempfile_in(folder)?;
        file.write_all(contents)?;
        file.as_file()
            .set_permissions(Permissions::from_mode(mode))?;
        file.as_file().sync_all()?;
        file.persist_noclobber(path).map_err(|error| error.error)?;
        sync_folder(folder)
    };
    write().map_err(at(path))
}

/// Syncs a folder, so that renames and removals in it are durable.
pub fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

/// Makes a folder that only its owner can enter; an existing one stays as it is.
pub fn make_folder(path: &Path) -> Result<(), FileError> {
    let mut folder = std::fs::DirBuilder::new();
    let made = folder.recursive(true).mode(0o700).create(path);
    made.map_err(at(path))
}

/// Reads a file of at most a mebibyte.
pub fn read_bounded(path: &Path) -> Result<Vec<u8>, FileError> {
    let read = File::open(path).and_then(|file| read_open(&file));
    read.map_err(at(path))
}

/// Reads an open file of at most a mebibyte.
pub fn read_open(file: &File) -> io::Result<Vec<u8>> {
    let mut contents = Vec::new();
    let read = file.take(MAX_LEN + 1).read_to_end(&mut contents)?;
    if read as u64 > MAX_LEN {
        return Err(io::Error::other("the file is longer than 1 MiB"));
    }
    Ok(contents)
}
