//! The data folder: its lock, and the folder of the database.

use std::fs::{DirBuilder, File, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use storage::StorageError;

/// Name of the database's folder in the data folder.
const FOLDER: &str = "db";

/// Name of the file that a process locks.
const LOCK: &str = "lock";

/// Whether a server has used the data folder.
pub fn was_used(data_dir: &Path) -> bool {
    data_dir.join(LOCK).exists()
}

/// Whether the data folder holds a database.
pub fn holds_database(data_dir: &Path) -> bool {
    database(data_dir).exists()
}

/// Path of the database's file.
pub fn database(data_dir: &Path) -> PathBuf {
    data_dir.join(FOLDER).join("data.mdb")
}

/// How long another process that uses the folder is waited for: a private server ends with the shell that runs it.
const PATIENCE: Duration = Duration::from_secs(10);
const INTERVAL: Duration = Duration::from_millis(20);

/// Takes the data folder for this process. A folder that was taken before holds a database, or has lost it.
pub fn lock(data_dir: &Path) -> Result<File, StorageError> {
    let path = data_dir.join(LOCK);
    let database = database(data_dir);
    if path.exists() && !database.exists() {
        return Err(StorageError::Failed(format!(
            "{} is gone: restore it from a backup, or remove {} to begin with an empty database",
            database.display(),
            path.display()
        )));
    }
    let mut options = File::options();
    options.write(true).create(true).truncate(false);
    let file = options.open(&path).map_err(|error| at(&path, &error))?;
    let begun = Instant::now();
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::WouldBlock) if begun.elapsed() < PATIENCE => {
                std::thread::sleep(INTERVAL);
            }
            Err(TryLockError::WouldBlock) => {
                let by = holder(&file).map_or(String::new(), |id| format!(" (process {id})"));
                let folder = data_dir.display();
                let text = format!("another keyserver or keyshell{by} uses {folder}: end it first");
                return Err(StorageError::Failed(text));
            }
            Err(TryLockError::Error(error)) => return Err(at(&path, &error)),
        }
    }
}

/// The process that has locked a file, as Linux lists locks: number, kind, mode, access, process, device and inode.
fn holder(file: &File) -> Option<String> {
    let inode = file.metadata().ok()?.ino().to_string();
    let locks = std::fs::read_to_string("/proc/locks").ok()?;
    let mut held = locks.lines().filter_map(|line| {
        let mut words = line.split_whitespace().skip(4);
        let (process, place) = (words.next()?, words.next()?);
        place.ends_with(&format!(":{inode}")).then_some(process)
    });
    held.next().map(ToOwned::to_owned)
}

/// Makes the folder of the database, which only its owner can enter.
pub fn make(data_dir: &Path) -> Result<PathBuf, StorageError> {
    let folder = data_dir.join(FOLDER);
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(&folder)
        .map_err(|error| at(&folder, &error))?;
    Ok(folder)
}

/// Makes the names in a folder durable.
pub fn sync(folder: &Path) -> Result<(), StorageError> {
    File::open(folder)
        .and_then(|folder| folder.sync_all())
        .map_err(|error| at(folder, &error))
}

fn at(path: &Path, error: &io::Error) -> StorageError {
    StorageError::Failed(format!("{}: {error}", path.display()))
}
