//! Placeholder while the server is being built.
