//! Data that an import or export cannot represent: listed before anything is written, and reported by the exit status.

use keyshell_base::text::plural;
use keyshell_formats::item::Loss;

use crate::error::{Error, Result};
use crate::output::Output;

/// Lists the losses. `nothing` states the consequence if `strict` forbids them, such as "nothing was written".
///
/// # Errors
/// [`Error::failed`] if `strict` is set and there is a loss.
pub fn check(out: Output, losses: &[Loss], strict: bool, nothing: &str) -> Result<()> {
    for loss in losses {
        out.say(&format!("not carried over: {loss}"));
    }
    if strict && !losses.is_empty() {
        let text = format!(
            "{} cannot be carried over; {nothing}",
            plural(losses.len(), "part")
        );
        return Err(Error::failed(text));
    }
    Ok(())
}

/// The result of a command that lost `left` parts; `done` is the participle of the step that failed, such as "read".
///
/// # Errors
/// [`Error::Partial`] if `left` is not 0.
pub fn partial(left: usize, done: &str) -> Result<()> {
    if left == 0 {
        return Ok(());
    }
    Err(Error::Partial(format!(
        "{} could not be {done}; see the list above",
        plural(left, "part")
    )))
}
