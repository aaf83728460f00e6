//! What imports and exports leave out: said before anything is written, and in the status.

use keyshell_base::text::plural;
use keyshell_formats::item::Loss;

use crate::error::Error;
use crate::output::Output;

/// Lists what is left out. Where nothing may be, `nothing` says what therefore was not done.
///
/// # Errors
/// [`Error::Failed`], if `strict` and there is any.
pub fn check(out: Output, losses: &[Loss], strict: bool, nothing: &str) -> Result<(), Error> {
    for loss in losses {
        out.say(&format!("not carried over: {loss}"));
    }
    if strict && !losses.is_empty() {
        let text = format!(
            "{} cannot be carried over; {nothing}",
            plural(losses.len(), "thing")
        );
        return Err(Error::Failed(text));
    }
    Ok(())
}

/// How it ends with so many things left out; `done` is what could not be done with them.
///
/// # Errors
/// [`Error::Partial`], if there are any.
pub fn partial(left: usize, done: &str) -> Result<(), Error> {
    if left == 0 {
        return Ok(());
    }
    Err(Error::Partial(format!(
        "{} could not be {done}, as listed above",
        plural(left, "thing")
    )))
}
