//! TLS 1.3 and nothing else; the server's key is pinned, or its certificate comes from a CA file or the system's roots.

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

use crate::error::Error;

/// SHA-256 of a server key's SubjectPublicKeyInfo, written `sha256:BASE64`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pin(Digest);

impl Pin {
    /// Parses `sha256:BASE64`.
    ///
    /// # Errors
    /// [`Error::Usage`].
    pub fn parse(text: &str) -> Result<Self, Error> {
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

/// Whom to believe.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Trust {
    /// Exactly this key, whatever the certificate says.
    Pin(Pin),
    /// Certificates of these authorities.
    CaFile(PathBuf),
    /// Certificates of the system's authorities.
    System,
}

/// Which key a server showed, noted also where it was not accepted.
#[derive(Debug, Clone, Default)]
pub struct Seen(Arc<Mutex<Option<Pin>>>);

impl Seen {
    /// The key of the newest connection.
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
pub fn config(trust: &Trust, seen: &Seen) -> Result<Arc<ClientConfig>, Error> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let how = match trust {
        Trust::Pin(pin) => How::Pin(*pin),
        Trust::CaFile(path) => How::Roots(authorities(path, &provider)?),
        Trust::System => system(&provider),
    };
    let verifier = Verifier {
        how,
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
) -> Result<Arc<WebPkiServerVerifier>, Error> {
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

/// A machine without roots trusts nobody, which is no error: the server's key can still be pinned.
fn system(provider: &Arc<CryptoProvider>) -> How {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider))
        .build()
        .map_or(How::Nobody, How::Roots)
}

#[derive(Debug)]
enum How {
    Pin(Pin),
    Roots(Arc<WebPkiServerVerifier>),
    Nobody,
}

#[derive(Debug)]
struct Verifier {
    how: How,
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
        match &self.how {
            How::Pin(pin) if *pin == shown => Ok(ServerCertVerified::assertion()),
            How::Pin(_) => Err(CertificateError::ApplicationVerificationFailure.into()),
            How::Roots(verifier) => verifier.verify_server_cert(
                end_entity,
                intermediates,
                server_name,
                ocsp_response,
                now,
            ),
            How::Nobody => Err(CertificateError::UnknownIssuer.into()),
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
