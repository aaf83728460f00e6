//! Progress of long operations: one line on standard error, on a terminal only, from the first second on.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressFinish, ProgressStyle};

/// Operations that end within this time show no progress.
const DELAY: Duration = Duration::from_secs(1);
/// Most redraws per second.
const REDRAWS: u8 = 10;
const LINE: &str = "{prefix}: {pos} of {len} ({percent}%), {per_sec:0}, {eta} left";

/// Whether this run shows progress at all.
static ENABLED: AtomicBool = AtomicBool::new(false);

/// Enables progress for the rest of the run; it still needs a terminal on standard error.
pub fn enable() {
    ENABLED.store(true, Ordering::Relaxed);
}

/// The progress of one operation. Its line is redrawn by [`Self::reach`] only, never from another thread, and cleared
/// when this is dropped.
#[derive(Debug)]
pub struct Progress {
    bar: ProgressBar,
}

impl Progress {
    /// Starts an operation; `total` has the unit that [`Self::reach`] counts in.
    pub fn new(operation: &'static str, total: u64) -> Self {
        let style = ProgressStyle::with_template(LINE);
        let bar = ProgressBar::with_draw_target(Some(total), ProgressDrawTarget::hidden())
            .with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
            .with_prefix(operation)
            .with_finish(ProgressFinish::AndClear);
        Self { bar }
    }
}

impl keyshell_client::frontend::Progress for Progress {
    fn reach(&mut self, done: u64, total: u64) {
        if self.bar.is_hidden() && ENABLED.load(Ordering::Relaxed) && self.bar.elapsed() >= DELAY {
            let stderr = ProgressDrawTarget::stderr_with_hz(REDRAWS);
            self.bar.set_draw_target(stderr);
        }
        self.bar.set_length(total);
        self.bar.set_position(done);
    }
}
