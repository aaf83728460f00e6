//! Formats of single secrets and of whole vaults: one file each.

mod age;
pub mod age_file;
mod base64;
mod bip39;
pub mod bitwarden;
pub mod carry;
pub mod csv;
pub mod cxf;
pub mod dotenv;
mod eth_keystore;
mod hex;
pub mod item;
mod json;
mod json_walk;
mod jwe;
mod jwk;
pub mod keepass;
pub mod key;
mod key_file;
mod len;
mod meter;
pub mod names;
mod nearly;
pub mod onepux;
pub mod openssh;
pub mod pass;
pub mod pem;
mod raw;
pub mod record;
pub mod shares;
pub mod source;
#[cfg(test)]
pub mod testing;
pub mod vault;
pub mod vault_kv;

use std::path::PathBuf;

use item::{Item, Loss};
use shared::secret::SecretBytes;
use shared::wire::limits::MAX_VALUE_LEN;
use source::{Peek, Source};
use zeroize::Zeroizing;

/// A secret on its way in or out.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Portable {
    /// Its name, where the format carries one.
    pub name: Option<String>,
    /// Its tags.
    pub tags: Vec<String>,
    /// Its note.
    pub note: String,
    /// Its media type.
    pub content_type: Option<String>,
    /// Its value.
    pub value: SecretBytes,
    /// What the file says of it that has no place here, each in a few words.
    pub lost: Vec<String>,
}

impl Portable {
    /// A value and nothing else.
    pub fn bare(value: SecretBytes) -> Self {
        Self {
            value,
            ..Self::default()
        }
    }
}

/// Why a file is not read or written.
#[derive(Debug, thiserror::Error)]
pub enum FormatError {
    /// The content is not of the format, or the format cannot carry it.
    #[error("{0}")]
    Content(String),
    /// The choices do not fit the format: recipients, shares, identities.
    #[error("{0}")]
    Usage(String),
    /// An error of the caller's own, from [`Ask`] or from the function that takes the items; it is passed through.
    #[error(transparent)]
    Caller(Box<dyn std::error::Error + Send + Sync>),
}

impl FormatError {
    /// Content that is not as it should be.
    pub fn new(text: impl Into<String>) -> Self {
        Self::Content(text.into())
    }

    /// An error of the caller's own.
    pub fn caller(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self::Caller(error.into())
    }

    /// A failure of the operating system, with what was being done.
    pub fn io(doing: &str, error: &std::io::Error) -> Self {
        Self::Content(format!("{doing}: {error}"))
    }
}

/// What formats ask for beside the bytes.
pub trait Ask {
    /// The passphrase of a file that is sealed with one.
    ///
    /// # Errors
    /// [`FormatError::Caller`] where nobody can be asked.
    fn passphrase(&self) -> Result<Zeroizing<String>, FormatError>;

    /// The passphrase for a file that is about to be sealed.
    ///
    /// # Errors
    /// As [`Self::passphrase`].
    fn new_passphrase(&self) -> Result<Zeroizing<String>, FormatError>;

    /// The passphrase of what does not say whether it is sealed with one.
    ///
    /// # Errors
    /// As [`Self::passphrase`], but it is none where nobody can be asked.
    fn passphrase_if_any(&self) -> Result<Option<Zeroizing<String>>, FormatError> {
        Ok(None)
    }

    /// Another share of a secret; `missing` says what is.
    ///
    /// # Errors
    /// As [`Self::passphrase`].
    fn share(&self, missing: &str) -> Result<Zeroizing<String>, FormatError> {
        Err(FormatError::new(format!("missing: {missing}")))
    }

    /// What was chosen on the command line.
    fn choices(&self) -> &Choices;
}

/// What may be chosen for formats.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Choices {
    /// Seal with a passphrase what the format can also carry open.
    pub encrypt: bool,
    /// Public keys to seal to, as typed.
    pub recipients: Vec<String>,
    /// Files with private keys that open what is sealed to public ones.
    pub identities: Vec<PathBuf>,
    /// How many shares bring the secret back.
    pub threshold: Option<u8>,
    /// How many shares there are.
    pub shares: Option<u8>,
}

/// A format of one secret.
pub trait SecretFormat: Sync {
    /// Its name on the command line.
    fn name(&self) -> &'static str;

    /// What it is and what it carries, in one line.
    fn about(&self) -> &'static str;

    /// Whether a file without a `--format` is surely of this format, by its content.
    fn recognises(&self, _bytes: &[u8]) -> bool {
        false
    }

    /// Whether what is written is sealed.
    fn is_sealed(&self, _choices: &Choices) -> bool {
        false
    }

    /// Whether it can be sealed to public keys.
    fn takes_recipients(&self) -> bool {
        false
    }

