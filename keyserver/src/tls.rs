//! TLS 1.3 only, post-quantum hybrid key exchange first, and a certificate that can change while the server runs.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

use data_encoding::BASE64;
use rustls::crypto::CryptoProvider;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

use crate::files;

/// Name of the self-signed certificate in the data folder.
pub const CERTIFICATE: &str = "tls-cert.pem";
const KEY: &str = "tls-key.pem";

/// Certificate and key cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// Reading or writing failed.
    #[error("{path}: {error}")]
    Io {
        /// Which file.
        path: PathBuf,
        /// What went wrong.
        error: io::Error,
    },
    /// Not PEM, not a certificate, not a key.
    #[error("{path}: {reason}")]
    Malformed {
        /// Which file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The certificate could not be created.
    #[error("cannot make a certificate: {0}")]
    Make(#[from] rcgen::Error),
    /// rustls refused the set-up.
    #[error("TLS: {0}")]
    Rustls(#[from] rustls::Error),
}

/// Where certificate chain and private key are, as PEM.
#[derive(Debug, Clone)]
pub struct CertificateFiles {
    /// The chain.
    pub certificate: PathBuf,
    /// The private key.
    pub key: PathBuf,
}

impl CertificateFiles {
    /// The self-signed pair in the data folder; missing files are created.
    pub fn self_signed(data_dir: &Path) -> Result<Self, TlsError> {
        let files = Self {
            certificate: data_dir.join(CERTIFICATE),
            key: data_dir.join(KEY),
        };
        if !files.certificate.exists() {
            files.make()?;
        }
        Ok(files)
    }

    /// The key is written first: after a crash in between, the same key, and so the same pin, gets its certificate.
    fn make(&self) -> Result<(), TlsError> {
        if !self.key.exists() {
            let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256)?;
            let pem = Zeroizing::new(key.serialize_pem());
            files::write_new(&self.key, pem.as_bytes(), 0o600).map_err(at(&self.key))?;
        }
        let pem = Zeroizing::new(files::read_bounded(&self.key).map_err(at(&self.key))?);
        let key = rcgen::KeyPair::from_pem(&String::from_utf8_lossy(&pem))?;
        let mut names = vec!["localhost".to_owned(), "127.0.0.1".into(), "::1".into()];
        names.extend(host_name());
        let mut parameters = rcgen::CertificateParams::new(names)?;
        parameters.distinguished_name = rcgen::DistinguishedName::new();
        parameters
            .distinguished_name
            .push(rcgen::DnType::CommonName, "keyserver");
        let certificate = parameters.self_signed(&key)?;
        files::write_new(&self.certificate, certificate.pem().as_bytes(), 0o644)
            .map_err(at(&self.certificate))
    }

    fn read(&self, provider: &CryptoProvider) -> Result<CertifiedKey, TlsError> {
        let pem = files::read_bounded(&self.certificate).map_err(at(&self.certificate))?;
        let chain: Vec<_> = CertificateDer::pem_slice_iter(&pem)
            .collect::<Result<_, _>>()
            .map_err(malformed(&self.certificate))?;
        let pem = Zeroizing::new(files::read_bounded(&self.key).map_err(at(&self.key))?);
        let key = PrivateKeyDer::from_pem_slice(&pem).map_err(malformed(&self.key))?;
        if chain.is_empty() {
            return Err(malformed(&self.certificate)("no certificate in it"));
        }
        Ok(CertifiedKey::from_der(chain, key, provider)?)
    }
}

fn at(path: &Path) -> impl FnOnce(io::Error) -> TlsError {
    let path = path.to_owned();
    |error| TlsError::Io { path, error }
}

fn malformed<E: ToString>(path: &Path) -> impl FnOnce(E) -> TlsError {
    let path = path.to_owned();
    move |reason| TlsError::Malformed {
        path,
        reason: reason.to_string(),
    }
}

/// The host's name if it can stand in a certificate.
fn host_name() -> Option<String> {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").ok()?;
    let name = name.trim();
    let well_formed = !name.is_empty()
        && name.len() < 254
        && name != "localhost"
        && name
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '.');
    well_formed.then(|| name.to_owned())
}

/// The certificate in use. Connections made after [`Certificate::reload`] get the new one.
#[derive(Debug)]
pub struct Certificate {
    files: CertificateFiles,
    provider: Arc<CryptoProvider>,
    current: RwLock<Arc<CertifiedKey>>,
}

impl Certificate {
    /// Reads certificate and key.
    pub fn open(files: CertificateFiles) -> Result<Arc<Self>, TlsError> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let current = RwLock::new(Arc::new(files.read(&provider)?));
        Ok(Arc::new(Self {
            files,
            provider,
            current,
        }))
    }

    /// Reads certificate and key again; keeps the old ones if the new ones are invalid.
    pub fn reload(&self) -> Result<(), TlsError> {
        let fresh = Arc::new(self.files.read(&self.provider)?);
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = fresh;
        Ok(())
    }

    /// The pin: `sha256:` and base64 of the SHA-256 of the SubjectPublicKeyInfo.
    pub fn pin(&self) -> Result<String, TlsError> {
        let current = self.current();
        let certificate = current.end_entity_cert()?;
        let certificate = webpki::EndEntityCert::try_from(certificate)
            .map_err(malformed(&self.files.certificate))?;
        let digest = Sha256::digest(certificate.subject_public_key_info());
        Ok(format!("sha256:{}", BASE64.encode(&digest)))
    }

    /// The rustls configuration of the listener.
    pub fn server_config(self: &Arc<Self>) -> Result<rustls::ServerConfig, TlsError> {
        let config = rustls::ServerConfig::builder_with_provider(Arc::clone(&self.provider))
            .with_protocol_versions(&[&rustls::version::TLS13])?
            .with_no_client_auth()
            .with_cert_resolver(Arc::clone(self) as Arc<dyn ResolvesServerCert>);
        Ok(config)
    }

    fn current(&self) -> Arc<CertifiedKey> {
        Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner))
    }
}

impl ResolvesServerCert for Certificate {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.current())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn the_pin_outlives_the_certificate() {
        let folder = tempfile::tempdir().unwrap();
        let files = CertificateFiles::self_signed(folder.path()).unwrap();
        let certificate = Certificate::open(files.clone()).unwrap();
        let pin = certificate.pin().unwrap();
        std::fs::remove_file(&files.certificate).unwrap();
        assert!(certificate.reload().is_err());
        assert_eq!(certificate.pin().unwrap(), pin);
        CertificateFiles::self_signed(folder.path()).unwrap();
        certificate.reload().unwrap();
        assert_eq!(certificate.pin().unwrap(), pin);
        std::fs::remove_file(&files.certificate).unwrap();
        std::fs::remove_file(&files.key).unwrap();
        CertificateFiles::self_signed(folder.path()).unwrap();
        certificate.reload().unwrap();
        assert_ne!(certificate.pin().unwrap(), pin);
    }

    #[test]
    fn the_hybrid_key_exchange_comes_first() {
        let folder = tempfile::tempdir().unwrap();
        let files = CertificateFiles::self_signed(folder.path()).unwrap();
        let config = Certificate::open(files).unwrap().server_config().unwrap();
        let first = config.crypto_provider().kx_groups.first().unwrap();
        assert_eq!(first.name(), rustls::NamedGroup::X25519MLKEM768);
    }
}
