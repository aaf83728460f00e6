//! Messages of the protocol: those before a login, and sealed calls with retry.

use std::time::Duration;

use hyper::body::Bytes;
use hyper::{Method, StatusCode};
use serde::Serialize;
use serde::de::DeserializeOwned;
use shared::channel::{ClientIdle, Sealed};
use shared::codec;
use shared::secret::SecretBytes;
use shared::wire::error::Refusal;
use shared::wire::limits::MAX_BODY_LEN;
use shared::wire::{Hello, path};

use crate::error::{Error, Result};
use crate::transport::http::{Endpoint, Http, Response};
use crate::transport::tls::{Pin, Trust};
use crate::verification::VerificationError;

/// Attempts of one sealed request: the connection may be lost before or after the server carried it out.
const TRIES: u32 = 4;
const FIRST_PAUSE: Duration = Duration::from_millis(100);

/// Exchanges messages with one server.
#[derive(Debug)]
pub struct Api {
    http: Http,
}

impl Api {
    /// A client that has not connected yet; `timeout` bounds each exchange.
    ///
    /// # Errors
    /// [`Error::Failed`] for a CA file that cannot be used.
    pub fn new(endpoint: Endpoint, trust: Trust, timeout: Duration) -> Result<Self> {
        let http = Http::new(endpoint, trust, timeout)?;
        Ok(Self { http })
    }

    /// The server's address.
    pub fn endpoint(&self) -> &Endpoint {
        self.http.endpoint()
    }

    /// The TLS key of the newest connection, trusted or not.
    pub fn seen(&self) -> Option<Pin> {
        self.http.seen()
    }

    /// The `Date` header of the newest answer; only TLS authenticates it.
    pub fn date(&self) -> Option<&str> {
        self.http.date()
    }

    /// Asks for the identity that the server claims.
    ///
    /// # Errors
    /// [`VerificationError::OldProtocol`], and those of [`Self::post`].
    pub async fn hello(&mut self) -> Result<Hello> {
        let exchange = self.http.exchange(Method::GET, path::HELLO, Bytes::new());
        let hello: Hello = read(&exchange.await?)??;
        if hello.protocol < shared::PROTOCOL_VERSION {
            let (shown, oldest) = (hello.protocol, shared::PROTOCOL_VERSION);
            return Err(VerificationError::OldProtocol { shown, oldest }.into());
        }
        Ok(hello)
    }

    /// Sends a message outside a session and returns its answer. A failed exchange is not repeated, since the server
    /// counts some of these messages as login attempts.
    ///
    /// # Errors
    /// [`Error::Unreachable`], [`Error::Untrusted`], [`VerificationError::Malformed`], and the server's [`Refusal`] as
    /// [`Error`].
    pub async fn post<T: DeserializeOwned + Serialize>(
        &mut self,
        path: &str,
        message: &impl Serialize,
    ) -> Result<T> {
        let body = codec::encode(message)?;
        let response = self.http.exchange(Method::POST, path, body.into()).await?;
        Ok(read(&response)??)
    }

    /// Seals a request, sends it, and opens the answer. A lost answer is asked for again with the same sealed bytes,
    /// which the server carries out once.
    ///
    /// # Errors
    /// [`Error::SessionEnded`]; [`VerificationError::Channel`] if the answer does not open,
    /// [`VerificationError::UnsealedRefusal`]; else as [`Self::post`]. After any error the session is unusable, because
    /// the request may or may not have been carried out.
    pub async fn call(
        &mut self,
        channel: ClientIdle,
        plaintext: &[u8],
    ) -> Result<(ClientIdle, SecretBytes)> {
        let waiting = channel.request(plaintext);
        let body = Bytes::from(codec::encode(waiting.sealed())?);
        let (mut pause, mut tries) = (FIRST_PAUSE, 1);
        let sealed = loop {
            match self.try_call(body.clone()).await {
                Err(Error::Unreachable(_)) if tries < TRIES => {
                    tokio::time::sleep(pause).await;
                    (pause, tries) = (pause * 3, tries + 1);
                }
                outcome => break outcome?,
            }
        };
        Ok(waiting.answer(&sealed)?)
    }

    async fn try_call(&mut self, body: Bytes) -> Result<Sealed> {
        let response = self.http.exchange(Method::POST, path::CALL, body).await?;
        read(&response)?.map_err(outside)
    }
}

/// A refusal outside the sealed channel is not authenticated by OPAQUE, so that only kinds are accepted which an honest
/// server sends there.
fn outside(refusal: Refusal) -> Error {
    match refusal {
        Refusal::NoSession => Error::SessionEnded,
        Refusal::Busy | Refusal::Unavailable | Refusal::Internal => {
            Error::Unreachable(refusal.to_string())
        }
        Refusal::TooLarge => Error::Limit(refusal.to_string()),
        refusal => VerificationError::UnsealedRefusal(refusal).into(),
    }
}

/// The message, or the refusal.
fn read<T: DeserializeOwned + Serialize>(response: &Response) -> Result<Result<T, Refusal>> {
    if response.status == StatusCode::OK {
        return Ok(Ok(codec::decode(&response.body, MAX_BODY_LEN)?));
    }
    let refusal: Refusal = codec::decode(&response.body, MAX_BODY_LEN).map_err(|_| {
        // No message of the protocol: a proxy in front of the server answers.
        if response.status.is_server_error() {
            return Error::Unreachable(format!(
                "the server is not reached: HTTP status {}",
                response.status.as_u16()
            ));
        }
        Error::Failed(format!(
            "the answer comes from no keyserver: HTTP status {}",
            response.status.as_u16()
        ))
    })?;
    Ok(Err(refusal))
}
