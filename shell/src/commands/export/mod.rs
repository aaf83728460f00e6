//! `export`

mod collect;
mod target;

use std::io::Write as _;
use std::path::{Path, PathBuf};

use clap::Args;
use keyshell_base::text::plural;
use keyshell_formats as formats;
use keyshell_formats::age_file::Lock;
use keyshell_formats::item::Loss;
use keyshell_formats::{Ask as _, Choices, SecretFormat, VaultFormat, Written};
use serde_json::json;
use shared::secret::SecretBytes;
use target::Target;

use crate::commands::answers::Answers;
use crate::commands::field;
use crate::commands::get::{self, Get};
use crate::commands::value::is_pipe;
use crate::commands::{losses, naming, value};
use crate::context::Context;
use crate::error::{Error, Result};
use crate::output::qr::QR;
use crate::shell::Shell;

/// Export one secret or the whole vault.
///
/// `export NAME` writes one secret; `export --all` writes the whole vault: by default with every version, as keyshell's
/// JSON document in an age file that a passphrase decrypts (`keyshell open` reads it without a server, age and rage
/// decrypt it), or in another program's format. `help formats` lists the formats.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  export prod/db --format hex --out db.hex\n  export --all --out vault.age   # asks for a passphrase"
)]
pub struct Export {
    /// Name of the secret.
    #[arg(required_unless_present = "all", conflicts_with = "all")]
    name: Option<String>,
    /// Export the whole vault.
    #[arg(long, requires = "out")]
    all: bool,
    /// Write in this format; the default is json for one secret and keyshell for a vault.
    #[arg(long, value_name = "F")]
    format: Option<String>,
    /// Write to this new file, with mode 0600; `-` is standard output.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Write the vault without encryption.
    #[arg(long, requires = "all")]
    plaintext: bool,
    /// Do not ask for confirmation of --plaintext.
    #[arg(long, short, requires = "plaintext")]
    yes: bool,
    /// Write nothing if the format cannot represent all data.
    #[arg(long)]
    strict: bool,
    /// Encrypt one secret with a passphrase, in a format where encryption is optional.
    #[arg(long, conflicts_with = "all")]
    encrypt: bool,
    /// Number of shares that reconstruct the secret.
    #[arg(long, value_name = "K", conflicts_with = "all")]
    threshold: Option<u8>,
    /// Number of shares; with --out FILE, each is written to its own file: FILE.1, FILE.2 and so on.
    #[arg(long, value_name = "N", conflicts_with = "all")]
    shares: Option<u8>,
    /// Encrypt to this age public key.
    #[arg(long, value_name = "KEY", conflicts_with_all = ["plaintext", "passphrase_file"])]
    recipient: Vec<String>,
    /// Read the passphrase from the first line of this file.
    #[arg(long, value_name = "FILE", conflicts_with = "plaintext")]
    passphrase_file: Option<PathBuf>,
}

impl Export {
    pub(super) async fn run(self, shell: &mut Shell) -> Result<()> {
        let choices = Choices {
            encrypt: self.encrypt,
            recipients: self.recipient.clone(),
            threshold: self.threshold,
            shares: self.shares,
            ..Choices::default()
        };
        let answers = Answers::new(shell.context.prompt, self.passphrase_file.clone(), choices);
        match &self.name {
            Some(name) => self.one(shell, name, &answers).await,
            None => self.everything(shell, &answers).await,
        }
    }

    async fn one(&self, shell: &mut Shell, name: &str, answers: &Answers) -> Result<()> {
        if self.format.as_deref() == Some(QR) {
            return self.picture(shell, name).await;
        }
        let format = formats::named(self.format.as_deref().unwrap_or("json"))?;
        self.check_seal(format, answers.choices())?;
        let name = naming::existing(shell, name).await?;
        let vault = shell.account.vault().await?;
        let place = field::find(vault.index(), &name, None)?;
        let (secret, newest, field) = (place.secret.clone(), *place.info, place.field);
        let value = vault.fetch_one(secret.id, &newest).await?;
        let secret = field::select(value::portable(secret.metadata, value), field)?;
        let losses = losses(format, &secret);
        self.check(&shell.context, &losses)?;
        let bytes = format.encode(&secret, answers)?;
        match self.out.as_deref().filter(|path| !is_pipe(path)) {
            None => get::show(&shell.context, &bytes)?,
            Some(path) if format.makes_shares => {
                write_shares(&shell.context, path, &bytes, self.threshold)?;
            }
            Some(path) => {
                value::write_out(path, bytes.expose())?;
                report(
                    shell,
                    path,
                    (1, 1),
                    &losses,
                    !(format.is_sealed)(answers.choices()),
                )?;
            }
        }
        losses::partial(losses.len(), "carried over")
    }

