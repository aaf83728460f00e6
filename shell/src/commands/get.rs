//! `get`

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use keyshell_client::agent::{Agent, Purpose, Values};
use keyshell_client::error::{AgentError, Error as ClientError};
use keyshell_client::index::metadata::Metadata;
use keyshell_formats as formats;
use keyshell_formats::Portable;
use serde::Serialize;
use serde_json::json;
use shared::ids::Version;
use shared::secret::SecretBytes;

use crate::clipboard;
use crate::commands::answers::Answers;
use crate::commands::field;
use crate::commands::local::{self, StoreState};
use crate::commands::naming;
use crate::commands::value::{self, JsonValue, is_pipe};
use crate::context::Context;
use crate::error::{Error, Result};
use crate::output::qr::{Qr, is_picture};
use crate::output::reveal::{self, pages, reveal};
use crate::output::terminal;
use crate::shell::Shell;
use crate::time;

/// Show a secret.
///
/// On a pipe, exactly the value's bytes are written. On a terminal, a binary value is refused: choose --format hex or
/// base64, or --out. While the server cannot be reached, the copy in this device's local store (`get --save`, `sync`)
/// is shown, with a notice of its version and age.
#[derive(Debug, Default, Args)]
#[command(
    after_help = "Examples:\n  get prod/db --clip --for 20s\n  get prod/db --show   # until you press a key"
)]
pub struct Get {
    /// Name of the secret.
    name: String,
    /// Show this version instead of the newest.
    #[arg(long, value_name = "N")]
    version: Option<u64>,
    /// Copy the value to the clipboard instead of showing it.
    #[arg(long, conflicts_with = "out")]
    clip: bool,
    /// Show the value on the terminal until you press a key, then erase it.
    #[arg(long, conflicts_with_all = ["clip", "out", "save"])]
    show: bool,
    /// Clear the clipboard after this time, such as 45s or 2m.
    #[arg(long = "for", value_name = "TIME", value_parser = time::span, requires = "clip")]
    time: Option<Duration>,
    /// Store a verified copy in this device's local store instead of showing the value.
    #[arg(long, conflicts_with = "local")]
    save: bool,
    /// Show the value in this format: raw, hex, base64, json, jwk, pem, openssh and others; `help formats` lists them.
    #[arg(long, value_name = "F")]
    format: Option<String>,
    /// Show the public key of a private key: in PEM or as a line for OpenSSH, or in --format pem, openssh or jwk.
    #[arg(long, conflicts_with = "save")]
    public: bool,
    /// Show the value as a QR code; with --out FILE.svg or --out FILE.png, write the QR code as a picture.
    #[arg(long, conflicts_with = "clip")]
    qr: bool,
    /// Write the value to this new file, with mode 0600; `-` is standard output.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Read the secret from this device's local store; works without the server.
    #[arg(long)]
    local: bool,
}

impl Get {
    /// A secret as a QR code.
    pub(super) fn picture(name: &str, out: Option<PathBuf>) -> Self {
        Self {
            name: name.to_owned(),
            qr: true,
            out,
            ..Self::default()
        }
    }

