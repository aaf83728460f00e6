//! The way to the server: TLS and pins, HTTP, OPAQUE, the sealed session with retry.

pub mod api;
pub mod credential;
pub mod http;
pub mod login;
pub mod register;
pub mod tls;
