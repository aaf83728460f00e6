//! The program's options.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap::{CommandFactory as _, Parser};
use keyshell_client::device::home::Profile;

use crate::time::{self, NoSpan};

/// As the command line's contract lists them.
pub const STATUSES: &str = "\
Exit status:
  0    done
  1    failed otherwise
  2    wrong usage
  3    no such secret
  4    login refused
  5    server not reached or not trusted
  6    exists already, or changed by another device
  7    verification failed: the server's answer does not prove out
  8    throttled, or over a limit
  9    done with loss
  130  interrupted";

/// The account of a private server, where none is named: it has one account, its owner's.
const EMBEDDED_ACCOUNT: &str = "me";

/// Id of the argument that holds a whole command.
pub const WORDS: &str = "words";

/// keyshell: keep secrets on a key server that does not have to be trusted.
///
/// Without a command, command line (-c) or script, an interactive session begins. `keyshell help` lists the commands,
/// `keyshell help COMMAND` explains one; options of keyshell itself stand before the command.
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
    /// Address of the server: https://host[:port]; port 7443 if left out.
    #[arg(short, long, env = "KEYSHELL_SERVER", value_name = "URL")]
    pub server: Option<String>,
    /// The account.
    #[arg(short, long, env = "KEYSHELL_ACCOUNT", value_name = "NAME")]
    pub account: Option<String>,
    /// Which saved server, account and pins to use.
    #[arg(
        long,
        env = "KEYSHELL_PROFILE",
        value_name = "NAME",
        default_value = "default"
    )]
    pub profile: String,
    /// One folder for config, state, cache and local store, instead of the XDG folders.
    #[arg(long, env = "KEYSHELL_HOME", value_name = "DIR")]
    pub home: Option<PathBuf>,
    /// Run a private key server inside this process, its data beside the profile.
    #[arg(long, conflicts_with_all = ["server", "pin", "ca_file"])]
    pub embedded: bool,
    /// Trust exactly this server key: sha256:BASE64 of its SubjectPublicKeyInfo.
    #[arg(long, env = "KEYSHELL_PIN", value_name = "sha256:BASE64")]
    pub pin: Option<String>,
    /// Trust this CA, instead of the system's roots.
    #[arg(long, env = "KEYSHELL_CA_FILE", value_name = "FILE")]
    pub ca_file: Option<PathBuf>,
    /// Pin the key of a server that is seen for the first time, without asking.
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
    /// How long to wait for one answer of the server; reading and writing asks up to four times.
    #[arg(
        long,
        env = "KEYSHELL_TIMEOUT",
        value_name = "TIME",
        value_parser = time::span,
        default_value = "1m"
    )]
    pub timeout: Duration,
    /// Lock an interactive session after so long without a key; 0 for never.
    #[arg(
        long,
        env = "KEYSHELL_IDLE_LOCK",
        value_name = "TIME",
        value_parser = time_or_never,
        default_value = "15m"
    )]
    pub idle_lock: Duration,
    /// Machine-readable output, errors too, on standard output.
    #[arg(long)]
    pub json: bool,
    /// Never ask; the default when standard input is no terminal.
    #[arg(long)]
    pub non_interactive: bool,
    /// Go on after a line that failed (but not after a failed verification).
    #[arg(long)]
    pub keep_going: bool,
    /// Say less.
    #[arg(short, long)]
    pub quiet: bool,
    /// Say more.
    #[arg(short, long)]
    pub verbose: bool,
    /// Run this command line and leave; can be given more than once.
    #[arg(short = 'c', value_name = "LINE")]
    pub lines: Vec<String>,
    /// A command with its arguments; or a file of commands, one a line, # begins a comment.
    #[arg(
        id = WORDS,
        value_name = "COMMAND|SCRIPT",
        trailing_var_arg = true,
        conflicts_with = "lines"
    )]
    pub words: Vec<OsString>,
}

impl Options {
    /// The options that say where and who, as arguments for another run.
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

    /// The account, if one is known without asking.
    pub fn known_account(&self, profile: &Profile) -> Option<String> {
        let named = self.account.clone().or_else(|| profile.account.clone());
        named.or_else(|| self.embedded.then(|| EMBEDDED_ACCOUNT.to_owned()))
    }
}

/// Whether this is an option of the program itself, such as `--json`.
pub fn is_option(word: &str) -> bool {
    let options = Options::command();
    let is_it = |option: &clap::Arg| {
        let long = option.get_long().map(|name| format!("--{name}"));
        let short = option.get_short().map(|name| format!("-{name}"));
        [long, short].iter().flatten().any(|name| name == word)
    };
    options.get_arguments().any(is_it)
}

/// A time, zero for never.
fn time_or_never(text: &str) -> Result<Duration, NoSpan> {
    match text {
        "0" | "never" => Ok(Duration::ZERO),
        text => time::span(text),
    }
}
