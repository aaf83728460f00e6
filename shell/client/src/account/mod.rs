//! One account, as one device uses it: sessions that are opened, renewed and closed, and the data on this device that
//! follows them.

mod connect;
mod credentials;
mod device;
mod handover;
mod keyring;
mod local_store;
mod login;
mod state;
mod trust;

pub use connect::{Connect, Connected, Purpose, Server};
pub use credentials::PreparedRegistration;
pub use device::{Device, KeyChoice, KeyPlace};
pub use state::{Account, Renewal};
