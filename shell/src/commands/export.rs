//! `export`

use std::path::PathBuf;

use clap::Args;
use serde_json::json;
use shared::secret::SecretBytes;

use crate::commands::{get, value};
use crate::error::Error;
use crate::formats::vault::{Base64Value, SecretDocument, VaultDocument, VersionDocument};
use crate::formats::{self, age_file};
use crate::passphrase;
use crate::shell::Shell;
use crate::time;
use crate::vault::Vault;
use crate::vault::index::Secret;

/// Take secrets out.
///
/// `export NAME` writes one secret; `export --all` writes the whole vault, with every version, as our JSON inside an
/// age file that opens with a passphrase (with keyshell, age or rage).
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  export prod/db --format hex --out db.hex\n  export --all --out vault.age   # asks for a passphrase"
)]
pub struct Export {
    /// Name of the secret.
    #[arg(required_unless_present = "all", conflicts_with = "all")]
    name: Option<String>,
    /// The whole vault.
    #[arg(long, requires = "out")]
    all: bool,
    /// Format of one secret: json (the default), raw, hex, base64, base64url, len, len32; of a vault: json.
    #[arg(long, value_name = "F")]
    format: Option<String>,
    /// Write to this new file, with mode 0600.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Write the vault without encryption.
    #[arg(long, requires = "all")]
    plaintext: bool,
    /// Do not ask whether plaintext is meant.
    #[arg(long, short, requires = "plaintext")]
    yes: bool,
    /// Read the passphrase from the first line of this file.
    #[arg(
        long,
        value_name = "FILE",
        requires = "all",
        conflicts_with = "plaintext"
    )]
    passphrase_file: Option<PathBuf>,
}

impl Export {
    pub(super) async fn run(self, shell: &mut Shell) -> Result<(), Error> {
        match &self.name {
            Some(name) => self.one(shell, name).await,
            None => self.everything(shell).await,
        }
    }

    async fn one(&self, shell: &mut Shell, name: &str) -> Result<(), Error> {
        let format = formats::named(self.format.as_deref().unwrap_or("json"))?;
        let name = value::existing(shell, name).await?;
        let vault = shell.vault().await?;
        let secret = value::find(vault.index(), &name)?.clone();
        let newest = secret.newest().copied().ok_or(Error::SessionEnded)?;
        let value = vault.fetch_one(secret.id, &newest).await?;
        let bytes = format.encode(&value::portable(secret.metadata, value))?;
        let Some(path) = &self.out else {
            return get::show(shell, &bytes);
        };
        value::write_out(path, bytes.expose())?;
        self.report(shell, 1, 1, true)
    }

    async fn everything(&self, shell: &mut Shell) -> Result<(), Error> {
        if self
            .format
            .as_deref()
            .is_some_and(|format| format != "json")
        {
            let text = "a whole vault is exported as json";
            return Err(Error::Usage(text.into()));
        }
        let path = self.out.as_ref().ok_or(Error::Interrupted)?;
        if path.exists() {
            let text = format!("{} exists already; nothing was written", path.display());
            return Err(Error::Exists(text));
        }
        let question = "Write every secret to the file without encryption?";
        if self.plaintext && !self.yes && !shell.prompt.confirm(question, "give --yes")? {
            shell.out.note("nothing was written");
            return Ok(());
        }
        let passphrase = if self.plaintext {
            None
        } else {
            Some(passphrase::get_new(shell, self.passphrase_file.as_deref())?)
        };
        let vault = shell.vault().await?;
        let (document, removed) = collect(vault).await?;
        let versions = document
            .secrets
            .iter()
            .map(|secret| secret.versions.len())
            .sum();
        let plain = document.encode()?;
        let bytes = match passphrase {
            Some(passphrase) => SecretBytes::new(age_file::seal(&plain, &passphrase)?),
            None => plain,
        };
        value::write_out(path, bytes.expose())?;
        for name in removed {
            shell.out.say(&format!(
                "{name}: removed by another device meanwhile, not exported"
            ));
        }
        self.report(shell, document.secrets.len(), versions, self.plaintext)
    }

    fn report(
        &self,
        shell: &Shell,
        secrets: usize,
        versions: usize,
        is_plain: bool,
    ) -> Result<(), Error> {
        let path = self.out.as_ref().map(|path| path.display().to_string());
        let path = path.unwrap_or_default();
        shell.out.note(&format!(
            "{secrets} secrets in {versions} versions written to {path}"
        ));
        if is_plain {
            shell.out.note(&format!(
                "anyone who reads it has them: `shred -u {path}` destroys it"
            ));
        }
        shell.out.either(
            &json!({"out": path, "secrets": secrets, "versions": versions}),
            "",
        )
    }
}

/// All secrets, and the names of those that were removed while they were fetched.
async fn collect(vault: &mut Vault) -> Result<(VaultDocument, Vec<String>), Error> {
    let secrets: Vec<Secret> = vault.index().secrets().into_iter().cloned().collect();
    let wanted: Vec<_> = secrets
        .iter()
        .flat_map(|secret| secret.versions.iter().map(|info| (secret.id, *info)))
        .collect();
    let mut values = vault.fetch(&wanted).await?.into_iter();
    let mut documents = Vec::with_capacity(secrets.len());
    let mut removed = Vec::new();
    for secret in secrets {
        let versions = secret.versions.iter().map(|info| {
            Some(VersionDocument {
                version: info.version.0,
                created_ms: info.created_ms,
                value: Base64Value(values.next()??),
            })
        });
        // All are taken, so that the next secret's are its own.
        let versions: Vec<_> = versions.collect();
        let Some(versions) = versions.into_iter().collect() else {
            removed.push(secret.metadata.name.to_string());
            continue;
        };
        let mut fields = std::collections::BTreeMap::new();
        for (key, value) in &secret.metadata.other {
            let mut bytes = Vec::new();
            rmpv::encode::write_value(&mut bytes, value)
                .map_err(|error| Error::Failed(error.to_string()))?;
            fields.insert(key.clone(), data_encoding::BASE64.encode(&bytes));
        }
        documents.push(SecretDocument {
            name: secret.metadata.name.to_string(),
            tags: secret.metadata.tags,
            note: secret.metadata.note,
            content_type: secret.metadata.content_type,
            fields,
            versions,
        });
    }
    Ok((VaultDocument::new(time::now_ms(), documents), removed))
}
