//! Private files: of mode 0600, and complete or absent.
//!
//! Each file is written under a temporary name in its folder, synced, and renamed. Temporary files of killed processes
//! are removed by the next process that writes into the folder.

use std::collections::BTreeSet;
use std::fs::{self, DirEntry, File, OpenOptions, TryLockError};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{
    DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _,
};
use std::path::{Path, PathBuf};
use std::time::{Duration, UNIX_EPOCH};

use rustix::fs::{CWD, OFlags, RenameFlags, renameat_with};
use rustix::io::Errno;
use shared::secret::{SecretBytes, SecretWriter};
use tempfile::NamedTempFile;
use zeroize::Zeroizing;

/// Prefix of the names of unfinished files.
pub const UNFINISHED: &str = ".keyshell-unfinished-";
/// The byte order mark in UTF-8.
const BYTE_ORDER_MARK: &[u8] = "\u{feff}".as_bytes();
/// Bytes that are read at once.
const PIECE: usize = 16 * 1024;
/// Files that are synced to the disk at once.
const SYNCED_AT_ONCE: usize = 16;
/// Attempts to make a temporary file: another process may remove it before it is locked.
const TRIES: usize = 16;

/// Makes a folder with its parents, of mode 0700.
///
/// # Errors
/// Those of the operating system.
pub fn create_dir(path: &Path) -> io::Result<()> {
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
}

/// Replaces a file by one of mode 0600; after a power cut it has either the old content or the new.
///
/// # Errors
/// Those of the operating system.
pub fn replace(path: &Path, content: &[u8]) -> io::Result<()> {
    let folder = folder_of(path);
    let file = write_beside(folder, content)?;
    file.persist(path).map_err(|error| error.error)?;
    File::open(folder)?.sync_all()
}

/// Writes a new file of mode 0600 atomically; an existing one is an error.
///
/// # Errors
/// Those of the operating system.
pub fn create_new(path: &Path, content: &[u8]) -> io::Result<()> {
    let folder = folder_of(path);
    let file = write_beside(folder, content)?;
    file.persist_noclobber(path).map_err(|error| error.error)?;
    File::open(folder)?.sync_all()
}

/// A new file of mode 0600 that is written piece by piece, and appears at [`Self::finish`].
#[derive(Debug)]
pub struct NewFile {
    path: PathBuf,
    file: io::BufWriter<NamedTempFile>,
}

impl NewFile {
    /// Makes the temporary file, in the folder of `path`.
    ///
    /// # Errors
    /// Those of the operating system.
    pub fn create(path: &Path) -> io::Result<Self> {
        let folder = folder_of(path);
        remove_unfinished(folder);
        Ok(Self {
            path: path.to_owned(),
            file: io::BufWriter::new(unfinished(folder)?),
        })
    }

    /// Syncs the file and gives it its name.
    ///
    /// # Errors
    /// Those of the operating system, [`io::ErrorKind::AlreadyExists`].
    pub fn finish(self) -> io::Result<()> {
        let file = self
            .file
            .into_inner()
            .map_err(io::IntoInnerError::into_error)?;
        file.as_file().sync_all()?;
        file.persist_noclobber(&self.path)
            .map_err(|error| error.error)?;
        File::open(folder_of(&self.path))?.sync_all()
    }
}

impl io::Write for NewFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

/// A file of a new folder: its relative path, its content, and its modification time in milliseconds since 1970-01-01
/// UTC, if it is to be set.
pub type FileOf<'a> = (&'a Path, &'a [u8], Option<u64>);