    /// Writes the QR code of the value, a format that cannot be imported.
    async fn picture(&self, shell: &mut Shell, name: &str) -> Result<()> {
        let is_more = self.encrypt || self.passphrase_file.is_some() || !self.recipient.is_empty();
        if is_more || self.threshold.is_some() || self.shares.is_some() {
            let text = "`qr` can be neither encrypted nor split into shares: choose --format age or --format shares";
            return Err(Error::usage(text));
        }
        Get::picture(name, self.out.clone()).run(shell).await
    }

    /// Refuses options for encryption or shares that the format would ignore.
    fn check_seal(&self, format: &SecretFormat, choices: &Choices) -> Result<()> {
        let is_sealed = (format.is_sealed)(choices);
        let why = if !self.recipient.is_empty() && !format.takes_recipients {
            "cannot be encrypted to public keys: choose --format age"
        } else if self.encrypt && !is_sealed {
            "cannot be encrypted: choose --format age"
        } else if self.passphrase_file.is_some() && !is_sealed {
            "is not encrypted, and the passphrase would have no effect: give --encrypt, or choose --format age"
        } else if (self.threshold.is_some() || self.shares.is_some()) && !format.makes_shares {
            "has no shares: choose --format shares"
        } else {
            return Ok(());
        };
        Err(Error::usage(format!("`{}` {why}", format.name)))
    }

    async fn everything(&self, shell: &mut Shell, answers: &Answers) -> Result<()> {
        let path = self.out.as_ref().ok_or(Error::interrupted())?;
        if path.exists() {
            let text = format!("{} exists already; nothing was written", path.display());
            return Err(Error::exists(text));
        }
        let foreign = match self.format.as_deref() {
            None | Some("keyshell" | "json") => None,
            Some(name) => Some(written(name)?),
        };
        let takes_recipients = foreign.is_none_or(|format| format.takes_recipients);
        if !takes_recipients && !self.recipient.is_empty() {
            let text = "only the formats keyshell and pass-age can be encrypted to public keys: leave out --format";
            return Err(Error::usage(text));
        }
        let is_plain = match foreign {
            Some(format) => !format.is_sealed,
            None => self.plaintext,
        };
        if is_plain && !self.may_be_plain(&shell.context, foreign)? {
            shell.context.out.note("nothing was written");
            return Ok(());
        }
        match foreign {
            Some(format) => self.in_format(shell, path, format, answers).await,
            None => self.in_ours(shell, path, answers).await,
        }
    }

    /// Whether a plaintext file was requested twice: by the option and by a confirmation.
    fn may_be_plain(&self, context: &Context, foreign: Option<&VaultFormat>) -> Result<bool> {
        if !self.plaintext {
            let name = foreign.map_or("keyshell", |format| format.name);
            return Err(Error::usage(format!(
                "`{name}` stores every secret without encryption: give --plaintext to allow that"
            )));
        }
        let question = "Write every secret to the file without encryption?";
        Ok(self.yes || context.prompt.confirm(question, "give --yes")?)
    }

    /// Writes keyshell's own format while the values are fetched; it represents all data.
    async fn in_ours(&self, shell: &mut Shell, path: &Path, answers: &Answers) -> Result<()> {
        let lock = if self.plaintext {
            None
        } else {
            Some(Lock::chosen(answers)?)
        };
        let failed = Error::writing(path);
        let mut file = Target::begin(&shell.context, path)?;
        let vault = shell.account.vault().await?;
        let (counts, removed) = match lock {
            None => {
                let (_, counts, removed) = collect::write(vault, &mut file, &failed).await?;
                (counts, removed)
            }
            Some(lock) => {
                let sealed = lock.writer(&mut file)?;
                let (sealed, counts, removed) = collect::write(vault, sealed, &failed).await?;
                sealed.finish().map_err(&failed)?;
                (counts, removed)
            }
        };
        file.finish()?;
        say_removed(&shell.context, removed);
        report(shell, path, counts, &[], self.plaintext)
    }

