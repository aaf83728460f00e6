//! Lines and short texts that people type.

use keyshell::commands;
use keyshell::generate::Charset;
use keyshell::time;
use keyshell_base::names::SecretName;
use keyshell_base::text::printable;
use keyshell_client::device::home::Home;
use keyshell_client::keys::anchor::{Anchor, ON_SHEET};
use keyshell_client::keys::password::Password;
use keyshell_client::keys::recovery::RecoveryCode;
use keyshell_client::transport::http::Endpoint;
use keyshell_client::transport::tls::Pin;
use shared::ids::Digest;
use shared::names::AccountName;
use unicode_normalization::is_nfc;

use crate::cursor::Cursor;
use crate::world::folder;

/// A line that is accepted has its quotes closed, and means the same with its words quoted anew.
pub(crate) fn repl_line(data: &[u8]) {
    let Ok(line) = std::str::from_utf8(data) else {
        return;
    };
    let parsed = match commands::parse(line) {
        Ok(Some(parsed)) => parsed,
        Ok(None) => return,
        Err(error) => {
            assert_eq!(error.status(), 2);
            return;
        }
    };
    let line = line.trim();
    assert!(
        is_closed(line),
        "a quote is open, and yet there is a command"
    );
    let words = commands::words(line).unwrap();
    let words = words.iter().map(|word| word.to_str().unwrap());
    if let Ok(quoted) = shlex::try_join(words) {
        let again = commands::parse(&quoted).unwrap().unwrap();
        assert_eq!(format!("{again:?}"), format!("{parsed:?}"));
    }
}

/// Whether all quotes of a line are closed, by the rules of POSIX shells.
fn is_closed(line: &str) -> bool {
    let mut open = None;
    let mut in_word = false;
    let mut characters = line.chars();
    while let Some(c) = characters.next() {
        match (open, c) {
            (None, '#') if !in_word => {
                if !characters.any(|c| c == '\n') {
                    return true;
                }
            }
            (None, ' ' | '\t' | '\n') => in_word = false,
            (None | Some('"'), '\\') => {
                in_word = true;
                if characters.next().is_none() {
                    return false;
                }
            }
            (None, '\'' | '"') => (open, in_word) = (Some(c), true),
            (None, _) => in_word = true,
            (Some(quote), c) if quote == c => open = None,
            (Some(_), _) => {}
        }
    }
    open.is_none()
}

/// What is accepted is in its normal form, and that form is accepted as itself.
pub(crate) fn small_text(data: &[u8]) {
    let mut script = Cursor::new(data);
    let kind = script.choice(12);
    let Ok(text) = std::str::from_utf8(script.rest()) else {
        return;
    };
    match kind {
        0 => {
            if let Ok(pin) = Pin::parse(text) {
                assert_eq!(pin.to_string(), text.trim());
            }
        }
        1 => {
            if let Ok(endpoint) = Endpoint::parse(text) {
                let shown = endpoint.to_string();
                assert!(shown.starts_with("https://") && !shown.contains('@'));
                assert_eq!(Endpoint::parse(&shown).unwrap(), endpoint);
            }
        }
        2 => {
            if let Ok(name) = AccountName::parse(text) {
                let name = name.as_str();
                assert!((1..=64).contains(&name.len()) && is_nfc(name));
                assert_eq!(AccountName::parse(name).unwrap().as_str(), name);
            }
        }
        3 => {
            if let Ok(name) = SecretName::parse(text) {
                let name = name.as_str();
                assert!((1..=255).contains(&name.len()) && is_nfc(name));
                assert_eq!(SecretName::parse(name).unwrap().as_str(), name);
            }
        }
        4 => recovery_code(text),
        5 => {
            if let Ok(ms) = time::parse(text) {
                let _ = time::local(ms);
            }
        }
        6 => {
            if let Ok(set) = text.parse::<Charset>() {
                let characters = set.characters();
                assert!(characters.len() >= 2 && characters.is_sorted());
                assert!(!characters.iter().any(|c| c.is_control()));
            }
        }
        7 => profile_name(text),
        8 => {
            if let Some(digest) = Digest::from_hex(text) {
                assert_eq!(digest.to_string(), text);
            }
        }
        9 => {
            if let Ok(password) = Password::parse(text) {
                let normal = std::str::from_utf8(password.as_secret().expose()).unwrap();
                assert!((1..=1024).contains(&normal.len()) && is_nfc(normal));
                assert_eq!(Password::parse(normal).unwrap(), password);
            }
        }
        10 => {
            let shown = printable(text);
            assert!(
                !shown
                    .chars()
                    .any(|c| c.is_control() && c != '\n' && c != '\t')
            );
            assert_eq!(printable(&shown), shown);
        }
        _ => state_code(text),
    }
}

fn state_code(text: &str) {
    if let Ok(Some(anchor)) = Anchor::from_sheet(text) {
        let line = format!("{ON_SHEET} {}", anchor.text());
        assert_eq!(Anchor::from_sheet(&line).unwrap(), Some(anchor));
    }
    let Ok(anchor) = Anchor::parse(text) else {
        return;
    };
    let shown = anchor.text();
    assert_eq!(Anchor::parse(&shown).unwrap(), anchor);
    // A check group that is not the code's own is always noticed.
    let mut typed = shown.clone();
    let last = typed.pop().unwrap();
    typed.push(if last == 'A' { 'B' } else { 'A' });
    assert!(Anchor::parse(&typed).is_err());
}

fn recovery_code(text: &str) {
    let Ok(code) = RecoveryCode::parse(text) else {
        return;
    };
    let shown = code.text();
    assert_eq!(RecoveryCode::parse(&shown).unwrap(), code);
    // A check group that is not the code's own is always noticed.
    for place in 40..44 {
        let mut typed = shown.to_string();
        let other = if &typed[place..=place] == "A" {
            "B"
        } else {
            "A"
        };
        typed.replace_range(place..=place, other);
        assert!(RecoveryCode::parse(&typed).is_err());
    }
}

/// A profile's name never leads out of the folder.
fn profile_name(text: &str) {
    let Ok(home) = Home::new(text, Some(&folder())) else {
        return;
    };
    let account = AccountName::parse("account").unwrap();
    let path = home.local_store(&account);
    let inside = path.strip_prefix(folder().join("data")).unwrap();
    assert_eq!(inside.components().count(), 2);
    assert_eq!(inside.parent().unwrap().to_str(), Some(home.profile()));
}
