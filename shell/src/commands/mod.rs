//! The commands: one file each. The same parser serves `-c` lines, scripts and the REPL.

mod account;
mod acknowledge;
mod answers;
mod audit;
mod completions;
mod compromised;
mod devices;
mod doctor;
mod edit;
pub mod export;
pub(crate) mod field;
mod format_list;
mod generate;
mod get;
mod given_key;
mod help;
mod history;
pub mod import;
mod info;
mod inject;
mod keyring;
mod list;
mod local;
mod lock;
mod login;
mod logout;
mod losses;
mod man;
mod naming;
mod new_device;
mod new_password;
mod open;
mod passwd;
mod push;
mod put;
mod recover;
mod references;
mod register;
mod remove;
mod rename;
mod rotate_key;
mod row;
mod run;
mod sheet;
mod status;
mod store;
mod sync;
mod totp;
mod trash;
mod unlock;
pub(crate) mod value;

use std::ffi::OsString;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{CommandFactory as _, Parser, Subcommand};

use crate::command_names;
use crate::error::{Error, Result, joined};
use crate::line::{tilde, words};
use crate::options::{self, Options, STATUSES, WORDS};
use crate::process::{self, explain_interrupt};
use crate::shell::Shell;

/// A line as it is typed.
#[derive(Debug, Parser)]
#[command(
    name = "",
    no_binary_name = true,
    disable_help_subcommand = true,
    infer_subcommands = false,
    max_term_width = 100
)]
pub struct Line {
    #[command(subcommand)]
    command: Command,
}

/// Declares the commands: the arguments of each, the definitions that it shows if any, whether it runs asynchronously
/// (`.await`), and whether it may change data on the server (`CHANGES`). The type of the arguments carries the help
/// text, which a doc comment here would replace.
macro_rules! commands {
    ($($name:ident($arguments:ty $(, $shown:expr)?) $(.$wait:tt)? $($changes:ident)?,)*) => {
        #[derive(Debug, Subcommand)]
        enum Command {
            $($name($arguments),)*
            /// Close the session and exit keyshell.
            #[command(alias = "quit", after_help = "Examples:\n  exit\n  quit")]
            Exit,
        }

        impl Command {
            const CHANGES: bool = true;

            fn changes_something(&self) -> bool {
                match self {
                    $($(Self::$name(_) => Self::$changes,)?)*
                    _ => false,
                }
            }

            async fn run(self, shell: &mut Shell) -> Result<()> {
                match self {
                    $(Self::$name(command) => command.run(shell $(, $shown)?)$(.$wait)?,)*
                    Self::Exit => {
                        shell.context.leaving = true;
                        Ok(())
                    }
                }
            }
        }
    };
}

commands! {
    Register(register::Register).await CHANGES,
    Login(login::Login).await,
    Logout(logout::Logout).await,
    Lock(lock::Lock).await,
    Unlock(unlock::Unlock).await CHANGES,
    Status(status::Status),
    Gen(generate::Generate).await CHANGES,
    Put(put::Put).await CHANGES,
    Get(get::Get).await,
    Ls(list::List).await,
    Info(info::Info).await,
    History(history::History).await,
    Mv(rename::Rename).await CHANGES,
    Rm(remove::Remove).await CHANGES,
    Restore(trash::Restore).await CHANGES,
    Purge(trash::Purge).await CHANGES,
    Edit(edit::Edit).await CHANGES,
    Import(import::Import).await CHANGES,
    Export(export::Export).await,
    Open(open::Open),
    Run(run::Run).await,
    Inject(inject::Inject).await,
    Totp(totp::Totp).await,
    Sync(sync::Sync).await,
    Push(push::Push).await CHANGES,
    Pull(push::Pull).await,
    Audit(audit::Audit).await,
    Acknowledge(acknowledge::Acknowledge).await CHANGES,
    Passwd(passwd::Passwd).await CHANGES,
    RotateKey(rotate_key::RotateKey).await CHANGES,
    Recover(recover::Recover).await CHANGES,
    Recovery(recover::Recovery).await CHANGES,
    Devices(devices::Devices).await CHANGES,
    Compromised(compromised::Compromised).await CHANGES,
    Account(account::Account).await CHANGES,
    Keyring(keyring::Keyring).await,
    Doctor(doctor::Doctor).await,
    Completions(completions::Completions, program()),
    Man(man::Man, program()),
    Help(help::Help, Line::command()),
}

