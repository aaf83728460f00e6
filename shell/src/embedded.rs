//! `--embedded`: the real server, with real TLS on loopback and a real database, inside this process.
//!
//! Every user of the machine can connect to it. It registers one account, its owner's, and refuses further ones.

#[cfg(feature = "embedded")]
mod built;
#[cfg(not(feature = "embedded"))]
mod missing;

#[cfg(feature = "embedded")]
pub use built::PrivateServer;
#[cfg(not(feature = "embedded"))]
pub use missing::PrivateServer;
