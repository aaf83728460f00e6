//! `help`

use clap::Args;
use serde_json::{Value, json};

use crate::command_names;
use crate::commands::format_list;
use crate::error::{Error, Result};
use crate::output::terminal;
use crate::shell::Shell;

/// List the commands, or explain one.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  help\n  help get\n  help recovery renew")]
pub struct Help {
    /// The command to explain; `formats` lists the formats of `import` and `export`.
    command: Option<String>,
    /// The subcommand to explain, such as `renew` of `recovery`.
    part: Option<String>,
}

impl Help {
    /// Help on one command.
    pub(super) fn about(command: String) -> Self {
        Self {
            command: Some(command),
            part: None,
        }
    }

    pub(super) fn run(self, shell: &Shell, unbuilt: clap::Command) -> Result<()> {
        let context = &shell.context;
        let mut line = unbuilt.clone();
        line.build();
        let Some(name) = self.command else {
            if context.out.is_json() {
                let commands: Vec<Value> = line.get_subcommands().map(named).collect();
                return context.out.object(&json!({"commands": commands}));
            }
            let width = terminal::width();
            return context.out.lines(&list(unbuilt, width));
        };
        if name == format_list::TOPIC {
            return format_list::show(context);
        }
        let mut command = line
            .find_subcommand_mut(&name)
            .ok_or_else(|| command_names::unknown(&name, &unbuilt))?;
        let mut name = name;
        if let Some(part) = self.part {
            let missing = || {
                Error::usage(format!(
                    "`{name}` has no subcommand `{part}`; `help {name}` shows the usage"
                ))
            };
            command = command.find_subcommand_mut(&part).ok_or_else(missing)?;
            name = format!("{name} {part}");
        }
        // The short layout of the options below the long text of the command.
        let about = command.get_long_about().or(command.get_about()).cloned();
        let text = command
            .clone()
            .bin_name(&name)
            .about(about.unwrap_or_default())
            .render_help()
            .to_string();
        if context.out.is_json() {
            let object = json!({"command": name, "help": text.trim_end()});
            return context.out.object(&object);
        }
        context.out.lines(text.trim_end())
    }
}

/// The commands, each with the first line of its help, wrapped at `width` columns.
fn list(unbuilt: clap::Command, width: Option<usize>) -> String {
    // Definitions that clap has built have a fixed width.
    let width = width.unwrap_or(usize::MAX);
    let text = unbuilt
        .term_width(width)
        .max_term_width(width)
        .help_template("{subcommands}")
        .render_help()
        .to_string();
    format!(
        "{}\n\n`help COMMAND` explains one command.",
        text.trim_end()
    )
}

fn named(command: &clap::Command) -> Value {
    let about = command.get_about().map(ToString::to_string);
    json!({"name": command.get_name(), "about": about.unwrap_or_default()})
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;
    use crate::commands::{self, Line};

    #[test]
    fn the_list_is_as_wide_as_the_terminal() {
        let names: Vec<String> = commands::definitions()
            .get_subcommands()
            .map(|command| format!("  {} ", command.get_name()))
            .collect();
        for width in [60, 80, 200] {
            let text = list(Line::command(), Some(width));
            assert!(text.lines().all(|line| line.len() <= width), "{text}");
            let starts = |name: &&String| text.lines().any(|line| line.starts_with(name.as_str()));
            assert_eq!(names.iter().filter(starts).count(), names.len(), "{text}");
            let goes_on = text.lines().any(|line| line.starts_with("          "));
            assert_eq!(goes_on, width < 200, "{text}");
        }
        // On a pipe each command is a line.
        assert_eq!(list(Line::command(), None).lines().count(), names.len() + 2);
    }
}