/// Makes a new folder of mode 0700 with files of mode 0600, atomically; an existing one is an error.
///
/// # Errors
/// Those of the operating system.
pub fn create_folder<'a>(path: &Path, files: impl Iterator<Item = FileOf<'a>>) -> io::Result<()> {
    if path.symlink_metadata().is_ok() {
        return Err(io::ErrorKind::AlreadyExists.into());
    }
    let folder = folder_of(path);
    remove_unfinished(folder);
    let unfinished = tempfile::Builder::new()
        .prefix(UNFINISHED)
        .permissions(fs::Permissions::from_mode(0o700))
        .tempdir_in(folder)
        // The error does not name the temporary folder, which the user does not know.
        .map_err(|error| io::Error::from(error.kind()))?;
    fill(unfinished.path(), files)?;
    rename_new(unfinished.path(), path)?;
    // The folder has its final name and must not be removed.
    let _ = unfinished.keep();
    let synced = File::open(folder).and_then(|folder| folder.sync_all());
    synced.inspect_err(|_| {
        let _ = fs::remove_dir_all(path);
    })
}

/// Writes files and their folders, all of which must be new, and syncs them.
fn fill<'a>(root: &Path, files: impl Iterator<Item = FileOf<'a>>) -> io::Result<()> {
    let mut folders = BTreeSet::new();
    let mut written = Vec::new();
    for (path, content, modified_ms) in files {
        let above = path.parent().unwrap_or(Path::new(""));
        let above: Vec<_> = above.ancestors().collect();
        for folder in above.into_iter().rev() {
            if !folder.as_os_str().is_empty() && folders.insert(folder.to_owned()) {
                let mut builder = fs::DirBuilder::new();
                builder.mode(0o700).create(root.join(folder))?;
            }
        }
        let path = root.join(path);
        let mut options = OpenOptions::new();
        let mut file = options
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&path)?;
        file.write_all(content)?;
        let modified = modified_ms.map(Duration::from_millis);
        if let Some(time) = modified.and_then(|since| UNIX_EPOCH.checked_add(since)) {
            file.set_modified(time)?;
        }
        written.push(path);
    }
    sync_all(&written)?;
    let folders: Vec<_> = folders.iter().map(|folder| root.join(folder)).collect();
    sync_all(&folders)?;
    File::open(root)?.sync_all()
}

/// Syncs files in parallel, since each sync waits for the disk.
fn sync_all(paths: &[PathBuf]) -> io::Result<()> {
    let share = paths.len().div_ceil(SYNCED_AT_ONCE).max(1);
    std::thread::scope(|scope| {
        let sync = |paths: &[PathBuf]| {
            paths
                .iter()
                .try_for_each(|path| File::open(path)?.sync_all())
        };
        let threads = paths
            .chunks(share)
            .map(|some| scope.spawn(move || sync(some)));
        let threads: Vec<_> = threads.collect();
        let mut ended = threads.into_iter().map(|thread| {
            let panicked = |_| Err(io::Error::other("a thread ended early"));
            thread.join().unwrap_or_else(panicked)
        });
        ended.try_for_each(|synced| synced)
    })
}

/// Renames a folder to a new name.
fn rename_new(from: &Path, to: &Path) -> io::Result<()> {
    match renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE) {
        // Some file systems do not support this; a plain rename replaces at most an empty folder.
        Err(Errno::INVAL | Errno::NOSYS | Errno::NOTSUP) => fs::rename(from, to),
        renamed => Ok(renamed?),
    }
}

fn folder_of(path: &Path) -> &Path {
    path.parent()
        .filter(|folder| !folder.as_os_str().is_empty())
        .unwrap_or(Path::new("."))
}

/// A synced temporary file with this content.
fn write_beside(folder: &Path, content: &[u8]) -> io::Result<NamedTempFile> {
    remove_unfinished(folder);
    let mut file = unfinished(folder)?;
    file.write_all(content)?;
    file.as_file().sync_all()?;
    Ok(file)
}

