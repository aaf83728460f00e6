//! The device key: 128 random bits that are mixed into the password, so that the server's database and key file do not
//! suffice to guess the password.

use std::path::Path;

use keyshell_base::files;
use shared::kdf::length_prefixed;
use shared::secret::SecretBytes;
use zeroize::Zeroizing;

use crate::device::home;
use crate::device::keyring::ItemId;
use crate::error::{Error, Result};
use crate::keys::paper_code::{Form, encode};

const FORM: Form = Form {
    len: 16,
    check: 6,
    label: b"keyshell/2 device key check",
};
const LABEL: &[u8] = b"keyshell/2 password and key";
/// Prefix of the key's line on a recovery sheet.
pub const ON_SHEET: &str = "device key";
/// Prefix of the file where the keyring holds the key.
const IN_KEYRING: &str = "keyring ";
/// Longest file that is searched for a key, in bytes.
const MAX_FILE: u64 = 64 * 1024;

/// Where a device keeps its device key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeyLocation {
    /// In the file: the key.
    File(DeviceKey),
    /// In the desktop's keyring: the id of the item.
    Keyring(ItemId),
}

/// A device key (16 bytes); all devices of an account have the same.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeviceKey(SecretBytes);

impl DeviceKey {
    /// A fresh key from the operating system's CSPRNG.
    pub fn random() -> Self {
        Self(SecretBytes::random(FORM.len))
    }

    /// The key of these bytes.
    pub fn from_bytes(bytes: [u8; 16]) -> Self {
        let bytes = Zeroizing::new(bytes);
        Self(SecretBytes::from(&bytes[..]))
    }

    /// The key in Crockford's base 32: eight groups of four characters, of which the last six characters are a
    /// checksum.
    pub fn text(&self) -> Zeroizing<String> {
        FORM.show(&encode(self.0.expose()))
    }

    /// Parses a typed key, see [`RecoveryCode::parse`](crate::keys::recovery::RecoveryCode::parse).
    ///
    /// # Errors
    /// [`Error::Usage`] for other text.
    pub fn parse(typed: &str) -> Result<Self> {
        let bad = || Error::Usage("this is no device key, or it is mistyped".into());
        let text = FORM.read(typed).ok_or_else(bad)?;
        FORM.decode(&text).map(Self).ok_or_else(bad)
    }

    /// The password and the key together: the password that OPAQUE gets, and that wraps the local store's key.
    pub fn mix(&self, password: &SecretBytes) -> SecretBytes {
        // One allocation of the right size: no copy is left behind.
        SecretBytes::new(length_prefixed(&[
            LABEL,
            self.0.expose(),
            password.expose(),
        ]))
    }

    /// Reads a key from a file that holds it in its first line, or from a recovery sheet.
    ///
    /// # Errors
    /// [`Error::Usage`] for a file without a key, [`Error::Failed`].
    pub fn from_file(path: &Path) -> Result<Self> {
        let doing = format!("reading the device key from {}", path.display());
        let content = files::read_text(path, MAX_FILE).map_err(Error::io(doing))?;
        let text = std::str::from_utf8(content.expose()).unwrap_or_default();
        on_sheet(text).unwrap_or_else(|| Self::parse(text.lines().next().unwrap_or_default()))
    }

    /// Reads a key from a recovery sheet; `None` where the sheet has none.
    ///
    /// # Errors
    /// [`Error::Usage`] for a mistyped key.
    pub fn from_sheet(text: &str) -> Result<Option<Self>> {
        on_sheet(text).transpose()
    }

    /// Reads where this device keeps the key; `None` where it keeps none.
    ///
    /// # Errors
    /// [`Error::NoDeviceKey`] for a file that holds something else, [`Error::Failed`].
    pub fn load(path: &Path) -> Result<Option<KeyLocation>> {
        let Some(content) = files::read(path, MAX_FILE).map_err(Error::reading(path))? else {
            return Ok(None);
        };
        let text = std::str::from_utf8(content.expose()).unwrap_or_default();
        let kept = match text.trim_end().strip_prefix(IN_KEYRING) {
            Some(id) => ItemId::from_hex(id).map(KeyLocation::Keyring),
            None => Self::parse(text).ok().map(KeyLocation::File),
        };
        kept.map(Some)
            .ok_or_else(|| Error::NoDeviceKey(path.to_owned()))
    }

