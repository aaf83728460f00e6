//! The owner's side of the data: keys, sealing, the index by replay, and everything that is checked.

mod append;
pub mod audit;
pub mod commit;
pub mod enrol;
pub mod evidence;
mod fetch;
pub mod index;
pub mod keys;
pub mod marks;
pub mod memory;
pub mod metadata;
pub mod names;
mod open;
pub mod pins;
pub mod rekey;
pub mod restore;
pub mod retell;
pub mod seal;
pub mod session;
mod sync;
pub mod wrap;

pub use open::Vault;
