//! One account, open: planned changes go out sealed and signed, answers come in verified.

mod append;
pub mod audit;
pub mod audit_verifier;
pub mod commit;
mod device_state;
pub mod enrol;
pub mod evidence;
mod fetch;
mod open;
pub mod reencrypt;
pub mod rekey;
pub mod restore;
mod sync;

pub use device_state::DeviceState;
pub use open::Vault;
