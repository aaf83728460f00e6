//! The two kinds of formats: of one secret and of a whole vault.

use std::path::PathBuf;

use shared::secret::SecretBytes;
use shared::wire::limits::MAX_VALUE_LEN;

// The types that the traits name: a format imports them together with the traits.
pub use crate::ask::{Ask, Choices};
pub use crate::error::FormatError;
pub use crate::input::source::{Peek, Source};
pub use crate::model::item::{Item, Loss};
pub use crate::model::{Portable, bounded};

/// A format of one secret.
pub trait SecretFormat: Sync {
    /// The name on the command line.
    fn name(&self) -> &'static str;

    /// A description of the format and of what it carries, in one line.
    fn about(&self) -> &'static str;

    /// Whether the content is certainly of this format, for files without `--format`.
    fn recognises(&self, _bytes: &[u8]) -> bool {
        false
    }

    /// Whether the output is encrypted.
    fn is_sealed(&self, _choices: &Choices) -> bool {
        false
    }

    /// Whether the output can be encrypted to public keys.
    fn takes_recipients(&self) -> bool {
        false
    }

    /// Whether the output consists of [`pieces`] for several places, and the input may be in several files.
    fn makes_shares(&self) -> bool {
        false
    }

    /// Parts of a secret that the format drops unexpectedly, each as a short phrase.
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
    /// [`FormatError`] for input that does not follow the format exactly.
    fn decode(&self, bytes: &[u8], ask: &dyn Ask) -> Result<Portable, FormatError>;
}

/// The output of an export.
#[derive(Debug)]
pub enum Written {
    /// One file.
    File(SecretBytes),
    /// A folder.
    Folder(Vec<FolderFile>),
}

/// A file of a folder that is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FolderFile {
    /// The relative path in the folder: without `..`, and different for each file.
    pub path: PathBuf,
    /// The content.
    pub content: SecretBytes,
    /// The modification time in milliseconds since 1970-01-01 UTC, where it is meaningful.
    pub modified_ms: Option<u64>,
}

/// Creates a folder of mode 0700 with these files, each of mode 0600, atomically.
///
/// # Errors
/// Errors of the operating system; [`std::io::ErrorKind::AlreadyExists`] where `path` exists.
pub fn create_folder(path: &std::path::Path, files: &[FolderFile]) -> std::io::Result<()> {
    let files = files
        .iter()
        .map(|file| (&*file.path, file.content.expose(), file.modified_ms));
    keyshell_base::files::create_folder(path, files)
}

/// A format of a whole vault.
pub trait VaultFormat: Sync {
    /// The name on the command line.
    fn name(&self) -> &'static str;

    /// A description of the format and of what it carries, in one line.
    fn about(&self) -> &'static str;

    /// Whether the content is of this format.
    fn recognises(&self, source: &Source, peek: &Peek) -> bool;

    /// Reads all items in the order of the file, one at a time: the file may be longer than memory. Two calls give the
    /// same items. An item that cannot be imported is a loss.
    ///
    /// # Errors
    /// [`FormatError`], also for formats that can only be written; errors of `sink`.
    fn read(
        &self,
        _source: &Source,
        _ask: &dyn Ask,
        _sink: &mut Sink<'_>,
    ) -> Result<(), FormatError> {
        let text = format!("`{}` can only be written, not read", self.name());
        Err(FormatError::unsupported(text))
    }

    /// Whether [`Self::write`] is implemented.
    fn is_written(&self) -> bool {
        false
    }

    /// Whether the format itself encrypts the output.
    fn is_sealed(&self) -> bool {
        false
    }

    /// Whether the output can be encrypted to public keys.
    fn takes_recipients(&self) -> bool {
        false
    }

    /// Writes items, and returns the parts that the format drops.
    ///
    /// # Errors
    /// [`FormatError`], also for formats that can only be read.
    fn write(&self, _items: &[Item], _ask: &dyn Ask) -> Result<(Written, Vec<Loss>), FormatError> {
        let text = format!("`{}` can only be read, not written", self.name());
        Err(FormatError::unsupported(text))
    }
}

/// Receives the items of a vault's file one by one.
pub type Sink<'a> = dyn FnMut(Incoming) -> Result<(), FormatError> + 'a;

/// An element of a vault's file.
#[derive(Debug)]
pub enum Incoming {
    /// An item.
    Item(Box<Item>),
    /// A part that cannot be imported.
    Lost(Loss),
}

/// Longest file of one secret, in bytes: a value with every byte written as six.
pub const MAX_SECRET_FILE: u64 = 8 * MAX_VALUE_LEN as u64;

/// The separator of pieces.
pub(crate) const PIECES_END: &str = "\n\n";

/// The pieces in the output of a format that [makes shares](SecretFormat::makes_shares).
pub fn pieces(written: &SecretBytes) -> Vec<SecretBytes> {
    let text = std::str::from_utf8(written.expose()).unwrap_or_default();
    let pieces = text.split(PIECES_END);
    pieces
        .map(|piece| SecretBytes::from(piece.as_bytes()))
        .collect()
}