/// A temporary file, locked while it is written. The lock stays with the renamed file, which does no harm.
fn unfinished(folder: &Path) -> io::Result<NamedTempFile> {
    for _ in 0..TRIES {
        // Opened here, so that an error does not name the temporary file, which the user does not know.
        let file = tempfile::Builder::new()
            .prefix(UNFINISHED)
            .make_in(folder, |path| {
                let mut options = OpenOptions::new();
                options.read(true).write(true).create_new(true).mode(0o600);
                options.open(path)
            })?;
        match file.as_file().try_lock() {
            Ok(()) if file.as_file().metadata()?.nlink() > 0 => return Ok(file),
            // Removed by another process, between making and locking it.
            Ok(()) | Err(TryLockError::WouldBlock) => {}
            Err(TryLockError::Error(error)) => return Err(error),
        }
    }
    Err(io::ErrorKind::ResourceBusy.into())
}

/// Number of temporary files of killed processes in a folder.
pub fn count_abandoned(folder: &Path) -> usize {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let abandoned = entries
        .filter(|entry| is_unfinished(entry) && abandoned(entry).is_ok_and(|file| file.is_some()));
    abandoned.count()
}

/// Removes temporary files of killed processes. Failures are ignored: they do not prevent writing.
fn remove_unfinished(folder: &Path) {
    let Ok(entries) = fs::read_dir(folder) else {
        return;
    };
    for entry in entries.flatten() {
        if is_unfinished(&entry) {
            let _ = remove_if_abandoned(&entry);
        }
    }
}

fn is_unfinished(entry: &DirEntry) -> bool {
    let name = entry.file_name();
    name.as_encoded_bytes().starts_with(UNFINISHED.as_bytes())
}

fn remove_if_abandoned(entry: &DirEntry) -> io::Result<()> {
    // Kept locked until it is removed.
    if let Some(_file) = abandoned(entry)? {
        fs::remove_file(entry.path())?;
    }
    Ok(())
}

/// The temporary file, locked, if no process is writing it.
fn abandoned(entry: &DirEntry) -> io::Result<Option<File>> {
    // In a shared folder, the name may belong to a link or a FIFO.
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(i32::try_from(flags.bits()).unwrap_or_default())
        .open(entry.path())?;
    let is_abandoned = file.metadata()?.is_file() && file.try_lock().is_ok();
    Ok(is_abandoned.then_some(file))
}

/// Reads a whole file of at most `limit` bytes; `None` if there is none.
///
/// # Errors
/// Those of the operating system, [`io::ErrorKind::FileTooLarge`].
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
/// Those of the operating system, [`io::ErrorKind::FileTooLarge`].
pub fn read_existing(path: &Path, limit: u64) -> io::Result<SecretBytes> {
    read_all(File::open(path)?, limit)
}

/// As [`read_existing`], for a text: a byte order mark is left out, which Windows editors put before it.
///
/// # Errors
/// As [`read_existing`].
pub fn read_text(path: &Path, limit: u64) -> io::Result<SecretBytes> {
    let content = read_existing(path, limit)?;
    match content.expose().strip_prefix(BYTE_ORDER_MARK) {
        Some(text) => Ok(SecretBytes::from(text)),
        None => Ok(content),
    }
}

