//! Key files (<https://keepass.info/help/base/keys.html#keyfiles>): XML of version 1 (base64) or 2 (hexadecimal, with a
//! checksum), 32 bytes, 64 hexadecimal digits, or any other file, whose hash is the key.

use std::path::Path;

use data_encoding::{BASE64, HEXLOWER_PERMISSIVE};
use keyshell_base::files;
use sha2::{Digest as _, Sha256};

use super::tree::{self, Element};
use crate::ciphers::Key;
use crate::error::FormatError;

/// Longest file, in bytes.
const MAX_FILE: u64 = 64 * 1024 * 1024;
/// Longest file that may be XML, in bytes.
const MAX_XML: usize = 64 * 1024;
/// Length of the checksum of version 2, in bytes.
const CHECK: usize = 4;

/// Reads the key of a file.
///
/// # Errors
/// [`FormatError`] for files that cannot be read, and for XML whose key is damaged.
pub fn read(path: &Path) -> Result<Key, FormatError> {
    let file = files::read_existing(path, MAX_FILE);
    let doing = format!("reading the key file {}", path.display());
    let file = file.map_err(|error| FormatError::io(doing, error))?;
    key(file.expose())
}

/// The key that the content of a file stands for.
///
/// # Errors
/// [`FormatError`] for XML whose key is damaged.
pub fn key(file: &[u8]) -> Result<Key, FormatError> {
    let xml = (file.len() <= MAX_XML).then(|| tree::parse(file, None).ok());
    if let Some(root) = xml.flatten()
        && root.name == "KeyFile"
    {
        let damaged = || FormatError::malformed("the key file is damaged: restore it from a copy");
        return of_xml(&root).ok_or_else(damaged);
    }
    if let Ok(key) = file.try_into() {
        return Ok(Key::new(key));
    }
    let hex = (file.len() == 64).then(|| HEXLOWER_PERMISSIVE.decode(file).ok());
    let hex = hex.flatten().and_then(|key| key.try_into().ok());
    Ok(Key::new(hex.unwrap_or_else(|| Sha256::digest(file).into())))
}

fn of_xml(root: &Element) -> Option<Key> {
    let data = root.child("Key")?.child("Data")?;
    let version = root.child("Meta")?.text_of("Version")?;
    let text: Vec<u8> = data
        .text
        .bytes()
        .filter(|byte| !byte.is_ascii_whitespace())
        .collect();
    if version.starts_with("1.") {
        return Some(Key::new(BASE64.decode(&text).ok()?.try_into().ok()?));
    }
    let key = Key::new(HEXLOWER_PERMISSIVE.decode(&text).ok()?.try_into().ok()?);
    let check = HEXLOWER_PERMISSIVE
        .decode(data.attribute("Hash")?.as_bytes())
        .ok()?;
    let is_whole = check.len() == CHECK && Sha256::digest(*key).starts_with(&check);
    (version.starts_with("2.") && is_whole).then_some(key)
}
