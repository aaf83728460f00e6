//! `totp`

use std::time::Duration;

use clap::Args;
use keyshell_base::names::SecretName;
use keyshell_base::time::now_ms;
use keyshell_client::agent::Purpose;
use keyshell_formats::record::{Record, field as known};
use serde::Serialize;
use shared::secret::SecretBytes;

use crate::clipboard;
use crate::commands::{field, references, value};
use crate::error::{Error, Result};
use crate::shell::Shell;
use crate::totp::{self, Code, Generator};

/// Show the current one-time code.
///
/// The secret is the seed: an otpauth:// or steam:// URI (the content of the service's QR code), text in base32, binary
/// bytes, or the field `totp` of an item. Codes by counter (otpauth://hotp/) are used once: the next counter is stored as
/// a new version before the code is shown.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  totp github\n  totp github --clip --for 20s")]
pub struct Totp {
    /// Name of the secret.
    name: String,
    /// Copy the code to the clipboard instead of showing it.
    #[arg(long)]
    clip: bool,
    /// Clear the clipboard after this time, such as 45s or 2m.
    #[arg(long = "for", value_name = "TIME", value_parser = crate::time::span, requires = "clip")]
    time: Option<Duration>,
}

/// The JSON output.
#[derive(Serialize)]
struct Shown<'a> {
    name: &'a SecretName,
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    seconds: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    period: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    counter: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    clipboard: Option<bool>,
}

impl Totp {
    pub(super) async fn run(self, shell: &mut Shell) -> Result<()> {
        let name = value::name(&self.name)?;
        let wanted = std::slice::from_ref(&name);
        let values = references::resolve(&mut shell.account, wanted, Purpose::Use).await?;
        let seed = field::seed(values.into_iter().next().unwrap_or_default());
        let generator = Generator::parse(&seed)?;
        let out = shell.context.out;
        if let Some(len) = generator.short_seed() {
            out.note(&format!(
                "the seed of `{name}` has {len} bytes: a seed as short as that can be guessed from a few codes"
            ));
        }
        let (code, counter) = if generator.counter().is_some() {
            let (code, counter) = used(shell, &name).await?;
            (code, Some(counter))
        } else {
            (generator.at(now_ms() / 1000), None)
        };
        if self.clip {
            let text = SecretBytes::from(code.text.as_bytes());
            clipboard::copy(&shell.context, &text, self.time)?;
        }
        if self.clip || out.is_terminal() {
            out.note(&counter.map_or_else(
                || format!("valid for {} s", code.seconds),
                |counter| format!("the code of counter {counter}; the next is stored"),
            ));
        }
        let is_by_time = counter.is_none();
        if out.is_json() {
            return out.object(&Shown {
                name: &name,
                code: (!self.clip).then_some(code.text.as_str()),
                seconds: is_by_time.then_some(code.seconds),
                period: is_by_time.then_some(code.period),
                counter,
                clipboard: self.clip.then_some(true),
            });
        }
        if self.clip {
            return Ok(());
        }
        out.line(&code.text)
    }
}

/// The code of the present counter, after the next counter was stored as a new version.
async fn used(shell: &mut Shell, name: &SecretName) -> Result<(Code, u64)> {
    let vault = shell.account.vault().await?;
    let place = field::find(vault.index(), name, None)?;
    let (base, id, info) = (
        place.secret.metadata.name.clone(),
        place.secret.id,
        *place.info,
    );
    let address = place.field.unwrap_or(known::TOTP).to_owned();
    let whole = vault.fetch_one(id, &info).await?;
    let mut record = Record::decode(whole.expose()).ok();
    let seed = match &record {
        Some(record) => record
            .at(&address)
            .map(|field| SecretBytes::from(field.value.as_bytes())),
        None => Some(whole),
    };
    let seed = seed.unwrap_or_default();
    let generator = Generator::parse(&seed)?;
    let changed = || {
        Error::exists(format!(
            "another device changed `{name}` at the same time; try again"
        ))
    };
    let counter = generator.counter().ok_or_else(changed)?;
    let text = std::str::from_utf8(seed.expose()).unwrap_or_default();
    let next = totp::advanced(text, counter);
    let next =
        next.ok_or_else(|| Error::usage(format!("`{name}` has no counter after {counter}")))?;
    let value = match &mut record {
        Some(record) => {
            record.set(&address, next.to_string());
            record.encode()
        }
        None => SecretBytes::from(next.as_bytes()),
    };
    field::replace(vault, &base, info.version, &value, |_| {}).await?;
    Ok((generator.at(counter), counter))
}
