//! The prompt: account, server and state.

use keyshell_base::text::printable;
use unicode_width::UnicodeWidthStr as _;

use crate::output::table;
use crate::shell::Shell;

const RED: &str = "\x1b[1;31m";
const GREEN: &str = "\x1b[32m";
const YELLOW: &str = "\x1b[33m";
const RESET: &str = "\x1b[0m";
/// Maximum width of account and server, in columns each: half of a line of 80 remains for commands.
const WIDEST: usize = 20;

/// The keys in memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Keys {
    None,
    /// The key of the local store only.
    Local,
    All,
}

/// The state that the prompt shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct State {
    keys: Keys,
    offline: bool,
    distrusted: bool,
}

/// The prompt without and with colours.
pub fn prompt(shell: &mut Shell) -> (String, String) {
    let account = shell.context.known_account();
    let state = State {
        keys: match (shell.account.open_vault(), shell.account.is_unlocked()) {
            (Some(_), _) => Keys::All,
            (None, true) => Keys::Local,
            (None, false) => Keys::None,
        },
        offline: shell.context.is_offline,
        // The next command reports an error of reading.
        distrusted: account.is_some()
            && shell.account.distrusted().is_ok_and(|what| what.is_some()),
    };
    let server = shell.account.connector.label();
    line(account.as_deref(), server.as_deref(), state)
}

fn line(account: Option<&str>, server: Option<&str>, state: State) -> (String, String) {
    let short = |text: &str| table::cut(&printable(text), WIDEST);
    let mut text = short(account.unwrap_or("nobody"));
    if let Some(server) = server {
        text.push('@');
        text.push_str(&short(server));
    }
    let words = [
        (state.distrusted, "distrusted"),
        (state.offline, "offline"),
        (state.keys == Keys::None, "locked"),
        (state.keys == Keys::Local, "local only"),
    ];
    let words: Vec<&str> = words
        .iter()
        .filter(|(is, _)| *is)
        .map(|(_, w)| *w)
        .collect();
    if !words.is_empty() {
        text = format!("{text} ({})", words.join(", "));
    }
    text.push('>');
    let colour = if state.distrusted {
        RED
    } else if words.is_empty() {
        GREEN
    } else {
        YELLOW
    };
    let styled = format!("{colour}{text}{RESET} ");
    debug_assert!(text.width() < 80);
    text.push(' ');
    (text, styled)
}

#[cfg(test)]
mod tests {
    use super::*;

    const OPEN: State = State {
        keys: Keys::All,
        offline: false,
        distrusted: false,
    };

    #[test]
    fn the_state_is_seen_with_and_without_colours() {
        let (plain, styled) = line(Some("alice"), Some("keys.example.org"), OPEN);
        assert_eq!(plain, "alice@keys.example.org> ");
        assert_eq!(styled, format!("{GREEN}alice@keys.example.org>{RESET} "));
        let locked = State {
            keys: Keys::None,
            ..OPEN
        };
        assert_eq!(line(None, None, locked).0, "nobody (locked)> ");
        let all = State {
            distrusted: true,
            offline: true,
            keys: Keys::None,
        };
        let (plain, styled) = line(Some("a"), Some("s"), all);
        assert_eq!(plain, "a@s (distrusted, offline, locked)> ");
        assert!(styled.starts_with(RED));
    }

    #[test]
    fn it_stays_short_and_harmless() {
        let all = State {
            distrusted: true,
            offline: true,
            keys: Keys::None,
        };
        let (plain, _) = line(Some(&"x".repeat(200)), Some(&"漢".repeat(90)), all);
        assert!(plain.width() < 80, "{plain}");
        let (plain, _) = line(Some("a\u{1b}[2J"), None, OPEN);
        assert!(!plain.contains('\u{1b}'));
    }
}
