//! `help`

use clap::Args;
use serde_json::{Value, json};

use crate::commands::{self, format_list};
use crate::error::Error;
use crate::shell::Shell;

/// List the commands, or explain one.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  help\n  help get")]
pub struct Help {
    /// The command to explain; `formats` lists what `import` and `export` know.
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
        let mut line = commands::definitions();
        let Some(name) = self.command else {
            if shell.out.is_json() {
                let commands: Vec<Value> = line.get_subcommands().map(named).collect();
                return shell.out.object(&json!({"commands": commands}));
            }
            let names = line.get_subcommands().map(|command| {
                let about = command.get_about().map(ToString::to_string);
                format!("  {:<12}{}", command.get_name(), about.unwrap_or_default())
            });
            let names: Vec<String> = names.collect();
            let text = format!("{}\n\n`help COMMAND` explains one.", names.join("\n"));
            return shell.out.lines(&text);
        };
        if name == format_list::TOPIC {
            return format_list::show(shell);
        }
        let command = line
            .find_subcommand_mut(&name)
            .ok_or_else(|| commands::unknown(&name))?;
        // The whole text on top, and each option on as few lines as it needs.
        let about = command.get_long_about().or(command.get_about()).cloned();
        let text = command
            .clone()
            .bin_name(&name)
            .about(about.unwrap_or_default())
            .render_help()
            .to_string();
        if shell.out.is_json() {
            let object = json!({"command": name, "help": text.trim_end()});
            return shell.out.object(&object);
        }
        shell.out.lines(text.trim_end())
    }
}

fn named(command: &clap::Command) -> Value {
    let about = command.get_about().map(ToString::to_string);
    json!({"name": command.get_name(), "about": about.unwrap_or_default()})
}
