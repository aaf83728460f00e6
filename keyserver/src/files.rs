//! Small files that are complete or absent: written to a temporary file, synced, renamed.

use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

/// Longest file that [`read_bounded`] takes.
const MAX_LEN: u64 = 1024 * 1024;

/// Writes a new file durably; fails if `path` exists.
pub fn write_new(path: &Path, contents: &[u8], mode: u32) -> io::Result<()> {
    let folder = path.parent().ok_or(io::ErrorKind::InvalidInput)?;
    let mut file = tempfile::Builder::new()
        .prefix(".new-")
        .tempfile_in(folder)?;
    file.write_all(contents)?;
    file.as_file()
        .set_permissions(std::fs::Permissions::from_mode(mode))?;
    file.as_file().sync_all()?;
    file.persist_noclobber(path).map_err(|error| error.error)?;
    sync_folder(folder)
}

/// Syncs a folder, so that renames and removals in it are durable.
pub fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

/// Makes a folder that only its owner can enter; an existing one stays as it is.
pub fn make_folder(path: &Path) -> io::Result<()> {
    use std::os::unix::fs::DirBuilderExt as _;
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
}

/// Reads a file of at most a mebibyte.
pub fn read_bounded(path: &Path) -> io::Result<Vec<u8>> {
    read_open(&File::open(path)?)
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
