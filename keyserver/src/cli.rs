//! The command line: a thin skin over [`crate::config`], [`crate::embedded`] and [`crate::admin`].

use std::io::{self, Write as _};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, CommandFactory as _, Parser, Subcommand};
use rustix::fs::Mode;
use rustix::process::{DumpableBehavior, Resource, Rlimit, Signal};
use serde::Serialize;
use tokio::signal::unix::{SignalKind, signal};
use toml::Table;

use crate::config::{Config, ConfigError, LogFormat};
use crate::embedded::{self, StartError};
use crate::{admin, logging, open_files};

/// A key server that does not have to be trusted
#[derive(Debug, Parser)]
#[command(version, max_term_width = 100)]
struct Arguments {
    #[command(flatten)]
    options: Options,
    /// Options as TOML
    #[arg(long, global = true, value_name = "FILE", env = "KEYSERVER_CONFIG")]
    config: Option<PathBuf>,
    #[command(subcommand)]
    command: Option<Command>,
}

/// Options that were not given must stay out of the table, else they would win over environment and file.
#[derive(Debug, Args, Serialize)]
struct Options {
    /// Database, certificate and invites
    #[arg(long, global = true, value_name = "DIR")]
    #[serde(skip_serializing_if = "Option::is_none")]
    data_dir: Option<PathBuf>,
    /// Where the key file is, instead of beside the data folder
    #[arg(long, global = true, value_name = "FILE")]
    #[serde(skip_serializing_if = "Option::is_none")]
    key_file: Option<PathBuf>,
    /// Where to listen; can be repeated
    #[arg(long, global = true, value_name = "ADDR:PORT")]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    listen: Vec<SocketAddr>,
    /// Certificate chain (PEM) instead of the self-signed one
    #[arg(long, global = true, value_name = "FILE", requires = "tls_key")]
    #[serde(skip_serializing_if = "Option::is_none")]
    tls_cert: Option<PathBuf>,
    /// Private key (PEM) of the certificate
    #[arg(long, global = true, value_name = "FILE", requires = "tls_cert")]
    #[serde(skip_serializing_if = "Option::is_none")]
    tls_key: Option<PathBuf>,
    /// How logs on stderr look
    #[arg(long, global = true, value_name = "FORMAT")]
    #[serde(skip_serializing_if = "Option::is_none")]
    log_format: Option<LogFormat>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve (the default)
    Run,
    /// Make data folder, key file and certificate where they are missing, and print the pin
    Init,
    /// Print the pin of the certificate
    Pin,
    /// Read the whole database of a stopped server, and say whether it is whole
    Check,
    /// Print an invite code for one new account
    Invite {
        /// How long it is good
        #[arg(long = "for", value_name = "TIME", default_value = "7d", value_parser = humantime::parse_duration)]
        lifetime: Duration,
    },
    /// Print the completions of a shell
    Completions {
        /// Which shell
        shell: clap_complete::Shell,
    },
    /// Write the man pages into a folder
    Man {
        /// The folder, which is made where it is missing
        #[arg(value_name = "DIR")]
        folder: PathBuf,
    },
}

/// A command could not be done.
#[derive(Debug, thiserror::Error)]
enum CliError {
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error(transparent)]
    Start(#[from] StartError),
    #[error(transparent)]
    Admin(#[from] admin::AdminError),
    #[error(transparent)]
    Arguments(#[from] toml::ser::Error),
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error("the server ended by itself; the log says why")]
    Ended,
}

/// The whole program.
pub fn main() -> ExitCode {
    match run(Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // If stderr is closed the error cannot be reported.
            let _ = writeln!(io::stderr(), "keyserver: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: Arguments) -> Result<(), CliError> {
    match &arguments.command {
        Some(Command::Completions { shell }) => return Ok(print_completions(*shell)?),
        // Before files are made for the owner alone: everybody may read these.
        Some(Command::Man { folder }) => return Ok(write_pages(folder)?),
        _ => {}
    }
    harden()?;
    let options = Table::try_from(&arguments.options)?;
    let config = Config::load(arguments.config.as_deref(), std::env::vars_os(), options)?;
    let mut stdout = io::stdout().lock();
    match arguments.command.unwrap_or(Command::Run) {
        Command::Run => {
            logging::start(config.log_format);
            serve(config, &mut stdout)?;
        }
        Command::Init => writeln!(stdout, "pin {}", admin::init(&config)?)?,
        Command::Pin => writeln!(stdout, "pin {}", admin::pin(&config)?)?,
        Command::Check => {
            if let Some(warning) = config.key_file().warning(&config.data_dir) {
                writeln!(io::stderr(), "keyserver: {warning}")?;
            }
            writeln!(stdout, "{}", admin::check::check(&config)?)?;
        }
        Command::Invite { lifetime } => {
            let code = admin::invite(&config.data_dir, lifetime)?;
            writeln!(stdout, "{code}")?;
        }
        // Done already.
        Command::Completions { .. } | Command::Man { .. } => {}
    }
    Ok(())
}

fn print_completions(shell: clap_complete::Shell) -> io::Result<()> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Arguments::command(), "keyserver", &mut script);
    io::stdout().lock().write_all(&script)
}

fn write_pages(folder: &Path) -> io::Result<()> {
    std::fs::create_dir_all(folder)?;
    clap_mangen::generate_to(Arguments::command(), folder)
}

/// No core dumps, and no new file that others can read unless it says so.
fn harden() -> Result<(), io::Error> {
    let none = Rlimit {
        current: Some(0),
        maximum: Some(0),
    };
    rustix::process::setrlimit(Resource::Core, none)?;
    rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable)?;
    rustix::process::umask(Mode::RWXG | Mode::RWXO);
    Ok(())
}

fn serve(config: Config, stdout: &mut impl io::Write) -> Result<(), CliError> {
    if let Err(error) = open_files::raise() {
        tracing::warn!(%error, "the limit of open files stays as it is");
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut hangup = signal(SignalKind::hangup())?;
        // Handled, so that a file which may not grow is an error for storage and not the server's end.
        let _too_large = signal(SignalKind::from_raw(Signal::XFSZ.as_raw()))?;
        let mut running = embedded::start(config)?;
        for address in &running.addresses {
            writeln!(stdout, "listening https://{address}")?;
        }
        writeln!(stdout, "pin {}", running.pin)?;
        stdout.flush()?;
        loop {
            tokio::select! {
                _ = terminate.recv() => break,
                _ = interrupt.recv() => break,
                _ = hangup.recv() => running.reload(),
                () = running.ended() => return Err(CliError::Ended),
            }
        }
        running.stop();
        Ok(())
    })
}
