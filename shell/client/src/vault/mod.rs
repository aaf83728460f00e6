//! One account, open: planned changes are sealed, signed and sent; answers are verified.

mod append;
pub mod audit;
pub mod audit_verifier;
pub mod commit;
mod conflicts;
mod device_state;
pub mod enrol;
pub(crate) mod epoch;
pub mod evidence;
mod fetch;
mod open;
mod rekey;
pub mod restore;
mod resume;
mod sync;

pub use open::{DeviceState, Vault};
