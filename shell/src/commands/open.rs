//! `open`

use std::path::PathBuf;

use clap::Args;
use keyshell_base::names::SecretName;
use keyshell_base::text::plural;
use keyshell_formats as formats;
use keyshell_formats::Choices;
use keyshell_formats::item::Loss;
use serde::Serialize;
use serde_json::{Value, json};

use crate::commands::answers::Answers;
use crate::commands::import::Reading;
use crate::commands::import::numbers::Taken;
use crate::commands::import::prepare::Prepared;
use crate::commands::value::{self, JsonValue};
use crate::commands::{field, get, losses};
use crate::context::Context;
use crate::error::{Error, Result};
use crate::shell::Shell;
use crate::{abbreviations, time};

/// Read an exported file without a server or an account.
///
/// Without a NAME, the secrets in the file are listed; with a NAME, that secret is shown as `get` shows it. Reads the
/// files that `export --all` writes and every other file that `import` reads, and stores nothing. Parts of the file
/// that cannot be read are listed, and the exit status is 9.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  open vault.age\n  open vault.age prod/db --version 2")]
pub struct Open {
    /// The file to read.
    file: PathBuf,
    /// Name of a secret in the file, or NAME#FIELD.
    name: Option<String>,
    /// Show this version instead of the newest.
    #[arg(long, value_name = "N", requires = "name")]
    version: Option<usize>,
    /// Show the secret in this format; `help formats` lists them.
    #[arg(long, value_name = "F", requires = "name")]
    format: Option<String>,
    /// Write the secret to this new file, with mode 0600.
    #[arg(long, value_name = "FILE", requires = "name")]
    out: Option<PathBuf>,
    /// Read the passphrase of the encrypted file from the first line of this file.
    #[arg(long, value_name = "FILE")]
    passphrase_file: Option<PathBuf>,
    /// Decrypt an age file with the private key in this file.
    #[arg(long, value_name = "FILE")]
    identity: Vec<PathBuf>,
    /// Open a KeePass database with this key file, and with its passphrase if it has one.
    #[arg(long, value_name = "FILE")]
    key_file: Option<PathBuf>,
}

/// The JSON output for one secret of the file.
#[derive(Serialize)]
struct Shown<'a> {
    name: &'a str,
    version: usize,
    #[serde(flatten)]
    value: JsonValue<'a>,
}

impl Open {
    pub(super) fn run(self, shell: &Shell) -> Result<()> {
        let context = &shell.context;
        let choices = Choices {
            identities: self.identity.clone(),
            key_file: self.key_file.clone(),
            ..Choices::default()
        };
        let answers = Answers::new(context.prompt, self.passphrase_file.clone(), choices);
        let mut reading = Reading::new(answers, None, "");
        reading.open(std::slice::from_ref(&self.file), None, None)?;
        match &self.name {
            None => list(context, &reading),
            Some(name) => self.show(context, &reading, &value::name(name)?),
        }
    }

    fn show(&self, context: &Context, reading: &Reading, name: &SecretName) -> Result<()> {
        let mut names = Vec::new();
        let mut found: Option<(Prepared, Option<&str>, Vec<Loss>)> = None;
        let mut lost = Vec::new();
        each(reading, &mut |secrets, losses| {
            lost.extend_from_slice(losses);
            for secret in secrets {
                let own = secret.metadata.name.clone();
                let (base, field) = field::split(name, |known| *known == own);
                // A secret whose whole name is `a#b` takes precedence over field `b` of secret `a`.
                if own == base && (field.is_none() || found.is_none()) {
                    found = Some((secret, field, losses.to_vec()));
                }
                names.push(own);
            }
        })?;
        let Some((secret, field, losses)) = found else {
            // The secret may be among the parts that could not be read.
            say(context, &lost);
            let near = abbreviations::nearest(name.as_str(), names.iter().map(SecretName::as_str));
            return Err(Error::no_such_secret_but(name, near));
        };
        say(context, &losses);
        self.print(context, name, secret, field)?;
        losses::partial(losses.len(), "read")
    }

    fn print(
        &self,
        context: &Context,
        name: &SecretName,
        secret: Prepared,
        field: Option<&str>,
    ) -> Result<()> {
        let Prepared {
            metadata, versions, ..
        } = secret;
        let newest = versions.len();
        let version = self.version.unwrap_or(newest);
        let wanted = version.checked_sub(1).and_then(|place| versions.get(place));
        let (_, value) = wanted.ok_or_else(|| {
            Error::no_such_secret(format!("{name}` in that version; the newest is `{newest}"))
        })?;
        let secret = field::select(value::portable(metadata, value.clone()), field)?;
        let bytes = match &self.format {
            None => secret.value.clone(),
            Some(format) => {
                let answers = Answers::new(context.prompt, None, Choices::default());
                formats::named(format)?.encode(&secret, &answers)?
            }
        };
        if let Some(path) = &self.out {
            value::write_out(path, bytes.expose())?;
            return context.out.done(
                &format!("{name}: written to {}", path.display()),
                &json!({"name": name, "out": path.display().to_string()}),
            );
        }
        if context.out.is_json() {
            return context.out.object(&Shown {
                name: name.as_str(),
                version,
                value: JsonValue::from(&bytes),
            });
        }
        let item = field::record(&secret).filter(|_| self.format.is_none());
        match item.filter(|_| context.out.is_terminal()) {
            Some(record) => get::show(context, &field::lines(&record)),
            None => get::show(context, &bytes),
        }
    }
}

/// All secrets in the file under the names that an import gives them: a repeated name gets a number.
fn each(reading: &Reading, sink: &mut dyn FnMut(Vec<Prepared>, &[Loss])) -> Result<()> {
    let mut taken = Taken::default();
    reading.each(&mut |mut secrets, losses| {
        for secret in &mut secrets {
            secret.metadata.name = taken.give(&secret.metadata.name)?;
        }
        sink(secrets, &losses);
        Ok(())
    })
}

fn say(context: &Context, losses: &[Loss]) {
    for loss in losses {
        context.out.say(&format!("cannot be read: {loss}"));
    }
}

/// Lists the secrets in the file.
fn list(context: &Context, reading: &Reading) -> Result<()> {
    let (mut rows, mut objects, mut lost) = (Vec::new(), Vec::new(), Vec::new());
    each(reading, &mut |secrets, losses| {
        say(context, losses);
        lost.extend_from_slice(losses);
        for secret in secrets {
            let metadata = &secret.metadata;
            let newest = secret.versions.last().and_then(|(created, _)| *created);
            objects.push(json!({
                "name": metadata.name,
                "versions": secret.versions.len(),
                "created_ms": newest,
                "tags": metadata.tags,
                "note": metadata.note,
                "fields": field::noted(metadata),
            }));
            rows.push([
                metadata.name.to_string(),
                secret.versions.len().to_string(),
                newest.map(time::local).unwrap_or_default(),
                metadata.tags.join(","),
                metadata.note.clone(),
            ]);
        }
    })?;
    context.out.note(&plural(rows.len(), "secret"));
    if context.out.is_json() {
        let object = json!({"secrets": Value::Array(objects), "lost": lost});
        context.out.object(&object)?;
        return losses::partial(lost.len(), "read");
    }
    let header = ["NAME", "VERSIONS", "CREATED", "TAGS", "NOTE"];
    context.out.table(header, rows.into_iter(), &[0, 3, 4])?;
    losses::partial(lost.len(), "read")
}