/// Reads to the end, at most `limit` bytes.
///
/// # Errors
/// Those of the operating system, [`io::ErrorKind::FileTooLarge`].
pub fn read_all(source: impl io::Read, limit: u64) -> io::Result<SecretBytes> {
    let mut source = source.take(limit + 1);
    let mut content = SecretWriter::default();
    // Larger than the buffer of standard input, which is bypassed then.
    let mut piece = Zeroizing::new(vec![0; PIECE]);
    loop {
        match source.read(&mut piece) {
            Ok(0) => break,
            Ok(len) => content.write_all(piece.get(..len).unwrap_or_default())?,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    let content = content.finish();
    if u64::try_from(content.len()).is_ok_and(|len| len <= limit) {
        return Ok(content);
    }
    Err(io::Error::new(
        io::ErrorKind::FileTooLarge,
        format!("longer than {limit} bytes"),
    ))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_read_without_a_mark() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("text");
        for (content, text) in [
            ("\u{feff}a\u{feff}", "a\u{feff}"),
            ("a", "a"),
            ("\u{feff}", ""),
        ] {
            fs::write(&path, content).unwrap();
            assert_eq!(read_text(&path, 9).unwrap().expose(), text.as_bytes());
        }
    }

    fn names(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).unwrap();
        let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<String> = names.collect();
        names.sort_unstable();
        names
    }

    #[test]
    fn an_error_names_nothing_that_nobody_chose() {
        let folder = tempfile::tempdir().unwrap();
        let error = create_new(&folder.path().join("none/file"), b"").unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
        assert!(!error.to_string().contains(UNFINISHED), "{error}");
    }

    #[test]
    fn a_new_file_is_private_and_never_takes_the_place_of_another() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("new");
        create_new(&path, b"first").unwrap();
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        let error = create_new(&path, b"second").unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(fs::read(&path).unwrap(), b"first");
        assert_eq!(names(folder.path()), ["new"]);
    }

    #[test]
    fn files_of_killed_runs_are_removed_and_files_being_written_are_not() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["one", "two"] {
            fs::write(folder.path().join(format!("{UNFINISHED}{name}")), "half").unwrap();
        }
        let target = folder.path().join("target");
        std::os::unix::fs::symlink(&target, folder.path().join(format!("{UNFINISHED}link")))
            .unwrap();
        let mut busy = unfinished(folder.path()).unwrap();
        busy.write_all(b"half").unwrap();
        replace(&folder.path().join("file"), b"content").unwrap();
        let left = names(folder.path());
        assert_eq!(left.len(), 3, "{left:?}");
        assert!(left.contains(&"file".to_owned()) && busy.path().exists());
        busy.persist(folder.path().join("busy")).unwrap();
        assert_eq!(fs::read(folder.path().join("busy")).unwrap(), b"half");
    }

    #[test]
    fn a_new_folder_is_whole_or_not_there() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("tree");
        let file = |path: &'static str, ms| (Path::new(path), &b"x"[..], ms);
        let twice = [file("a/b", None), file("c", None), file("a/b", None)];
        let error = create_folder(&path, twice.into_iter()).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AlreadyExists);
        assert!(names(home.path()).is_empty());

        let files = [file("a/b/c", Some(1_600_000_000_123)), file("a/d", None)];
        create_folder(&path, files.into_iter()).unwrap();
        assert_eq!(names(home.path()), ["tree"]);
        let mode = |own: &str| fs::metadata(path.join(own)).unwrap().mode() & 0o777;
        assert_eq!(
            ["", "a/b", "a/b/c", "a/d"].map(mode),
            [0o700, 0o700, 0o600, 0o600]
        );
        let modified = fs::metadata(path.join("a/b/c"))
            .unwrap()
            .modified()
            .unwrap();
        let since = modified.duration_since(UNIX_EPOCH).unwrap();
        assert_eq!(since.as_millis(), 1_600_000_000_123);
    }

    #[test]
    fn a_new_folder_takes_the_place_of_nothing() {
        let home = tempfile::tempdir().unwrap();
        let empty = home.path().join("empty");
        fs::create_dir(&empty).unwrap();
        let link = home.path().join("link");
        std::os::unix::fs::symlink("nowhere", &link).unwrap();
        for path in [&empty, &link] {
            let file = (Path::new("x"), &b"x"[..], None);
            let error = create_folder(path, [file].into_iter()).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::AlreadyExists);
            // Nor what came there meanwhile.
            let other = home.path().join("other");
            fs::create_dir_all(&other).unwrap();
            assert!(rename_new(&other, path).is_err());
        }
        assert_eq!(names(home.path()), ["empty", "link", "other"]);
        assert!(names(&empty).is_empty());
    }

    #[test]
    fn writers_beside_each_other_all_finish() {
        let folder = tempfile::tempdir().unwrap();
        std::thread::scope(|scope| {
            for writer in 0..8 {
                let path = folder.path().join(format!("file {}", writer % 4));
                scope.spawn(move || (0..20).for_each(|_| replace(&path, &[writer; 9000]).unwrap()));
            }
        });
        assert_eq!(names(folder.path()).len(), 4);
    }
}
