//! Errors of commands: one line for the user each, with the exit status.

use std::fmt::Display;
use std::io;
use std::path::Path;

use keyshell_base::names::SecretName;
use keyshell_client::device::home::Distrust;
use keyshell_client::device::local::LocalError;
use keyshell_client::error::{
    AgentError, Error as ClientError, KeyringProblem, NotInKeyring, StoredSecret, Unfinished,
    UntrustedServer,
};
use keyshell_client::index::metadata::MetadataError;
use keyshell_client::verification::VerificationError;
use keyshell_formats::FormatError;
use shared::codec::CodecError;

/// A result with [`enum@Error`], where no other error is named.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// An error of a command; its text says what happened and what to do next.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// An error that the client library names as well.
    #[error("{}", with_advice(.0))]
    Client(ClientError),
    /// An error with a hint added.
    #[error("{}", joined(&.0.to_string(), .1))]
    Hinted(Box<Error>, String),
    /// The secret (first) has no field of this name (second); the third text lists its fields.
    #[error("`{0}` has no field `{1}`: {2}")]
    NoSuchField(String, String, String),
    /// Ctrl-C, or the user declined; the text says what that leaves behind.
    #[error("{0}")]
    Stopped(String),
    /// Done, but some content was left out.
    #[error("{0}")]
    Partial(String),
    /// The command that `run` started ended with this status.
    #[error("the command ended with status {0}")]
    Ended(u8),
    /// The command of `run` could not be started; the status is the one that shells use (126 or 127).
    #[error("{0}")]
    NotStarted(String, u8),
}

impl Error {
    /// A failure that has no exit status of its own.
    pub fn failed(text: impl Display) -> Self {
        Self::Client(ClientError::Failed(text.to_string()))
    }

    /// Wrong arguments, or input is needed and the run is not interactive.
    pub fn usage(text: impl Display) -> Self {
        Self::Client(ClientError::Usage(text.to_string()))
    }

    /// The name is taken, or another device has changed the vault meanwhile.
    pub fn exists(text: impl Display) -> Self {
        Self::Client(ClientError::Exists(text.to_string()))
    }

    /// Over a size limit.
    pub fn limit(text: impl Display) -> Self {
        Self::Client(ClientError::Limit(text.to_string()))
    }

    /// No secret has this name.
    pub fn no_such_secret(name: impl Display) -> Self {
        Self::Client(ClientError::NoSuchSecret(name.to_string()))
    }

    /// No secrets have these names.
    pub fn no_such_secrets(names: &[SecretName]) -> Self {
        let names: Vec<&str> = names.iter().map(SecretName::as_str).collect();
        Self::no_such_secret(names.join("`, `"))
    }

    /// No secret has this name; `near` is the existing name that is most similar to it, if one is.
    pub fn no_such_secret_but(name: impl Display, near: Option<impl Display>) -> Self {
        match near {
            Some(near) => ClientError::NoSuchSecretBut(name.to_string(), near.to_string()).into(),
            None => Self::no_such_secret(name),
        }
    }

    /// Neither a secret nor a removed one has this name.
    pub fn no_such_secret_removed(name: impl Display) -> Self {
        Self::Client(ClientError::NoSuchSecretRemoved(name.to_string()))
    }

    /// The secret exists, but not the requested version.
    pub fn no_such_version(text: String) -> Self {
        Self::Client(ClientError::NoSuchVersion(text))
    }

    /// Ctrl-C.
    pub fn interrupted() -> Self {
        Self::Client(ClientError::Interrupted)
    }

    /// The user answered no to the question whether to go on.
    pub fn declined() -> Self {
        Self::Stopped("nothing was changed".into())
    }

    /// Whether the user stopped the command.
    pub fn is_stopped(&self) -> bool {
        matches!(self, Self::Stopped(_)) || *self == Self::interrupted()
    }

    /// An error of the operating system during `doing`.
    pub fn io(doing: impl Display) -> impl Fn(io::Error) -> Self {
        let io = ClientError::io(doing);
        move |error| io(error).into()
    }

    /// A file that cannot be read.
    pub fn reading(path: &Path) -> impl Fn(io::Error) -> Self {
        Self::io(format!("reading {}", path.display()))
    }

    /// A file that cannot be written.
    pub fn writing(path: &Path) -> impl Fn(io::Error) -> Self {
        Self::io(format!("writing {}", path.display()))
    }

    /// The exit status; [`crate::options::STATUSES`] lists them.
    pub fn status(&self) -> u8 {
        self.class().0
    }