impl Command {
    /// Whether the command contacts no server, so that its verification errors are no reason to distrust one.
    fn is_offline(&self) -> bool {
        match self {
            Self::Audit(audit) => audit.is_offline(),
            Self::Open(_) => true,
            _ => false,
        }
    }
}

impl Line {
    /// Whether the command diagnoses problems, and so must run in spite of them.
    pub fn examines(&self) -> bool {
        matches!(self.command, Command::Doctor(_))
    }

    /// Whether the command may change data on the server.
    pub fn changes_something(&self) -> bool {
        self.command.changes_something()
    }
}

/// The program's options and all commands in one definition, from which man pages and completions are generated. The
/// parser of the program's arguments takes a command as plain words, which [`parse_words`] parses.
pub fn program() -> clap::Command {
    let options = Options::command();
    let usage = "keyshell [OPTIONS] [COMMAND [ARGS]... | SCRIPT]";
    let arguments: Vec<clap::Arg> = options
        .get_arguments()
        .filter(|argument| argument.get_id() != WORDS)
        .cloned()
        .collect();
    clap::Command::new("keyshell")
        .version(env!("CARGO_PKG_VERSION"))
        .about(options.get_about().cloned().unwrap_or_default())
        .long_about(options.get_long_about().cloned().unwrap_or_default())
        .after_long_help(STATUSES)
        .override_usage(usage)
        .disable_help_subcommand(true)
        .args(arguments)
        .subcommands(Line::command().get_subcommands().cloned())
}

/// The definitions of all commands.
pub fn definitions() -> clap::Command {
    let mut definitions = Line::command();
    definitions.build();
    definitions
}

/// Parses one line; `None` for an empty line or a comment.
///
/// # Errors
/// [`Error::usage`].
pub fn parse(line: &str) -> Result<Option<Line>> {
    let line = line.trim();
    if line.is_empty() || line.starts_with('#') {
        return Ok(None);
    }
    let words = words(line)?;
    if words.is_empty() {
        return Ok(None);
    }
    parse_words(words).map(Some)
}

/// Splits a line into words by the rules of POSIX shells: quotes, comments, and `~/` in arguments that name files.
///
/// # Errors
/// [`Error::usage`].
pub fn words(line: &str) -> Result<Vec<OsString>> {
    if shlex::split(line).is_none() {
        let text = "the line ends inside a quote or after a \\: close the quote, or remove the \\";
        return Err(Error::usage(text));
    }
    let (words, _) = words::finished(line);
    let home = std::env::home_dir();
    Ok(tilde::expand(definitions, home.as_deref(), line, &words))
}

/// Parses a command that is already split into words, as the program's arguments are.
///
/// # Errors
/// [`Error::usage`].
pub fn parse_words(words: Vec<OsString>) -> Result<Line> {
    let first = words
        .first()
        .map(|word| word.to_string_lossy().into_owned());
    let first = first.unwrap_or_default();
    match Line::try_parse_from(words) {
        Ok(line) => Ok(line),
        Err(error) if error.kind() == ErrorKind::DisplayHelp => {
            let command = Command::Help(help::Help::about(first));
            Ok(Line { command })
        }
        Err(error) => Err(misused(&first, &error)),
    }
}

/// Whether a command has this name.
pub fn is_known(name: &str) -> bool {
    Line::command().find_subcommand(name).is_some()
}

