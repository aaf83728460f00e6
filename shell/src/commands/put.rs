//! `put`

use std::io::{self, IsTerminal as _};
use std::path::PathBuf;

use clap::Args;
use keyshell_base::files;
use keyshell_base::text::plural;
use serde_json::json;
use shared::secret::SecretBytes;

use crate::commands::value::{self, Attributes, MAX_VALUE};
use crate::commands::{field, local, store};
use crate::error::{Error, Result};
use crate::prompt::Prompt;
use crate::shell::Shell;

/// Store a secret.
///
/// Reads the value from a hidden prompt, from a file, or byte for byte from standard input. The command line takes no
/// value, because shell histories and process lists would show it.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  put prod/db --tag live --note \"main database\"\n  put prod/tls --file server.key --force"
)]
pub struct Put {
    /// Name of the secret.
    name: String,
    /// Read the value from this file.
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// Add a new version if the name exists.
    #[arg(long)]
    force: bool,
    /// Add a tag; can be given more than once.
    #[arg(long, value_name = "TAG")]
    tag: Vec<String>,
    /// Add a note.
    #[arg(long, value_name = "TEXT")]
    note: Option<String>,
    /// Store the secret in this device's local store only.
    #[arg(long)]
    local: bool,
}

impl Put {
    pub(super) async fn run(self, shell: &mut Shell) -> Result<()> {
        let name = value::name(&self.name)?;
        if !self.local && self.is_typed() {
            // Logs in before the value is typed, because a refused login would lose it.
            let known = field::is_taken(shell.account.vault().await?.index(), &name);
            if known && !self.force {
                return Err(value::exists(&name));
            }
        }
        let value = self.read(shell.context.prompt)?;
        let attributes = Attributes {
            tags: self.tag,
            note: self.note,
            content_type: None,
        };
        let version = if self.local {
            local::store(&mut shell.account, &name, &value, &attributes, self.force)?
        } else {
            store::store(&mut shell.account, &name, &value, &attributes, self.force).await?
        };
        shell.context.out.done(
            &format!("{name}: version {version}, {}", plural(value.len(), "byte")),
            &json!({"name": name, "version": version, "bytes": value.len()}),
        )
    }

    fn is_typed(&self) -> bool {
        self.file.is_none() && io::stdin().is_terminal()
    }

    fn read(&self, prompt: Prompt) -> Result<SecretBytes> {
        if let Some(path) = &self.file {
            let content = files::read_existing(path, MAX_VALUE);
            return content.map_err(|error| too_long_or(Error::reading(path), error));
        }
        if self.is_typed() {
            let instead = "give the value with --file or on standard input";
            prompt.require(instead)?;
            let typed = prompt.hidden_whole("Value: ")?;
            if typed.is_empty() {
                return Err(Error::usage(
                    "nothing was typed and nothing was stored; to store an empty value, use --file or a pipe",
                ));
            }
            return Ok(SecretBytes::from(typed.as_bytes()));
        }
        files::read_all(io::stdin().lock(), MAX_VALUE)
            .map_err(|error| too_long_or(Error::io("reading standard input"), error))
    }
}

fn too_long_or(reading: impl Fn(io::Error) -> Error, error: io::Error) -> Error {
    if error.kind() == io::ErrorKind::FileTooLarge {
        return Error::limit(format!(
            "the value is longer than {MAX_VALUE} bytes (1 MiB); nothing was stored"
        ));
    }
    reading(error)
}
