//! Starting the agent of a profile: what it needs goes through a pipe, never through arguments or the environment.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Command, Stdio};

use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;
use shared::codec;
use shared::secret::SecretBytes;

use crate::error::Error;
use crate::options::Options;

/// First argument of the program as agent.
pub const AGENT: &str = "__agent";

/// What an agent is given.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Handover {
    /// The account.
    pub account: String,
    /// The secret of the device's own credential.
    pub secret: ByteBuf,
    /// Unused for so many milliseconds, it locks itself.
    pub idle_ms: u64,
    /// Whether it may show values.
    pub reveals: bool,
    /// Why.
    pub reason: Option<String>,
}

/// Starts the agent of this run's profile, and waits until it is ready.
///
/// # Errors
/// [`Error::Failed`] with what the agent says.
pub fn start(options: &Options, handover: &Handover) -> Result<(), Error> {
    let failed = |error: std::io::Error| Error::io("starting the agent", &error);
    let program = std::env::current_exe().map_err(failed)?;
    let mut agent = Command::new(program)
        .arg(AGENT)
        .args(options.connection())
        .current_dir("/")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .map_err(failed)?;
    let encoded = SecretBytes::new(codec::encode(handover)?);
    if let Some(mut to) = agent.stdin.take() {
        to.write_all(encoded.expose()).map_err(failed)?;
    }
    let mut said = String::new();
    if let Some(from) = agent.stdout.take() {
        BufReader::new(from).read_line(&mut said).map_err(failed)?;
    }
    match said.trim() {
        "ready" => Ok(()),
        "" => Err(Error::Failed("the agent did not start".into())),
        why => Err(Error::Failed(format!("the agent did not start: {why}"))),
    }
}
