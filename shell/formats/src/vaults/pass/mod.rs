//! Trees of sealed texts, one a secret: `pass` (<https://www.passwordstore.org>), whose files gpg seals, and `passage`
//! (<https://github.com/FiloSottile/passage>), whose files age seals.
//!
//! Out goes a tree as passage has it, sealed to the public keys that were chosen. With a passphrase instead, a new private
//! key is sealed with it and lies in the tree as `.age-identity`, and the texts are sealed to that: `age --decrypt -i
//! .age-identity NAME.age` opens them, and the passphrase is stretched once and not once a secret.

mod gopass;
mod gpg;
mod path;
#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests;
pub mod text;
mod tree;

use std::collections::HashSet;
use std::fs::File;
use std::path::{Path, PathBuf};

use age::secrecy::ExposeSecret as _;
use age::x25519;
use keyshell_base::files;
use shared::secret::SecretBytes;
use tree::{Found, MAX_TEXT};

use crate::format::{Ask, FolderFile, FormatError, Incoming, Sink, Source, VaultFormat, Written};
use crate::input::age_file::{self, Key, Lock};
use crate::model::item::{Attachment, Item, Loss};

/// Most that the files of one item may come to, in bytes.
const MAX_ATTACHED: u64 = 512 * 1024 * 1024;
/// The public keys that a tree of age's is sealed to.
const RECIPIENTS: &str = ".age-recipients";
/// The private key that opens a tree, sealed with a passphrase.
const IDENTITY: &str = ".age-identity";
/// The keys that a tree of gpg's is sealed to.
const GPG_ID: &str = ".gpg-id";
const GPG: &str = ".gpg";

/// A tree of age files.
pub const PASS_AGE: VaultFormat = VaultFormat {
    write: Some(write),
    is_sealed: true,
    takes_recipients: true,
    ..VaultFormat::new(
        "pass-age",
        "a folder of age files, one a secret, as passage has it: passwords, fields, notes",
        |source, _| source.folder().is_some_and(is_age_tree),
        read_age,
    )
};

fn is_age_tree(root: &Path) -> bool {
    root.join(RECIPIENTS).is_file() || tree::has(root, path::AGE)
}

fn read_age(source: &Source, ask: &dyn Ask, sink: &mut Sink<'_>) -> Result<(), FormatError> {
    let root = folder(source)?;
    // The key is asked for once.
    let mut key = None;
    let mut open = |file| {
        let sealed = files::read_all(file, 2 * MAX_TEXT).map_err(FormatError::unreadable)?;
        let key = match &mut key {
            Some(key) => key,
            none => none.insert(asked(root, sealed.expose(), ask)?),
        };
        opened(&sealed, key).map(Ok)
    };
    each(root, path::AGE, sink, &mut open, &path::name)
}

fn write(items: &[Item], ask: &dyn Ask) -> Result<(Written, Vec<Loss>), FormatError> {
    let mut files = Vec::new();
    let mut add = |path: &str, content| {
        files.push(FolderFile {
            path: path.into(),
            content,
            modified_ms: None,
        });
    };
    let recipients = match Lock::chosen(ask)? {
        Lock::Recipients(recipients) => recipients,
        passphrase @ Lock::Passphrase(_) => {
            let identity = x25519::Identity::generate();
            let text = identity.to_string();
            let sealed = age_file::seal(passphrase, text.expose_secret().as_bytes())?;
            add(IDENTITY, sealed);
            vec![identity.to_public()]
        }
    };
    let listed: Vec<_> = recipients.iter().map(|one| format!("{one}\n")).collect();
    add(RECIPIENTS, SecretBytes::new(listed.concat().into_bytes()));
    let mut writing = Writing {
        recipients,
        taken: path::Taken::default(),
        files,
        losses: Vec::new(),
    };
    // Items keep their paths; attachments of other items get other paths.
    let taken = &mut writing.taken;
    let paths: Vec<_> = items.iter().map(|item| taken.item(&item.name)).collect();
    for (item, path) in items.iter().zip(paths) {
        match path {
            Some(path) => writing.item(item, path)?,
            None => writing.lose(&item.name, TOO_LONG),
        }
    }
    Ok((Written::Folder(writing.files), writing.losses))
}

