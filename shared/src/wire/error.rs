//! Refusals: a code for programs and what a person needs to act; never free text from one side shown by the other.

use serde::{Deserialize, Serialize};

use crate::vault_log::Head;

/// Why the server did not do what was asked. As an HTTP body outside sessions, inside the sealed answer within one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "snake_case")]
pub enum Refusal {
    /// The bytes are no message, or not one for this state. HTTP 400.
    #[error("the server did not understand the request")]
    Malformed,
    /// The suite or protocol version is not spoken here. HTTP 400.
    #[error("the server does not support this protocol version or suite; update it")]
    Unsupported,
    /// The account exists. HTTP 409.
    #[error("an account of this name exists already")]
    Exists,
    /// Registration needs a valid invite. HTTP 403.
    #[error("this server asks for an invite code: `register --invite CODE`")]
    InviteRequired,
    /// Registration is closed. HTTP 403.
    #[error("this server accepts no new accounts")]
    RegistrationClosed,
    /// The pending registration is unknown or too old. HTTP 410.
    #[error("the registration took too long; start again")]
    NoSuchPending,
    /// Wrong proof, or a pending login that is unknown or too old. HTTP 401.
    #[error("login refused")]
    LoginRefused,
    /// The session is unknown: closed, expired, or from before a restart. HTTP 401.
    #[error("the session has ended")]
    NoSession,
    /// Credentials and the account itself are changed only in sessions that were opened with password or recovery code,
    /// and most of it only right after. HTTP 403.
    #[error(
        "this needs a session that was just opened with the password or the recovery code: do it again"
    )]
    NeedsPassword,
    /// The sealed message is not this session's next one. HTTP 409.
    #[error("the server refused a message out of order")]
    OutOfOrder,
    /// The same request is still being worked on: send it again. HTTP 425.
    #[error("the server is still working on the request")]
    Busy,
    /// Too many tries or too much at once; wait so many milliseconds. HTTP 429.
    #[error("too many tries: wait {} seconds", .0.div_ceil(1000))]
    Throttled(u64),
    /// Over a limit that waiting does not change. HTTP 413.
    #[error("over a limit of the server")]
    TooLarge,
    /// Another device was faster: here is the head now. Sync, then try again.
    #[error("another device changed the vault meanwhile")]
    Conflict(Head),
    /// An entry has a wrong signature, contradicts the log, or its value does not match.
    #[error("the server refused the log entry")]
    BadEntry,
    /// No room for writes; reads go on. HTTP 507.
    #[error("the server's disk is nearly full; nothing was written")]
    DiskFull,
    /// The account holds as much as it may. HTTP 507.
    #[error("the account is over its quota; nothing was written")]
    Quota,
    /// The server failed; its log says why. HTTP 500.
    #[error("the server failed; its log says why")]
    Internal,
    /// The server is about to stop. HTTP 503.
    #[error("the server is shutting down")]
    Unavailable,
}
