//! Commands of the operator on the data folder. There is no administration over the network.

pub mod check;

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::config::Config;
use crate::keyfile::{KeyFile, KeyFileError};
use crate::tls::{Certificate, CertificateFiles, TlsError};
use crate::{files, invites};

/// An administrative command failed.
#[derive(Debug, thiserror::Error)]
pub enum AdminError {
    /// The key file.
    #[error(transparent)]
    KeyFile(#[from] KeyFileError),
    /// The certificate.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// A file or folder.
    #[error("{path}: {error}")]
    Io {
        /// Which one.
        path: PathBuf,
        /// What went wrong.
        error: std::io::Error,
    },
    /// The database.
    #[error("database: {0}")]
    Database(String),
    /// The data folder was not initialised.
    #[error("there is no server in {0}: start it, or run `keyserver init`, first")]
    NoServer(PathBuf),
}

/// Makes the data folder, the key file and the certificate where they are missing; returns the pin.
pub fn init(config: &Config) -> Result<String, AdminError> {
    files::make_folder(&config.data_dir).map_err(|error| AdminError::Io {
        path: config.data_dir.clone(),
        error,
    })?;
    KeyFile::open(&config.key_file(), &config.data_dir)?;
    Ok(certificate(config)?.pin()?)
}

/// The pin of the certificate in use.
pub fn pin(config: &Config) -> Result<String, AdminError> {
    if config.tls_cert.is_none() && !config.data_dir.join(crate::tls::CERTIFICATE).exists() {
        return Err(AdminError::NoServer(config.data_dir.clone()));
    }
    Ok(certificate(config)?.pin()?)
}

/// Creates an invite code for one account, valid for `lifetime`.
pub fn invite(data_dir: &Path, lifetime: Duration) -> Result<String, AdminError> {
    if !data_dir.is_dir() {
        return Err(AdminError::NoServer(data_dir.to_owned()));
    }
    invites::create(data_dir, lifetime).map_err(|error| AdminError::Io {
        path: data_dir.to_owned(),
        error,
    })
}

/// The certificate that the options name, else the self-signed one.
pub fn certificate(config: &Config) -> Result<std::sync::Arc<Certificate>, TlsError> {
    let files = match (&config.tls_cert, &config.tls_key) {
        (Some(certificate), Some(key)) => CertificateFiles {
            certificate: certificate.clone(),
            key: key.clone(),
        },
        _ => CertificateFiles::self_signed(&config.data_dir)?,
    };
    Certificate::open(files)
}
