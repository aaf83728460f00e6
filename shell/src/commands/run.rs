//! `run`

use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{Seek as _, Write as _};
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use clap::Args;
use keyshell_base::files;
use keyshell_base::names::SecretName;
use keyshell_client::agent::Purpose;
use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, memfd_create};
use rustix::io::{FdFlags, fcntl_setfd};
use shared::secret::SecretBytes;

use crate::child;
use crate::commands::{references, value};
use crate::context::Context;
use crate::error::Error;
use crate::mask::{self, Patterns};
use crate::shell::Shell;

/// Longest file of references, in bytes.
const MAX_REFERENCES: u64 = 1024 * 1024;

/// Run a command that gets secrets, without showing them.
///
/// The values are in the command's environment, or on file descriptors, and nowhere else. In its output each value is
/// replaced by [masked], also as base64, hex, URL-encoded and in JSON; then the command does not write to the terminal itself:
/// what needs that (an editor, a pager) wants --no-mask. The exit status is the command's, 128+N after signal N, 127 or
/// 126 where it did not start. Nothing is started when a secret is missing; all that are missing are listed.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  run --env DB_PASSWORD=prod/db -- ./server\n  run --env-file refs.env -- make deploy"
)]
pub struct Run {
    /// An environment variable, and the secret whose value it holds.
    #[arg(long, value_name = "VAR=NAME", value_parser = reference)]
    env: Vec<Reference>,
    /// A file of lines VAR=NAME; # begins a comment.
    #[arg(long, value_name = "FILE")]
    env_file: Vec<PathBuf>,
    /// Hand a value over on a file descriptor instead; VAR holds the path to read it from, /dev/fd/N.
    #[arg(long, value_name = "VAR=NAME", value_parser = reference)]
    fd: Vec<Reference>,
    /// Leave the command's output as it is.
    #[arg(long)]
    no_mask: bool,
    /// The command and its arguments.
    #[arg(value_name = "COMMAND", required = true, trailing_var_arg = true)]
    command: Vec<OsString>,
}

/// `VAR=NAME`
#[derive(Debug, Clone)]
struct Reference {
    variable: String,
    name: SecretName,
}

fn reference(text: &str) -> Result<Reference, Error> {
    let bad = |why: &str| Error::Usage(format!("`{text}`: {why}"));
    let (variable, name) = text
        .split_once('=')
        .ok_or_else(|| bad("a reference is VARIABLE=NAME of a secret"))?;
    let begins_badly = variable.is_empty() || variable.starts_with(|c: char| c.is_ascii_digit());
    if begins_badly || variable.contains(char::is_whitespace) || variable.contains('\0') {
        return Err(bad("this is no name of a variable"));
    }
    Ok(Reference {
        variable: variable.to_owned(),
        name: value::name(name)?,
    })
}

impl Run {
    pub(super) async fn run(self, shell: &mut Shell) -> Result<(), Error> {
        let (environment, descriptors) = self.references()?;
        let all = environment.iter().chain(&descriptors);
        let names: Vec<SecretName> = all.map(|reference| reference.name.clone()).collect();
        let purpose = if self.no_mask {
            Purpose::Reveal
        } else {
            Purpose::Use
        };
        let values = references::resolve(&mut shell.account, &names, purpose).await?;
        if shell.context.is_last {
            // It may run for days.
            shell.leave().await?;
        }
        let patterns = if self.no_mask {
            None
        } else {
            note_unmasked(&shell.context, &names, &values);
            Patterns::of(&values)?
        };
        let (in_environment, on_descriptors) = values.split_at(environment.len());
        let mut command = self.command()?;
        for (reference, value) in environment.iter().zip(in_environment) {
            set(&mut command, reference, value)?;
        }
        // Open until the command has ended.
        let mut open = Vec::new();
        for (reference, value) in descriptors.iter().zip(on_descriptors) {
            let file = hand_over(value)?;
            let path = format!("/dev/fd/{}", file.as_raw_fd());
            command.env(&reference.variable, path);
            open.push(file);
        }
        drop(values);
        match child::run(command, patterns)? {
            0 => Ok(()),
            status => Err(Error::Ended(status)),
        }
    }

    /// Those for the environment and those for descriptors. No variable is set twice.
    fn references(&self) -> Result<(Vec<Reference>, Vec<Reference>), Error> {
        let mut environment = Vec::new();
        for path in &self.env_file {
            environment.extend(read_references(path)?);
        }
        environment.extend(self.env.iter().cloned());
        let mut variables = BTreeSet::new();
        for Reference { variable, .. } in environment.iter().chain(&self.fd) {
            if !variables.insert(variable) {
                let text = format!("`{variable}` is set twice");
                return Err(Error::Usage(text));
            }
        }
        Ok((environment, self.fd.clone()))
    }

    fn command(&self) -> Result<Command, Error> {
        let (program, arguments) = self
            .command
            .split_first()
            .ok_or_else(|| Error::Usage("no command is given".into()))?;
        let mut command = Command::new(program);
        command.args(arguments);
        Ok(command)
    }
}

fn read_references(path: &Path) -> Result<Vec<Reference>, Error> {
    let doing = format!("reading {}", path.display());
    let content =
        files::read_existing(path, MAX_REFERENCES).map_err(|error| Error::io(&doing, &error))?;
    let text = std::str::from_utf8(content.expose())
        .map_err(|_| Error::Usage(format!("{doing}: it is not UTF-8")))?;
    let lines = text.lines().map(str::trim).zip(1..);
    let lines = lines.filter(|(line, _)| !line.is_empty() && !line.starts_with('#'));
    let parse = |(line, number): (&str, u32)| {
        let at = |error| Error::Usage(format!("{}, line {number}: {error}", path.display()));
        reference(line).map_err(at)
    };
    lines.map(parse).collect()
}

fn set(command: &mut Command, reference: &Reference, value: &SecretBytes) -> Result<(), Error> {
    if value.expose().contains(&0) {
        return Err(Error::Usage(format!(
            "`{}` holds a zero byte, which no variable can: hand it over with --fd",
            reference.name
        )));
    }
    command.env(&reference.variable, OsStr::from_bytes(value.expose()));
    Ok(())
}

/// A file without a name, in memory, that nobody can change any more. The command inherits it: nothing else is started
/// before it is closed.
fn hand_over(value: &SecretBytes) -> Result<OwnedFd, Error> {
    let make = || -> std::io::Result<OwnedFd> {
        let memory = memfd_create("keyshell", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING)?;
        let mut file = File::from(memory);
        file.write_all(value.expose())?;
        file.rewind()?;
        let seals = SealFlags::WRITE | SealFlags::GROW | SealFlags::SHRINK | SealFlags::SEAL;
        fcntl_add_seals(&file, seals)?;
        fcntl_setfd(&file, FdFlags::empty())?;
        Ok(file.into())
    };
    make().map_err(|error| Error::io("handing a value over", &error))
}

fn note_unmasked(context: &Context, names: &[SecretName], values: &[SecretBytes]) {
    let unmasked: BTreeSet<&str> = names
        .iter()
        .zip(values)
        .filter(|(_, value)| !mask::is_maskable(value))
        .map(|(name, _)| name.as_str())
        .collect();
    for name in unmasked {
        context.out.note(&format!(
            "{name}: not masked in the output: shorter than {} bytes, or longer than {} KiB",
            mask::MIN_LEN,
            mask::MAX_LEN / 1024
        ));
    }
}