/// The reason why an item or file is not written.
const TOO_LONG: &str = "its name is longer than that of a file may be";

/// The state of an export.
struct Writing {
    recipients: Vec<x25519::Recipient>,
    taken: path::Taken,
    files: Vec<FolderFile>,
    losses: Vec<Loss>,
}

impl Writing {
    fn lose(&mut self, item: &str, what: impl Into<String>) {
        self.losses.push(Loss::new(item, what));
    }

    fn item(&mut self, item: &Item, path: PathBuf) -> Result<(), FormatError> {
        let mut links = Vec::new();
        for file in &item.attachments {
            let Some((name, path)) = self.taken.file(&item.name, &file.name) else {
                self.lose(&format!("{}/{}", item.name, file.name), TOO_LONG);
                continue;
            };
            if name != file.name.replace('/', "_") {
                let text = format!("the file `{}` is called `{name}` there", file.name);
                self.lose(&item.name, text);
            }
            self.add(path, file.content.expose(), None)?;
            links.push((name, file.name.clone()));
        }
        let modified = item.newest().and_then(|newest| newest.created_ms);
        self.add(path, text::write(item, &links).expose(), modified)?;
        for what in text::losses(item) {
            self.lose(&item.name, what);
        }
        Ok(())
    }

    fn add(
        &mut self,
        path: PathBuf,
        text: &[u8],
        modified_ms: Option<u64>,
    ) -> Result<(), FormatError> {
        let mut path = path.into_os_string();
        path.push(path::AGE);
        self.files.push(FolderFile {
            path: path.into(),
            content: age_file::seal(Lock::Recipients(self.recipients.clone()), text)?,
            modified_ms,
        });
        Ok(())
    }
}

fn folder(source: &Source) -> Result<&Path, FormatError> {
    let folder = source.folder();
    folder.ok_or_else(|| FormatError::not_this_format("this format is a folder, not a file"))
}

fn opened(sealed: &SecretBytes, key: &Key) -> Result<SecretBytes, FormatError> {
    let reader = age_file::reader(Box::new(std::io::Cursor::new(sealed.expose())), key)?;
    files::read_all(reader, MAX_TEXT).map_err(FormatError::unreadable)
}

/// The private keys that were chosen, else the one in the tree, else a passphrase.
fn asked(root: &Path, sealed: &[u8], ask: &dyn Ask) -> Result<Key, FormatError> {
    let has_own = ask.choices().identities.is_empty() && root.join(IDENTITY).is_file();
    if !has_own || age_file::is_under_passphrase(sealed) {
        return Key::asked(sealed, ask);
    }
    let (file, _) = tree::open(root, Path::new(IDENTITY))?;
    let identity = files::read_all(file, MAX_TEXT);
    let identity = identity.map_err(FormatError::unreadable)?;
    let text = opened(&identity, &ask.passphrase()?.into())?;
    age_file::parse_identities(text.expose())
        .map(Key::Identities)
        .map_err(|error| FormatError::malformed(format!("{IDENTITY}: {error}")))
}

/// A tree of files that gpg encrypts.
pub const PASSWORD_STORE: VaultFormat = VaultFormat::new(
    "password-store",
    "the folder of `pass`, opened with the program gpg: passwords, fields, notes",
    |source, _| source.folder().is_some_and(is_gpg_tree),
    read_gpg,
);

fn is_gpg_tree(root: &Path) -> bool {
    root.join(GPG_ID).is_file()
}

fn read_gpg(source: &Source, _: &dyn Ask, sink: &mut Sink<'_>) -> Result<(), FormatError> {
    let as_it_is = |path: &Path| path.to_str().map(str::to_owned);
    each(folder(source)?, GPG, sink, &mut gpg::open, &as_it_is)
}

