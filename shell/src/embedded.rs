//! `--embedded`: the real server, with real TLS on loopback and a real database, inside this process.
//!
//! Every user of the machine can connect to it, but only its owner is to have an account: it registers one account, and
//! none from then on.

#[cfg(feature = "embedded")]
mod built;
#[cfg(not(feature = "embedded"))]
mod missing;

#[cfg(feature = "embedded")]
pub use built::PrivateServer;
#[cfg(not(feature = "embedded"))]
pub use missing::PrivateServer;
