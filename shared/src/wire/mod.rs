//! The messages. Each request documents its answer and when each refusal happens; refusals that every request of a
//! session can get are listed at [`operation::Operation`].

mod append;
mod audit;
mod bounded;
pub mod call;
mod delete;
pub mod error;
mod fetch;
pub mod limits;
pub mod login;
mod logout;
pub mod operation;
pub mod register;
pub mod slots;
mod sync;

use serde::{Deserialize, Serialize};

use crate::ids::{PublicKey, ServerId};

/// Media type of every request and answer body.
pub const CONTENT_TYPE: &str = "application/msgpack";

/// HTTP paths of the API. [`path::HELLO`] is read by `GET`, all others take a `POST`.
pub mod path {
    /// Answered by [`super::Hello`].
    pub const HELLO: &str = "/v2/hello";
    /// Takes a [`super::register::RegisterStart`].
    pub const REGISTER_START: &str = "/v2/register/start";
    /// Takes a [`super::register::RegisterFinish`].
    pub const REGISTER_FINISH: &str = "/v2/register/finish";
    /// Takes a [`super::login::LoginStart`].
    pub const LOGIN_START: &str = "/v2/login/start";
    /// Takes a [`super::login::LoginFinish`].
    pub const LOGIN_FINISH: &str = "/v2/login/finish";
    /// Takes a [`crate::channel::Sealed`] [`super::call::Request`].
    pub const CALL: &str = "/v2/call";
}

/// Identity that the server claims. A client trusts it only as far as pins, OPAQUE and the genesis entry confirm it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    /// Newest protocol version that the server supports.
    pub protocol: u8,
    /// Id of the server.
    pub server: ServerId,
    /// OPAQUE static public key (ristretto255).
    pub opaque_key: PublicKey,
    /// The key that signs audit checkpoints (Ed25519).
    pub checkpoint_key: PublicKey,
    /// Who may create an account.
    pub registration: Registration,
}

/// Who may create an account.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Registration {
    /// Any client.
    Open,
    /// Holders of an invite code.
    Invite,
    /// Registration is closed.
    Closed,
}
