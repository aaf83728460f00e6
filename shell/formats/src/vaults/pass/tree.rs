//! The files of a tree: in a fixed order, without leaving it.

use std::ffi::OsStr;
use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use rustix::fs::OFlags;

use crate::error::FormatError;

/// Longest text, in bytes: a value, and the line with the exact copy.
pub const MAX_TEXT: u64 = 4 * 1024 * 1024;
/// Deepest nesting of folders: the components of a name of 255 bytes, and one level for attachments.
const MAX_DEPTH: usize = 128;
/// Most files.
const MAX_FILES: usize = 1_000_000;
/// Most files that are examined to detect the format of a folder.
const MAX_LOOKED_AT: usize = 1000;

/// Names of files and folders that programs keep in a tree beside its texts: `pass`, `passage`, `gopass` and git.
const BESIDE: [&str; 7] = [
    ".extensions",
    ".git",
    ".gitattributes",
    ".gitignore",
    ".gpg-id",
    ".gpg-id.sig",
    ".public-keys",
];
/// The prefix of names of files with keys of age.
const AGE_KEYS: &str = ".age-";

/// Whether a file or folder is no part of what the tree holds.
fn is_beside(name: &OsStr) -> bool {
    let name = name.to_string_lossy();
    BESIDE.contains(&&*name) || name.starts_with(AGE_KEYS)
}

/// A file of the tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    /// The path in the tree of a file that can be read.
    File(PathBuf),
    /// The path in the tree of a file that is not read, and the reason.
    Left(PathBuf, &'static str),
}

fn cannot(path: &Path, error: std::io::Error) -> FormatError {
    FormatError::io(format_args!("`{}` cannot be read", path.display()), error)
}

/// All files, in the order of their paths, without those that programs keep beside the texts.
///
/// # Errors
/// [`FormatError`]: too many, too deep, unreadable.
pub fn files(root: &Path) -> Result<Vec<Found>, FormatError> {
    let whole = fs::canonicalize(root).map_err(|error| cannot(root, error))?;
    let mut found = Vec::new();
    let mut folders = vec![(PathBuf::new(), 0)];
    while let Some((folder, depth)) = folders.pop() {
        let path = whole.join(&folder);
        for entry in fs::read_dir(&path).map_err(|error| cannot(&path, error))? {
            let entry = entry.map_err(|error| cannot(&path, error))?;
            let own = entry.file_name();
            if is_beside(&own) {
                continue;
            }
            let here = folder.join(own);
            let kind = entry.file_type().map_err(|error| cannot(&path, error))?;
            if kind.is_dir() {
                let what = "the folders nest too deep";
                FormatError::check_size(what, depth + 1, MAX_DEPTH, "levels")?;
                folders.push((here, depth + 1));
                continue;
            }
            found.push(if kind.is_symlink() {
                link(&whole, here)
            } else if kind.is_file() {
                Found::File(here)
            } else {
                Found::Left(here, "it is not a regular file")
            });
            let what = "the folder has too many files";
            FormatError::check_size(what, found.len(), MAX_FILES, "files")?;
        }
    }
    found.sort_by(|one, other| one.path().cmp(other.path()));
    Ok(found)
}

impl Found {
    /// The path in the tree, if the file can be read.
    pub fn file(&self) -> Option<&Path> {
        match self {
            Self::File(path) => Some(path),
            Self::Left(..) => None,
        }
    }

    /// The path in the tree.
    pub fn path(&self) -> &Path {
        match self {
            Self::File(path) | Self::Left(path, _) => path,
        }
    }
}

/// A link is followed to files of the tree alone.
fn link(whole: &Path, here: PathBuf) -> Found {
    match fs::canonicalize(whole.join(&here)) {
        Ok(target) if !target.starts_with(whole) => {
            Found::Left(here, "it is a link out of the folder")
        }
        Ok(target) if target.is_file() => Found::File(here),
        Ok(_) => Found::Left(here, "it is a link to a folder"),
        Err(_) => Found::Left(here, "it is a link to nothing"),
    }
}

/// Opens a file of the tree, and says when it was changed.
///
/// # Errors
/// [`FormatError`], also where a link was put in its place meanwhile.
pub fn open(root: &Path, path: &Path) -> Result<(File, Option<u64>), FormatError> {
    let failed = |error: std::io::Error| cannot(path, error);
    let whole = fs::canonicalize(root).map_err(failed)?;
    let target = fs::canonicalize(whole.join(path)).map_err(failed)?;
    if !target.starts_with(&whole) {
        let text = format!("`{}` leads out of the folder", path.display());
        return Err(FormatError::malformed(text));
    }
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(i32::try_from(flags.bits()).unwrap_or_default())
        .open(target)
        .map_err(failed)?;
    let about = file.metadata().map_err(failed)?;
    let modified = about.modified().ok();
    let since = modified.and_then(|time| time.duration_since(UNIX_EPOCH).ok());
    let ms = since.and_then(|since| u64::try_from(since.as_millis()).ok());
    Ok((file, ms))
}

/// Whether one of the first files that are found has this ending.
pub fn has(root: &Path, ending: &str) -> bool {
    let is_one = |name: &OsStr| name.as_encoded_bytes().ends_with(ending.as_bytes());
    let mut left = MAX_LOOKED_AT;
    let mut folders = vec![(root.to_owned(), 0)];
    while let Some((folder, depth)) = folders.pop() {
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            left = left.saturating_sub(1);
            if left == 0 {
                return false;
            }
            let (own, kind) = (entry.file_name(), entry.file_type());
            match kind {
                _ if is_beside(&own) => {}
                Ok(kind) if kind.is_file() && is_one(&own) => return true,
                Ok(kind) if kind.is_dir() && depth < MAX_DEPTH => {
                    folders.push((entry.path(), depth + 1));
                }
                _ => {}
            }
        }
    }
    false
}
