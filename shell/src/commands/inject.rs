//! `inject`

use std::path::{Path, PathBuf};

use clap::Args;
use keyshell_base::files;
use keyshell_base::names::SecretName;
use keyshell_client::agent::Purpose;
use keyshell_client::error::Error as ClientError;
use serde_json::json;
use shared::secret::SecretBytes;

use crate::commands::value::{self, JsonValue};
use crate::commands::{get, references};
use crate::error::{Error, Result};
use crate::shell::Shell;
use crate::template::Template;

/// Longest template, in bytes.
const MAX_TEMPLATE: u64 = 16 * 1024 * 1024;
/// Standard input or output.
const STANDARD: &str = "-";

/// Fill a template with secrets.
///
/// {{ NAME }} is replaced by the value of the secret, {{ NAME | FILTER }} by the encoded value; filters are base64,
/// base64url, hex, url, and json (inside quotes). Quote a name that contains | or }}: {{ "NAME" }}; \{{ produces {{. If
/// a secret does not exist, nothing is written and all missing names are listed.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  inject -i app.conf.in -o app.conf\n  inject -i app.conf.in -o app.conf --force"
)]
pub struct Inject {
    /// Read the template from this file; the default, -, is standard input.
    #[arg(short, long = "in", value_name = "FILE", default_value = STANDARD)]
    input: PathBuf,
    /// Write the result to this file, with mode 0600; the default, -, is standard output.
    #[arg(short, long, value_name = "FILE", default_value = STANDARD)]
    out: PathBuf,
    /// Replace the file if it exists.
    #[arg(long)]
    force: bool,
}

impl Inject {
    pub(super) async fn run(self, shell: &mut Shell) -> Result<()> {
        let source = self.read()?;
        let template = Template::parse(source.expose())?;
        let names = template.names();
        // Standard output shows the values, as `get` does.
        let is_shown = self.out == Path::new(STANDARD);
        let purpose = if is_shown {
            Purpose::Reveal
        } else {
            Purpose::Use
        };
        let values = references::resolve(&mut shell.account, &names, purpose).await?;
        let filled = template.fill(&values)?;
        let out = shell.context.out;
        if is_shown {
            if out.is_json() {
                return out.object(&JsonValue::from(&filled));
            }
            return get::show(&shell.context, &filled);
        }
        self.write(&filled)?;
        let path = self.out.display().to_string();
        let names: Vec<&str> = names.iter().map(SecretName::as_str).collect();
        let object = json!({"out": path, "names": names});
        out.done(&format!("{path}: written"), &object)
    }

    fn read(&self) -> Result<SecretBytes> {
        let content = if self.input == Path::new(STANDARD) {
            files::read_all(std::io::stdin().lock(), MAX_TEMPLATE)
        } else {
            files::read_existing(&self.input, MAX_TEMPLATE)
        };
        content.map_err(Error::reading(&self.input))
    }

    fn write(&self, filled: &SecretBytes) -> Result<()> {
        if !self.force {
            return value::write_out(&self.out, filled.expose()).map_err(|error| match error {
                Error::Client(ClientError::Exists(_)) => error.with("--force replaces it"),
                error => error,
            });
        }
        files::replace(&self.out, filled.expose()).map_err(Error::writing(&self.out))
    }
}
