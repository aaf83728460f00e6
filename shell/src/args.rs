//! The program's arguments.

use std::path::PathBuf;
use std::time::Duration;

use clap::Parser;

/// keyshell: keep secrets on a key server that does not have to be trusted.
///
/// Without a command line (-c) or script, an interactive session begins; `help` there lists the commands.
#[derive(Debug, Parser)]
#[command(name = "keyshell", version, about, max_term_width = 100)]
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
        value_parser = humantime::parse_duration,
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
    #[arg(short = 'c', value_name = "LINE", conflicts_with = "script")]
    pub lines: Vec<String>,
    /// Run the commands in this file, one a line, # begins a comment.
    pub script: Option<PathBuf>,
}

/// A time, zero for never.
fn time_or_never(text: &str) -> Result<Duration, humantime::DurationError> {
    match text {
        "0" | "never" => Ok(Duration::ZERO),
        text => humantime::parse_duration(text),
    }
}
