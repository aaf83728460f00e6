//! `man`

use std::path::PathBuf;

use clap::Args;
use serde_json::json;

use crate::error::{Error, Result};
use crate::shell::Shell;

/// Write the man pages of keyshell and of each command to a folder.
///
/// `man keyshell` finds the pages in `~/.local/share/man/man1`; in another folder, `man -l FILE` shows one.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  man ~/.local/share/man/man1\n  man pages")]
pub struct Man {
    /// The folder; it is created if missing, and pages of the same names are replaced.
    #[arg(value_name = "DIR")]
    folder: PathBuf,
}

impl Man {
    pub(super) fn run(self, shell: &Shell, program: clap::Command) -> Result<()> {
        let folder = self.folder.display().to_string();
        let failed = Error::io(format!("writing man pages to {folder}"));
        let count = pages(&program);
        std::fs::create_dir_all(&self.folder).map_err(&failed)?;
        clap_mangen::generate_to(program, &self.folder).map_err(&failed)?;
        let object = json!({"folder": folder, "pages": count});
        let done = format!("{count} pages written to {folder}");
        shell.context.out.done(&done, &object)
    }
}

/// The number of man pages for a command and its subcommands.
fn pages(command: &clap::Command) -> usize {
    1 + command.get_subcommands().map(pages).sum::<usize>()
}
