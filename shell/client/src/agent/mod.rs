//! The protocol of the agent, and its client side. The agent is one process per profile that keeps a session open.
//!
//! The agent never has the password, only this device's own credential and the keys that it opens.

pub mod line;
mod process;

use std::ffi::OsStr;
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

pub use crate::agent::line::MAX_MESSAGE;
use crate::agent::process::Process;
use crate::device::home::Home;
use crate::error::{AgentError, Error, Result};

/// Longest path of a socket that is read from the file, in bytes.
const MAX_PATH: u64 = 4096;
/// Longest time to wait for an answer of the agent.
pub const PATIENCE: Duration = Duration::from_mins(1);

/// A request to the agent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ask {
    /// Asks for its status; does not postpone its locking.
    Status,
    /// Asks it to wipe all keys and exit.
    Lock,
    /// Asks for values.
    Values(Values),
    /// Asks for the names that start with this text, up to the next `/`. Sends nothing to the server, and does not
    /// postpone the locking.
    Names(String),
    /// Asks for this device's own credential, to open another session.
    Credential,
}

/// Longest time to wait for the agent to lock, which may wait for its server.
const LOCK_TIMEOUT: Duration = Duration::from_secs(6);

/// Selects values, and names their purpose.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Values {
    /// Names of secrets.
    pub names: Vec<SecretName>,
    /// The version, for one name; `None` for the newest.
    pub version: Option<Version>,
    /// The purpose.
    pub purpose: Purpose,
}

/// The purpose of values.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Purpose {
    /// They are shown, copied or exported.
    Reveal,
    /// They are used by a command or file, or to compute a code.
    Use,
}

/// An answer of the agent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    /// To [`Ask::Status`].
    Status(Status),
    /// To [`Ask::Lock`]: it has no keys any more, and is about to exit.
    Locked {
        /// Whether the server has ended the lease of its credential.
        is_retired: bool,
    },
    /// To [`Ask::Values`]: in the order of the names.
    Values(Vec<Found>),
    /// To [`Ask::Names`].
    Names(Vec<String>),
    /// To [`Ask::Credential`].
    Credential(ByteBuf),
    /// No such secret: the name that was not found, and a similar one where names may be shown.
    Missing(String, Option<String>),
    /// The secret does not have this version; a text for people.
    MissingVersion(String),
    /// It was unlocked for the use of values only.
    NoReveal,
    /// It failed: exit status and text.
    Failed(u8, String),
}

/// A value with its version and metadata.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Found {
    /// The version.
    pub version: Version,
    /// Encoded metadata.
    pub metadata: ByteBuf,
    /// The value.
    pub value: ByteBuf,
}

/// The status of an agent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// The account.
    pub account: String,
    /// The server, as the owner named it.
    pub server: Option<String>,
    /// Its process id.
    pub pid: u32,
    /// Seconds until it locks itself if it is not used.
    pub seconds_left: u64,
    /// Whether it reveals values.
    pub reveals: bool,
    /// Why it was unlocked.
    pub reason: Option<String>,
    /// Whether its memory is kept from being swapped out.
    pub memory_locked: bool,
}

/// A connection to the agent of a profile.
#[derive(Debug)]
pub struct Agent(UnixStream);

impl Agent {
    /// Connects; `None` if no agent runs, or it belongs to another user.
    pub fn find(home: &Home) -> Option<Self> {
        // Its socket may be in another runtime folder than this process has.
        let noted = files::read(&home.agent_place(), MAX_PATH).ok().flatten();
        let noted = noted.map(|path| PathBuf::from(OsStr::from_bytes(path.expose())));
        let noted = noted.and_then(|path| UnixStream::connect(path).ok());
        let stream = noted.or_else(|| UnixStream::connect(home.agent_socket()).ok())?;
        let agent = Self(stream).within(PATIENCE)?;
        line::is_own(&agent.0).then_some(agent)
    }

    /// Bounds the time to wait for each further answer.
    #[must_use]
    pub fn within(self, patience: Duration) -> Option<Self> {
        self.0.set_read_timeout(Some(patience)).ok()?;
        self.0.set_write_timeout(Some(patience)).ok()?;
        Some(self)
    }

    /// Sends a request and returns its answer. The connection is unusable after an error.
    ///
    /// # Errors
    /// [`Error::Failed`], [`AgentError::OtherVersion`].
    pub fn ask(&mut self, ask: &Ask) -> Result<Answer> {
        let failed = Error::io("asking the agent");
        let encoded = SecretBytes::new(codec::encode(ask)?);
        line::write(&mut self.0, &encoded).map_err(&failed)?;
        let answer = line::read(&mut self.0).map_err(&failed)?;
        codec::decode(answer.expose(), MAX_MESSAGE).map_err(|_| AgentError::OtherVersion.into())
    }

    /// Asks for values.
    ///
    /// # Errors
    /// [`AgentError`], [`Error::NoSuchSecret`], [`Error::NoSuchSecretBut`], [`Error::NoSuchVersion`].
    pub fn values(&mut self, values: Values) -> Result<Vec<Found>> {
        match self.ask(&Ask::Values(values))? {
            Answer::Values(found) => Ok(found),
            Answer::Missing(what, None) => Err(Error::NoSuchSecret(what)),
            Answer::Missing(what, Some(near)) => Err(Error::NoSuchSecretBut(what, near)),
            Answer::MissingVersion(text) => Err(Error::NoSuchVersion(text)),
            Answer::NoReveal => Err(AgentError::NoReveal.into()),
            Answer::Locked { .. } => Err(AgentError::Locked.into()),
            Answer::Failed(status, text) => Err(AgentError::Failed(status, text).into()),
            _ => Err(AgentError::UnexpectedAnswer.into()),
        }
    }

    /// Asks for the device's own credential; `None` where the agent does not reveal it.
    ///
    /// # Errors
    /// As [`Self::ask`].
    pub fn credential(&mut self) -> Result<Option<SecretBytes>> {
        Ok(match self.ask(&Ask::Credential)? {
            Answer::Credential(secret) => Some(SecretBytes::new(secret.into_vec())),
            _ => None,
        })
    }

    /// The names that start with this text, up to the next `/`; none where the agent does not reveal them.
    ///
    /// # Errors
    /// As [`Self::ask`].
    pub fn names(&mut self, typed: &str) -> Result<Vec<String>> {
        Ok(match self.ask(&Ask::Names(typed.to_owned()))? {
            Answer::Names(names) => names,
            _ => Vec::new(),
        })
    }

    /// Lets the agent wipe all keys and exit. An agent that does not answer in time is killed. Returns whether the server
    /// has ended the lease of its credential; else that opens sessions until the lease is over.
    ///
    /// # Errors
    /// [`Error::Failed`] where it could not be killed, and still has keys in memory.
    pub fn lock(self) -> Result<bool> {
        let process = Process::of(&self.0)?;
        let mut agent = self.within(LOCK_TIMEOUT);
        let answer = agent.as_mut().map(|agent| agent.ask(&Ask::Lock));
        if let Some(Ok(Answer::Locked { is_retired })) = answer {
            return Ok(is_retired);
        }
        process.end(LOCK_TIMEOUT)?;
        Ok(false)
    }

    /// The status; `None` if the agent does not answer any more.
    pub fn status(&mut self) -> Option<Status> {
        match self.ask(&Ask::Status) {
            Ok(Answer::Status(status)) => Some(status),
            _ => None,
        }
    }
}
