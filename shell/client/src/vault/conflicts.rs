//! Optimistic concurrency: an append that another device outran is planned again on top of the new head.

use std::time::Duration;

use rand::Rng as _;
use rand::rngs::OsRng;

use crate::error::Error;

/// Most attempts of one change: so many conflicts in a row are reported instead.
const MAX_CONFLICTS: u32 = 128;
/// Upper bound of the pause after the first conflict; it doubles with each further one.
const SHORTEST_PAUSE: Duration = Duration::from_millis(10);
/// The upper bound of the pause doubles at most this many times.
const MAX_DOUBLINGS: u32 = 6;

/// Repeats `attempt` until it returns `true`, which says that the change is stored. `false` is a conflict with another
/// device's change; a pause of random length follows it, so that devices that were refused together do not collide
/// again.
///
/// # Errors
/// Those of `attempt`; [`Error::Exists`] after [`MAX_CONFLICTS`] attempts.
pub(crate) async fn retry_on_conflict<E: From<Error>>(
    mut attempt: impl AsyncFnMut() -> Result<bool, E>,
) -> Result<(), E> {
    for conflicts in 0..MAX_CONFLICTS {
        if attempt().await? {
            return Ok(());
        }
        let longest = SHORTEST_PAUSE * (1 << conflicts.min(MAX_DOUBLINGS));
        tokio::time::sleep(longest.mul_f64(OsRng.r#gen())).await;
    }
    let text = "other devices keep changing the vault; nothing was written, try again";
    Err(Error::Exists(text.into()).into())
}