    /// The value of `error.kind` in JSON output.
    pub fn kind(&self) -> &'static str {
        self.class().1
    }

    fn class(&self) -> (u8, &'static str) {
        match self {
            Self::Client(error) => class(error),
            Self::Hinted(error, _) => broken_off(error.class()),
            Self::NoSuchField(..) => (3, "no_such_secret"),
            Self::Stopped(_) => (130, "interrupted"),
            Self::Partial(_) => (9, "partial"),
            Self::Ended(status) => (*status, "ended"),
            Self::NotStarted(_, status) => (*status, "not_started"),
        }
    }

    /// The error of the client library, without hints and without the state of an operation that broke off.
    pub fn cause(&self) -> Option<&ClientError> {
        match self {
            Self::Client(ClientError::Unfinished { error, .. }) => Some(error),
            Self::Client(error) => Some(error),
            Self::Hinted(error, _) => error.cause(),
            _ => None,
        }
    }

    /// Whether an answer of the server failed to verify.
    pub fn is_verification(&self) -> bool {
        matches!(self.cause(), Some(ClientError::Verification(_)))
    }

    /// The error with a hint added to its text. The user who pressed Ctrl-C needs none.
    #[must_use]
    pub fn with(self, more: &str) -> Self {
        if self.is_stopped() {
            return self;
        }
        Self::Hinted(Box::new(self), more.to_owned())
    }
}

/// Exit status and kind.
fn class(error: &ClientError) -> (u8, &'static str) {
    match error {
        ClientError::Failed(_)
        | ClientError::NoDeviceKey(_)
        | ClientError::NoLocalStore
        | ClientError::NeedsPassword
        | ClientError::NotInKeyring(_)
        | ClientError::Agent(AgentError::OtherVersion | AgentError::UnexpectedAnswer) => {
            (1, "failed")
        }
        ClientError::Usage(_) | ClientError::Agent(AgentError::Locked | AgentError::NoReveal) => {
            (2, "usage")
        }
        ClientError::NoSuchSecret(_)
        | ClientError::NoSuchSecretBut(..)
        | ClientError::NoSuchSecretRemoved(_)
        | ClientError::NoSuchVersion(_) => (3, "no_such_secret"),
        ClientError::LoginRefused
        | ClientError::LoginRefusedWithoutKey
        | ClientError::LoginRefusedWithKey
        | ClientError::RecoveryRefused => (4, "login_refused"),
        ClientError::WrongPassword(_) => (4, "wrong_password"),
        ClientError::SessionEnded => (4, "session_ended"),
        ClientError::Unreachable(_) => (5, "unreachable"),
        ClientError::Untrusted(_) => (5, "untrusted"),
        ClientError::Exists(_) => (6, "exists"),
        ClientError::Verification(_) | ClientError::Distrusted(_) | ClientError::CodeNeeded(_) => {
            (7, "verification")
        }
        ClientError::Limit(_) => (8, "limit"),
        ClientError::Agent(AgentError::Failed(status, _)) => (*status, "agent"),
        ClientError::Interrupted => (130, "interrupted"),
        ClientError::Unfinished { error, .. } => broken_off(class(error)),
    }
}

