//! Reads the files of an import, once per pass.

use std::collections::HashSet;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use keyshell_base::files;
use keyshell_base::names::SecretName;
use keyshell_formats as formats;
use keyshell_formats::item::{Item, ItemVersion, Loss};
use keyshell_formats::source::Source;
use keyshell_formats::{
    Detected, FormatError, Incoming, MAX_SECRET_FILE, Portable, SecretFormat, VaultFormat,
    age_file, native,
};
use shared::secret::SecretWriter;

use super::prepare::{self, Names, Prepared};
use crate::commands::answers::Answers;
use crate::commands::value;
use crate::error::{Error, Result};

/// Longest input from a pipe, which is kept in memory, in bytes.
const MAX_PIPE: u64 = 256 * 1024 * 1024;
/// Longest file, in bytes.
const MAX_FILE: u64 = 4 * 1024 * 1024 * 1024;

/// Receives the secrets of an item and its losses.
pub type Sink<'a> = dyn FnMut(Vec<Prepared>, Vec<Loss>) -> Result<(), FormatError> + 'a;

/// Opened files with their formats.
pub struct Reading {
    answers: Answers,
    under: Option<SecretName>,
    /// The end of each error message about a file, such as "; nothing was imported".
    instead: &'static str,
    parts: Vec<Part>,
}

