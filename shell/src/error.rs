//! Errors of commands: one line for the user each, with the exit status.

use std::io;

use keyshell_base::names::SecretName;
use keyshell_client::error::{
    AgentError, KeyringProblem, NotInKeyring, StoredSecret, Unfinished, UntrustedServer,
};
use keyshell_client::verification::VerificationError;

/// An error of a command; its text says what happened and what to do next.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// A failure that has no exit status of its own.
    #[error("{0}")]
    Failed(String),
    /// Wrong arguments, or input is needed and the run is not interactive.
    #[error("{0}")]
    Usage(String),
    /// No secret has this name.
    #[error("no secret is named `{0}`; `ls` lists the names")]
    NoSuchSecret(String),
    /// No secret has the first name; the second is the existing name that is most similar to it.
    #[error("no secret is named `{0}`; did you mean `{1}`?")]
    NoSuchSecretBut(String, String),
    /// The secret (first) has no field of this name (second); the third text lists its fields.
    #[error("`{0}` has no field `{1}`: {2}")]
    NoSuchField(String, String, String),
    /// The secret exists, but not the requested version.
    #[error("{0}")]
    NoSuchVersion(String),
    /// Wrong password, or no such account; the server does not distinguish them.
    #[error("login refused: wrong password, or no such account")]
    LoginRefused,
    /// A refused login, with the possible reasons.
    #[error("login refused: {0}")]
    LoginRefusedBut(&'static str),
    /// Wrong recovery code, or no such account.
    #[error(
        "recovery refused: wrong code (or a used one), or no such account; nothing was changed"
    )]
    RecoveryRefused,
    /// The local store cannot be decrypted with this password.
    #[error("{0}")]
    WrongPassword(String),
    /// The server cannot be reached, or does not answer.
    #[error("{0}")]
    Unreachable(String),
    /// The TLS key of the server is not trusted.
    #[error("{0}")]
    Untrusted(String),
    /// The name is taken, or another device has changed the vault meanwhile.
    #[error("{0}")]
    Exists(String),
    /// An answer of the server failed to verify.
    #[error(
        "VERIFICATION FAILED: {0}; the server is faulty or compromised; nothing more is read or written"
    )]
    Verification(String),
    /// An earlier command or run failed to verify an answer.
    #[error("{0} (`login` asks the server again)")]
    Distrusted(String),
    /// Rate limited, or over a quota or size limit.
    #[error("{0}")]
    Limit(String),
    /// Done, but some content was left out.
    #[error("{0}")]
    Partial(String),
    /// The command that `run` started ended with this status.
    #[error("the command ended with status {0}")]
    Ended(u8),
    /// The command of `run` could not be started; the status is the one that shells use (126 or 127).
    #[error("{0}")]
    NotStarted(String, u8),
    /// An error that the agent reported: exit status and text.
    #[error("{1}")]
    Agent(u8, String),
    /// Ctrl-C.
    #[error("interrupted")]
    Interrupted,
    /// The session has expired or was closed, or the server was restarted.
    #[error("the session has ended: `login` starts a new one")]
    SessionEnded,
}

impl Error {
    /// The exit status; [`crate::options::STATUSES`] lists them.
    pub fn status(&self) -> u8 {
        match self {
            Self::Failed(_) => 1,
            Self::Usage(_) => 2,
            Self::NoSuchSecret(_)
            | Self::NoSuchSecretBut(..)
            | Self::NoSuchField(..)
            | Self::NoSuchVersion(_) => 3,
            Self::LoginRefused
            | Self::LoginRefusedBut(_)
            | Self::RecoveryRefused
            | Self::WrongPassword(_)
            | Self::SessionEnded => 4,
            Self::Unreachable(_) | Self::Untrusted(_) => 5,
            Self::Exists(_) => 6,
            Self::Verification(_) | Self::Distrusted(_) => 7,
            Self::Limit(_) => 8,
            Self::Partial(_) => 9,
            Self::Ended(status) | Self::NotStarted(_, status) | Self::Agent(status, _) => *status,
            Self::Interrupted => 130,
        }
    }

