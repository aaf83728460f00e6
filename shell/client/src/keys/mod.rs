//! Keys of an account: derivation, wrapping, sealing, and their forms on paper.

pub mod account;
pub mod anchor;
pub mod device_key;
pub mod paper_code;
pub mod password;
pub mod recovery;
pub mod seal;
pub mod slot;
pub mod wrap;
mod xwing;