    pub(super) async fn run(self, shell: &mut Shell) -> Result<()> {
        let mut format = self.format.as_deref().map(formats::named).transpose()?;
        let answers = Answers::new(shell.context.prompt, None, formats::Choices::default());
        let mut fetched = self.fetch(shell).await?;
        let (context, out) = (&shell.context, shell.context.out);
        if self.save {
            out.note(&format!("{}: saved on this device", self.name));
        }
        if self.public {
            let public = formats::key::public(&fetched.secret, self.format.as_deref(), &answers)?;
            // The public key replaces the value, and already has its format.
            fetched.secret.value = public;
            fetched.secret.content_type = None;
            format = None;
        }
        let secret = &fetched.secret;
        let is_saved_only = self.save && format.is_none() && self.out.is_none();
        if is_saved_only && !self.clip {
            return out.either(&fetched.shown(json!({"saved": true})), "");
        }
        let bytes = format
            .map(|format| format.encode(secret, &answers))
            .transpose()?
            .unwrap_or_else(|| secret.value.clone());
        if self.clip {
            let main = format
                .is_none()
                .then(|| main_field(context, secret))
                .flatten();
            clipboard::copy(context, main.as_ref().unwrap_or(&bytes), self.time)?;
            return out.either(&fetched.shown(json!({"clipboard": true})), "");
        }
        let picture = self.qr.then(|| picture(&bytes)).transpose()?;
        let item = field::record(secret).filter(|_| format.is_none());
        let shown = item.map_or_else(|| bytes.clone(), |record| field::lines(&record));
        if let Some(path) = self.out.as_deref().filter(|path| !is_pipe(path)) {
            let bytes = match &picture {
                Some(picture) => picture_file(path, picture)?,
                None => bytes,
            };
            value::write_out(path, bytes.expose())?;
            let path = path.display().to_string();
            let done = format!("{}: written to {path}", self.name);
            return out.done(&done, &fetched.shown(json!({"out": path})));
        }
        if let Some(picture) = &picture {
            return self.show_picture(context, &fetched, picture);
        }
        if out.is_json() {
            return out.object(&fetched.shown(JsonValue::from(&bytes)));
        }
        if self.show && out.is_terminal() {
            let text = shown_text(&shown)?;
            return reveal(context.options().idle_lock, |room| pages(text, room));
        }
        // A pipe gets exactly the value; a terminal gets an item's fields, one per line.
        show(context, if out.is_terminal() { &shown } else { &bytes })
    }

    async fn fetch(&self, shell: &mut Shell) -> Result<Fetched> {
        if self.local {
            let name = naming::existing_local(shell, &self.name)?;
            let found = local::get(&mut shell.account, &name, self.version)?;
            if found.state.saved {
                let saved = time::for_reader(found.state.saved_ms, true);
                let text = format!("{name}: version {}, saved {saved}", found.version);
                shell.context.out.note(&text);
            }
            return Ok(Fetched::new(found.version, found.secret));
        }
        match self.fetch_stored(shell).await {
            Err(error) if !self.save && is_unreachable(&error) => {
                let found = local::fallback(shell, &self.name, self.version, error)?;
                Ok(Fetched {
                    fallback: Some(found.state),
                    ..Fetched::new(found.version, found.secret)
                })
            }
            fetched => fetched,
        }
    }

    async fn fetch_stored(&self, shell: &mut Shell) -> Result<Fetched> {
        if !self.save
            && let Some(mut agent) = shell.account.agent()
        {
            let (version, secret) = self.by_agent(&mut agent)?;
            return Ok(Fetched::new(version, secret));
        }
        let name = naming::existing(shell, &self.name).await?;
        let vault = shell.account.vault().await?;
        let version = self.version.map(Version);
        let place = field::find(vault.index(), &name, version)?;
        let (secret, info, field) = (place.secret.clone(), *place.info, place.field);
        let value = vault.fetch_one(secret.id, &info).await?;
        if self.save {
            local::save(&mut shell.account, &secret, &info, &value, false)?;
        }
        let secret = field::select(value::portable(secret.metadata, value), field)?;
        Ok(Fetched::new(info.version, secret))
    }
}

/// Whether the server cannot be reached, by this process or, as exit status 5 says, by the agent.
fn is_unreachable(error: &Error) -> bool {
    matches!(
        error.cause(),
        Some(ClientError::Unreachable(_) | ClientError::Agent(AgentError::Failed(5, _)))
    )
}

/// A secret that was read.
struct Fetched {
    version: Version,
    secret: Portable,
    /// Set if the secret came from the local store because the server cannot be reached.
    fallback: Option<StoreState>,
}

impl Fetched {
    fn new(version: Version, secret: Portable) -> Self {
        Self {
            version,
            secret,
            fallback: None,
        }
    }

    /// The JSON output: the value or a picture of it, or where it went.
    fn shown<T: Serialize>(&self, content: T) -> Shown<'_, T> {
        Shown {
            name: self.secret.name.as_deref(),
            version: self.version,
            fallback: self.fallback,
            content,
        }
    }
}