    /// The value of `error.kind` in JSON output.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Failed(_) => "failed",
            Self::Usage(_) => "usage",
            Self::NoSuchSecret(_)
            | Self::NoSuchSecretBut(..)
            | Self::NoSuchField(..)
            | Self::NoSuchVersion(_) => "no_such_secret",
            Self::LoginRefused | Self::LoginRefusedBut(_) | Self::RecoveryRefused => {
                "login_refused"
            }
            Self::WrongPassword(_) => "wrong_password",
            Self::SessionEnded => "session_ended",
            Self::Unreachable(_) => "unreachable",
            Self::Untrusted(_) => "untrusted",
            Self::Exists(_) => "exists",
            Self::Verification(_) | Self::Distrusted(_) => "verification",
            Self::Limit(_) => "limit",
            Self::Partial(_) => "partial",
            Self::Ended(_) => "ended",
            Self::NotStarted(..) => "not_started",
            Self::Agent(..) => "agent",
            Self::Interrupted => "interrupted",
        }
    }

    /// An error of the operating system during `doing`.
    pub fn io(doing: &str, error: &io::Error) -> Self {
        Self::Failed(format!("{doing}: {error}"))
    }

    /// The error for names that no secrets have.
    pub fn no_such_secrets(names: &[SecretName]) -> Self {
        let names: Vec<&str> = names.iter().map(SecretName::as_str).collect();
        Self::NoSuchSecret(names.join("`, `"))
    }

    /// The error with a hint added to its text.
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
            // The user pressed Ctrl-C and needs no hint.
            Self::Interrupted => Self::Interrupted,
            other => Self::Failed(add(other.to_string())),
        }
    }

    /// The error for a check that failed.
    pub fn unproven(what: impl Into<String>) -> Self {
        Self::Verification(what.into())
    }
}

impl From<keyshell_client::error::Error> for Error {
    fn from(error: keyshell_client::error::Error) -> Self {
        use keyshell_client::error::Error as Client;
        match error {
            Client::Failed(text) => Self::Failed(text),
            Client::Usage(text) => Self::Usage(text),
            Client::NoSuchSecret(name) => Self::NoSuchSecret(name),
            Client::NoSuchSecretBut(name, near) => Self::NoSuchSecretBut(name, near),
            Client::NoSuchVersion(text) => Self::NoSuchVersion(text),
            Client::LoginRefused => Self::LoginRefused,
            Client::LoginRefusedWithoutKey => Self::LoginRefusedBut(
                "wrong password, or no such account; an account that was registered --with-key needs `login --with-key` on a new device",
            ),
            Client::LoginRefusedWithKey => Self::LoginRefusedBut(
                "wrong password, wrong device key, or no such account; an account that was recovered without its key needs \
                 `login --without-key`",
            ),
            Client::RecoveryRefused => Self::RecoveryRefused,
            Client::WrongPassword(text) => Self::WrongPassword(text),
            Client::Unreachable(text) => Self::Unreachable(text),
            Client::Untrusted(untrusted) => Self::Untrusted(untrusted_server(&untrusted)),
            Client::Exists(text) => Self::Exists(text),
            Client::Verification(error) => error.into(),
            Client::Distrusted(text) => Self::Distrusted(text),
            Client::Limit(text) => Self::Limit(text),
            Client::Agent(error) => agent_failed(error),
            error @ Client::NoDeviceKey(_) => {
                Self::Failed(format!("{error}: `login --with-key` asks for it again"))
            }
            error @ Client::NoLocalStore => {
                Self::Failed(format!("{error}; the first `login` creates it"))
            }
            Client::NotInKeyring(error) => {
                let next = not_in_keyring(&error);
                Self::Failed(format!("{error}; {next}"))
            }
            Client::Interrupted => Self::Interrupted,
            Client::SessionEnded => Self::SessionEnded,
            Client::Unfinished { error, state } => Self::from(*error).with(&unfinished(state)),
        }
    }
}

impl From<VerificationError> for Error {
    fn from(error: VerificationError) -> Self {
        let hint = match error {
            VerificationError::ServerIdentity(_) => {
                " (for an account on another server, choose --profile NAME)"
            }
            _ if error.may_be_restore() => " (after a restore from a backup: `help acknowledge`)",
            _ => "",
        };
        Self::Verification(format!("{error}{hint}"))
    }
}

