//! Refusals: a code for programs, with the data that a person needs to act. No free text crosses the wire.

use serde::{Deserialize, Serialize};

use crate::vault_log::Head;

/// Why the server did not carry out a request: an HTTP body before login, part of the sealed answer in a session.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "snake_case")]
pub enum Refusal {
    /// The bytes are no message, or none for this state. HTTP 400.
    #[error("the server did not understand the request")]
    Malformed,
    /// The server does not support the suite or protocol version. HTTP 400.
    #[error("the server does not support this protocol version or suite; update it")]
    Unsupported,
    /// An account of this name exists. HTTP 409.
    #[error("an account of this name exists already")]
    Exists,
    /// Registration needs a valid invite. HTTP 403.
    #[error("this server asks for an invite code: `register --invite CODE`")]
    InviteRequired,
    /// Registration is closed. HTTP 403.
    #[error("this server accepts no new accounts")]
    RegistrationClosed,
    /// The pending registration is unknown, or was started more than a minute ago. HTTP 410.
    #[error("the registration took too long; start again")]
    NoSuchPending,
    /// The proof is wrong, or the pending login is unknown or was started more than a minute ago. HTTP 401.
    #[error("login refused")]
    LoginRefused,
    /// The session is unknown: closed, expired, ended by another session, or lost in a restart. HTTP 401.
    #[error("the session has ended")]
    NoSession,
    /// The operation needs a session that was opened with password or recovery code, for most operations within the
    /// last five minutes. HTTP 403.
    #[error(
        "this needs a session that was just opened with the password or the recovery code: do it again"
    )]
    NeedsPassword,
    /// The sealed message is not the next one of its session. HTTP 409.
    #[error("the server refused a message out of order")]
    OutOfOrder,
    /// The request is still being carried out: send the same bytes again. HTTP 425.
    #[error("the server is still working on the request")]
    Busy,
    /// Over a rate limit; wait this many milliseconds. HTTP 429.
    #[error("too many tries: wait {}", seconds(.0.div_ceil(1000)))]
    Throttled(u64),
    /// Over a limit that does not change with time. HTTP 413.
    #[error("over a limit of the server")]
    TooLarge,
    /// Another device was faster; carries the current head. Sync, then retry. HTTP 409.
    #[error("another device changed the vault meanwhile")]
    Conflict(Head),
    /// An entry has a wrong signature, contradicts the log, or does not match its value. HTTP 400.
    #[error("the server refused the log entry")]
    BadEntry,
    /// The signature of a request, or the authorisation of the device's key, does not verify: nothing was carried out
    /// and nothing recorded. HTTP 400.
    #[error("the server refused the signature of a request")]
    BadSignature,
    /// The disk is nearly full: the server answers reads only. HTTP 507.
    #[error("the server's disk is nearly full; nothing was written")]
    DiskFull,
    /// The account is over its quota. HTTP 507.
    #[error("the account is over its quota; nothing was written")]
    Quota,
    /// The server failed; its log says why. HTTP 500.
    #[error("the server failed; its log says why")]
    Internal,
    /// The server is about to stop. HTTP 503.
    #[error("the server is shutting down")]
    Unavailable,
}

fn seconds(count: u64) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} second{plural}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_is_in_whole_seconds() {
        let said = |ms| Refusal::Throttled(ms).to_string();
        assert_eq!(said(900), "too many tries: wait 1 second");
        assert_eq!(said(1001), "too many tries: wait 2 seconds");
    }
}
