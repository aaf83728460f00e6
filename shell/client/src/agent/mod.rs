//! The agent's protocol, and the side of it that asks. The agent is one process per profile that keeps a session open.
//!
//! The agent never has the password. It has this device's own credential, and what that opens.

pub mod line;
mod process;

use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::Duration;

use keyshell_base::files;
use keyshell_base::names::SecretName;
use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;
use shared::codec;
use shared::ids::Version;
use shared::secret::SecretBytes;

use crate::agent::process::Process;
use crate::device::home::Home;
use crate::error::{AgentError, Error};

/// Longest path of a socket that is read from a file, in bytes.
const MAX_PATH: u64 = 4096;
/// Longest message, in bytes.
pub const MAX_MESSAGE: usize = 8 * 1024 * 1024;
/// An agent that does not answer for so long is none.
pub const PATIENCE: Duration = Duration::from_mins(1);

/// What one-shots ask.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ask {
    /// How it is. Never makes it stay longer.
    Status,
    /// To wipe everything and leave.
    Lock,
    /// For values.
    Values(Values),
    /// For what names can begin with this text, one folder at a time. Asks no server, and never makes it stay longer.
    Names(String),
    /// For this device's own credential, to open a session of one's own.
    Credential,
}

/// How long locking takes at most, where a server keeps it waiting.
pub(crate) const LOCKING: Duration = Duration::from_secs(6);

/// Which values, and what for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Values {
    /// Names of secrets.
    pub names: Vec<SecretName>,
    /// Of one name: which version; `None`: the newest.
    pub version: Option<Version>,
    /// Whether somebody will see them.
    pub purpose: Purpose,
}

/// What values are for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Purpose {
    /// To be seen, copied, exported.
    Reveal,
    /// To be used by a command, a file, a code.
    Use,
}

/// What it answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    /// To [`Ask::Status`].
    Status(Status),
    /// To [`Ask::Lock`]: it is about to leave.
    Locked,
    /// To [`Ask::Values`]: in the order of the names.
    Values(Vec<Found>),
    /// To [`Ask::Names`].
    Names(Vec<String>),
    /// To [`Ask::Credential`].
    Credential(ByteBuf),
    /// There is no such secret: what was not found, and what is near where names may be seen.
    Missing(String, Option<String>),
    /// There is such a secret, but not this version, in words.
    MissingVersion(String),
    /// It was unlocked with `--no-reveal`.
    NoReveal,
    /// What a command would have ended with: exit status and text.
    Failed(u8, String),
}

/// A value with what belongs to it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Found {
    /// Which version.
    pub version: Version,
    /// Encoded metadata.
    pub metadata: ByteBuf,
    /// The value.
    pub value: ByteBuf,
}

/// How an agent is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// The account.
    pub account: String,
    /// The server, as it was named.
    pub server: Option<String>,
    /// Its process.
    pub pid: u32,
    /// Seconds until it locks itself, unless it is used.
    pub seconds_left: u64,
    /// Whether it shows values.
    pub reveals: bool,
    /// Why it was unlocked.
    pub reason: Option<String>,
    /// Whether its memory is kept from being swapped out.
    pub memory_locked: bool,
}

/// The agent of a profile, if one runs.
#[derive(Debug)]
pub struct Agent(UnixStream);

impl Agent {
    /// Connects; `None` if there is none.
    pub fn find(home: &Home) -> Option<Self> {
        // It may have been started by a program with another runtime folder.
        let told = files::read(&home.agent_place(), MAX_PATH).ok().flatten();
        let told = told.map(|path| PathBuf::from(OsStr::from_bytes(path.expose())));
        let told = told.and_then(|path| UnixStream::connect(path).ok());
        let stream = told.or_else(|| UnixStream::connect(home.agent_socket()).ok())?;
        let agent = Self(stream).within(PATIENCE)?;
        line::is_own(&agent.0).then_some(agent)
    }

    /// Waits no longer than this for an answer from now on.
    #[must_use]
    pub fn within(self, patience: Duration) -> Option<Self> {
        self.0.set_read_timeout(Some(patience)).ok()?;
        self.0.set_write_timeout(Some(patience)).ok()?;
        Some(self)
    }

    /// Asks; the agent is gone after an error.
    ///
    /// # Errors
    /// [`Error::Failed`].
    pub fn ask(&mut self, ask: &Ask) -> Result<Answer, Error> {
        let failed = |error: io::Error| Error::io("asking the agent", &error);
        let encoded = SecretBytes::new(codec::encode(ask)?);
        line::write(&mut self.0, &encoded).map_err(failed)?;
        let answer = line::read(&mut self.0).map_err(failed)?;
        codec::decode(answer.expose(), MAX_MESSAGE).map_err(|_| AgentError::OtherVersion.into())
    }

    /// Asks for values.
    ///
    /// # Errors
    /// What the command would have ended with.
    pub fn values(&mut self, values: Values) -> Result<Vec<Found>, Error> {
        match self.ask(&Ask::Values(values))? {
            Answer::Values(found) => Ok(found),
            Answer::Missing(what, None) => Err(Error::NoSuchSecret(what)),
            Answer::Missing(what, Some(near)) => Err(Error::NoSuchSecretBut(what, near)),
            Answer::MissingVersion(text) => Err(Error::NoSuchVersion(text)),
            Answer::NoReveal => Err(AgentError::NoReveal.into()),
            Answer::Locked => Err(AgentError::Locked.into()),
            Answer::Failed(status, text) => Err(AgentError::Failed(status, text).into()),
            _ => Err(AgentError::UnexpectedAnswer.into()),
        }
    }

    /// Asks for the device's own credential; `None` where the agent keeps it to itself.
    ///
    /// # Errors
    /// As [`Self::ask`].
    pub fn credential(&mut self) -> Result<Option<SecretBytes>, Error> {
        Ok(match self.ask(&Ask::Credential)? {
            Answer::Credential(secret) => Some(SecretBytes::new(secret.into_vec())),
            _ => None,
        })
    }

    /// What names can begin with this text; none where it reveals nothing.
    ///
    /// # Errors
    /// As [`Self::ask`].
    pub fn names(&mut self, typed: &str) -> Result<Vec<String>, Error> {
        Ok(match self.ask(&Ask::Names(typed.to_owned()))? {
            Answer::Names(names) => names,
            _ => Vec::new(),
        })
    }

    /// Has it wipe everything and leave. One that does not answer, as it waits for a server, is ended.
    ///
    /// # Errors
    /// [`Error::Failed`] where it stays all the same: then it has keys in memory.
    pub fn lock(self) -> Result<(), Error> {
        let process = Process::of(&self.0)?;
        let mut agent = self.within(LOCKING);
        let answer = agent.as_mut().map(|agent| agent.ask(&Ask::Lock));
        if let Some(Ok(Answer::Locked)) = answer {
            return Ok(());
        }
        process.end()
    }

    /// How it is; `None` if it is none any more.
    pub fn status(&mut self) -> Option<Status> {
        match self.ask(&Ask::Status) {
            Ok(Answer::Status(status)) => Some(status),
            _ => None,
        }
    }
}
