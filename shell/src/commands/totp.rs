//! `totp`

use std::time::Duration;

use clap::Args;
use keyshell_base::names::SecretName;
use keyshell_base::time::now_ms;
use keyshell_client::agent::Purpose;
use serde::Serialize;
use shared::secret::SecretBytes;

use crate::clipboard;
use crate::commands::{field, references, value};
use crate::error::Result;
use crate::shell::Shell;
use crate::totp::Generator;

/// Show the current one-time code.
///
/// The secret is the seed: an otpauth://totp/ URI (the content of the service's QR code), text in base32, binary bytes,
/// or the field `totp` of an item.
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
    seconds: u64,
    period: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    clipboard: Option<bool>,
}

impl Totp {
    pub(super) async fn run(self, shell: &mut Shell) -> Result<()> {
        let name = value::name(&self.name)?;
        let wanted = std::slice::from_ref(&name);
        let values = references::resolve(&mut shell.account, wanted, Purpose::Use).await?;
        let seed = field::seed(values.into_iter().next().unwrap_or_default());
        let code = Generator::parse(&seed)?.at(now_ms() / 1000);
        let out = shell.context.out;
        if self.clip {
            let text = SecretBytes::from(code.text.as_bytes());
            clipboard::copy(&shell.context, &text, self.time)?;
        }
        if self.clip || out.is_terminal() {
            out.note(&format!("valid for {} s", code.seconds));
        }
        if out.is_json() {
            return out.object(&Shown {
                name: &name,
                code: (!self.clip).then_some(code.text.as_str()),
                seconds: code.seconds,
                period: code.period,
                clipboard: self.clip.then_some(true),
            });
        }
        if self.clip {
            return Ok(());
        }
        out.line(&code.text)
    }
}
