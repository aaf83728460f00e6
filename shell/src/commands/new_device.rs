//! The commands that a device without a profile runs for an account.

use keyshell_client::account::{Connect as _, Connected};
use keyshell_client::transport::tls::Trust;
use shared::names::AccountName;

use crate::line::words::argument;
use crate::shell::Shell;

/// Server, pin and account, which a new device has to be told.
#[derive(Debug)]
pub struct NewDevice {
    /// The server's address; `None` for the private server of `--embedded`.
    pub server: Option<String>,
    /// The server's TLS key, where it is pinned.
    pub pin: Option<String>,
    /// The account.
    pub account: AccountName,
}

impl NewDevice {
    /// What a new device needs to find an account that this one reaches by `connected`.
    pub fn new(shell: &Shell, connected: &Connected, account: &AccountName) -> Self {
        let is_embedded = shell.context.options().embedded;
        let pin = match &connected.trust {
            Trust::Pin(pin) if !is_embedded => Some(pin.to_string()),
            Trust::Pin(_) | Trust::CaFile(_) | Trust::System => None,
        };
        let server = shell.account.connector.server_name();
        Self {
            server: server.filter(|_| !is_embedded),
            pin,
            account: account.clone(),
        }
    }

    /// A shell command that runs `line`, which holds no quote; its lines are joined by `join`.
    pub fn command(&self, line: &str, join: &str) -> String {
        let account = argument(self.account.as_str());
        let mut command = match &self.server {
            Some(server) => format!("keyshell --account {account} --server {}", argument(server)),
            None => format!("keyshell --account {account} --embedded"),
        };
        if let Some(pin) = &self.pin {
            command.push_str(join);
            command.push_str("--pin ");
            command.push_str(pin);
        }
        command.push_str(join);
        command.push_str("-c ");
        command.push_str(&argument(line));
        command
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn commands_name_server_pin_and_account() {
        let mut new = NewDevice {
            server: Some("https://host:7700".into()),
            pin: Some("sha256:aGVsbG8=".into()),
            account: AccountName::parse("o'neil").unwrap(),
        };
        for join in [" ", " \\\n  "] {
            // A shell joins such lines before it splits words.
            let command = new.command("login --expect A-B", join).replace("\\\n", "");
            let words = shlex::split(&command).unwrap();
            let expected = [
                "keyshell",
                "--account",
                "o'neil",
                "--server",
                "https://host:7700",
                "--pin",
                "sha256:aGVsbG8=",
                "-c",
                "login --expect A-B",
            ];
            assert_eq!(words, expected);
        }
        new.pin = None;
        assert!(!new.command("recover", " ").contains("--pin"));
        new.server = None;
        assert!(new.command("recover", " ").contains("--embedded"));
    }
}
