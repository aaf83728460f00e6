//! TLS 1.3 only. The server's key is pinned, or its certificate is verified against a CA file or the system's roots.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use data_encoding::BASE64;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{
    CryptoProvider, WebPkiSupportedAlgorithms, aws_lc_rs, verify_tls13_signature,
};
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme, version,
};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use shared::ids::Digest;

use crate::error::{Error, Result};

/// SHA-256 of the SubjectPublicKeyInfo of a server's TLS key; its text is `sha256:BASE64`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pin(Digest);

impl Pin {
    /// Parses `sha256:BASE64`.
    ///
    /// # Errors
    /// [`Error::Usage`].
    pub fn parse(text: &str) -> Result<Self> {
        text.trim()
            .strip_prefix("sha256:")
            .and_then(|encoded| BASE64.decode(encoded.as_bytes()).ok())
            .and_then(|bytes| Digest::from_slice(&bytes))
            .map(Self)
            .filter(|pin| pin.to_string() == text.trim())
            .ok_or_else(|| {
                Error::Usage(format!(
                    "`{text}` is not a pin; it looks like sha256:BASE64, and `keyserver pin` prints it"
                ))
            })
    }

    fn of(certificate: &CertificateDer<'_>) -> Result<Self, rustls::Error> {
        let parsed = webpki::EndEntityCert::try_from(certificate)
            .map_err(|_| CertificateError::BadEncoding)?;
        Ok(Self(Digest::of(&parsed.subject_public_key_info())))
    }
}

impl std::fmt::Display for Pin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "sha256:{}", BASE64.encode(self.0.as_bytes()))
    }
}

/// Which TLS keys are trusted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Trust {
    /// This key alone; its certificate is not verified.
    Pin(Pin),
    /// Keys with a certificate of the authorities in this file (PEM).
    CaFile(PathBuf),
    /// Keys with a certificate of the system's authorities.
    System,
}

/// The TLS key of the newest connection, trusted or not; clones share it.
#[derive(Debug, Clone, Default)]
pub struct Seen(Arc<Mutex<Option<Pin>>>);

impl Seen {
    /// The key; `None` before the first connection.
    pub fn pin(&self) -> Option<Pin> {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn note(&self, pin: Pin) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(pin);
    }
}

/// Makes the configuration for all connections to one server.
///
/// # Errors
/// [`Error::Failed`] for a CA file that cannot be used.
pub fn config(trust: &Trust, seen: &Seen) -> Result<Arc<ClientConfig>> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let policy = match trust {
        Trust::Pin(pin) => Policy::Pin(*pin),
        Trust::CaFile(path) => Policy::Roots(authorities(path, &provider)?),
        Trust::System => system(&provider),
    };
    let verifier = Verifier {
        policy,
        seen: seen.clone(),
        algorithms: provider.signature_verification_algorithms,
    };
    let config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&version::TLS13])
        .map_err(|error| Error::Failed(format!("TLS: {error}")))?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_no_client_auth();
    Ok(Arc::new(config))
}

fn authorities(
    path: &std::path::Path,
    provider: &Arc<CryptoProvider>,
) -> Result<Arc<WebPkiServerVerifier>> {
    let bad = |why: String| Error::Failed(format!("CA file {}: {why}", path.display()));
    let mut roots = RootCertStore::empty();
    let certificates = CertificateDer::pem_file_iter(path).map_err(|e| bad(e.to_string()))?;
    for certificate in certificates {
        let certificate = certificate.map_err(|e| bad(e.to_string()))?;
        roots.add(certificate).map_err(|e| bad(e.to_string()))?;
    }
    WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider))
        .build()
        .map_err(|e| bad(e.to_string()))
}

/// A machine without roots trusts no certificate. That is no error, since the server's key can be pinned later.
fn system(provider: &Arc<CryptoProvider>) -> Policy {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider))
        .build()
        .map_or(Policy::Nothing, Policy::Roots)
}

#[derive(Debug)]
enum Policy {
    Pin(Pin),
    Roots(Arc<WebPkiServerVerifier>),
    Nothing,
}

#[derive(Debug)]
struct Verifier {
    policy: Policy,
    seen: Seen,
    algorithms: WebPkiSupportedAlgorithms,
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let shown = Pin::of(end_entity)?;
        self.seen.note(shown);
        match &self.policy {
            Policy::Pin(pin) if *pin == shown => Ok(ServerCertVerified::assertion()),
            Policy::Pin(_) => Err(CertificateError::ApplicationVerificationFailure.into()),
            Policy::Roots(verifier) => verifier.verify_server_cert(
                end_entity,
                intermediates,
                server_name,
                ocsp_response,
                now,
            ),
            Policy::Nothing => Err(CertificateError::UnknownIssuer.into()),
        }
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Err(rustls::PeerIncompatible::Tls12NotOffered.into())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, cert, dss, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}
