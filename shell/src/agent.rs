//! Starts the agent of a profile. Secrets are handed over through a pipe, never in arguments or the environment.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Command, Stdio};

use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;
use shared::codec;
use shared::secret::SecretBytes;

use crate::error::{Error, Result};
use crate::options::Options;

/// First argument of the process that is the agent.
pub const AGENT: &str = "__agent";

/// The message to a new agent, on its standard input.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Handover {
    /// The account.
    pub account: String,
    /// The secret of the device credential.
    pub secret: ByteBuf,
    /// The agent locks itself after this time without use, in milliseconds.
    pub idle_ms: u64,
    /// Whether it hands out values to be shown; false with `--no-reveal`.
    pub reveals: bool,
    /// The reason given at `unlock`.
    pub reason: Option<String>,
}

/// Starts the agent of the profile, and waits until it listens.
///
/// # Errors
/// [`Error::failed`] with the error that the agent reports.
pub fn start(options: &Options, handover: &Handover) -> Result<()> {
    let failed = Error::io("starting the agent");
    let program = std::env::current_exe().map_err(&failed)?;
    let mut agent = Command::new(program)
        .arg(AGENT)
        .args(options.connection())
        .current_dir("/")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .map_err(&failed)?;
    let encoded = SecretBytes::new(codec::encode(handover)?);
    if let Some(mut to) = agent.stdin.take() {
        to.write_all(encoded.expose()).map_err(&failed)?;
    }
    let mut said = String::new();
    if let Some(from) = agent.stdout.take() {
        BufReader::new(from).read_line(&mut said).map_err(&failed)?;
    }
    match said.trim() {
        "ready" => Ok(()),
        "" => Err(Error::failed("the agent did not start")),
        why => Err(Error::failed(format!("the agent did not start: {why}"))),
    }
}