/// The usage error for a line that clap rejects: clap's message and a hint.
fn misused(command: &str, error: &clap::Error) -> Error {
    if error.kind() == ErrorKind::InvalidSubcommand {
        return command_names::unknown(command, &definitions());
    }
    let hint = match error.get(ContextKind::InvalidArg) {
        Some(ContextValue::Strings(missing))
            if error.kind() == ErrorKind::MissingRequiredArgument =>
        {
            let missing = missing.join(" ");
            return Error::usage(format!(
                "`{command}` needs {missing}; `help {command}` shows the usage"
            ));
        }
        Some(ContextValue::String(word)) if options::is_option(word) => {
            format!("{word} is an option of keyshell: type it before the command")
        }
        Some(ContextValue::String(word)) if word.starts_with('-') && !word.starts_with("--") => {
            "type `--` before an argument that begins with `-` and is no option".to_owned()
        }
        _ => format!("`help {command}` shows the usage"),
    };
    Error::usage(format!("{}{hint}", clap_message(error)))
}

/// The first paragraph of clap's message as one line, which ends in a semicolon for a hint to follow.
pub fn clap_message(error: &clap::Error) -> String {
    let text = error.render().to_string();
    let paragraph = text.split("\n\n").next().unwrap_or_default();
    let words: Vec<&str> = paragraph.split_whitespace().collect();
    let line = words.join(" ");
    let line = line.strip_prefix("error: ").unwrap_or(&line);
    let meant = match error.get(ContextKind::SuggestedArg) {
        Some(ContextValue::String(flag)) => format!("did you mean `{flag}`? "),
        _ => String::new(),
    };
    // The standard library's message for a word that is no number.
    let line = line.replace("invalid digit found in string", "not a whole number");
    joined(&line, &meant)
}

/// Runs one line.
///
/// # Errors
/// Those of the command. After an [`Error::is_verification`] every read and write is refused until the next explicit
/// `login`.
pub async fn run(shell: &mut Shell, line: Line) -> Result<()> {
    shell.account.begin_command();
    let offline = line.command.is_offline();
    explain_interrupt(None);
    let done = Box::pin(line.command.run(shell)).await;
    let done = done.map_err(process::explained);
    explain_interrupt(None);
    if let Err(error) = &done
        && error.is_verification()
        && !offline
    {
        shell.account.distrust(&error.to_string());
    }
    shell.note_reached(&done);
    done
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn every_command_has_examples_that_are_commands() {
        for command in definitions().get_subcommands() {
            let help = command.get_after_help().unwrap().to_string();
            let examples: Vec<&str> = help.lines().skip(1).collect();
            assert!(examples.len() >= 2, "{}", command.get_name());
            for example in &examples {
                assert!(matches!(parse(example), Ok(Some(_))), "{example}");
                assert!(example.len() < 80, "{example}");
            }
            let own = examples
                .iter()
                .filter(|line| line.trim().starts_with(command.get_name()));
            assert!(own.count() >= 1, "{examples:?}");
        }
    }

    /// The whole text is shown, not only its first line.
    #[test]
    fn help_shows_the_whole_explanation_of_a_command() {
        let definitions = definitions();
        let about = |name| {
            let command = definitions.find_subcommand(name).unwrap();
            command.get_long_about().unwrap().to_string()
        };
        assert!(about("get").contains("On a pipe, exactly the value's bytes"));
        assert!(about("passwd").contains("opens nothing that is written from then on"));
        assert!(
            definitions
                .get_subcommands()
                .all(|command| command.get_about().is_some())
        );
    }

    #[test]
    fn misspelled_commands_and_options_get_a_suggestion() {
        let said = |line| parse(line).unwrap_err().to_string();
        assert_eq!(
            said("gte x"),
            "there is no command `gte`; did you mean `get`?"
        );
        assert_eq!(
            said("frobnicate"),
            "there is no command `frobnicate`; `help` lists them"
        );
        assert!(said("get x --clop").contains("did you mean `--clip`?"));
        for (word, command) in command_names::ELSEWHERE {
            assert!(!is_known(word) && is_known(command), "{word}");
            assert!(said(word).ends_with(&format!("did you mean `{command}`?")));
        }
        assert!(said("get -dash").contains("type `--` before an argument"));
        assert!(
            said("get x --version y").contains("not a whole number; `help get` shows the usage")
        );
        assert!(said("get x --clip --for 3x").contains("such as 45s, 15m or 2h"));
        assert!(said("gen x --charset hex --passphrase").contains("cannot be used with"));
        assert!(said("gen x --charset hex --bits 8").contains("cannot be used with"));
    }
}