/// Exit status and kind of an error to which a hint or the state of an operation was added.
fn broken_off((status, kind): (u8, &'static str)) -> (u8, &'static str) {
    match kind {
        "unreachable" | "untrusted" | "exists" | "verification" | "limit" | "interrupted" => {
            (status, kind)
        }
        "login_refused" | "wrong_password" | "session_ended" => (4, "wrong_password"),
        _ => (1, "failed"),
    }
}

/// A text with a hint; a question takes no semicolon after it.
pub fn joined(text: &str, hint: &str) -> String {
    let between = if text.ends_with('?') { "" } else { ";" };
    format!("{text}{between} {hint}")
}

/// The text of an error, with the command that helps.
fn with_advice(error: &ClientError) -> String {
    let advice = match error {
        ClientError::NoSuchSecret(_) => "; `ls` lists the names",
        ClientError::NoSuchSecretRemoved(_) => "; `restore` lists the removed secrets",
        ClientError::LoginRefusedWithoutKey => ": `login --with-key` asks for it",
        ClientError::LoginRefusedWithKey => ": `login --without-key` opens it",
        ClientError::Untrusted(untrusted) => untrusted_server(untrusted),
        ClientError::Verification(error) => return verification(error),
        ClientError::Distrusted(_) => " (`login` asks the server again)",
        ClientError::CodeNeeded(_) => {
            " (`login --expect CODE` checks it; `login --without-code` goes on without, for a code of another account or of \
             before a loss that you have acknowledged)"
        }
        ClientError::Agent(AgentError::OtherVersion) => ": `lock` ends it",
        ClientError::Agent(AgentError::Locked) => ": `unlock`, or give the password",
        ClientError::Agent(AgentError::NoReveal) => {
            " (--no-reveal): only masked `run`, `inject` into a file, and `totp` work; `lock`, then `unlock`, or give the password"
        }
        ClientError::NoDeviceKey(_) => ": `login --with-key` asks for it again",
        ClientError::NoLocalStore => "; the first `login` creates it",
        ClientError::NotInKeyring(error) => not_in_keyring(error),
        ClientError::SessionEnded => ": `login` starts a new one",
        ClientError::Unfinished { error, state } => {
            let known = format!("{state}{}", unfinished(*state));
            return joined(&with_advice(error), &known);
        }
        _ => "",
    };
    format!("{error}{advice}")
}

fn verification(error: &VerificationError) -> String {
    let hint = match error {
        VerificationError::ServerIdentity(_) => {
            " (for an account on another server, choose --profile NAME)"
        }
        _ if error.may_be_restore() => " (after a restore from a backup: `help acknowledge`)",
        _ => "",
    };
    format!(
        "VERIFICATION FAILED: {error}{hint}; the server is faulty or compromised; nothing more is read or written"
    )
}

fn not_in_keyring(error: &NotInKeyring) -> &'static str {
    match (&error.secret, &error.problem) {
        (StoredSecret::LocalStore, KeyringProblem::Unusable(_)) => {
            "; while the server can be reached, `login` opens the local store without the keyring"
        }
        (StoredSecret::LocalStore, _) => {
            "; while the server can be reached, `keyring on` creates a new secret"
        }
        (StoredSecret::DeviceKey(_), KeyringProblem::Unusable(_)) => {
            "; unlock the keyring, or `login --with-key` asks for the key again"
        }
        (StoredSecret::DeviceKey(_), _) => "; `login --with-key` asks for the key again",
    }
}

fn untrusted_server(untrusted: &UntrustedServer) -> &'static str {
    match untrusted {
        UntrustedServer::OtherKey { .. } => {
            ": the connection may be intercepted; if the server really has a new key, compare it with the output of \
             `keyserver pin` on the server and give it as --pin"
        }
        UntrustedServer::CertificateChanged(_) => {
            ": if the server really has a new certificate, compare its key with the output of `keyserver pin` on the \
             server and give it as --pin"
        }
        UntrustedServer::Declined(_) => "",
        UntrustedServer::Certificate { .. } => {
            ": compare it with the output of `keyserver pin` on the server, then give it as --pin, or use \
             --trust-on-first-use"
        }
    }
}

fn unfinished(state: Unfinished) -> &'static str {
    match state {
        Unfinished::Change | Unfinished::Deletion => "",
        Unfinished::Reencryption => ": `rotate-key` continues it",
    }
}

impl From<ClientError> for Error {
    fn from(error: ClientError) -> Self {
        match error {
            // The user knows what was interrupted.
            ClientError::Unfinished { error, .. } if *error == ClientError::Interrupted => {
                Self::interrupted()
            }
            error => Self::Client(error),
        }
    }
}

macro_rules! from_part {
    ($($part:ty),*) => {
        $(impl From<$part> for Error {
            fn from(error: $part) -> Self {
                ClientError::from(error).into()
            }
        })*
    };
}

from_part!(
    CodecError,
    Distrust,
    LocalError,
    MetadataError,
    VerificationError
);

impl From<FormatError> for Error {
    fn from(error: FormatError) -> Self {
        match error {
            FormatError::Usage(text) => Self::usage(text),
            FormatError::Caller(error) => match error.downcast::<Self>() {
                Ok(error) => *error,
                Err(error) => Self::failed(error.to_string()),
            },
            other => Self::failed(other.to_string()),
        }
    }
}

/// For the callbacks that the client library calls in this program.
impl From<Error> for ClientError {
    fn from(error: Error) -> Self {
        match error {
            Error::Client(error) => error,
            other => Self::Failed(other.to_string()),
        }
    }
}

/// For the callbacks that a format calls in this program.
impl From<Error> for FormatError {
    fn from(error: Error) -> Self {
        Self::caller(error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_question_takes_no_semicolon() {
        let error = Error::no_such_secret_but("gte", Some("get"));
        let text = error.with("this device has no copy").to_string();
        assert!(
            text.ends_with("did you mean `get`? this device has no copy"),
            "{text}"
        );
        let text = Error::failed("no disk").with("try again").to_string();
        assert_eq!(text, "no disk; try again");
    }
}
