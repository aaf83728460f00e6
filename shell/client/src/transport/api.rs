//! The API before login, and sealed calls with retry.

use std::time::Duration;

use hyper::body::Bytes;
use hyper::{Method, StatusCode};
use serde::Serialize;
use serde::de::DeserializeOwned;
use shared::channel::{ClientIdle, ClientWaiting, Sealed};
use shared::codec;
use shared::secret::SecretBytes;
use shared::wire::error::Refusal;
use shared::wire::limits::MAX_BODY_LEN;
use shared::wire::{Hello, path};

use crate::error::Error;
use crate::transport::http::{Endpoint, Http, Response};
use crate::transport::tls::{Pin, Trust};
use crate::verification::VerificationError;

/// Tries of one sealed request: the connection may be lost before or after the server worked on it.
const TRIES: u32 = 4;
const FIRST_PAUSE: Duration = Duration::from_millis(100);

/// One server, as messages.
#[derive(Debug)]
pub struct Api {
    http: Http,
}

impl Api {
    /// A client that has not connected yet; `timeout` is for one answer.
    ///
    /// # Errors
    /// [`Error::Failed`] for a CA file that cannot be used.
    pub fn new(endpoint: Endpoint, trust: Trust, timeout: Duration) -> Result<Self, Error> {
        let http = Http::new(endpoint, trust, timeout)?;
        Ok(Self { http })
    }

    /// Where it goes.
    pub fn endpoint(&self) -> &Endpoint {
        self.http.endpoint()
    }

    /// The key that the server showed, accepted or not.
    pub fn seen(&self) -> Option<Pin> {
        self.http.seen()
    }

    /// The time that came with the newest answer, as HTTP writes it.
    pub fn date(&self) -> Option<&str> {
        self.http.date()
    }

    /// Who the server says it is.
    ///
    /// # Errors
    /// As for every exchange.
    pub async fn hello(&mut self) -> Result<Hello, Error> {
        let exchange = self.http.exchange(Method::GET, path::HELLO, Bytes::new());
        let hello: Hello = parse(&exchange.await?)?;
        if hello.protocol < shared::PROTOCOL_VERSION {
            let (shown, oldest) = (hello.protocol, shared::PROTOCOL_VERSION);
            return Err(VerificationError::OldProtocol { shown, oldest }.into());
        }
        Ok(hello)
    }

    /// A message outside sessions and its answer. Not repeated: some of these messages count.
    ///
    /// # Errors
    /// As for every exchange, and what the server's [`Refusal`] becomes.
    pub async fn post<T: DeserializeOwned + Serialize>(
        &mut self,
        path: &str,
        message: &impl Serialize,
    ) -> Result<T, Error> {
        let body = codec::encode(message)?;
        let response = self.http.exchange(Method::POST, path, body.into()).await?;
        parse(&response)
    }

    /// Seals a request, sends it, and opens the answer. Lost answers are asked for again with the same bytes, which
    /// the server works on once.
    ///
    /// # Errors
    /// [`Error::SessionEnded`]; [`Error::Verification`] if the answer does not open; else as for every exchange. After
    /// any error the session is unusable, because the request may or may not have been worked on.
    pub async fn call(
        &mut self,
        channel: ClientIdle,
        plaintext: &[u8],
    ) -> Result<(ClientIdle, SecretBytes), Error> {
        let waiting = channel.request(plaintext);
        let body = Bytes::from(codec::encode(waiting.sealed())?);
        let mut pause = FIRST_PAUSE;
        for _ in 1..TRIES {
            match self.try_call(body.clone()).await {
                Err(Error::Unreachable(_)) => {
                    tokio::time::sleep(pause).await;
                    pause *= 3;
                }
                outcome => return finish(waiting, &outcome?),
            }
        }
        let sealed = self.try_call(body).await?;
        finish(waiting, &sealed)
    }

    async fn try_call(&mut self, body: Bytes) -> Result<Sealed, Error> {
        let response = self.http.exchange(Method::POST, path::CALL, body).await?;
        read(&response)?.map_err(outside)
    }
}

fn finish(waiting: ClientWaiting, sealed: &Sealed) -> Result<(ClientIdle, SecretBytes), Error> {
    Ok(waiting.answer(sealed)?)
}

/// What a refusal outside the sealed channel is worth. Whoever sits in between can say it, so that nothing is believed
/// which the server would say inside.
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

fn parse<T: DeserializeOwned + Serialize>(response: &Response) -> Result<T, Error> {
    Ok(read(response)??)
}

/// The message, or the refusal.
fn read<T: DeserializeOwned + Serialize>(response: &Response) -> Result<Result<T, Refusal>, Error> {
    if response.status == StatusCode::OK {
        return Ok(Ok(codec::decode(&response.body, MAX_BODY_LEN)?));
    }
    let refusal: Refusal = codec::decode(&response.body, MAX_BODY_LEN).map_err(|_| {
        // Not the server's own words: what stands before it says that it does not reach it.
        if response.status.is_server_error() {
            return Error::Unreachable(format!(
                "the server is not reached: HTTP status {}",
                response.status.as_u16()
            ));
        }
        Error::Failed(format!(
            "what answers is no keyserver: HTTP status {}",
            response.status.as_u16()
        ))
    })?;
    Ok(Err(refusal))
}
