//! The sealed channel inside TLS: one key per direction, a strictly increasing counter, idempotent retry.
//!
//! Sans-I/O: the client half is a pair of states ([`ClientIdle`], [`ClientWaiting`]) that consume each other, so that
//! a second request before the first answer does not compile; the server half is [`ServerChannel`].

use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;

use crate::aead::{self, NONCE_LEN, OpenError};
use crate::ids::{Digest, SessionId};
use crate::kdf::{derive, length_prefixed};
use crate::secret::{Key, SecretBytes};

/// Length of OPAQUE's session key in bytes.
pub const SESSION_KEY_LEN: usize = 64;

const LABEL: &str = "keyshell/2 channel";

/// A sealed request or answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sealed {
    /// The session of the message.
    pub session: SessionId,
    /// Number of the request in the session, from 1. An answer has the number of its request; the welcome has 0.
    pub counter: u64,
    /// AES-256-GCM-SIV ciphertext and tag (16 bytes).
    pub body: ByteBuf,
}

/// Why a sealed message is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ChannelError {
    /// Decryption failed: the message was altered, or sealed for another session, direction or counter.
    #[error("sealed message fails authentication")]
    DoesNotOpen,
    /// The session or counter is not the expected one, or another request had this counter.
    #[error("sealed message is replayed or out of order")]
    OutOfOrder,
    /// The previous request is still being carried out.
    #[error("the session is busy with a request")]
    Busy,
}

/// Derives the id of a session from OPAQUE's session key. Neither side chooses the id: if one occurred twice, request
/// tags of one session would verify in the other.
pub fn session_id(session_key: &[u8; SESSION_KEY_LEN]) -> SessionId {
    SessionId::new(*derive(session_key, "keyshell/2 session id", &[]))
}

/// The key of one direction of a session.
#[derive(Debug, Clone)]
struct Half {
    session: SessionId,
    direction: &'static [u8],
    key: Key,
}

impl Half {
    fn new(session_key: &[u8; SESSION_KEY_LEN], direction: &'static [u8]) -> Self {
        let session = session_id(session_key);
        let fields = [session.as_bytes().as_slice(), direction];
        Self {
            session,
            direction,
            key: Key::new(*derive::<32>(session_key, LABEL, &fields)),
        }
    }

    fn to_server(session_key: &[u8; SESSION_KEY_LEN]) -> Self {
        Self::new(session_key, b"client to server")
    }

    fn to_client(session_key: &[u8; SESSION_KEY_LEN]) -> Self {
        Self::new(session_key, b"server to client")
    }

    fn aad(&self, counter: u64) -> Vec<u8> {
        length_prefixed(&[
            LABEL.as_bytes(),
            self.session.as_bytes(),
            self.direction,
            &counter.to_be_bytes(),
        ])
    }

    fn seal(&self, counter: u64, plaintext: &[u8]) -> Sealed {
        let body = aead::seal(&self.key, &nonce(counter), &self.aad(counter), plaintext);
        Sealed {
            session: self.session,
            counter,
            body: ByteBuf::from(body),
        }
    }

    fn open(&self, counter: u64, sealed: &Sealed) -> Result<SecretBytes, ChannelError> {
        if sealed.session != self.session || sealed.counter != counter {
            return Err(ChannelError::OutOfOrder);
        }
        let aad = self.aad(counter);
        aead::open(&self.key, &nonce(counter), &aad, &sealed.body)
            .map_err(|OpenError| ChannelError::DoesNotOpen)
    }
}

/// Four zero bytes, then the counter as an unsigned 64-bit big-endian integer.
fn nonce(counter: u64) -> [u8; NONCE_LEN] {
    let mut nonce = [0; NONCE_LEN];
    nonce[4..].copy_from_slice(&counter.to_be_bytes());
    nonce
}

/// The client half between requests.
#[derive(Debug)]
pub struct ClientIdle {
    to_server: Half,
    to_client: Half,
    counter: u64,
}

/// The client half while it waits for an answer. The sealed request can be sent again, byte for byte.
#[derive(Debug)]
pub struct ClientWaiting {
    to_server: Half,
    to_client: Half,
    request: Sealed,
}

