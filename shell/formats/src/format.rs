//! The two kinds of formats: of one secret and of a whole vault.

use std::path::PathBuf;

use shared::secret::SecretBytes;
use shared::wire::limits::MAX_VALUE_LEN;

// The types that the functions of formats use: a format imports them from here.
pub use crate::ask::{Ask, Choices};
pub use crate::error::FormatError;
use crate::foreign_content;
use crate::input::source::without_mark;
pub use crate::input::source::{Peek, Source};
pub use crate::model::item::{Item, Loss};
pub use crate::model::{Portable, bounded};

/// A format of one secret.
#[derive(Clone, Copy)]
pub struct SecretFormat {
    /// The name on the command line.
    pub name: &'static str,
    /// A description of the format and of what it carries, in one line.
    pub about: &'static str,
    pub(crate) encode: fn(&Portable, &dyn Ask) -> Result<SecretBytes, FormatError>,
    pub(crate) decode: fn(&[u8], &dyn Ask) -> Result<Portable, FormatError>,
    /// Whether the content is certainly of this format, for files without `--format`.
    pub recognises: fn(&[u8]) -> bool,
    /// Whether the output is encrypted.
    pub is_sealed: fn(&Choices) -> bool,
    /// Whether the output can be encrypted to public keys.
    pub takes_recipients: bool,
    /// Whether the output consists of [`pieces`] for several places, and the input may be in several files.
    pub makes_shares: bool,
    /// Parts of a secret that the format drops unexpectedly, each as a short phrase.
    pub losses: fn(&Portable) -> Vec<String>,
}

impl SecretFormat {
    /// A format that is not detected, does not encrypt and has no further options.
    pub(crate) const fn new(
        name: &'static str,
        about: &'static str,
        encode: fn(&Portable, &dyn Ask) -> Result<SecretBytes, FormatError>,
        decode: fn(&[u8], &dyn Ask) -> Result<Portable, FormatError>,
    ) -> Self {
        Self {
            name,
            about,
            encode,
            decode,
            recognises: |_| false,
            is_sealed: |_| false,
            takes_recipients: false,
            makes_shares: false,
            losses: |_| Vec::new(),
        }
    }

    /// Writes a secret.
    ///
    /// # Errors
    /// [`FormatError`] for values that the format cannot carry.
    pub fn encode(&self, secret: &Portable, ask: &dyn Ask) -> Result<SecretBytes, FormatError> {
        (self.encode)(secret, ask)
    }

    /// Reads a secret.
    ///
    /// # Errors
    /// [`FormatError`] for input that does not follow the format exactly.
    pub fn decode(&self, bytes: &[u8], ask: &dyn Ask) -> Result<Portable, FormatError> {
        let is_text = !matches!(self.name, "raw" | "len" | "len32");
        let text = if is_text { without_mark(bytes) } else { bytes };
        (self.decode)(text, ask)
    }
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
#[derive(Clone, Copy)]
pub struct VaultFormat {
    /// The name on the command line.
    pub name: &'static str,
    /// A description of the format and of what it carries, in one line.
    pub about: &'static str,
    /// Whether the content is of this format.
    pub recognises: fn(&Source, &Peek) -> bool,
    pub(crate) read: fn(&Source, &dyn Ask, &mut Sink<'_>) -> Result<(), FormatError>,
    pub(crate) write: Option<WriteItems>,
    /// Whether the format itself encrypts the output.
    pub is_sealed: bool,
    /// Whether the output can be encrypted to public keys.
    pub takes_recipients: bool,
}

type WriteItems = fn(&[Item], &dyn Ask) -> Result<(Written, Vec<Loss>), FormatError>;

impl VaultFormat {
    /// A format that is read only.
    pub(crate) const fn new(
        name: &'static str,
        about: &'static str,
        recognises: fn(&Source, &Peek) -> bool,
        read: fn(&Source, &dyn Ask, &mut Sink<'_>) -> Result<(), FormatError>,
    ) -> Self {
        Self {
            name,
            about,
            recognises,
            read,
            write: None,
            is_sealed: false,
            takes_recipients: false,
        }
    }

    /// Reads all items in the order of the file, one at a time: the file may be longer than memory. Two calls give the
    /// same items. An item that cannot be imported is a loss.
    ///
    /// # Errors
    /// [`FormatError`]; errors of `sink`.
    pub fn read(
        &self,
        source: &Source,
        ask: &dyn Ask,
        sink: &mut Sink<'_>,
    ) -> Result<(), FormatError> {
        // An item of our own format was imported before.
        let is_ours = self.name == NATIVE;
        (self.read)(source, ask, &mut |mut incoming| {
            if let Incoming::Item(item) = &mut incoming
                && !is_ours
            {
                let unseen = foreign_content::phrases(item, "");
                item.losses.extend(unseen);
            }
            sink(incoming)
        })
    }

    /// Whether the format is written.
    pub fn is_written(&self) -> bool {
        self.write.is_some()
    }

    /// Writes items, and returns the parts that the format drops.
    ///
    /// # Errors
    /// [`FormatError`], also for formats that are read only.
    pub fn write(
        &self,
        items: &[Item],
        ask: &dyn Ask,
    ) -> Result<(Written, Vec<Loss>), FormatError> {
        let Some(write) = self.write else {
            let text = format!("`{}` can only be read, not written", self.name);
            return Err(FormatError::unsupported(text));
        };
        let (written, mut losses) = write(items, ask)?;
        for item in items {
            let unseen = foreign_content::phrases(item, self.name).into_iter();
            losses.extend(unseen.map(|what| Loss::new(&item.name, what)));
        }
        Ok((written, losses))
    }
}

/// The name of our own format of whole vaults.
pub const NATIVE: &str = "keyshell";

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
