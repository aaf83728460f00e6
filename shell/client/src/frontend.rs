//! What the library asks of the program that uses it, and what it reports.

use std::fmt::Debug;

use shared::names::AccountName;

use crate::error::Error;
use crate::keys::password::Password;

/// The program that uses the library: it answers questions and shows what happens.
pub trait Frontend: Debug + Send + Sync {
    /// The password of an account (with the device key mixed in, where the account has one), when a session ended and
    /// this device has no credential that opens another one.
    ///
    /// # Errors
    /// [`Error::Usage`] where there is no password to be had, [`Error::Interrupted`], [`Error::Failed`].
    fn password(&self, account: &AccountName) -> Result<Password, Error>;

    /// Reports an event that the owner should know of, in one sentence.
    fn notice(&self, _text: &str) {}

    /// Begins to report how far a long operation is. `total` is in the unit that [`Progress::reach`] counts in.
    fn progress(&self, _doing: &'static str, _total: u64) -> Box<dyn Progress> {
        Box::new(())
    }
}

/// One long operation under way; it has ended when this is dropped.
pub trait Progress: Send {
    /// `done` of `total` are done.
    fn reach(&mut self, done: u64, total: u64);
}

/// Shows nothing.
impl Progress for () {
    fn reach(&mut self, _: u64, _: u64) {}
}
