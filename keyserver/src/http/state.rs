//! State that all HTTP handlers share.

use std::time::Duration;

use crate::operations::service::Service;

/// The API behind HTTP, and the limits of request bodies.
#[derive(Clone)]
pub struct Shared {
    /// Carries out requests.
    pub service: Service,
    /// How long a request may take to arrive.
    pub request_timeout: Duration,
    /// Longest body of a request in a session, in bytes.
    pub body_limit: usize,
    /// Longest body of a request before login, in bytes.
    pub open_body_limit: usize,
}
