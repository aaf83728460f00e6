//! The two kinds of formats: of one secret and of a whole vault.

use std::path::PathBuf;

use shared::secret::SecretBytes;
use shared::wire::limits::MAX_VALUE_LEN;

use crate::ask::{Ask, Choices};
use crate::error::FormatError;
use crate::input::source::{Peek, Source};
use crate::model::Portable;
use crate::model::item::{Item, Loss};

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
        _sink: &mut Sink<'_>,
    ) -> Result<(), FormatError> {
        let text = format!("`{}` can only be written, not read", self.name());
        Err(FormatError::unsupported(text))
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
        let text = format!("`{}` can only be read, not written", self.name());
        Err(FormatError::unsupported(text))
    }
}

/// Receives the items of a vault's file one by one.
pub type Sink<'a> = dyn FnMut(Incoming) -> Result<(), FormatError> + 'a;

/// What a vault's file has.
#[derive(Debug)]
pub enum Incoming {
    /// An item.
    Item(Box<Item>),
    /// Something that cannot come in.
    Lost(Loss),
}

/// Longest file of one secret, in bytes: a value with every byte written as six.
pub const MAX_SECRET_FILE: u64 = 8 * MAX_VALUE_LEN as u64;

/// What is between pieces of what was written.
pub(crate) const PIECES_END: &str = "\n\n";

/// The pieces that a format wrote which [makes shares](SecretFormat::makes_shares).
pub fn pieces(written: &SecretBytes) -> Vec<SecretBytes> {
    let text = std::str::from_utf8(written.expose()).unwrap_or_default();
    let pieces = text.split(PIECES_END);
    pieces
        .map(|piece| SecretBytes::from(piece.as_bytes()))
        .collect()
}
