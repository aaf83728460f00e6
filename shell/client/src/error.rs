//! The library's error: one line per error, which names no command of any program.

use std::fmt::Display;
use std::io;
use std::path::{Path, PathBuf};

use shared::aead::OpenError;
use shared::channel::ChannelError;
use shared::checkpoint::CheckpointError;
use shared::codec::CodecError;
use shared::wire::error::Refusal;

use crate::verification::VerificationError;

/// A result with [`enum@Error`], where no other error is named.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// An operation of the library failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// An error without a kind of its own.
    #[error("{0}")]
    Failed(String),
    /// An argument is not acceptable, or input is needed and cannot be asked for.
    #[error("{0}")]
    Usage(String),
    /// No secret has this name.
    #[error("no secret is named `{0}`")]
    NoSuchSecret(String),
    /// No secret has this name; one has the similar second name.
    #[error("no secret is named `{0}`; did you mean `{1}`?")]
    NoSuchSecretBut(String, String),
    /// No removed secret has this name.
    #[error("no removed secret is named `{0}`")]
    NoSuchSecretRemoved(String),
    /// The secret exists, the wanted version of it does not.
    #[error("{0}")]
    NoSuchVersion(String),
    /// Wrong password, or no such account: the server does not say which.
    #[error("login refused: wrong password, or no such account")]
    LoginRefused,
    /// Wrong password, no such account, or one whose device key this device does not have.
    #[error(
        "login refused: wrong password, or no such account; one with a device key needs that as well"
    )]
    LoginRefusedWithoutKey,
    /// Wrong password, wrong device key, no such account, or one that was recovered without its device key.
    #[error(
        "login refused: wrong password, wrong device key, or no such account; one that was recovered without its key has none"
    )]
    LoginRefusedWithKey,
    /// Wrong recovery code, or no such account.
    #[error(
        "recovery refused: wrong code (or a used one), or no such account; nothing was changed"
    )]
    RecoveryRefused,
    /// The local store does not open with this password.
    #[error("{0}")]
    WrongPassword(String),
    /// No connection to the server, or no answer in time.
    #[error("{0}")]
    Unreachable(String),
    /// The TLS key of the server is not trusted.
    #[error(transparent)]
    Untrusted(#[from] UntrustedServer),
    /// Something of this name exists already, or another device made a conflicting change.
    #[error("{0}")]
    Exists(String),
    /// An answer of the server fails verification.
    #[error(transparent)]
    Verification(#[from] VerificationError),
    /// Verification failed in an earlier operation, and has not succeeded since; the text is that error's.
    #[error("{0}")]
    Distrusted(String),
    /// As [`Self::Distrusted`]; the server failed while a state code was to be checked, and no login without a state code
    /// trusts it again.
    #[error("a state code was to be checked, and is not verified yet: {0}")]
    CodeNeeded(String),
    /// Throttled, or over a limit.
    #[error("{0}")]
    Limit(String),
    /// The agent of this profile did not do what it was asked for.
    #[error(transparent)]
    Agent(#[from] AgentError),
    /// This file should hold a device key, and does not.
    #[error("{} does not hold a device key", .0.display())]
    NoDeviceKey(PathBuf),
    /// This device has no local store of the account; a login makes it.
    #[error("there is no local store here yet")]
    NoLocalStore,
    /// The desktop's keyring does not give what this device keeps in it.
    #[error(transparent)]
    NotInKeyring(#[from] NotInKeyring),
    /// The operation needs a session that was just opened with password or recovery code.
    #[error(
        "this needs a session that was just opened with the password or the recovery code: do it again"
    )]
    NeedsPassword,
    /// Interrupted by the user (Ctrl-C).
    #[error("interrupted")]
    Interrupted,
    /// The session was closed, has expired, or is from before a restart of the server.
    #[error("the session has ended")]
    SessionEnded,
    /// An operation of several steps broke off.
    #[error("{error}; {state}")]
    Unfinished {
        /// Why it broke off.
        error: Box<Error>,
        /// The known effect of its steps.
        state: Unfinished,
    },
}

/// The known effect of an operation that broke off.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unfinished {
    /// A change was sent, its answer was lost.
    #[error("it is unknown whether the change was stored: check before you repeat it")]
    Change,
    /// The deletion of the account was sent, its answer was lost.
    #[error("it is unknown whether the account was deleted: if a login is refused, it was")]
    Deletion,
    /// A new account key is in use; not everything is re-encrypted under it yet.
    #[error("a new account key is in use, and the next replacement goes on with the re-encryption")]
    Reencryption,
}

