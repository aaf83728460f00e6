//! The interface by which the library asks questions of the program that uses it, and reports events and progress.

use std::fmt::Debug;

use shared::names::AccountName;

use crate::error::Error;
use crate::keys::password::Password;

/// Implemented by the program that uses the library.
pub trait Frontend: Debug + Send + Sync {
    /// Returns the password of an account, with the device key mixed in where the account has one. Called when a
    /// session has ended and this device has no credential of its own that opens another one.
    ///
    /// # Errors
    /// [`Error::Usage`] where nobody can be asked, [`Error::Interrupted`], [`Error::Failed`].
    fn password(&self, account: &AccountName) -> Result<Password, Error>;

    /// Shows the owner an event, described by one sentence.
    fn notice(&self, _text: &str) {}

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
