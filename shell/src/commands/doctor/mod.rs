//! `doctor`

mod device;
mod keyring;
mod server;
mod system;

use clap::Args;
use serde::Serialize;
use serde_json::json;

use crate::error::{Error, Result};
use crate::shell::Shell;

/// Check clock, files, server and system, and print what to repair.
///
/// Asks for no password and changes nothing. Each line begins with ok, warn or FAIL; the exit status is 1 if a check
/// failed.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  doctor\n  status   # shows account, server and logs")]
pub struct Doctor {}

/// The result of a check.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Status {
    /// No problem.
    Ok,
    /// Usable, with a weakness that the owner should know.
    Warn,
    /// Not usable, or insecure.
    Fail,
}

/// One check with its result.
#[derive(Debug, PartialEq, Eq, Serialize)]
struct Check {
    name: &'static str,
    status: Status,
    /// The finding and, unless the status is ok, how to repair it.
    message: String,
}

impl Check {
    fn ok(name: &'static str, message: impl Into<String>) -> Self {
        Self::new(name, Status::Ok, message)
    }

    fn warn(name: &'static str, message: impl Into<String>) -> Self {
        Self::new(name, Status::Warn, message)
    }

    fn fail(name: &'static str, message: impl Into<String>) -> Self {
        Self::new(name, Status::Fail, message)
    }

    fn new(name: &'static str, status: Status, message: impl Into<String>) -> Self {
        Self {
            name,
            status,
            message: message.into(),
        }
    }

    fn line(&self) -> String {
        let status = match self.status {
            Status::Ok => "ok",
            Status::Warn => "warn",
            Status::Fail => "FAIL",
        };
        format!("{status:<5} {:<12} {}", self.name, self.message)
    }
}

impl Doctor {
    #[allow(clippy::unused_self)]
    pub(super) async fn run(self, shell: &mut Shell) -> Result<()> {
        let mut checks = device::checks(shell);
        checks.extend(keyring::checks(shell));
        checks.extend(server::checks(shell).await);
        checks.extend(system::checks(shell));
        let failed = checks
            .iter()
            .filter(|check| check.status == Status::Fail)
            .count();
        let lines: Vec<String> = checks.iter().map(Check::line).collect();
        let object = json!({"checks": checks, "failed": failed});
        shell.context.out.either(&object, &lines.join("\n"))?;
        match failed {
            0 => Ok(()),
            1 => Err(Error::failed("one check failed; see its line above")),
            failed => Err(Error::failed(format!(
                "{failed} checks failed; see their lines above"
            ))),
        }
    }
}
