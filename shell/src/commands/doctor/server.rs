//! Checks of the server: that it answers, that it is the account's server, and that the clocks agree.

use jiff::{SignedDuration, Timestamp};
use keyshell_client::account::{Connect as _, Connected};
use keyshell_client::device::pins::ServerPins;
use keyshell_client::transport::tls::Trust;

use super::Check;
use crate::shell::Shell;

/// Largest difference of the clocks at which the times of records and the codes of `totp` are usable.
const MAX_SKEW: SignedDuration = SignedDuration::from_secs(120);

/// All checks that contact the server.
pub(super) async fn checks(shell: &mut Shell) -> Vec<Check> {
    if shell.context.options().embedded {
        return vec![Check::ok(
            "server",
            "private server of this shell; not started for the check",
        )];
    }
    let is_named = shell.account.connector.server_name().is_some();
    let examined = match shell.account.connector.examine().await {
        Ok(examined) => examined,
        // A missing server name is no failure before the first setup.
        Err(error) if !is_named => return vec![Check::warn("server", error.to_string())],
        Err(error) => {
            let unknown = Check::warn("clock", "not compared: the server did not answer");
            return vec![Check::fail("server", error.to_string()), unknown];
        }
    };
    vec![identity(shell, &examined), clock(&examined)]
}

/// Checks the server's identity against the pins, because the TLS key alone does not prove that the account is on it.
fn identity(shell: &mut Shell, examined: &Connected) -> Check {
    let account = shell.known_account().ok().flatten();
    let pins = account.and_then(|account| shell.account.device.pins_file(&account).load().ok()?);
    if pins.is_some_and(|pins| pins.server != ServerPins::from(&examined.hello)) {
        let text = "the server answers, but is not the one that this account is on: check the address before you run \
        `login`";
        return Check::fail("server", text);
    }
    let how = match &examined.trust {
        Trust::Pin(_) => "its pinned key",
        Trust::CaFile(_) => "a certificate of your CA file",
        Trust::System => "a certificate of the system's authorities",
    };
    let text = format!(
        "{} answers with TLS 1.3, {how} and protocol {}",
        examined.api.endpoint(),
        examined.hello.protocol
    );
    Check::ok("server", text)
}

fn clock(examined: &Connected) -> Check {
    let theirs = examined
        .api
        .date()
        .and_then(|date| jiff::fmt::rfc2822::parse(date).ok());
    match theirs {
        Some(theirs) => compare(Timestamp::now(), theirs.timestamp()),
        None => Check::warn("clock", "not compared: the server did not say its time"),
    }
}

fn compare(ours: Timestamp, theirs: Timestamp) -> Check {
    let skew = ours.duration_since(theirs);
    if skew.abs() <= MAX_SKEW {
        let text = format!("differs from the server's by {} s", skew.abs().as_secs());
        return Check::ok("clock", text);
    }
    let direction = if skew.is_positive() {
        "ahead of"
    } else {
        "behind"
    };
    let text = format!(
        "{:#} {direction} the server's: correct the wrong clock (`timedatectl set-ntp true`); a wrong clock makes \
        codes of `totp` wrong, and `audit` shows the server's times",
        SignedDuration::from_secs(skew.abs().as_secs())
    );
    Check::warn("clock", text)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::super::Status;
    use super::*;

    #[test]
    fn two_minutes_are_let_through_and_more_is_not() {
        let at = |seconds: i64| Timestamp::from_second(1_800_000_000 + seconds).unwrap();
        for (skew, status) in [(0, Status::Ok), (120, Status::Ok), (-120, Status::Ok)] {
            assert_eq!(compare(at(skew), at(0)).status, status, "{skew}");
        }
        let ahead = compare(at(121), at(0));
        assert_eq!(ahead.status, Status::Warn);
        assert!(ahead.message.starts_with("2m 1s ahead of"), "{ahead:?}");
        let behind = compare(at(0), at(86_400));
        assert!(behind.message.contains(" behind "), "{behind:?}");
    }

    #[test]
    fn dates_of_http_can_be_read() {
        let read = jiff::fmt::rfc2822::parse("Wed, 25 Nov 2026 01:52:52 GMT").unwrap();
        assert_eq!(read.timestamp().to_string(), "2026-11-25T01:52:52Z");
    }
}