enum Part {
    Vault(Source, &'static VaultFormat),
    /// A file's shown name, the name of its format, and the format or content.
    One(String, &'static str, Box<Item>),
}

impl Reading {
    /// No files yet; `instead` ends each error message about a file.
    pub fn new(answers: Answers, under: Option<SecretName>, instead: &'static str) -> Self {
        Self {
            answers,
            under,
            instead,
            parts: Vec::new(),
        }
    }

    /// Opens files and detects their formats, unless `format` names it.
    ///
    /// # Errors
    /// [`Error::failed`] naming the file, [`Error::usage`].
    pub fn open(
        &mut self,
        files: &[PathBuf],
        format: Option<&str>,
        name: Option<&str>,
    ) -> Result<()> {
        let mut opened = Vec::new();
        let mut places = HashSet::new();
        for path in files {
            // A file that is given twice would be imported twice.
            if let Ok(place) = path.canonicalize()
                && !places.insert(place)
            {
                return Err(Error::usage(format!(
                    "{} is given twice; give each file once",
                    path.display()
                )));
            }
            let mut source = source(path)?;
            let what = self.part(&mut source, format)?;
            opened.push((source, what));
        }
        let shares = opened.iter().filter_map(|(_, what)| match what {
            Detected::Secret(format) if format.makes_shares => Some(*format),
            _ => None,
        });
        let shares: Vec<_> = shares.collect();
        if let Some(format) = shares.first() {
            if shares.len() < opened.len() {
                let text = "some of the files are shares of a secret and others are not: import the shares separately";
                return Err(Error::usage(text));
            }
            return self.join(&opened, format, name);
        }
        for (source, what) in opened {
            let part = match what {
                Detected::Vault(format) => Part::Vault(source, format),
                one => {
                    let item = self.one(&source, one, name)?;
                    Part::One(source.shown, one.name(), Box::new(item))
                }
            };
            self.parts.push(part);
        }
        Ok(())
    }

    /// Combines shares in several files into one secret.
    fn join(
        &mut self,
        files: &[(Source, Detected)],
        format: &'static SecretFormat,
        name: Option<&str>,
    ) -> Result<()> {
        let name = name.ok_or_else(|| Error::usage("shares contain no name: give --name NAME"))?;
        let mut all = SecretWriter::default();
        for (source, _) in files {
            let bytes = source.bytes(MAX_SECRET_FILE);
            let bytes = bytes.map_err(self.bad(&source.shown))?;
            all.write_all(bytes.expose())
                .and_then(|()| all.write_all(b"\n"))
                .map_err(Error::io("reading the shares"))?;
        }
        let source = Source::memory(all.finish(), "the shares");
        let item = self.one(&source, Detected::Secret(format), Some(name))?;
        self.parts
            .push(Part::One(source.shown, format.name, Box::new(item)));
        Ok(())
    }

    fn part(&self, source: &mut Source, format: Option<&str>) -> Result<Detected> {
        let bad = self.bad(&source.shown);
        if source.size().map_err(&bad)? > MAX_FILE {
            return Err(bad(FormatError::too_large(
                "the file is too long",
                MAX_FILE >> 30,
                "GiB",
            )));
        }
        let head = source.peek().map_err(&bad)?.head;
        // The formats `raw` and `age` read the encrypted file itself.
        let opens = !matches!(format, Some("raw" | age_file::NAME));
        if opens && age_file::is_sealed(&head) {
            source.open_with(age_file::Key::asked(&head, &self.answers)?);
        }
        let Some(name) = format else {
            return formats::detect(source).map_err(&bad);
        };
        match formats::vault_named(name) {
            Some(format) => Ok(Detected::Vault(format)),
            None => Ok(Detected::Secret(formats::named(name)?)),
        }
    }

    fn one(&self, source: &Source, what: Detected, name: Option<&str>) -> Result<Item> {
        let bad = self.bad(&source.shown);
        let format = match what {
            Detected::Secret(format) => format,
            Detected::Vault(_) | Detected::Other => formats::named("raw")?,
        };
        let bytes = source.bytes(MAX_SECRET_FILE).map_err(&bad)?;
        let secret = format.decode(bytes.expose(), &self.answers).map_err(&bad)?;
        let name = name
            .map(str::to_owned)
            .or_else(|| secret.name.clone())
            .or_else(|| {
                let name = source.location()?.file_name()?;
                Some(name.to_string_lossy().into_owned())
            })
            .ok_or_else(|| Error::usage("standard input has no file name: give --name NAME"))?;
        // A typed name is checked and not adapted, unlike a name from a foreign file.
        let name = value::name(&name)?;
        Ok(item(name.to_string(), secret))
    }

    /// Reads all secrets of all files from the beginning.
    ///
    /// # Errors
    /// [`Error::failed`] naming the file; those of `sink`.
    pub fn each(&self, sink: &mut Sink<'_>) -> Result<()> {
        let mut group = 0;
        for part in &self.parts {
            group += 1;
            match part {
                Part::One(shown, _, item) => {
                    let item = (**item).clone();
                    let taken = self.take(item, Names::Ours, group, sink);
                    taken.map_err(self.bad(shown))?;
                }
                Part::Vault(source, format) => {
                    let names = names(format);
                    format
                        .read(source, &self.answers, &mut |incoming| match incoming {
                            Incoming::Item(item) => {
                                // In a keyshell file, attachments are secrets like any other.
                                group += u64::from(names == Names::Foreign);
                                self.take(*item, names, group, sink)
                            }
                            Incoming::Lost(loss) => sink(Vec::new(), vec![loss]),
                        })
                        .map_err(self.bad(&source.shown))?;
                }
            }
        }
        Ok(())
    }

    /// The shown name and the format of each file.
    pub fn formats(&self) -> impl Iterator<Item = (&str, &'static str)> {
        self.parts.iter().map(|part| match part {
            Part::Vault(source, format) => (source.shown.as_str(), format.name),
            Part::One(shown, format, _) => (shown.as_str(), *format),
        })
    }

    /// Converts an error about a file into one that names the file.
    fn bad(&self, shown: &str) -> impl Fn(FormatError) -> Error + use<> {
        let (shown, instead) = (shown.to_owned(), self.instead);
        move |error| match error {
            asked @ (FormatError::Usage(_) | FormatError::Caller(_)) => asked.into(),
            other => Error::failed(format!("{shown}: {other}{instead}")),
        }
    }

    fn take(
        &self,
        item: Item,
        names: Names,
        group: u64,
        sink: &mut Sink<'_>,
    ) -> Result<(), FormatError> {
        let (mut prepared, losses) = prepare::prepare(item, names, self.under.as_ref())?;
        for new in &mut prepared {
            new.group = group;
        }
        sink(prepared, losses)
    }
}

fn names(format: &VaultFormat) -> Names {
    if format.name == native::NAME {
        Names::Ours
    } else {
        Names::Foreign
    }
}

fn source(path: &Path) -> Result<Source> {
    let reading = Error::reading(path);
    if path == Path::new("-") {
        let bytes = files::read_all(io::stdin().lock(), MAX_PIPE);
        let bytes = bytes.map_err(Error::io("reading standard input"))?;
        return Ok(Source::memory(bytes, "standard input"));
    }
    // Reports a missing file before any question is asked.
    let about = std::fs::metadata(path).map_err(&reading)?;
    if about.is_dir() || about.is_file() {
        return Ok(Source::path(path));
    }
    // A pipe can be read only once.
    let bytes = files::read_existing(path, MAX_PIPE).map_err(reading)?;
    Ok(Source::memory(bytes, &path.display().to_string()))
}

fn item(name: String, secret: Portable) -> Item {
    Item {
        name,
        tags: secret.tags,
        note: secret.note,
        content_type: secret.content_type,
        versions: vec![ItemVersion {
            created_ms: None,
            value: secret.value,
        }],
        losses: secret.lost,
        ..Item::default()
    }
}