    /// Writes the file that names the keyring's item.
    ///
    /// # Errors
    /// [`Error::Failed`].
    pub fn note_item(path: &Path, id: ItemId) -> Result<()> {
        home::write(path, format!("{IN_KEYRING}{id}\n").as_bytes())
    }

    /// Writes the key into the file, of mode 0600.
    ///
    /// # Errors
    /// [`Error::Failed`].
    pub fn save(&self, path: &Path) -> Result<()> {
        let mut line = self.text();
        line.push('\n');
        home::write(path, line.as_bytes())
    }
}

fn on_sheet(text: &str) -> Option<Result<DeviceKey>> {
    let typed = text.lines().find_map(|line| line.strip_prefix(ON_SHEET))?;
    Some(DeviceKey::parse(typed))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::keys::recovery::RecoveryCode;

    #[test]
    fn keys_survive_handwriting_and_mistyping_is_found() {
        let key = DeviceKey::random();
        let text = key.text();
        assert_eq!(text.split('-').map(str::len).collect::<Vec<_>>(), [4; 8]);
        let sloppy = text.to_lowercase().replace('-', " ").replace('0', "o");
        assert_eq!(DeviceKey::parse(&sloppy).unwrap(), key);
        for place in (0..text.len()).filter(|place| place % 5 != 4) {
            let mut mistyped = text.to_string();
            let other = if &text[place..=place] == "A" {
                "B"
            } else {
                "A"
            };
            mistyped.replace_range(place..=place, other);
            assert!(DeviceKey::parse(&mistyped).is_err(), "{place}");
        }
        assert!(DeviceKey::parse(&RecoveryCode::random().text()).is_err());
        assert!(RecoveryCode::parse(&text).is_err());
    }

    #[test]
    fn a_sheet_and_a_file_hold_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        assert_eq!(DeviceKey::load(&path).unwrap(), None);
        let key = DeviceKey::random();
        key.save(&path).unwrap();
        assert_eq!(
            DeviceKey::load(&path).unwrap(),
            Some(KeyLocation::File(key.clone()))
        );
        assert_eq!(DeviceKey::from_file(&path).unwrap(), key);
        let code = RecoveryCode::random();
        let sheet = format!(
            "{}\n\n{ON_SHEET}      {}\n",
            code.text().as_str(),
            key.text().as_str()
        );
        std::fs::write(&path, &sheet).unwrap();
        assert_eq!(DeviceKey::from_file(&path).unwrap(), key);
        assert!(DeviceKey::load(&path).is_err());
        let id = ItemId::random();
        DeviceKey::note_item(&path, id).unwrap();
        assert_eq!(
            DeviceKey::load(&path).unwrap(),
            Some(KeyLocation::Keyring(id))
        );
        assert_eq!(DeviceKey::from_sheet(&sheet).unwrap(), Some(key));
        assert_eq!(DeviceKey::from_sheet(&code.text()).unwrap(), None);
        assert!(DeviceKey::from_sheet(&format!("{ON_SHEET} 1234")).is_err());
    }

    proptest! {
        /// Key and password cannot be told from others by where one ends and the other begins.
        #[test]
        fn no_other_key_or_password_mixes_to_the_same(
            key: [u8; 16], other: [u8; 16], password: Vec<u8>, another: Vec<u8>,
        ) {
            let mix = |key: [u8; 16], password: &[u8]| {
                DeviceKey::from_bytes(key).mix(&SecretBytes::from(password))
            };
            let is_same = key == other && password == another;
            prop_assert_eq!(mix(key, &password) == mix(other, &another), is_same);
            prop_assert_ne!(mix(key, &password), SecretBytes::from(&password[..]));
        }
    }
}
