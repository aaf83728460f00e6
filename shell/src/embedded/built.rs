//! The private server, for builds that have it.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use keyserver::config::Config;
use keyserver::embedded::{self, Running};
use keyshell_client::device::home;
use shared::wire::Registration;

use crate::error::Error;

/// A file in the server's folder that says that its owner has an account.
const OWNED: &str = "owned";

/// The private server.
#[derive(Debug)]
pub struct PrivateServer {
    running: Running,
    folder: PathBuf,
    /// Whether it still takes an account.
    open: bool,
}

impl PrivateServer {
    /// Starts it with its data in `folder`.
    ///
    /// # Errors
    /// [`Error::Failed`], for example if another shell uses the same folder.
    pub fn start(folder: &Path) -> Result<Self, Error> {
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
            // The owner proves everything that is read; what is only damaged in its structure is noticed all the same.
            check_at_start: false,
            ..Config::default()
        };
        let running = embedded::start(config).map_err(|error| {
            Error::Failed(format!("the private server does not start: {error}"))
        })?;
        Ok(Self {
            running,
            folder: folder.to_owned(),
            open,
        })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.running.addr
    }

    /// The key that it shows.
    pub fn pin(&self) -> &str {
        &self.running.pin
    }

    /// Whether anybody can still make an account on it.
    pub fn is_open(&self) -> bool {
        self.open
    }

    /// Stops it for good, or until the next start, which takes no more accounts: the owner has one.
    ///
    /// # Errors
    /// [`Error::Failed`] if that cannot be written down.
    pub fn stop_owned(self) -> Result<(), Error> {
        let written = home::write(&self.folder.join(OWNED), b"");
        self.stop();
        Ok(written?)
    }

    /// Stops it.
    pub fn stop(self) {
        self.running.stop();
    }
}