    /// Whether what is written are [`pieces`] that belong into several places, and what is read may be in several files.
    fn makes_shares(&self) -> bool {
        false
    }

    /// What of a secret this format leaves out though a reader would expect it, each in a few words.
    fn losses(&self, _secret: &Portable) -> Vec<String> {
        Vec::new()
    }

    /// Writes a secret.
    ///
    /// # Errors
    /// [`FormatError`] for values that the format cannot carry.
    fn encode(&self, secret: &Portable, ask: &dyn Ask) -> Result<SecretBytes, FormatError>;

    /// Reads a secret.
    ///
    /// # Errors
    /// [`FormatError`] for anything but exactly what the format says.
    fn decode(&self, bytes: &[u8], ask: &dyn Ask) -> Result<Portable, FormatError>;
}

/// All formats of one secret, in the order in which content is recognised.
pub const ALL: &[&dyn SecretFormat] = &[
    &raw::Raw,
    &hex::Hex,
    &base64::STANDARD,
    &base64::URL,
    &len::ONE_BYTE,
    &len::FOUR_BYTES,
    &json::Json,
    &jwk::Jwk,
    &jwe::Jwe,
    &pem::Pem,
    &openssh::OpenSsh,
    &key_file::KeyFile,
    &bip39::Bip39,
    &eth_keystore::EthKeystore,
    &age::Age,
    &shares::Shares,
];

/// Names of all formats, of one secret first.
pub fn names() -> impl Iterator<Item = &'static str> {
    let one = ALL.iter().map(|format| format.name());
    one.chain(VAULTS.iter().map(|format| format.name()))
}

/// The format of this name.
///
/// # Errors
/// [`FormatError::Usage`], listing the names.
pub fn named(name: &str) -> Result<&'static dyn SecretFormat, FormatError> {
    let format = ALL.iter().find(|format| format.name() == name);
    format.copied().ok_or_else(|| {
        let names: Vec<_> = ALL.iter().map(|format| format.name()).collect();
        let names = names.join(", ");
        if vault_named(name).is_some() {
            return FormatError::Usage(format!(
                "`{name}` is a format of whole vaults (`export --all`, `import`); of one secret there are {names}"
            ));
        }
        FormatError::Usage(format!(
            "there is no format `{name}`; of one secret there are {names}, and `help formats` lists all"
        ))
    })
}

/// A file to be written.
#[derive(Debug)]
pub enum Written {
    /// One file.
    File(SecretBytes),
    /// A folder.
    Folder(Vec<FolderFile>),
}

/// A file of a folder to be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FolderFile {
    /// Where in the folder: a relative path, each component of which is harmless; no two files have the same.
    pub path: PathBuf,
    /// What is in it.
    pub content: SecretBytes,
    /// When it was last changed, in milliseconds since 1970-01-01 UTC, where that says something.
    pub modified_ms: Option<u64>,
}

/// Makes a new folder of mode 0700 with these files, each of mode 0600: whole, or not at all.
///
/// # Errors
/// Those of the operating system; [`std::io::ErrorKind::AlreadyExists`] where there is something at `path`.
pub fn create_folder(path: &std::path::Path, files: &[FolderFile]) -> std::io::Result<()> {
    let files = files
        .iter()
        .map(|file| (&*file.path, file.content.expose(), file.modified_ms));
    keyshell_base::files::create_folder(path, files)
}

/// A format of a whole vault.
pub trait VaultFormat: Sync {
    /// Its name on the command line.
    fn name(&self) -> &'static str;

    /// What it is and what it carries, in one line.
    fn about(&self) -> &'static str;

    /// Whether a file is of this format, by its content.
    fn recognises(&self, source: &Source, peek: &Peek) -> bool;

    /// Reads all items, in the order of the file, one at a time: the file may be longer than memory. Called twice, and
    /// both times it must give the same. An item that has no place here at all is a loss.
    ///
    /// # Errors
    /// [`FormatError`], also where the format only goes out; those of `sink`.
    fn read(
        &self,
        _source: &Source,
        _ask: &dyn Ask,
        _sink: &mut dyn FnMut(Incoming) -> Result<(), FormatError>,
    ) -> Result<(), FormatError> {
        let text = format!("`{}` is only written, not read", self.name());
        Err(FormatError::new(text))
    }

    /// Whether [`Self::write`] does anything.
    fn is_written(&self) -> bool {
        false
    }

    /// Whether what is written is sealed by the format itself.
    fn is_sealed(&self) -> bool {
        false
    }

    /// Whether it can be sealed to public keys.
    fn takes_recipients(&self) -> bool {
        false
    }

