//! age files (age-encryption.org/v1) around whole files: encrypted with a passphrase or to public keys.

use std::fmt;
use std::io::{BufReader, Read, Seek, Write};
use std::path::Path;
use std::sync::Mutex;

use age::armor::ArmoredReader;
use age::secrecy::{ExposeSecret as _, SecretString};
use age::{IdentityFile, x25519};
use age_core::format::{FileKey, Stanza};
use keyshell_base::files;
use shared::secret::{SecretBytes, SecretWriter};
use zeroize::Zeroizing;

use crate::ask::Ask;
use crate::error::FormatError;
use crate::input::ReadSeek;

/// The format's name on the command line.
pub const NAME: &str = "age";
/// Most scrypt work that a file may ask for, as the logarithm of N: 4 GiB would be 22.
const MAX_WORK_FACTOR: u8 = 20;
/// The first bytes of age files that are not armoured.
const MAGIC: &[u8] = b"age-encryption.org/v1\n";
/// The first bytes of armoured age files.
const ARMOUR: &[u8] = b"-----BEGIN AGE ENCRYPTED FILE-----";
/// Longest file of private keys, in bytes.
const MAX_IDENTITIES: u64 = 64 * 1024;

/// Whether these are the first bytes of an age file.
pub fn is_sealed(head: &[u8]) -> bool {
    head.starts_with(MAGIC) || head.starts_with(ARMOUR)
}

/// Whether the file is encrypted with a passphrase, according to its header, and not to public keys.
pub fn is_under_passphrase(head: &[u8]) -> bool {
    const UNDER: &[u8] = b"-> scrypt ";
    let mut begin = vec![0; MAGIC.len() + UNDER.len()];
    let read = ArmoredReader::new(head).read_exact(&mut begin);
    read.is_ok() && begin.starts_with(MAGIC) && begin.ends_with(UNDER)
}

/// The recipients of a file that is encrypted.
pub enum Lock {
    /// A passphrase.
    Passphrase(Zeroizing<String>),
    /// Public keys; each private key of one decrypts the file.
    Recipients(Vec<x25519::Recipient>),
}

impl Lock {
    /// The public keys that were chosen, or a new passphrase.
    ///
    /// # Errors
    /// [`FormatError::Usage`] for text that is not a public key; errors of asking.
    pub fn chosen(ask: &dyn Ask) -> Result<Self, FormatError> {
        let recipients = &ask.choices().recipients;
        if recipients.is_empty() {
            return ask.new_passphrase().map(Self::Passphrase);
        }
        let recipients = recipients.iter().map(|text| recipient(text));
        Ok(Self::Recipients(recipients.collect::<Result<_, _>>()?))
    }

    /// A writer that encrypts; [`age::stream::StreamWriter::finish`] ends it.
    ///
    /// # Errors
    /// [`FormatError`].
    pub fn writer<W: Write>(self, out: W) -> Result<age::stream::StreamWriter<W>, FormatError> {
        let encryptor = match self {
            Self::Passphrase(passphrase) => {
                let recipient = under(&passphrase);
                age::Encryptor::with_recipients(std::iter::once(&recipient as _))
            }
            Self::Recipients(recipients) => {
                age::Encryptor::with_recipients(recipients.iter().map(|one| one as _))
            }
        };
        let encryptor = encryptor.map_err(failed)?;
        encryptor.wrap_output(out).map_err(failed)
    }
}

fn failed(error: impl fmt::Display) -> FormatError {
    FormatError::library(format!("age: {error}"))
}

/// Encrypts bytes.
///
/// # Errors
/// [`FormatError`].
pub fn seal(lock: Lock, plain: &[u8]) -> Result<SecretBytes, FormatError> {
    let mut writer = lock.writer(SecretWriter::default())?;
    writer.write_all(plain).map_err(failed)?;
    Ok(writer.finish().map_err(failed)?.finish())
}

/// The passphrase as a recipient. Its work takes about one second, and next to none in unit tests.
fn under(passphrase: &str) -> age::scrypt::Recipient {
    let passphrase = SecretString::from(passphrase.to_owned());
    #[cfg_attr(not(test), expect(unused_mut))]
    let mut recipient = age::scrypt::Recipient::new(passphrase);
    #[cfg(test)]
    recipient.set_work_factor(4);
    recipient
}

fn recipient(text: &str) -> Result<x25519::Recipient, FormatError> {
    let parsed = text.trim().parse();
    parsed.map_err(|error| {
        FormatError::Usage(format!(
            "`{text}` is not an age public key, which begins with age1: {error}"
        ))
    })
}

/// A writer that encrypts with a passphrase; [`age::stream::StreamWriter::finish`] ends it.
///
/// # Errors
/// [`FormatError`].
pub fn writer<W: Write>(
    out: W,
    passphrase: &str,
) -> Result<age::stream::StreamWriter<W>, FormatError> {
    Lock::Passphrase(Zeroizing::new(passphrase.to_owned())).writer(out)
}

