//! Passphrases of encrypted files for import and export.

use std::path::Path;

use keyshell_base::files;
use zeroize::Zeroizing;

use crate::error::{Error, Result};
use crate::prompt::Prompt;

const MAX_FILE: u64 = 64 * 1024;
const INSTEAD: &str = "give --passphrase-file";

/// Gets the passphrase of an existing file: the first line of `file`, or the user's answer.
///
/// # Errors
/// [`Error::usage`] for an empty passphrase, or if the run is not interactive; [`Error::failed`] for a file that cannot be
/// read.
pub fn get(prompt: Prompt, file: Option<&Path>) -> Result<Zeroizing<String>> {
    match file {
        Some(path) => first_line(path),
        None => ask(prompt, "Passphrase of the file: "),
    }
}

/// Gets the passphrase for a new file; the user types it twice.
///
/// # Errors
/// As [`get`].
pub fn get_new(prompt: Prompt, file: Option<&Path>) -> Result<Zeroizing<String>> {
    if let Some(path) = file {
        return first_line(path);
    }
    let first = ask(prompt, "New passphrase for the file: ")?;
    if first == ask(prompt, "The same again: ")? {
        Ok(first)
    } else {
        Err(Error::usage("the two passphrases differ; try again"))
    }
}

fn ask(prompt: Prompt, question: &str) -> Result<Zeroizing<String>> {
    prompt.require(INSTEAD)?;
    let typed = prompt.hidden(question)?;
    if typed.is_empty() {
        return Err(Error::usage("the passphrase is empty"));
    }
    Ok(typed)
}

fn first_line(path: &Path) -> Result<Zeroizing<String>> {
    let doing = format!("reading the passphrase from {}", path.display());
    let content = files::read_text(path, MAX_FILE).map_err(Error::io(&doing))?;
    let line = std::str::from_utf8(content.expose())
        .ok()
        .and_then(|text| text.lines().next())
        .filter(|line| !line.is_empty());
    line.map(|line| Zeroizing::new(line.to_owned()))
        .ok_or_else(|| Error::usage(format!("{doing}: it is empty, or not UTF-8")))
}
