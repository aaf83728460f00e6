//! Checks of the system: memory lock, core files, swap, clipboard, terminal.

use std::ffi::OsString;
use std::io::{self, IsTerminal as _};

use rustix::process::{DumpableBehavior, Resource, dumpable_behavior, getrlimit};

use super::Check;
use crate::clipboard;
use crate::context::Context;
use crate::output::terminal;
use crate::shell::Shell;

/// Locked memory that the long-lived keys need, with a reserve, in bytes.
const LOCKED: u64 = 64 * 1024;
/// The swap areas of Linux: a header, then one line per area.
const SWAPS: &str = "/proc/swaps";

/// All checks of the system.
pub(super) fn checks(shell: &Shell) -> Vec<Check> {
    let swaps = std::fs::read_to_string(SWAPS);
    vec![
        memory(getrlimit(Resource::Memlock).current),
        core_files(),
        swap(swaps.as_deref().ok()),
        copying(&shell.context),
        screen(),
    ]
}

fn memory(limit: Option<u64>) -> Check {
    match limit {
        None => Check::ok("memory lock", "no limit on memory that is kept out of swap"),
        Some(limit) if limit >= LOCKED => {
            let text = format!("{} KiB can be kept out of swap", limit / 1024);
            Check::ok("memory lock", text)
        }
        Some(limit) => {
            let text = format!(
                "only {} KiB can be kept out of swap: raise `ulimit -l` to {} (memlock in /etc/security/limits.conf)",
                limit / 1024,
                LOCKED / 1024
            );
            Check::warn("memory lock", text)
        }
    }
}

/// Checks that the process disabled core files and debuggers at its start.
fn core_files() -> Check {
    let none = getrlimit(Resource::Core).current == Some(0);
    let closed = matches!(dumpable_behavior(), Ok(DumpableBehavior::NotDumpable));
    if none && closed {
        return Check::ok("core files", "disabled, and no debugger can attach");
    }
    let text = "the system does not let keyshell disable core files and debuggers: a core file could contain keys";
    Check::fail("core files", text)
}

fn swap(swaps: Option<&str>) -> Check {
    let Some(swaps) = swaps else {
        return Check::warn(
            "swap",
            "unknown on this system; make sure that it is encrypted",
        );
    };
    let areas: Vec<&str> = swaps
        .lines()
        .skip(1)
        .filter_map(|line| line.split_whitespace().next())
        .collect();
    if areas.is_empty() {
        return Check::ok("swap", "none");
    }
    let text = format!(
        "shown values can be written to swap ({}) when memory is short: encrypt it, or use compressed memory (zram)",
        areas.join(", ")
    );
    Check::warn("swap", text)
}

fn copying(context: &Context) -> Check {
    let set = |name: &str| std::env::var_os(name).filter(|value: &OsString| !value.is_empty());
    if clipboard::has_display() {
        let kind = if set("WAYLAND_DISPLAY").is_some() {
            "Wayland"
        } else {
            "X11"
        };
        return match clipboard::try_display() {
            Ok(()) => Check::ok("clipboard", format!("the display's ({kind})")),
            Err(why) => {
                let text = format!(
                    "the clipboard of the display ({kind}) is not available ({why}), and `get --clip` fails; unset \
                    DISPLAY and WAYLAND_DISPLAY if there is no display"
                );
                Check::warn("clipboard", text)
            }
        };
    }
    let text = match (terminal::own(), context.profile.get().terminal_clipboard) {
        (Err(_), _) => "none, because there is neither a display nor a terminal",
        (Ok(_), Some(false)) => "none, because you declined the terminal's clipboard",
        (Ok(_), Some(true)) => "the terminal's (OSC 52), which cannot be checked",
        (Ok(_), None) => "the terminal's (OSC 52); the first use asks for permission",
    };
    Check::ok("clipboard", text)
}

fn screen() -> Check {
    if !io::stdin().is_terminal() {
        let text = "none, and keyshell cannot ask: give the password with --password-file or --password-command";
        return Check::ok("terminal", text);
    }
    let kind = std::env::var("TERM").unwrap_or_default();
    if matches!(&*kind, "" | "dumb") {
        let text = format!(
            "TERM is `{kind}`, which disables completion and colours: set it to the type of your terminal"
        );
        return Check::warn("terminal", text);
    }
    let size = terminal::size().map_or_else(
        || "output is redirected".to_owned(),
        |size| format!("{} columns, {} rows", size.columns, size.rows),
    );
    Check::ok("terminal", format!("{kind}, {size}"))
}

#[cfg(test)]
mod tests {
    use super::super::Status;
    use super::*;

    #[test]
    fn limits_and_swap_are_judged() {
        assert_eq!(memory(None).status, Status::Ok);
        assert_eq!(memory(Some(LOCKED)).status, Status::Ok);
        assert_eq!(memory(Some(LOCKED - 1)).status, Status::Warn);
        let header = "Filename\t\t\t\tType\t\tSize\n";
        assert_eq!(swap(Some(header)).status, Status::Ok);
        let with = format!("{header}/dev/sda2    partition  8388604  0  -2\n");
        let found = swap(Some(&with));
        assert_eq!(found.status, Status::Warn);
        assert!(found.message.contains("(/dev/sda2)"), "{found:?}");
        assert_eq!(swap(None).status, Status::Warn);
    }
}