/// The desktop's keyring does not give a secret that this device keeps in it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{secret} is in the keyring of this desktop, and {problem}")]
pub struct NotInKeyring {
    /// Which secret.
    pub secret: StoredSecret,
    /// The answer of the keyring.
    pub problem: KeyringProblem,
}

/// A secret that this device keeps in the desktop's keyring.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StoredSecret {
    /// The secret that the local store needs besides the password.
    #[error("the secret of the local store")]
    LocalStore,
    /// The device key of this account.
    #[error("the device key of `{0}`")]
    DeviceKey(String),
}

/// Why the keyring does not give a secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyringProblem {
    /// It cannot be asked, or is locked.
    #[error("{0}")]
    Unusable(String),
    /// It has no such item.
    #[error("not there any more")]
    Gone,
    /// Its item holds something else.
    #[error("something else is in its place")]
    Replaced,
}

/// A server whose TLS key is not trusted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UntrustedServer {
    /// It shows another key than the pinned one.
    #[error("{server} shows the key {shown}, not the pinned {pinned}")]
    OtherKey {
        /// Address of the server.
        server: String,
        /// The key shown, `sha256:` of the SubjectPublicKeyInfo.
        shown: String,
        /// The key pinned, in the same form.
        pinned: String,
    },
    /// Its certificate was trusted before, and is not now.
    #[error(
        "the certificate of {0} was trusted before, and is not now: the connection may be intercepted"
    )]
    CertificateChanged(String),
    /// The owner does not trust the key that it shows.
    #[error("{0} is not trusted; nothing was sent")]
    Declined(String),
    /// Its certificate is not valid for its name, or comes from no trusted authority.
    #[error("the certificate of {server} is not trusted ({reason}); its key is {shown}")]
    Certificate {
        /// Address of the server.
        server: String,
        /// The key shown, `sha256:` of the SubjectPublicKeyInfo.
        shown: String,
        /// Why the certificate is not trusted.
        reason: String,
    },
}

/// An agent did not do what it was asked for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AgentError {
    /// It speaks another version of the protocol.
    #[error("the agent is of another version")]
    OtherVersion,
    /// It answered another question.
    #[error("the agent answered another question")]
    UnexpectedAnswer,
    /// It locked itself before it answered.
    #[error("the agent has just locked itself")]
    Locked,
    /// It was unlocked for the use of values only, and does not reveal them.
    #[error("the agent was unlocked without permission to reveal values")]
    NoReveal,
    /// It failed with this exit status and text.
    #[error("{1}")]
    Failed(u8, String),
}

impl Error {
    /// An error without a kind of its own.
    pub fn failed(text: impl Display) -> Self {
        Self::Failed(text.to_string())
    }

    /// A failed call of the operating system, with the action that it belonged to.
    pub fn io(doing: impl Display) -> impl Fn(io::Error) -> Self {
        move |error| Self::Failed(format!("{doing}: {error}"))
    }

    /// A file that cannot be read.
    pub fn reading(path: &Path) -> impl Fn(io::Error) -> Self {
        Self::io(format!("reading {}", path.display()))
    }

    /// A file that cannot be written.
    pub fn writing(path: &Path) -> impl Fn(io::Error) -> Self {
        Self::io(format!("writing {}", path.display()))
    }

    /// Adds what is known of the effect of an operation that broke off with this error.
    #[must_use]
    pub fn unfinished(self, state: Unfinished) -> Self {
        let error = Box::new(self);
        Self::Unfinished { error, state }
    }

    /// The failed check, also where it broke off an operation of several steps.
    pub fn verification(&self) -> Option<&VerificationError> {
        match self {
            Self::Verification(error) => Some(error),
            Self::Unfinished { error, .. } => error.verification(),
            _ => None,
        }
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
            Refusal::NeedsPassword => Self::NeedsPassword,
            Refusal::Malformed
            | Refusal::Unsupported
            | Refusal::InviteRequired
            | Refusal::RegistrationClosed
            | Refusal::NoSuchPending
            | Refusal::OutOfOrder
            | Refusal::BadSignature
            | Refusal::BadEntry
            | Refusal::Internal => Self::Failed(text),
        }
    }
}

impl From<ChannelError> for Error {
    fn from(error: ChannelError) -> Self {
        Self::Verification(error.into())
    }
}

impl From<OpenError> for Error {
    fn from(error: OpenError) -> Self {
        Self::failed(error)
    }
}

impl From<CodecError> for Error {
    fn from(error: CodecError) -> Self {
        Self::Verification(error.into())
    }
}

impl From<CheckpointError> for Error {
    fn from(error: CheckpointError) -> Self {
        Self::Verification(error.into())
    }
}