/// A passphrase with the file key that it decrypted: a file is read several times, and scrypt runs once.
pub struct Passphrase {
    identity: age::scrypt::Identity,
    opened: Mutex<Option<(Stanza, FileKey)>>,
}

impl Passphrase {
    fn new(passphrase: &str) -> Self {
        let passphrase = SecretString::from(passphrase.to_owned());
        let mut identity = age::scrypt::Identity::new(passphrase);
        identity.set_max_work_factor(MAX_WORK_FACTOR);
        Self {
            identity,
            opened: Mutex::new(None),
        }
    }
}

fn copy(key: &FileKey) -> FileKey {
    FileKey::init_with_mut(|copy| copy.copy_from_slice(key.expose_secret()))
}

impl age::Identity for Passphrase {
    fn unwrap_stanza(&self, stanza: &Stanza) -> Option<Result<FileKey, age::DecryptError>> {
        let mut opened = self.opened.lock().ok()?;
        if let Some((known, key)) = &*opened
            && known == stanza
        {
            return Some(Ok(copy(key)));
        }
        let key = self.identity.unwrap_stanza(stanza)?;
        if let Ok(key) = &key {
            let stanza = Stanza {
                tag: stanza.tag.clone(),
                args: stanza.args.clone(),
                body: stanza.body.clone(),
            };
            *opened = Some((stanza, copy(key)));
        }
        Some(key)
    }
}

/// Private keys.
pub type Identities = Vec<Box<dyn age::Identity + Send + Sync>>;

/// The key that decrypts a file.
pub enum Key {
    /// A passphrase.
    Passphrase(Box<Passphrase>),
    /// Private keys.
    Identities(Identities),
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key([redacted])")
    }
}

impl From<Zeroizing<String>> for Key {
    fn from(passphrase: Zeroizing<String>) -> Self {
        Self::Passphrase(Box::new(Passphrase::new(&passphrase)))
    }
}

impl Key {
    /// The key of the file that begins with these bytes: the passphrase, or the chosen private keys.
    ///
    /// # Errors
    /// [`FormatError::Usage`] where private keys are needed and none were chosen; errors of asking and reading.
    pub fn asked(head: &[u8], ask: &dyn Ask) -> Result<Self, FormatError> {
        if is_under_passphrase(head) {
            return ask.passphrase().map(Self::from);
        }
        let files = &ask.choices().identities;
        if files.is_empty() {
            let text =
                "the file is encrypted to public keys: give --identity FILE with a private key";
            return Err(FormatError::Usage(text.into()));
        }
        let mut identities = Vec::new();
        for path in files {
            identities.extend(read_identities(path)?);
        }
        Ok(Self::Identities(identities))
    }
}

fn read_identities(path: &Path) -> Result<Identities, FormatError> {
    let doing = format!("reading private keys from {}", path.display());
    let content =
        files::read_text(path, MAX_IDENTITIES).map_err(|error| FormatError::io(&doing, error))?;
    match parse_identities(content.expose()) {
        Ok(identities) if identities.is_empty() => {
            Err(FormatError::Usage(format!("{doing}: there is none")))
        }
        Ok(identities) => Ok(identities),
        Err(error) => Err(FormatError::Usage(format!("{doing}: {error}"))),
    }
}

/// Parses the content of a file of private keys.
///
/// # Errors
/// The error of the library, as text.
pub fn parse_identities(content: &[u8]) -> Result<Identities, String> {
    let hybrid = b"AGE-SECRET-KEY-PQ-";
    if content.windows(hybrid.len()).any(|part| part == hybrid) {
        return Err(
            "hybrid (post-quantum) identities are not read: open the file with `age --decrypt`"
                .into(),
        );
    }
    let file = IdentityFile::from_buffer(BufReader::new(content));
    let file = file.map_err(|error| error.to_string())?;
    file.into_identities().map_err(|error| error.to_string())
}

/// Decrypts an age file.
///
/// # Errors
/// [`FormatError`].
pub fn reader<'a>(
    sealed: Box<dyn ReadSeek + 'a>,
    key: &Key,
) -> Result<impl Read + Seek + use<'a>, FormatError> {
    let decryptor = age::Decryptor::new(ArmoredReader::new(sealed)).map_err(|error| {
        FormatError::not_this_format(format!("this is not an age file: {error}"))
    })?;
    let (opened, wrong) = match key {
        Key::Passphrase(passphrase) => (
            decryptor.decrypt(std::iter::once(&**passphrase as _)),
            "wrong passphrase, or encrypted without one",
        ),
        Key::Identities(identities) => (
            decryptor.decrypt(identities.iter().map(|one| &**one as _)),
            "it is encrypted to other public keys",
        ),
    };
    opened.map_err(|error| {
        let why = match error {
            age::DecryptError::DecryptionFailed | age::DecryptError::NoMatchingKeys => wrong.into(),
            other => other.to_string(),
        };
        FormatError::wrong_passphrase(format!("the age file does not open: {why}"))
    })
}
