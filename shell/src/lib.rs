//! The shell of an end-to-end encrypted secret store whose server need not be trusted.
//!
//! [`commands`] runs a command line through `keyshell-client`, which seals, signs, sends and verifies. `keyshell-formats`
//! reads and writes files.

pub mod abbreviations;
pub mod agent;
mod agent_host;
mod alternate_screen;
pub mod args;
mod child;
mod clipboard;
mod command_names;
pub mod commands;
mod complete;
pub mod context;
mod editor;
mod embedded;
pub mod error;
mod frontend;
pub mod generate;
mod idle;
mod line;
mod line_editor;
mod mask;
pub mod options;
pub mod output;
mod passphrase;
pub mod password_source;
mod process;
mod progress;
pub mod prompt;
mod pty;
mod repl;
pub mod server;
pub mod shell;
mod signals;
pub mod strength;
mod template;
pub mod time;
mod totp;

use std::ffi::OsStr;
use std::io::{self, IsTerminal as _};
use std::path::Path;
use std::process::ExitCode;

use clap::Parser as _;
use keyshell_base::files;
use tokio::runtime::Runtime;

use crate::args::Task;
use crate::error::{Error, Result};
use crate::options::Options;
use crate::output::Output;
use crate::process::Interrupts;
use crate::shell::Shell;

/// Exit status of a failed verification, after which no line is run.
const VERIFICATION: u8 = 7;
/// Maximum length of a script, in bytes.
const MAX_SCRIPT: u64 = 1024 * 1024;

/// The program.
pub fn main() -> ExitCode {
    process::harden();
    let mut arguments = std::env::args_os().skip(1);
    let first = arguments.next();
    match first.as_deref().and_then(OsStr::to_str) {
        Some(clipboard::HOLDER) => return clipboard::hold(arguments),
        Some(complete::COMPLETE) => return complete::run(arguments),
        Some(agent::AGENT) => {
            let arguments = std::env::args_os().filter(|word| word != agent::AGENT);
            return agent_host::run(Options::parse_from(arguments));
        }
        _ => {}
    }
    let options = match Options::try_parse() {
        Ok(options) => options,
        Err(error) if error.use_stderr() => {
            // The options could not be parsed, but a program that asked for JSON must get JSON.
            let json = std::env::args_os().any(|word| word == "--json");
            let error = args::misused(&error);
            Output::new(json, false, false).error(&error);
            return ExitCode::from(error.status());
        }
        // The help, or the version.
        Err(error) => error.exit(),
    };
    let out = Output::new(options.json, options.quiet, options.verbose);
    if !options.json && !options.quiet {
        progress::enable();
    }
    match run(options) {
        Ok(()) => ExitCode::SUCCESS,
        // The command has printed its own errors.
        Err(error @ Error::Ended(_)) => ExitCode::from(error.status()),
        Err(error) => {
            out.error(&error);
            ExitCode::from(error.status())
        }
    }
}

fn run(options: Options) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(Error::io("starting"))?;
    signals::install().map_err(Error::io("starting"))?;
    let out = Output::new(options.json, options.quiet, options.verbose);
    let report = move |error: &Error| {
        // The terminal is in the middle of a line, behind `^C` and perhaps a progress display.
        if io::stderr().is_terminal() && !out.is_json() {
            out.say("");
        }
        out.error(error);
    };
    let interrupts = Interrupts::watch(report).map_err(Error::io("starting"))?;
    let task = args::task(&options)?;
    let mut shell = match &task {
        Task::Command(line) if line.examines() => Shell::lenient(options)?,
        _ => Shell::new(options)?,
    };
    let outcome = match task {
        Task::Interactive => return interactive(&runtime, shell, &interrupts),
        Task::Command(line) => {
            shell.context.is_last = true;
            runtime.block_on(commands::run(&mut shell, *line))
        }
        Task::Lines(lines) => run_lines(&runtime, &mut shell, &lines),
        Task::Script(path) => run_lines(&runtime, &mut shell, &read_script(&path)?),
    };
    let left = runtime.block_on(shell.leave());
    outcome.and(left)
}

fn interactive(runtime: &Runtime, mut shell: Shell, interrupts: &Interrupts) -> Result<()> {
    shell
        .context
        .prompt
        .require("give a command, -c LINE, or a script")?;
    shell.account.renewal.makes_credential = true;
    interrupts.stop_commands();
    repl::run(runtime, shell, interrupts)
}

/// Runs lines in order, up to the first that fails. With `--keep-going` the other lines are run as well, and the last
/// error is returned; a failed verification ends the run in any case.
fn run_lines(runtime: &Runtime, shell: &mut Shell, lines: &[String]) -> Result<()> {
    let keep_going = shell.context.options().keep_going;
    let mut failed = None;
    for (line, left) in lines.iter().zip((0..lines.len()).rev()) {
        shell.context.is_last = left == 0;
        let done = commands::parse(line).and_then(|line| match line {
            Some(line) => runtime.block_on(commands::run(shell, line)),
            None => Ok(()),
        });
        match done {
            Err(error) if keep_going && error.status() != VERIFICATION => {
                if let Some(before) = failed.replace(error) {
                    shell.context.out.error(&before);
                }
            }
            done => done?,
        }
        if shell.context.leaving {
            break;
        }
    }
    failed.map_or(Ok(()), Err)
}

fn read_script(path: &Path) -> Result<Vec<String>> {
    let content = files::read_text(path, MAX_SCRIPT).map_err(Error::reading(path))?;
    let text = std::str::from_utf8(content.expose())
        .map_err(|_| Error::failed(format!("{} is not UTF-8", path.display())))?;
    Ok(text.lines().map(str::to_owned).collect())
}
