//! This device's credential in the hands of an agent. An agent that is killed, or does not reach the server, leaves it
//! valid; the next session of this device ends it.

use crate::account::connect::Connect;
use crate::account::state::Account;
use crate::agent::Agent;
use crate::device::home;
use crate::error::{Error, Result};
use crate::vault::Vault;

impl<C: Connect> Account<C> {
    /// Closes a session. If an agent has ended without the server ending the lease of its credential, the server does that
    /// now.
    pub(super) async fn farewell(&mut self, vault: Vault) -> Result<()> {
        if !self.has_unretired()? {
            return vault.close().await;
        }
        match vault.retire().await {
            // It expired before; the next one does it.
            Err(Error::SessionEnded) => Ok(()),
            Err(error) => Err(error),
            Ok(()) => {
                let text = "the credential of an agent that had ended without locking opens no session any more";
                self.device.frontend.note(text);
                self.note_retired()
            }
        }
    }

    /// Whether an agent has ended that had this device's credential, and the server has not ended the lease of the
    /// credential: copies of it open sessions.
    ///
    /// # Errors
    /// [`Error::Usage`] where no account is known.
    pub fn has_unretired(&mut self) -> Result<bool> {
        let account = self.name()?;
        let mark = self.device.home.handed_over(&account);
        Ok(mark.exists() && Agent::find(&self.device.home).is_none())
    }

    /// Records that an agent gets this device's credential.
    ///
    /// # Errors
    /// [`Error::Failed`].
    pub fn note_handed_over(&mut self) -> Result<()> {
        let account = self.name()?;
        home::write(&self.device.home.handed_over(&account), b"")
    }

    /// Records that the credential which an agent had opens no session any more.
    pub(super) fn note_retired(&mut self) -> Result<()> {
        let account = self.name()?;
        home::remove(&self.device.home.handed_over(&account))
    }
}
