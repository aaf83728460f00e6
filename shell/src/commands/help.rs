//! `help`

use clap::{Args, CommandFactory as _};

use crate::commands::Line;
use crate::error::Error;
use crate::shell::Shell;

/// List the commands, or explain one.
#[derive(Debug, Args)]
pub struct Help {
    /// The command to explain.
    command: Option<String>,
}

impl Help {
    /// Help on one command.
    pub(super) fn about(command: String) -> Self {
        Self {
            command: Some(command),
        }
    }

    pub(super) fn run(self, shell: &Shell) -> Result<(), Error> {
        let mut line = Line::command();
        let Some(name) = self.command else {
            let names = line.get_subcommands().map(|command| {
                let about = command.get_about().map(ToString::to_string);
                format!("  {:<10}{}", command.get_name(), about.unwrap_or_default())
            });
            let names: Vec<String> = names.collect();
            let text = format!("{}\n\n`help COMMAND` explains one.", names.join("\n"));
            return shell.out.line(&text);
        };
        let command = line.find_subcommand_mut(&name).ok_or_else(|| {
            Error::Usage(format!("there is no command `{name}`; `help` lists them"))
        })?;
        let text = command
            .clone()
            .bin_name(name)
            .render_long_help()
            .to_string();
        shell.out.line(text.trim_end())
    }
}
