//! The interface by which the library asks questions of the program that uses it, and reports events and progress.

use std::fmt::Debug;

use shared::names::AccountName;

use crate::error::{Error, Result};
use crate::keys::password::Password;

/// Implemented by the program that uses the library.
pub trait Frontend: Debug + Send + Sync {
    /// The name of the account, where none is known.
    ///
    /// # Errors
    /// [`Error::Usage`] where there is none to be had, [`Error::Interrupted`], [`Error::Failed`].
    fn account_name(&self) -> Result<AccountName> {
        Err(Error::Usage("the account is not known".into()))
    }

    /// The password of an account. It is asked for when a session is opened without a credential of this device.
    ///
    /// # Errors
    /// [`Error::Usage`] where input cannot be asked for, [`Error::Interrupted`], [`Error::Failed`].
    fn password(&self, account: &AccountName) -> Result<Password>;

    /// The password that opens the local store of an account, after the server has lost the account key that the store
    /// was written under; `None` where it is not known. It is asked for again after a wrong one.
    ///
    /// # Errors
    /// [`Error::Interrupted`], [`Error::Failed`].
    fn store_password(&self, _account: &AccountName) -> Result<Option<Password>> {
        Ok(None)
    }

    /// Shows the owner an event, described by one sentence.
    fn notice(&self, _text: &str) {}

    /// Reports an event of minor interest.
    fn note(&self, _text: &str) {}

    /// Reports an event that explains others, for diagnosis.
    fn detail(&self, _text: &str) {}

    /// Whether a person is there, who can unlock the desktop's keyring.
    fn is_person(&self) -> bool {
        false
    }

    /// Whether the local store is to be bound to a secret in the desktop's keyring.
    fn wants_keyring(&self) -> bool {
        false
    }

    /// Starts to show the progress of a long operation. `total` has the unit that [`Progress::reach`] counts in; 0
    /// stands for an unknown total.
    fn progress(&self, _doing: &'static str, _total: u64) -> Box<dyn Progress> {
        Box::new(())
    }
}

/// Shows the progress of one long operation, which has ended when this is dropped.
pub trait Progress: Send {
    /// Shows that `done` of `total` units are done.
    fn reach(&mut self, done: u64, total: u64);
}

/// Shows no progress.
impl Progress for () {
    fn reach(&mut self, _: u64, _: u64) {}
}