impl ClientIdle {
    /// Starts from OPAQUE's session key; opens and returns the welcome (counter 0).
    ///
    /// # Errors
    /// [`ChannelError`] if the welcome was not sealed by a server that has the same session key.
    pub fn start(
        session_key: &[u8; SESSION_KEY_LEN],
        welcome: &Sealed,
    ) -> Result<(Self, SecretBytes), ChannelError> {
        let to_client = Half::to_client(session_key);
        let plaintext = to_client.open(0, welcome)?;
        let idle = Self {
            to_server: Half::to_server(session_key),
            to_client,
            counter: 0,
        };
        Ok((idle, plaintext))
    }

    /// Id of the session.
    pub fn session(&self) -> SessionId {
        self.to_server.session
    }

    /// Counter of the next request.
    pub fn next_counter(&self) -> u64 {
        self.counter + 1
    }

    /// Seals the next request.
    pub fn request(self, plaintext: &[u8]) -> ClientWaiting {
        ClientWaiting {
            request: self.to_server.seal(self.counter + 1, plaintext),
            to_server: self.to_server,
            to_client: self.to_client,
        }
    }
}

impl ClientWaiting {
    /// The sealed request, to be sent, and sent again if the answer was lost.
    pub fn sealed(&self) -> &Sealed {
        &self.request
    }

    /// Opens the answer. A wrong answer ends the session, since this state is consumed.
    ///
    /// # Errors
    /// [`ChannelError`].
    pub fn answer(self, answer: &Sealed) -> Result<(ClientIdle, SecretBytes), ChannelError> {
        let counter = self.request.counter;
        let plaintext = self.to_client.open(counter, answer)?;
        let idle = ClientIdle {
            to_server: self.to_server,
            to_client: self.to_client,
            counter,
        };
        Ok((idle, plaintext))
    }
}

/// A request that the server received.
#[derive(Debug)]
pub enum Received {
    /// The plaintext of a new request, which must be answered by [`ServerChannel::answer`].
    New(SecretBytes),
    /// The last request was repeated byte for byte; this is its answer.
    Repeated(Sealed),
}

#[derive(Debug)]
enum Last {
    None,
    Working { request: Digest },
    Answered { request: Digest, answer: Sealed },
}

/// The server half.
#[derive(Debug)]
pub struct ServerChannel {
    to_server: Half,
    to_client: Half,
    counter: u64,
    last: Last,
}

impl ServerChannel {
    /// Starts from OPAQUE's session key.
    pub fn new(session_key: &[u8; SESSION_KEY_LEN]) -> Self {
        Self {
            to_server: Half::to_server(session_key),
            to_client: Half::to_client(session_key),
            counter: 0,
            last: Last::None,
        }
    }

    /// Seals the welcome (counter 0). Must be called once at most, before any request.
    pub fn welcome(&self, plaintext: &[u8]) -> Sealed {
        self.to_client.seal(0, plaintext)
    }

    /// Opens a request.
    ///
    /// # Errors
    /// [`ChannelError::Busy`] before the previous request was answered; the others if the message is neither the next
    /// request of this session nor the last one again.
    pub fn receive(&mut self, sealed: &Sealed) -> Result<Received, ChannelError> {
        if sealed.counter == self.counter && self.counter > 0 {
            return self.repeat(sealed);
        }
        if matches!(self.last, Last::Working { .. }) {
            return Err(ChannelError::Busy);
        }
        let plaintext = self.to_server.open(self.counter + 1, sealed)?;
        self.counter += 1;
        self.last = Last::Working {
            request: Digest::of(&sealed.body),
        };
        Ok(Received::New(plaintext))
    }

    fn repeat(&self, sealed: &Sealed) -> Result<Received, ChannelError> {
        let digest = Digest::of(&sealed.body);
        match &self.last {
            Last::Answered { request, answer } if *request == digest => {
                Ok(Received::Repeated(answer.clone()))
            }
            Last::Working { request } if *request == digest => Err(ChannelError::Busy),
            _ => Err(ChannelError::OutOfOrder),
        }
    }

    /// Seals the answer to the current request, and keeps it for repetitions.
    ///
    /// # Errors
    /// [`ChannelError::OutOfOrder`] if no request waits for an answer: a counter, and so a nonce, seals one answer.
    pub fn answer(&mut self, plaintext: &[u8]) -> Result<Sealed, ChannelError> {
        let Last::Working { request } = self.last else {
            return Err(ChannelError::OutOfOrder);
        };
        let answer = self.to_client.seal(self.counter, plaintext);
        self.last = Last::Answered {
            request,
            answer: answer.clone(),
        };
        Ok(answer)
    }
}
