//! The program's options.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap::{CommandFactory as _, Parser};
use keyshell_client::device::home::Profile;

use crate::time::{self, NoSpan};

/// The exit statuses, as the help prints them.
pub const STATUSES: &str = "\
Exit status:
  0    done
  1    any other failure
  2    wrong usage
  3    no such secret
  4    login refused
  5    server unreachable or not trusted
  6    exists already, or changed by another device
  7    verification failed: the server's answer contradicts verified data
  8    rate limited, or over a quota or size limit
  9    done, but some content was left out
  130  interrupted";

/// Name of the only account of a private server, unless `--account` gives another.
const EMBEDDED_ACCOUNT: &str = "me";

/// Id of the argument that holds a command with its own arguments, or a script.
pub const WORDS: &str = "words";

/// keyshell: store secrets on a key server that need not be trusted.
///
/// Without a command, command line (-c) or script, an interactive session starts. `keyshell help` lists the commands,
/// `keyshell help COMMAND` explains one; options of keyshell itself come before the command.
#[derive(Debug, Clone, Parser)]
#[command(
    name = "keyshell",
    version,
    about,
    max_term_width = 100,
    override_usage = "keyshell [OPTIONS] [COMMAND [ARGS]... | SCRIPT]",
    after_long_help = STATUSES
)]
pub struct Options {
    /// Address of the server: HOST or HOST:PORT, by HTTPS; the default port is 7443.
    #[arg(short, long, env = "KEYSHELL_SERVER", value_name = "URL")]
    pub server: Option<String>,
    /// Name of the account.
    #[arg(short, long, env = "KEYSHELL_ACCOUNT", value_name = "NAME")]
    pub account: Option<String>,
    /// Profile to use; it saves server, account and pins.
    #[arg(
        long,
        env = "KEYSHELL_PROFILE",
        value_name = "NAME",
        default_value = "default"
    )]
    pub profile: String,
    /// Folder for configuration, state, cache and local store, instead of the XDG folders.
    #[arg(long, env = "KEYSHELL_HOME", value_name = "DIR")]
    pub home: Option<PathBuf>,
    /// Run a private key server inside this process; its data is stored with the profile.
    #[arg(long, conflicts_with_all = ["server", "pin", "ca_file"])]
    pub embedded: bool,
    /// Trust exactly this server key: sha256:BASE64 of its SubjectPublicKeyInfo.
    #[arg(long, env = "KEYSHELL_PIN", value_name = "sha256:BASE64")]
    pub pin: Option<String>,
    /// Trust the CA certificates (PEM) in this file instead of the system's.
    #[arg(long, env = "KEYSHELL_CA_FILE", value_name = "FILE")]
    pub ca_file: Option<PathBuf>,
    /// Pin the key of an unknown server at the first connection, without asking.
    #[arg(long)]
    pub trust_on_first_use: bool,
    /// Read the password from the first line of this file.
    #[arg(long, env = "KEYSHELL_PASSWORD_FILE", value_name = "FILE")]
    pub password_file: Option<PathBuf>,
    /// Read the password from the first line that this command prints.
    #[arg(
        long,
        env = "KEYSHELL_PASSWORD_COMMAND",
        value_name = "CMD",
        conflicts_with = "password_file"
    )]
    pub password_command: Option<String>,
    /// Timeout of one request; reading or writing a secret takes up to four requests.
    #[arg(
        long,
        env = "KEYSHELL_TIMEOUT",
        value_name = "TIME",
        value_parser = time::span,
        default_value = "1m"
    )]
    pub timeout: Duration,
    /// Lock an interactive session after this time without a keystroke; 0 disables this.
    #[arg(
        long,
        env = "KEYSHELL_IDLE_LOCK",
        value_name = "TIME",
        value_parser = time_or_never,
        default_value = "15m"
    )]
    pub idle_lock: Duration,
    /// Print results and errors as JSON on standard output.
    #[arg(long)]
    pub json: bool,
    /// Ask no questions; the default if standard input is not a terminal.
    #[arg(long)]
    pub non_interactive: bool,
    /// Continue after a line that failed, except after a failed verification.
    #[arg(long)]
    pub keep_going: bool,
    /// Print results and errors, but no notices.
    #[arg(short, long)]
    pub quiet: bool,
    /// Print details of what is done.
    #[arg(short, long)]
    pub verbose: bool,
    /// Run this command line and exit; may be repeated.
    #[arg(short = 'c', value_name = "LINE")]
    pub lines: Vec<String>,
    /// A command with its arguments, or a file of command lines; a comment begins with #.
    #[arg(
        id = WORDS,
        value_name = "COMMAND|SCRIPT",
        trailing_var_arg = true,
        conflicts_with = "lines"
    )]
    pub words: Vec<OsString>,
}

impl Options {
    /// The options that select profile, server and account, as arguments for another process.
    pub fn connection(&self) -> Vec<OsString> {
        let mut arguments: Vec<OsString> = vec!["--profile".into(), self.profile.clone().into()];
        let texts = [
            ("--server", &self.server),
            ("--account", &self.account),
            ("--pin", &self.pin),
        ];
        for (name, text) in texts {
            if let Some(text) = text {
                arguments.extend([name.into(), text.into()]);
            }
        }
        for (name, path) in [("--home", &self.home), ("--ca-file", &self.ca_file)] {
            if let Some(path) = path {
                let path = std::path::absolute(path).unwrap_or_else(|_| path.clone());
                arguments.extend([name.into(), path.into_os_string()]);
            }
        }
        let timeout = humantime::format_duration(self.timeout).to_string();
        arguments.extend([
            "--timeout".into(),
            timeout.into(),
            "--non-interactive".into(),
        ]);
        arguments
    }

    /// The account that options or profile name; `None` if the user would have to be asked.
    pub fn known_account(&self, profile: &Profile) -> Option<String> {
        let named = self.account.clone().or_else(|| profile.account.clone());
        named.or_else(|| self.embedded.then(|| EMBEDDED_ACCOUNT.to_owned()))
    }
}

/// Whether `word` is an option of the program itself, such as `--json`.
pub fn is_option(word: &str) -> bool {
    let options = Options::command();
    let is_it = |option: &clap::Arg| {
        let long = option.get_long().map(|name| format!("--{name}"));
        let short = option.get_short().map(|name| format!("-{name}"));
        [long, short].iter().flatten().any(|name| name == word)
    };
    options.get_arguments().any(is_it)
}

/// Parses a time; zero for `0` and `never`.
fn time_or_never(text: &str) -> Result<Duration, NoSpan> {
    match text {
        "0" | "never" => Ok(Duration::ZERO),
        text => time::span(text),
    }
}
