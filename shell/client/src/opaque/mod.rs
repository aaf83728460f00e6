//! OPAQUE (RFC 9807), the client's half: registration, login, and new credentials.

pub mod credential;
pub mod login;
pub mod register;
