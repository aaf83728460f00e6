//! Logs on stderr. They never contain a secret, a name, a password or a key.

use std::io;

use tracing_subscriber::EnvFilter;

use crate::config::LogFormat;

/// Sends logs to stderr, filtered by `KEYSERVER_LOG` (default `info`).
pub fn start(format: LogFormat) {
    let filter =
        EnvFilter::try_from_env("KEYSERVER_LOG").unwrap_or_else(|_| EnvFilter::new("info"));
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr)
        .with_ansi(false);
    // A second start in one process keeps the first one's settings.
    let _ = match format {
        LogFormat::Text => builder.try_init(),
        LogFormat::Json => builder.json().try_init(),
    };
}
