//! Request bodies, bounded in size and time. Until the session is known to exist, only a small body is read.

use std::future::poll_fn;
use std::pin::Pin;

use actix_web::HttpRequest;
use actix_web::body::{BodyStream, MessageBody as _};
use actix_web::http::header;
use actix_web::web::Payload;
use serde::Serialize;
use serde::de::DeserializeOwned;
use shared::channel::Sealed;
use shared::codec::{self, CodecError};
use shared::ids::SessionId;
use shared::wire::CONTENT_TYPE;
use shared::wire::error::Refusal;

use super::state::Shared;
use crate::operations::service::gone;
use crate::sessions::Knows;

/// First bytes of an encoded [`Sealed`]: an array of 3, then `bin` of 16 bytes, the session id.
const SEALED_PREFIX: &[u8] = &[0x93, 0xc4, 0x10];

/// A request that is refused before it reaches an operation.
#[derive(Debug)]
pub enum BodyError {
    /// Answered as a refusal.
    Refused(Refusal),
    /// The body took too long to arrive. HTTP 408.
    TooSlow,
    /// The media type is not [`CONTENT_TYPE`]. HTTP 415.
    MediaType,
}

impl From<Refusal> for BodyError {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

/// Reads a message from before login.
pub async fn read_open<T: Serialize + DeserializeOwned>(
    request: &HttpRequest,
    payload: Payload,
    shared: &Shared,
) -> Result<T, BodyError> {
    let read = async {
        let mut body = Body::new(request, payload, shared.open_body_limit)?;
        if !body.read(shared.open_body_limit).await? {
            return Err(Refusal::TooLarge.into());
        }
        Ok(decode(&body.bytes, shared.open_body_limit)?)
    };
    tokio::time::timeout(shared.request_timeout, read)
        .await
        .map_err(|_| BodyError::TooSlow)?
}

/// Reads a sealed message; a body over the limit of messages before login only if its session exists.
pub async fn read_sealed(
    request: &HttpRequest,
    payload: Payload,
    shared: &Shared,
) -> Result<Sealed, BodyError> {
    let read = async {
        let mut body = Body::new(request, payload, shared.body_limit)?;
        if !body.read(shared.open_body_limit).await? {
            let session = session_of(&body.bytes).ok_or(Refusal::Malformed)?;
            let knows = shared.service.sessions.send(Knows(session)).await;
            if !knows.map_err(gone)? {
                return Err(Refusal::NoSession.into());
            }
            if !body.read(shared.body_limit).await? {
                return Err(Refusal::TooLarge.into());
            }
        }
        Ok(decode(&body.bytes, shared.body_limit)?)
    };
    tokio::time::timeout(shared.request_timeout, read)
        .await
        .map_err(|_| BodyError::TooSlow)?
}

fn session_of(beginning: &[u8]) -> Option<SessionId> {
    let id = beginning.strip_prefix(SEALED_PREFIX)?;
    SessionId::from_slice(id.get(..SessionId::LEN)?)
}

fn decode<T: Serialize + DeserializeOwned>(bytes: &[u8], limit: usize) -> Result<T, Refusal> {
    codec::decode(bytes, limit).map_err(|error| match error {
        CodecError::TooLong { .. } => Refusal::TooLarge,
        CodecError::Malformed => Refusal::Malformed,
    })
}

struct Body {
    stream: Pin<Box<BodyStream<Payload>>>,
    bytes: Vec<u8>,
}

impl Body {
    fn new(request: &HttpRequest, payload: Payload, limit: usize) -> Result<Self, BodyError> {
        let headers = request.headers();
        let content_type = headers.get(header::CONTENT_TYPE);
        if content_type.is_none_or(|value| value != CONTENT_TYPE) {
            return Err(BodyError::MediaType);
        }
        let declared = headers
            .get(header::CONTENT_LENGTH)
            .and_then(|value| value.to_str().ok()?.parse().ok());
        if declared.is_some_and(|len: usize| len > limit) {
            return Err(Refusal::TooLarge.into());
        }
        Ok(Self {
            stream: Box::pin(BodyStream::new(payload)),
            bytes: Vec::new(),
        })
    }

    /// Reads more; `true` at the end of the body, `false` as soon as there are more than `limit` bytes.
    async fn read(&mut self, limit: usize) -> Result<bool, Refusal> {
        while self.bytes.len() <= limit {
            match poll_fn(|context| self.stream.as_mut().poll_next(context)).await {
                None => return Ok(true),
                Some(Ok(chunk)) => self.bytes.extend_from_slice(&chunk),
                Some(Err(_)) => return Err(Refusal::Malformed),
            }
        }
        Ok(false)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use serde_bytes::ByteBuf;

    use super::*;

    #[test]
    fn a_sealed_message_begins_with_its_session() {
        let sealed = Sealed {
            session: SessionId::random(),
            counter: u64::MAX,
            body: ByteBuf::from(vec![1; 70_000]),
        };
        let bytes = codec::encode(&sealed).unwrap();
        assert_eq!(session_of(&bytes), Some(sealed.session));
        assert_eq!(session_of(bytes.get(1..).unwrap()), None);
        assert_eq!(session_of(bytes.get(..10).unwrap()), None);
    }
}
