//! The data folder: its lock, and the folder of the database.

use std::fs::{DirBuilder, File, TryLockError};
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use storage::StorageError;

/// Name of the database's folder in the data folder.
const FOLDER: &str = "db";

/// Path of the database's file.
pub fn database(data_dir: &Path) -> PathBuf {
    data_dir.join(FOLDER).join("data.mdb")
}

/// Takes the data folder for this process. A folder that was taken before holds a database, or has lost it.
pub fn lock(data_dir: &Path) -> Result<File, StorageError> {
    let path = data_dir.join("lock");
    let database = database(data_dir);
    if path.exists() && !database.exists() {
        return Err(StorageError::Failed(format!(
            "{} is gone: restore it from a backup, or remove {} to begin with an empty database",
            database.display(),
            path.display()
        )));
    }
    let file = File::options()
        .write(true)
        .create(true)
        .truncate(false)
        .open(&path)
        .map_err(|error| at(&path, &error))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => {
            let folder = data_dir.display();
            let text = format!("another keyserver is running on {folder}");
            Err(StorageError::Failed(text))
        }
        Err(TryLockError::Error(error)) => Err(at(&path, &error)),
    }
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
