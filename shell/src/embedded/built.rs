//! The private server, for builds with the feature `embedded`.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use keyserver::config::Config;
use keyserver::embedded::{self, Running};
use keyshell_client::device::home;
use shared::wire::Registration;

use crate::error::{Error, Result};

/// A file in the server's folder that exists once the owner has an account.
const OWNED: &str = "owned";

/// The private server.
#[derive(Debug)]
pub struct PrivateServer {
    running: Running,
    address: SocketAddr,
    folder: PathBuf,
    /// Whether it registers an account.
    open: bool,
}

impl PrivateServer {
    /// Starts it with its data in `folder`.
    ///
    /// # Errors
    /// [`Error::failed`], for example if another shell uses the same folder.
    pub fn start(folder: &Path) -> Result<Self> {
        let open = !folder.join(OWNED).exists();
        let config = Config {
            data_dir: folder.to_owned(),
            listen: vec![SocketAddr::from((Ipv4Addr::LOCALHOST, 0))],
            registration: Some(if open {
                Registration::Open
            } else {
                Registration::Closed
            }),
            workers: 1,
            // The client verifies all data that it reads, and the structure is checked in any case.
            check_at_start: false,
            ..Config::default()
        };
        let running = embedded::start(config).map_err(|error| {
            Error::failed(format!("the private server cannot be started: {error}"))
        })?;
        let address = running.addresses.first().copied();
        let address = address.ok_or_else(|| Error::failed("the private server has no address"))?;
        Ok(Self {
            running,
            address,
            folder: folder.to_owned(),
            open,
        })
    }

    /// The address that it listens on, and the pin of its TLS key.
    pub fn address_and_pin(&self) -> (SocketAddr, &str) {
        (self.address, &self.running.pin)
    }

    /// Whether it registers an account.
    pub fn is_open(&self) -> bool {
        self.open
    }

    /// Stops it; later starts register no account, since the owner has one.
    ///
    /// # Errors
    /// [`Error::failed`] if the file `owned` cannot be written.
    pub fn stop_owned(self) -> Result<()> {
        let written = home::write(&self.folder.join(OWNED), b"");
        self.stop();
        Ok(written?)
    }

    /// Stops it.
    pub fn stop(self) {
        self.running.stop();
    }
}
