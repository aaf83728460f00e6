//! Keys of an account: derived, wrapped, sealed with, and written on paper.

pub mod account;
pub mod device_key;
pub mod paper_code;
pub mod password;
pub mod recovery;
pub mod seal;
pub mod wrap;
