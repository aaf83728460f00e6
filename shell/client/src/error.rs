//! What can go wrong, in one line for the person who reads it.

use std::io;

use shared::channel::ChannelError;
use shared::codec::CodecError;
use shared::wire::error::Refusal;

/// What to do about it, where it was no lie.
pub(crate) const RESTORE: &str = " (after an honest restore from a backup: `help acknowledge`)";

/// An error of the client: one line, what happened and what to do next.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Failed for a reason that has no status of its own.
    #[error("{0}")]
    Failed(String),
    /// The command was not used as it should be, or an answer was needed and nobody can be asked.
    #[error("{0}")]
    Usage(String),
    /// The named secret does not exist.
    #[error("no secret is named `{0}`; `ls` shows what there is")]
    NoSuchSecret(String),
    /// The same, where one of nearly that name does.
    #[error("no secret is named `{0}`; did you mean `{1}`?")]
    NoSuchSecretBut(String, String),
    /// There is such a secret, but not in the version that was asked for.
    #[error("{0}")]
    NoSuchVersion(String),
    /// Wrong password, or no such account: the server does not say which.
    #[error("login refused: wrong password, or no such account")]
    LoginRefused,
    /// The same, with what else it may come from.
    #[error("login refused: {0}")]
    LoginRefusedBut(&'static str),
    /// Wrong recovery code, or no such account.
    #[error(
        "recovery refused: wrong code (or a used one), or no such account; nothing was changed"
    )]
    RecoveryRefused,
    /// The local store does not open with this password.
    #[error("{0}")]
    WrongPassword(String),
    /// The server was not reached.
    #[error("{0}")]
    Unreachable(String),
    /// A server answered whose key is not trusted.
    #[error("{0}")]
    Untrusted(String),
    /// Something of this name is there already, or another device was faster.
    #[error("{0}")]
    Exists(String),
    /// An answer of the server does not prove out.
    #[error(
        "VERIFICATION FAILED: {0}; the server lies or was tampered with, nothing more is read or written"
    )]
    Verification(String),
    /// The same, in a run before this one or a command before this one.
    #[error("{0} (`login` asks the server again)")]
    Distrusted(String),
    /// Throttled, or over a limit.
    #[error("{0}")]
    Limit(String),
    /// What the agent ended with: exit status and text.
    #[error("{1}")]
    Agent(u8, String),
    /// Ctrl-C.
    #[error("interrupted")]
    Interrupted,
    /// The session is gone: expired, closed, or from before a restart of the server.
    #[error("the session has ended: `login` starts a new one")]
    SessionEnded,
}

impl Error {
    /// A failure of the operating system, with what was being done.
    pub fn io(doing: &str, error: &io::Error) -> Self {
        Self::Failed(format!("{doing}: {error}"))
    }

    /// The same error with something more to say.
    #[must_use]
    pub fn with(self, more: &str) -> Self {
        let add = |text: String| format!("{text}; {more}");
        match self {
            Self::Unreachable(text) => Self::Unreachable(add(text)),
            Self::Exists(text) => Self::Exists(add(text)),
            Self::Verification(text) => Self::Verification(add(text)),
            Self::Limit(text) => Self::Limit(add(text)),
            Self::Untrusted(text) => Self::Untrusted(add(text)),
            refused @ (Self::LoginRefused
            | Self::LoginRefusedBut(_)
            | Self::WrongPassword(_)
            | Self::SessionEnded) => Self::WrongPassword(add(refused.to_string())),
            // Whoever pressed Ctrl-C knows.
            Self::Interrupted => Self::Interrupted,
            other => Self::Failed(add(other.to_string())),
        }
    }

    /// A check that did not hold.
    pub fn unproven(what: impl Into<String>) -> Self {
        Self::Verification(what.into())
    }
}

impl From<Refusal> for Error {
    fn from(refusal: Refusal) -> Self {
        let text = refusal.to_string();
        match refusal {
            Refusal::LoginRefused => Self::LoginRefused,
            Refusal::NoSession => Self::SessionEnded,
            Refusal::Exists | Refusal::Conflict(_) => Self::Exists(text),
            Refusal::Throttled(_)
            | Refusal::TooLarge
            | Refusal::Busy
            | Refusal::DiskFull
            | Refusal::Quota => Self::Limit(text),
            Refusal::Unavailable => Self::Unreachable(text),
            Refusal::Malformed
            | Refusal::Unsupported
            | Refusal::InviteRequired
            | Refusal::RegistrationClosed
            | Refusal::NoSuchPending
            | Refusal::NeedsPassword
            | Refusal::OutOfOrder
            | Refusal::BadEntry
            | Refusal::Internal => Self::Failed(text),
        }
    }
}

impl From<ChannelError> for Error {
    fn from(error: ChannelError) -> Self {
        Self::unproven(format!("sealed channel: {error}"))
    }
}

impl From<CodecError> for Error {
    fn from(error: CodecError) -> Self {
        Self::unproven(format!("the server's answer is malformed: {error}"))
    }
}