    /// Writes items, and says what of them it left out.
    ///
    /// # Errors
    /// [`FormatError`], also where the format only comes in.
    fn write(&self, _items: &[Item], _ask: &dyn Ask) -> Result<(Written, Vec<Loss>), FormatError> {
        let text = format!("`{}` is only read, not written", self.name());
        Err(FormatError::new(text))
    }
}

/// What a vault's file has.
#[derive(Debug)]
pub enum Incoming {
    /// An item.
    Item(Box<Item>),
    /// Something that cannot come in.
    Lost(Loss),
}

/// All formats of whole vaults, in the order in which content is recognised. Our own is not one of them: it is written as
/// it is fetched.
pub const VAULTS: &[&dyn VaultFormat] = &[
    &vault::Native,
    &bitwarden::Bitwarden,
    &bitwarden::BitwardenSealed,
    &cxf::Cxf,
    &keepass::Kdbx,
    &keepass::KeePassXml,
    &pass::PasswordStore,
    &pass::PassAge,
    &csv::BitwardenCsv,
    &csv::LastPassCsv,
    &csv::FirefoxCsv,
    &csv::ChromeCsv,
    &onepux::OnePux,
    &vault_kv::VaultKv,
    &dotenv::Dotenv,
];

/// The format of a whole vault of this name, if there is one.
pub fn vault_named(name: &str) -> Option<&'static dyn VaultFormat> {
    let found = VAULTS.iter().find(|format| format.name() == name);
    found.copied()
}

/// What a file is, by its content.
#[derive(Clone, Copy)]
pub enum Detected {
    /// A whole vault.
    Vault(&'static dyn VaultFormat),
    /// One secret.
    Secret(&'static dyn SecretFormat),
    /// Anything else: the value itself.
    Other,
}

impl Detected {
    /// Its name on the command line.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Vault(format) => format.name(),
            Self::Secret(format) => format.name(),
            Self::Other => "raw",
        }
    }
}

/// Looks at a file's content; its name tells nothing.
///
/// # Errors
/// [`FormatError`] where nothing can be read.
pub fn detect(source: &Source) -> Result<Detected, FormatError> {
    let peek = source.peek()?;
    let vault = VAULTS
        .iter()
        .find(|format| format.recognises(source, &peek));
    if let Some(format) = vault {
        return Ok(Detected::Vault(*format));
    }
    if source.is_folder() {
        let text = "this folder is none that keyshell knows how to import";
        return Err(FormatError::new(text));
    }
    if source.size()? > MAX_SECRET_FILE {
        return Ok(Detected::Other);
    }
    let bytes = source.bytes(MAX_SECRET_FILE)?;
    let secret = ALL.iter().find(|format| format.recognises(bytes.expose()));
    if let Some(format) = secret {
        return Ok(Detected::Secret(*format));
    }
    match nearly::is_nearly(source, &peek, bytes.expose()) {
        Some(error) => Err(error),
        None => Ok(Detected::Other),
    }
}

/// Longest file of one secret, in bytes: a value with every byte written as six.
pub const MAX_SECRET_FILE: u64 = 8 * MAX_VALUE_LEN as u64;

/// What is between pieces of what was written.
const PIECES_END: &str = "\n\n";

/// The pieces that a format wrote which [makes shares](SecretFormat::makes_shares).
pub fn pieces(written: &SecretBytes) -> Vec<SecretBytes> {
    let text = std::str::from_utf8(written.expose()).unwrap_or_default();
    let pieces = text.split(PIECES_END);
    pieces
        .map(|piece| SecretBytes::from(piece.as_bytes()))
        .collect()
}

fn bounded(value: Vec<u8>) -> Result<SecretBytes, FormatError> {
    let value = SecretBytes::new(value);
    if value.len() > MAX_VALUE_LEN {
        let text = format!("a value has at most {MAX_VALUE_LEN} bytes (1 MiB)");
        return Err(FormatError::new(text));
    }
    Ok(value)
}

/// Text without the line end that editors and `echo` put after it.
fn trimmed(bytes: &[u8]) -> &[u8] {
    bytes.trim_ascii()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Answers that are always the same.
    #[derive(Default)]
    pub struct Answers {
        pub passphrase: &'static str,
        pub choices: Choices,
    }

    impl Ask for Answers {
        fn passphrase(&self) -> Result<Zeroizing<String>, FormatError> {
            Ok(Zeroizing::new(self.passphrase.to_owned()))
        }

        fn new_passphrase(&self) -> Result<Zeroizing<String>, FormatError> {
            self.passphrase()
        }

        fn passphrase_if_any(&self) -> Result<Option<Zeroizing<String>>, FormatError> {
            self.passphrase().map(Some)
        }

        fn choices(&self) -> &Choices {
            &self.choices
        }
    }
}
