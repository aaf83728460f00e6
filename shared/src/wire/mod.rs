//! The messages. Each request documents its answer and when each refusal happens; refusals that every request of a session
//! can get are listed at [`operation::Operation`].

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
pub mod rekey;
pub mod slots;
mod sync;

use serde::{Deserialize, Serialize};

use crate::ids::{PublicKey, ServerId};

/// Media type of every body.
pub const CONTENT_TYPE: &str = "application/msgpack";

/// Paths of the API; all but [`path::HELLO`] are `POST`.
pub mod path {
    /// `GET`: [`super::Hello`].
    pub const HELLO: &str = "/v1/hello";
    /// [`super::register::RegisterStart`].
    pub const REGISTER_START: &str = "/v1/register/start";
    /// [`super::register::RegisterFinish`].
    pub const REGISTER_FINISH: &str = "/v1/register/finish";
    /// [`super::login::LoginStart`].
    pub const LOGIN_START: &str = "/v1/login/start";
    /// [`super::login::LoginFinish`].
    pub const LOGIN_FINISH: &str = "/v1/login/finish";
    /// [`crate::channel::Sealed`] around a [`super::call::Request`].
    pub const CALL: &str = "/v1/call";
}

/// Who the server says it is. Believed only as far as pins, OPAQUE and the genesis entry confirm it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    /// Newest protocol version that the server speaks.
    pub protocol: u8,
    /// Its id.
    pub server: ServerId,
    /// Its OPAQUE static public key (ristretto255).
    pub opaque_key: PublicKey,
    /// The key that signs its audit checkpoints (Ed25519).
    pub checkpoint_key: PublicKey,
    /// Whether new accounts may be made.
    pub registration: Registration,
}

/// Who may make an account.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Registration {
    /// Anyone.
    Open,
    /// Holders of an invite code.
    Invite,
    /// Nobody.
    Closed,
}
