//! One account, open: the session, the replayed index, and what this device has pinned. Every answer is proven here.

use std::collections::BTreeMap;
use std::sync::Arc;

use shared::checkpoint::TreeHead;
use shared::ids::{DeviceId, Digest};
use shared::opaque::Slot;
use shared::secret::SecretBytes;
use shared::wire::call::{AuditAnswer, AuditRange, Logout};
use shared::wire::operation::Operation;

use crate::device::pins::Pins;
use crate::error::Error;
use crate::frontend::Frontend;
use crate::index::Index;
use crate::opaque::login::By;
use crate::session::Session;
use crate::vault::device_state::DeviceState;

/// An open vault.
#[derive(Debug)]
pub struct Vault {
    pub(crate) session: Session,
    pub(crate) frontend: Arc<dyn Frontend>,
    pub(crate) state: DeviceState,
    pub(crate) pins: Pins,
    pub(crate) index: Index,
    /// What other devices say they were shown of the audit log, until it is checked: also across a sync that failed.
    pub(crate) seen: BTreeMap<DeviceId, TreeHead>,
    /// The last entry of an append whose answer was lost: the log itself tells whether it went in.
    pub(crate) lost: Option<Digest>,
    /// This device's own credential, by which it opens sessions again without the password.
    pub(crate) device_secret: Option<SecretBytes>,
    /// Credentials that are being put in place: if the answer is lost, they may hold already.
    pub(crate) installing: Vec<(Slot, SecretBytes)>,
}

impl Vault {
    /// Takes over a session that was just opened, loads the cached index, and syncs.
    ///
    /// # Errors
    /// [`Error::Verification`], and those of every exchange.
    pub async fn open(
        session: Session,
        frontend: Arc<dyn Frontend>,
        state: DeviceState,
        pins: Pins,
    ) -> Result<Self, Error> {
        let mut vault = Self::new(session, frontend, state, pins);
        if let Some(index) = vault.cached_index()
            && vault.fits_pins(&index)
        {
            vault.index = index;
        }
        vault.sync_once().await?;
        vault.check_credential(vault.session.by())?;
        Ok(vault)
    }

    pub(crate) fn new(
        session: Session,
        frontend: Arc<dyn Frontend>,
        state: DeviceState,
        pins: Pins,
    ) -> Self {
        Self {
            session,
            frontend,
            state,
            pins,
            index: Index::new(),
            seen: BTreeMap::new(),
            lost: None,
            device_secret: None,
            installing: Vec::new(),
        }
    }

    /// What there is, as of the last sync.
    pub fn index(&self) -> &Index {
        &self.index
    }

    /// What is pinned.
    pub fn pins(&self) -> &Pins {
        &self.pins
    }

    /// The session.
    pub fn session(&self) -> &Session {
        &self.session
    }

    /// Brings the index up to date.
    ///
    /// # Errors
    /// [`Error::Verification`], and those of every exchange.
    pub async fn sync(&mut self) -> Result<(), Error> {
        match self.sync_once().await {
            Err(Error::SessionEnded) => self.resume().await,
            outcome => outcome,
        }
    }

    /// Logs in anew, whatever session there is; returns OPAQUE's export key.
    pub(crate) async fn reopen(&mut self, by: By<'_>) -> Result<SecretBytes, Error> {
        let mut pins = Some(self.pins.clone());
        let epoch = self.session.keys().epoch();
        let export_key = self.session.reopen(by, &mut pins).await?;
        self.reopened(pins, epoch);
        Ok(export_key)
    }

    /// What was replayed under an older account key is of no use.
    fn reopened(&mut self, pins: Option<Pins>, epoch: u32) {
        if let Some(pins) = pins {
            self.pins = pins;
        }
        if self.session.keys().epoch() != epoch {
            self.index = Index::new();
            self.seen.clear();
        }
    }

    /// Logs in again, by the device's own credential or by the password, which a person is asked for, and syncs.
    pub(crate) async fn resume(&mut self) -> Result<(), Error> {
        let mut pins = Some(self.pins.clone());
        let epoch = self.session.keys().epoch();
        if !self.reopen_by_itself(&mut pins).await? {
            let account = self.session.account().clone();
            let password = self.frontend.password(&account)?;
            let by = By {
                slot: Slot::Password,
                secret: password.as_secret(),
            };
            self.session.reopen(by, &mut pins).await?;
        }
        self.reopened(pins, epoch);
        self.sync_once().await?;
        Ok(self.check_credential(self.session.by())?)
    }

    /// Whether a credential that is at hand opened a session.
    async fn reopen_by_itself(&mut self, pins: &mut Option<Pins>) -> Result<bool, Error> {
        for (slot, secret) in self.installing.clone() {
            let by = By {
                slot,
                secret: &secret,
            };
            match self.session.reopen(by, pins).await {
                Err(Error::LoginRefused) => {}
                outcome => return outcome.map(|_| true),
            }
        }
        let Some(secret) = self.device_secret.take() else {
            return Ok(false);
        };
        let by = By {
            slot: Slot::Device(self.session.device()),
            secret: &secret,
        };
        match self.session.reopen(by, pins).await {
            Err(Error::LoginRefused) => {
                let text = "this device's own credential opens no session any more: it was revoked, or another \
                            keyshell on this device has replaced it";
                self.frontend.notice(text);
                Ok(false)
            }
            outcome => {
                // Also after a failure that says nothing about it.
                self.device_secret = Some(secret);
                outcome.map(drop)?;
                self.frontend.notice("the session was opened again");
                Ok(true)
            }
        }
    }

    /// Sends an operation that changes nothing, and repeats it in a new session if this one has ended.
    pub(crate) async fn read<O: Operation + Clone>(
        &mut self,
        operation: O,
    ) -> Result<O::Answer, Error> {
        match self.session.attempt(operation.clone()).await {
            Err(Error::SessionEnded) => {
                self.resume().await?;
                self.session.ask(operation).await
            }
            outcome => Ok(outcome??),
        }
    }

    /// Reads one page of the audit log; the checkpoint's signature is checked, nothing else yet.
    pub(crate) async fn audit_page(
        &mut self,
        range: AuditRange,
    ) -> Result<(AuditAnswer, TreeHead), Error> {
        let answer = self.session.ask(range).await?;
        let head = self.verified_note(&answer.checkpoint)?;
        Ok((answer, head))
    }

    /// Closes the session on the server.
    ///
    /// # Errors
    /// Those of every exchange; the session is over for this device in any case.
    pub async fn close(mut self) -> Result<(), Error> {
        match self.session.attempt(Logout).await {
            // Or it ended by itself before.
            Err(Error::SessionEnded) => Ok(()),
            outcome => Ok(outcome??),
        }
    }
}