fn not_in_keyring(error: &NotInKeyring) -> &'static str {
    match (&error.secret, &error.problem) {
        (StoredSecret::LocalStore, KeyringProblem::Unusable(_)) => {
            "while the server can be reached, `login` opens the local store without the keyring"
        }
        (StoredSecret::LocalStore, _) => {
            "while the server can be reached, `keyring on` creates a new secret"
        }
        (StoredSecret::DeviceKey(_), KeyringProblem::Unusable(_)) => {
            "unlock the keyring, or `login --with-key` asks for the key again"
        }
        (StoredSecret::DeviceKey(_), _) => "`login --with-key` asks for the key again",
    }
}

fn untrusted_server(untrusted: &UntrustedServer) -> String {
    let hint = match untrusted {
        UntrustedServer::OtherKey { .. } => {
            "the connection may be intercepted; if the server really has a new key, compare it with the \
             output of `keyserver pin` on the server and give it as --pin"
        }
        UntrustedServer::CertificateChanged { .. } => {
            "if the server really has a new certificate, compare its key with the output of `keyserver pin` on the server and give \
             it as --pin"
        }
        UntrustedServer::Declined { .. } => return untrusted.to_string(),
        UntrustedServer::Certificate { .. } => {
            "compare it with the output of `keyserver pin` on the server, then give it as --pin, or use --trust-on-first-use"
        }
    };
    format!("{untrusted}: {hint}")
}

fn agent_failed(error: AgentError) -> Error {
    match error {
        AgentError::Failed(status, text) => Error::Agent(status, text),
        AgentError::OtherVersion => Error::Failed(format!("{error}: `lock` ends it")),
        AgentError::UnexpectedAnswer => Error::Failed(error.to_string()),
        AgentError::Locked => Error::Usage(format!("{error}: `unlock`, or give the password")),
        AgentError::NoReveal => Error::Usage(
            "the agent was unlocked with --no-reveal: only masked `run`, `inject` into a file, and `totp` work; \
             `lock`, then `unlock`, or give the password"
                .into(),
        ),
    }
}

fn unfinished(state: Unfinished) -> String {
    match state {
        Unfinished::Change => state.to_string(),
        Unfinished::Deletion => {
            "it is unknown whether the account was deleted: if `login` is refused, it was".into()
        }
        Unfinished::Replacement => format!(
            "{state}: `rotate-key` continues the replacement, or replaces the key once more"
        ),
        Unfinished::Reencryption => {
            "nothing has changed yet; `rotate-key` continues from here".into()
        }
    }
}

impl From<keyshell_client::device::local::LocalError> for Error {
    fn from(error: keyshell_client::device::local::LocalError) -> Self {
        keyshell_client::error::Error::from(error).into()
    }
}

impl From<shared::codec::CodecError> for Error {
    fn from(error: shared::codec::CodecError) -> Self {
        keyshell_client::error::Error::from(error).into()
    }
}

/// For the callbacks that the client library calls in this program.
impl From<Error> for keyshell_client::error::Error {
    fn from(error: Error) -> Self {
        match error {
            Error::Usage(text) => Self::Usage(text),
            Error::Interrupted => Self::Interrupted,
            other => Self::Failed(other.to_string()),
        }
    }
}

/// For the callbacks that a format calls in this program.
impl From<Error> for keyshell_formats::FormatError {
    fn from(error: Error) -> Self {
        Self::caller(error)
    }
}

impl From<keyshell_client::index::metadata::MetadataError> for Error {
    fn from(error: keyshell_client::index::metadata::MetadataError) -> Self {
        keyshell_client::error::Error::from(error).into()
    }
}

impl From<keyshell_formats::FormatError> for Error {
    fn from(error: keyshell_formats::FormatError) -> Self {
        use keyshell_formats::FormatError;
        match error {
            FormatError::Usage(text) => Self::Usage(text),
            FormatError::Caller(error) => match error.downcast::<Self>() {
                Ok(error) => *error,
                Err(error) => Self::Failed(error.to_string()),
            },
            other => Self::Failed(other.to_string()),
        }
    }
}
