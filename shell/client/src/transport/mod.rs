//! The connection to the server: TLS 1.3 with pins, HTTP, and messages in MessagePack.

pub mod api;
pub mod http;
pub mod tls;