    async fn in_format(
        &self,
        shell: &mut Shell,
        path: &Path,
        format: &VaultFormat,
        answers: &Answers,
    ) -> Result<()> {
        let (items, removed) = collect::items(shell.account.vault().await?).await?;
        say_removed(&shell.context, removed);
        let versions = items.iter().map(|item| item.versions.len()).sum();
        let counts = (items.len(), versions);
        let (written, losses) = format.write(&items, answers)?;
        self.check(&shell.context, &losses)?;
        match written {
            Written::File(bytes) => {
                let mut file = Target::begin(&shell.context, path)?;
                file.write_all(bytes.expose())
                    .map_err(Error::writing(path))?;
                file.finish()?;
            }
            Written::Folder(_) if is_pipe(path) => {
                let text = format!("`{}` is a folder of files: give --out FOLDER", format.name);
                return Err(Error::usage(text));
            }
            Written::Folder(files) => value::write_folder(path, &files)?,
        }
        report(shell, path, counts, &losses, !format.is_sealed)?;
        losses::partial(losses.len(), "carried over")
    }

    fn check(&self, context: &Context, losses: &[Loss]) -> Result<()> {
        losses::check(context.out, losses, self.strict, "nothing was written")
    }
}

fn report(
    shell: &Shell,
    path: &Path,
    (secrets, versions): (usize, usize),
    losses: &[Loss],
    is_plain: bool,
) -> Result<()> {
    let counts = format!(
        "{} in {}",
        plural(secrets, "secret"),
        plural(versions, "version")
    );
    if is_pipe(path) {
        let text = format!("{counts} written to standard output");
        shell.context.out.note(&text);
        return Ok(());
    }
    let shown = path.display().to_string();
    let partial = "partial export: ";
    let of = if losses.is_empty() { "" } else { partial };
    let text = format!("{of}{counts} written to {shown}");
    shell.context.out.note(&text);
    if is_plain {
        // Quoted, so that the command can be pasted into a shell.
        let quoted = shlex::try_quote(&shown).unwrap_or_default();
        let how = if path.is_dir() {
            format!("`find {quoted} -type f -exec shred -u {{}} +`")
        } else {
            format!("`shred -u -- {quoted}`")
        };
        shell.context.out.note(&format!(
            "the secrets in it are not encrypted: {how} destroys it"
        ));
    }
    shell.context.out.either(
        &json!({"out": shown, "secrets": secrets, "versions": versions, "lost": losses}),
        "",
    )
}

/// Writes each share to its own file, because all shares in one file are the secret.
fn write_shares(
    context: &Context,
    path: &Path,
    shares: &SecretBytes,
    threshold: Option<u8>,
) -> Result<()> {
    let mut files = Vec::new();
    for (number, share) in (1..).zip(formats::pieces(shares)) {
        let mut name = path.as_os_str().to_owned();
        name.push(format!(".{number}"));
        files.push((PathBuf::from(name), share));
    }
    // Shares of two splits cannot be combined, so all files are written or none.
    if let Some((there, _)) = files.iter().find(|(file, _)| file.exists()) {
        let text = format!("{} exists already; nothing was written", there.display());
        return Err(Error::exists(text));
    }
    let mut written = Vec::new();
    for (file, share) in files {
        value::write_out(&file, &[share.expose(), b"\n"].concat())?;
        written.push(file.to_string_lossy().into_owned());
    }
    let enough = threshold.unwrap_or_default();
    context.out.done(&format!(
        "shares written to {}: any {enough} of them reconstruct the secret; give them to different people or places, and destroy these files",
        written.join(", ")
    ), &json!({"out": written}))
}

fn written(name: &str) -> Result<&'static VaultFormat> {
    let format = formats::vault_named(name).filter(|format| format.is_written());
    format.ok_or_else(|| {
        let written = formats::VAULTS.iter().filter(|format| format.is_written());
        let names: Vec<_> = written.map(|format| format.name).collect();
        Error::usage(format!(
            "`{name}` is no format for a whole vault: choose --format keyshell, {}",
            names.join(", ")
        ))
    })
}

fn losses(format: &SecretFormat, secret: &formats::Portable) -> Vec<Loss> {
    let name = secret.name.clone().unwrap_or_default();
    let losses = (format.losses)(secret).into_iter();
    losses.map(|what| Loss::new(name.clone(), what)).collect()
}

fn say_removed(context: &Context, names: Vec<String>) {
    for name in names {
        context.out.say(&format!(
            "{name}: not exported, because another device removed it during the export"
        ));
    }
}