impl Get {
    fn show_picture(&self, context: &Context, fetched: &Fetched, picture: &Qr) -> Result<()> {
        if context.out.is_json() {
            let svg = picture.svg();
            let svg = std::str::from_utf8(svg.expose()).unwrap_or_default();
            return context.out.object(&fetched.shown(Svg { svg }));
        }
        let needed = picture.columns();
        if let Some(columns) = terminal::width().filter(|columns| *columns < needed) {
            return Err(Error::usage(format!(
                "the QR code needs {needed} columns, and the terminal has {columns}: widen the terminal, or choose --out FILE.svg"
            )));
        }
        let colours = context.out.has_colours();
        if self.show
            && let Some(size) = terminal::size()
        {
            let room = reveal::room(size);
            let page = picture.page(&self.name, room, colours).ok_or_else(|| {
                let needed = picture.rows() + size.rows - room.rows + 1;
                Error::usage(format!(
                    "the QR code needs {needed} rows, and the terminal has {}: enlarge the terminal, or choose --out FILE.svg",
                    size.rows
                ))
            })?;
            return reveal(context.options().idle_lock, |_| vec![page]);
        }
        context.note_shown();
        let text = picture.text(colours);
        context.out.bytes(text.as_bytes())
    }

    /// Reads the secret through the agent, which has an open session.
    fn by_agent(&self, agent: &mut Agent) -> Result<(Version, Portable)> {
        let name = value::name(&self.name)?;
        let mut found = agent.values(Values {
            names: vec![name],
            version: self.version.map(Version),
            purpose: Purpose::Reveal,
        })?;
        let found = found
            .pop()
            .ok_or_else(|| Error::failed("the agent returned no value; try again"))?;
        let metadata = Metadata::decode(&found.metadata)?;
        let value = SecretBytes::new(found.value.into_vec());
        Ok((found.version, value::portable(metadata, value)))
    }
}

/// The main field of an item, such as the password of a login; prints which field that is.
fn main_field(context: &Context, secret: &Portable) -> Option<SecretBytes> {
    let record = field::record(secret)?;
    let main = record.main_field()?;
    let name = secret.name.as_deref().unwrap_or_default();
    let text = format!("{name}: using field `{}` of the item", main.name);
    context.out.note(&text);
    Some(SecretBytes::from(main.value.as_bytes()))
}

/// The QR code of a text value. Scanners differ in how they decode other bytes, so those are refused.
fn picture(bytes: &SecretBytes) -> Result<Qr> {
    if std::str::from_utf8(bytes.expose()).is_err() {
        let text =
            "the value is binary, which QR scanners decode wrongly: choose --format base64 or hex";
        return Err(Error::usage(text));
    }
    Qr::new(bytes)
}

/// The picture in the format that the file name extension selects.
fn picture_file(path: &Path, picture: &Qr) -> Result<SecretBytes> {
    if is_picture(path) {
        return Ok(picture.svg());
    }
    let ending = path.extension();
    if ending.is_some_and(|kind| kind.eq_ignore_ascii_case("png")) {
        return picture.png();
    }
    Err(Error::usage(
        "a picture of a QR code is SVG or PNG: choose a file name that ends in .svg or .png",
    ))
}

/// The JSON output of a QR code.
#[derive(Serialize)]
struct Svg<'a> {
    svg: &'a str,
}

/// The JSON output.
#[derive(Serialize)]
struct Shown<'a, T> {
    name: Option<&'a str>,
    version: Version,
    #[serde(flatten)]
    fallback: Option<StoreState>,
    #[serde(flatten)]
    content: T,
}

/// Writes exactly the bytes to a pipe; writes text and a newline to a terminal, and refuses control characters there.
pub fn show(context: &Context, bytes: &SecretBytes) -> Result<()> {
    if !context.out.is_terminal() {
        return context.out.bytes(bytes.expose());
    }
    let text = shown_text(bytes)?;
    context.note_shown();
    context.out.bytes(text.as_bytes())?;
    if text.ends_with('\n') {
        Ok(())
    } else {
        context.out.bytes(b"\n")
    }
}

/// The value as text that a terminal displays without interpreting it.
fn shown_text(bytes: &SecretBytes) -> Result<&str> {
    let harmless = |c: char| !c.is_control() || matches!(c, '\n' | '\t');
    let text = std::str::from_utf8(bytes.expose()).ok();
    text.filter(|text| text.chars().all(harmless))
        .ok_or_else(|| {
            Error::usage("the value is binary: choose --format hex, --format base64 or --out FILE")
        })
}
