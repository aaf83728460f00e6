//! Replaces the private server in builds without the feature `embedded`.

use std::net::SocketAddr;
use std::path::Path;

use crate::error::{Error, Result};

/// A private server that cannot be started.
#[derive(Debug)]
pub enum PrivateServer {}

impl PrivateServer {
    /// Fails.
    ///
    /// # Errors
    /// [`Error::usage`], always.
    pub fn start(_: &Path) -> Result<Self> {
        let text = "this keyshell was built without a private server: name one with --server https://host, or build \
                    keyshell with the feature `embedded`";
        Err(Error::usage(text))
    }

    /// The address that it listens on, and the pin of its TLS key.
    pub fn address_and_pin(&self) -> (SocketAddr, &str) {
        match *self {}
    }

    /// Whether it registers an account.
    pub fn is_open(&self) -> bool {
        match *self {}
    }

    /// Stops it; later starts register no account, since the owner has one.
    ///
    /// # Errors
    /// None.
    pub fn stop_owned(self) -> Result<()> {
        match self {}
    }

    /// Stops it.
    pub fn stop(self) {
        match self {}
    }
}
