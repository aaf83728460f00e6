//! The actors behind the API, and how they are asked.

use std::time::Duration;

use actix::{Addr, MailboxError};
use shared::wire::error::Refusal;
use shared::wire::{Hello, Registration};

use crate::audit::Audit;
use crate::invites::Invites;
use crate::sessions::Sessions;
use crate::sessions::registration::ServerIdentity;
use crate::storage::Storage;

/// The actors, and the settings that the server announces.
#[derive(Clone)]
pub struct Service {
    /// Pending logins and registrations, and open sessions.
    pub sessions: Addr<Sessions>,
    /// The database.
    pub storage: Addr<Storage>,
    /// Checkpoints and proofs.
    pub audit: Addr<Audit>,
    /// Id and public keys of this server.
    pub identity: ServerIdentity,
    /// Who may create an account.
    pub registration: Registration,
    /// Invites that were created while the server was running.
    pub invites: Invites,
    /// How long a repeated request waits for the answer of the first one.
    pub repeat_wait: Duration,
    /// A session ends after this time without a request.
    pub session_idle: Duration,
    /// A session ends after this time in any case.
    pub session_lifetime: Duration,
}

impl Service {
    /// Answers `GET /v2/hello`.
    pub fn hello(&self) -> Hello {
        Hello {
            protocol: shared::PROTOCOL_VERSION,
            server: self.identity.server,
            opaque_key: self.identity.opaque_key,
            checkpoint_key: self.identity.checkpoint_key,
            registration: self.registration,
        }
    }
}

/// An actor without a mailbox has stopped: the server is shutting down.
pub(crate) fn gone(_: MailboxError) -> Refusal {
    Refusal::Unavailable
}
