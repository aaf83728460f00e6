//! `--embedded`: the real server, with real TLS on loopback and a real database, inside this process.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;

use keyserver::config::Config;
use keyserver::embedded::{self, Running};
use shared::wire::Registration;

use crate::error::Error;

/// Starts the private server with its data in `folder`.
///
/// # Errors
/// [`Error::Failed`], for example if another shell uses the same folder.
pub fn start(folder: &Path) -> Result<Running, Error> {
    let config = Config {
        data_dir: folder.to_owned(),
        listen: vec![SocketAddr::from((Ipv4Addr::LOCALHOST, 0))],
        registration: Some(Registration::Open),
        workers: 1,
        // The owner proves everything that is read; what is only damaged in its structure is noticed all the same.
        check_at_start: false,
        ..Config::default()
    };
    embedded::start(config)
        .map_err(|error| Error::Failed(format!("the private server does not start: {error}")))
}
