//! Checks of this device's data: folders and files, profile, pins.

use std::fs::Metadata;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use keyshell_base::files;
use shared::names::AccountName;

use super::Check;
use crate::context::Context;
use crate::error::Error;
use crate::line::words::argument;
use crate::shell::Shell;

/// Permission bits of group and others.
const OTHERS: u32 = 0o077;
/// Write permission bits of group and others, which let another user change the pins.
const OTHERS_WRITE: u32 = 0o022;

/// All checks of this device's own files.
pub(super) fn checks(shell: &mut Shell) -> Vec<Check> {
    let home = shell.context.home.clone();
    let folders = home.folders();
    let mut checks = vec![
        modes(&folders),
        unfinished(&folders),
        profile(&shell.context),
    ];
    match shell.known_account().ok().flatten() {
        Some(account) => checks.extend([pins(shell, &account), trust(&shell.context, &account)]),
        None => checks.push(Check::warn(
            "account",
            "none is set: give --account NAME, or create one with `register`",
        )),
    }
    checks
}

/// Checks that only the owner can read and change the files in the profile's folders.
fn modes(folders: &[&Path]) -> Check {
    let mut found: Vec<(PathBuf, Metadata)> = Vec::new();
    for folder in folders {
        if let Err(error) = collect(folder, &mut found) {
            let text = format!("{} cannot be read ({error})", folder.display());
            return Check::fail("files", text);
        }
    }
    let own = rustix::process::geteuid().as_raw();
    if let Some((path, _)) = found.iter().find(|(_, found)| found.uid() != own) {
        let text = format!(
            "{} belongs to another user: run `chown` on it",
            path.display()
        );
        return Check::fail("files", text);
    }
    let with = |others: u32| found.iter().find(|(_, found)| found.mode() & others != 0);
    if let Some((path, metadata)) = with(OTHERS_WRITE) {
        return Check::fail("files", open_to("be changed by others", path, metadata));
    }
    if let Some((path, metadata)) = with(OTHERS) {
        return Check::warn("files", open_to("be read by others", path, metadata));
    }
    let text = format!(
        "{} files and folders, accessible to their owner only",
        found.len()
    );
    Check::ok("files", text)
}

fn open_to(what: &str, path: &Path, found: &Metadata) -> String {
    let mode = found.mode() & 0o777;
    let path = path.display().to_string();
    let named = argument(&path);
    format!("{path} can {what} (mode {mode:04o}): `chmod go= {named}`")
}

/// Adds a folder and the files in it; a missing folder adds nothing.
fn collect(folder: &Path, found: &mut Vec<(PathBuf, Metadata)>) -> io::Result<()> {
    let metadata = match folder.symlink_metadata() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        metadata => metadata?,
    };
    found.push((folder.to_owned(), metadata));
    for entry in folder.read_dir()? {
        let entry = entry?;
        let metadata = entry.metadata()?;
        if !metadata.is_symlink() {
            found.push((entry.path(), metadata));
        }
    }
    Ok(())
}

fn unfinished(folders: &[&Path]) -> Check {
    let left = folders.iter().find_map(|folder| {
        let count = files::count_abandoned(folder);
        (count > 0).then_some((folder, count))
    });
    match left {
        None => Check::ok("unfinished", "no files left by killed runs"),
        Some((folder, count)) => {
            let folder = folder.display().to_string();
            let named = argument(&folder);
            let text = format!(
                "killed runs left {count} files in {folder}: the next run that writes there removes them, or run `rm {named}/{}*`",
                files::UNFINISHED
            );
            Check::warn("unfinished", text)
        }
    }
}

fn profile(context: &Context) -> Check {
    let name = context.home.profile();
    match context.home.load_profile() {
        Ok(_) => Check::ok("profile", format!("`{name}` can be read")),
        Err(error) => {
            let text = format!(
                "{error}; repair the file, or remove it and run `login` with --server and --account"
            );
            Check::fail("profile", text)
        }
    }
}

fn pins(shell: &Shell, account: &AccountName) -> Check {
    match shell.account.device.pins_file(account).load() {
        Ok(Some(pins)) => {
            let text = format!(
                "for `{account}`, up to entry {} of its vault log",
                pins.head.seq
            );
            Check::ok("pins", text)
        }
        Ok(None) => {
            let text = format!(
                "this device has no state of `{account}` yet: run `login`, or create the account with `register`"
            );
            Check::warn("pins", text)
        }
        Err(error) => Check::fail("pins", error.to_string()),
    }
}

fn trust(context: &Context, account: &AccountName) -> Check {
    match context.home.distrust(account) {
        Ok(None) => Check::ok("trust", "no answer of the server failed verification"),
        Ok(Some(distrust)) => {
            let error = Error::from(distrust);
            let text = format!("{error}; docs/threat-model.md explains the error");
            Check::fail("trust", text)
        }
        Err(error) => Check::fail("trust", error.to_string()),
    }
}
