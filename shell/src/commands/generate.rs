//! `gen`

use clap::Args;
use keyshell_base::names::SecretName;
use serde::Serialize;
use shared::ids::Version;
use shared::secret::SecretBytes;

use crate::commands::value::{self, Attributes, JsonValue};
use crate::commands::{local, store};
use crate::error::{Error, Result};
use crate::generate::{self, Charset, KeyType};
use crate::line::words::argument;
use crate::shell::Shell;

/// Generate a secret on this device and store it.
///
/// The default is 32 uniformly random bytes. The value is not shown without --show.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  gen prod/db --password 32 --clip\n  gen wifi --passphrase 6 --show\n  gen deploy --type ssh-ed25519   # then: get deploy --public"
)]
pub struct Generate {
    /// Name of the secret.
    name: String,
    /// Generate this many random bits: 8 to 65536, a multiple of 8.
    #[arg(long, value_name = "N", conflicts_with_all = ["password", "passphrase"])]
    bits: Option<u32>,
    /// Generate a password of this many characters; the default is 24.
    #[arg(long, value_name = "LEN", num_args = 0..=1, default_missing_value = "24")]
    password: Option<usize>,
    /// Generate a passphrase of this many words from the EFF long word list; the default is 8.
    #[arg(
        long,
        value_name = "WORDS",
        num_args = 0..=1,
        default_missing_value = "8",
        conflicts_with = "password"
    )]
    passphrase: Option<usize>,
    /// Characters of the password: alnum, printable, digits, lower, upper, hex, or custom:CHARACTERS.
    #[arg(
        long,
        value_name = "SET",
        requires = "password",
        conflicts_with_all = ["bits", "passphrase"]
    )]
    charset: Option<Charset>,
    /// Generate a private key of this type; `get NAME --public` shows the public key.
    #[arg(long = "type", value_name = "TYPE", conflicts_with_all = ["bits", "password", "passphrase"])]
    kind: Option<KeyType>,
    /// Add a new version if the name exists.
    #[arg(long)]
    force: bool,
    /// Store the secret in this device's local store only.
    #[arg(long)]
    local: bool,
    /// Copy the value to the clipboard; random bits as hex.
    #[arg(long)]
    clip: bool,
    /// Show the value; random bits as hex.
    #[arg(long, conflicts_with = "clip")]
    show: bool,
}

struct Generated {
    value: SecretBytes,
    entropy_bits: f64,
    content_type: &'static str,
}

impl Generated {
    /// The value as text; random bits as hex.
    fn text(&self) -> SecretBytes {
        if self.content_type == generate::BINARY {
            let hex = data_encoding::HEXLOWER.encode(self.value.expose());
            return SecretBytes::new(hex.into_bytes());
        }
        self.value.clone()
    }
}

/// The JSON output.
#[derive(Serialize)]
struct Shown<'a> {
    name: &'a SecretName,
    version: Version,
    entropy_bits: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<JsonValue<'a>>,
}

impl Generate {
    pub(super) async fn run(self, shell: &mut Shell) -> Result<()> {
        let name = value::name(&self.name)?;
        let generated = self.generate(&name)?;
        let attributes = Attributes {
            content_type: Some(generated.content_type.to_owned()),
            ..Attributes::default()
        };
        let (account, value) = (&mut shell.account, &generated.value);
        let version = if self.local {
            local::store(account, &name, value, &attributes, self.force)?
        } else {
            store::store(account, &name, value, &attributes, self.force).await?
        };
        let (out, bits) = (shell.context.out, generated.entropy_bits);
        let is_binary = generated.content_type == generate::BINARY;
        let named = argument(name.as_str());
        let hint = if is_binary && out.is_terminal() {
            format!("; `get --format hex {named}` shows it")
        } else if self.kind.is_some() && out.is_terminal() {
            format!("; `get --public {named}` shows the public key")
        } else {
            String::new()
        };
        let text = format!("{name}: version {version}, {bits:.1} bits of entropy{hint}");
        out.note(&text);
        if self.clip {
            crate::clipboard::copy(&shell.context, &generated.text(), None)?;
        }
        if self.show {
            shell.context.note_shown();
        }
        if self.show && !out.is_json() {
            out.bytes(generated.text().expose())?;
            return out.bytes(b"\n");
        }
        let shown = Shown {
            name: &name,
            version,
            entropy_bits: bits,
            value: self.show.then(|| JsonValue::from(&generated.value)),
        };
        out.either(&shown, "")
    }

    fn generate(&self, name: &SecretName) -> Result<Generated> {
        let failed = Error::usage;
        let (value, entropy_bits, content_type) = if let Some(kind) = self.kind {
            let value = generate::key(kind, name.as_str())?;
            (value, kind.entropy_bits(), kind.content_type())
        } else if let Some(length) = self.password {
            let charset = self.charset.clone().unwrap_or_default();
            let value = generate::password(length, &charset).map_err(failed)?;
            (value, charset.entropy_bits(length), generate::TEXT)
        } else if let Some(words) = self.passphrase {
            let value = generate::passphrase(words).map_err(failed)?;
            let entropy_bits = generate::passphrase_entropy_bits(words);
            (value, entropy_bits, generate::TEXT)
        } else {
            let bits = self.bits.unwrap_or(generate::DEFAULT_BITS);
            let value = generate::bits(bits).map_err(failed)?;
            (value, f64::from(bits), generate::BINARY)
        };
        Ok(Generated {
            value,
            entropy_bits,
            content_type,
        })
    }
}