/// Decrypts a file of a tree; the inner error is the reason why this file alone does not open.
type Open<'a> = dyn FnMut(File) -> Result<Result<SecretBytes, String>, FormatError> + 'a;

/// Reads all files of a tree, each item before what may hang on it.
fn each(
    root: &Path,
    ending: &str,
    sink: &mut Sink<'_>,
    open: &mut Open<'_>,
    name: &dyn Fn(&Path) -> Option<String>,
) -> Result<(), FormatError> {
    let mut all = tree::files(root)?;
    let stem = |path: &Path| {
        let own = path.file_name()?.to_str()?.strip_suffix(ending)?;
        (!own.is_empty()).then(|| path.with_file_name(own))
    };
    all.sort_by_cached_key(|found| stem(found.path()).unwrap_or_else(|| found.path().to_owned()));
    let mut reading = Reading {
        root,
        ending,
        open,
        left: all.iter().filter_map(Found::file).collect(),
    };
    let (mut opened, mut closed) = (0_usize, None);
    for found in &all {
        let shown = found.path().display().to_string();
        let mut lose = |what: &str| sink(Incoming::Lost(Loss::new(&shown, what)));
        let path = match found {
            Found::File(path) => path,
            Found::Left(_, why) => {
                lose(why)?;
                continue;
            }
        };
        if !reading.left.remove(path.as_path()) {
            continue;
        }
        let stem = stem(path);
        let Some((name, stem)) = stem.and_then(|stem| Some((name(&stem)?, stem))) else {
            lose("it is not a file of this format")?;
            continue;
        };
        let (text, modified) = reading.text(path)?;
        match text {
            Ok(text) => {
                opened += 1;
                let (mut item, links) = text::parse(&name, &text, modified);
                for link in links {
                    reading.hang(&stem, link, &mut item)?;
                }
                sink(Incoming::Item(Box::new(item)))?;
            }
            Err(why) => {
                lose(&why)?;
                closed.get_or_insert(format!("`{shown}`: {why}"));
            }
        }
    }
    match closed {
        Some(why) if opened == 0 => Err(FormatError::malformed(format!(
            "no file of the folder opens: {why}"
        ))),
        _ => Ok(()),
    }
}

/// The state of an import.
struct Reading<'a, 'b> {
    root: &'a Path,
    ending: &'a str,
    open: &'a mut Open<'b>,
    /// Files that were not read yet.
    left: HashSet<&'a Path>,
}

/// The text of a file or the reason why it does not open, and its time of modification.
type Text = (Result<SecretBytes, String>, Option<u64>);

impl Reading<'_, '_> {
    fn text(&mut self, path: &Path) -> Result<Text, FormatError> {
        let (file, modified) = tree::open(self.root, path)?;
        let text = (self.open)(file)
            .map_err(|error| error.in_part(format_args!("`{}`", path.display())))?;
        Ok((text, modified))
    }

    /// Attaches a file of the folder of the item.
    fn hang(
        &mut self,
        stem: &Path,
        (file, name): text::Link,
        item: &mut Item,
    ) -> Result<(), FormatError> {
        let path = path::file(&file).map(|file| stem.join(format!("{file}{}", self.ending)));
        let path = path.filter(|path| self.left.remove(path.as_path()));
        let content = match path {
            Some(path) => self.text(&path)?.0,
            None => Err("its file is not there".into()),
        };
        match content {
            Ok(content) => item.attachments.push(Attachment { name, content }),
            Err(why) => item.losses.push(format!("the attachment `{name}`: {why}")),
        }
        let files = item.attachments.iter();
        let len: usize = files.map(|file| file.content.len()).sum();
        let what = format_args!("the files of `{}` are too large", item.name);
        FormatError::check_mib(what, len as u64, MAX_ATTACHED)
    }
}
