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
use crate::error::{Error, Result};
use crate::mask::{self, Patterns};
use crate::shell::Shell;

/// Longest file of references, in bytes.
const MAX_REFERENCES: u64 = 1024 * 1024;

/// Run a command with secrets in its environment or on file descriptors.
///
/// The values are not shown and not written to disk. In the command's output each value, and each line of a value of
/// several lines, is replaced by [masked], also as base64, hex, URL-encoded and in JSON. An editor or a pager needs
/// --no-mask. The exit status is the command's, 128+N after signal N, and 127 or 126 if the command cannot be started.
/// If a secret does not exist, the command is not started and all missing names are listed.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  run --env DB_PASSWORD=prod/db -- ./server\n  run --env-file refs.env -- make deploy"
)]
pub struct Run {
    /// Set the environment variable VAR to the value of the secret NAME.
    #[arg(long, value_name = "VAR=NAME", value_parser = reference)]
    env: Vec<Reference>,
    /// Read lines VAR=NAME from this file; # begins a comment.
    #[arg(long, value_name = "FILE")]
    env_file: Vec<PathBuf>,
    /// Pass the value on a file descriptor; VAR is set to the path to read it from, /dev/fd/N.
    #[arg(long, value_name = "VAR=NAME", value_parser = reference)]
    fd: Vec<Reference>,
    /// Do not mask the values in the command's output.
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

fn reference(text: &str) -> Result<Reference> {
    let bad = |why: &str| Error::usage(format!("`{text}`: {why}"));
    let (variable, name) = text
        .split_once('=')
        .ok_or_else(|| bad("a reference has the form VARIABLE=NAME, where NAME is a secret"))?;
    let begins_badly = variable.is_empty() || variable.starts_with(|c: char| c.is_ascii_digit());
    if begins_badly || variable.contains(char::is_whitespace) || variable.contains('\0') {
        return Err(bad("the part before `=` is not a valid variable name"));
    }
    Ok(Reference {
        variable: variable.to_owned(),
        name: value::name(name)?,
    })
}

impl Run {
    pub(super) async fn run(self, shell: &mut Shell) -> Result<()> {
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
            // The command may run for days, longer than a session lasts.
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
        // The files stay open until the command has ended.
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

    /// The references for the environment and those for descriptors. A variable that is set twice is an error.
    fn references(&self) -> Result<(Vec<Reference>, Vec<Reference>)> {
        let mut environment = Vec::new();
        for path in &self.env_file {
            environment.extend(read_references(path)?);
        }
        environment.extend(self.env.iter().cloned());
        let mut variables = BTreeSet::new();
        for Reference { variable, .. } in environment.iter().chain(&self.fd) {
            if !variables.insert(variable) {
                let text = format!("`{variable}` is set twice; remove one of the references");
                return Err(Error::usage(text));
            }
        }
        Ok((environment, self.fd.clone()))
    }

    fn command(&self) -> Result<Command> {
        let (program, arguments) = self
            .command
            .split_first()
            .ok_or_else(|| Error::usage("give the command to run after `--`"))?;
        let mut command = Command::new(program);
        command.args(arguments);
        Ok(command)
    }
}

fn read_references(path: &Path) -> Result<Vec<Reference>> {
    let content = files::read_text(path, MAX_REFERENCES).map_err(Error::reading(path))?;
    let text = std::str::from_utf8(content.expose())
        .map_err(|_| Error::usage(format!("{} is not UTF-8", path.display())))?;
    let lines = text.lines().map(str::trim).zip(1..);
    let lines = lines.filter(|(line, _)| !line.is_empty() && !line.starts_with('#'));
    let parse = |(line, number): (&str, u32)| {
        let at = |error| Error::usage(format!("{}, line {number}: {error}", path.display()));
        reference(line).map_err(at)
    };
    lines.map(parse).collect()
}

fn set(command: &mut Command, reference: &Reference, value: &SecretBytes) -> Result<()> {
    if value.expose().contains(&0) {
        return Err(Error::usage(format!(
            "`{}` contains a zero byte, which an environment variable cannot hold: pass it with --fd",
            reference.name
        )));
    }
    command.env(&reference.variable, OsStr::from_bytes(value.expose()));
    Ok(())
}

/// A sealed, nameless file in memory. The command inherits the descriptor; no other process is started before it is
/// closed.
fn hand_over(value: &SecretBytes) -> Result<OwnedFd> {
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
    make().map_err(Error::io("passing a value on a file descriptor"))
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
            "{name}: not masked in the output, because the value is shorter than {} bytes or longer than {} KiB",
            mask::MIN_LEN,
            mask::MAX_LEN / 1024
        ));
    }
}
