//! How far a long piece of work is: on a terminal, on standard error, and only where it takes longer than a second.

use std::io::{self, IsTerminal as _, Write as _};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rustix::termios::tcgetwinsize;

use crate::output::table;

/// What takes less shows nothing.
const SILENT: Duration = Duration::from_secs(1);
/// How often the line changes, at most.
const REDRAW: Duration = Duration::from_millis(100);
/// Width of a terminal that does not say.
const COLUMNS: usize = 80;

/// Whether there is anybody to see it; decided once, for the whole process.
static WANTED: AtomicBool = AtomicBool::new(false);

/// Shows progress from now on, if standard error is a terminal.
pub fn show() {
    WANTED.store(io::stderr().is_terminal(), Ordering::Relaxed);
}

/// Work under way. Its line is gone when it is dropped.
#[derive(Debug)]
pub struct Progress {
    doing: &'static str,
    done: u64,
    total: u64,
    begun: Instant,
    drawn: Option<Instant>,
}

impl Progress {
    /// Begins; `total` is in whatever unit [`Self::reach`] counts.
    pub fn new(doing: &'static str, total: u64) -> Self {
        Self {
            doing,
            done: 0,
            total,
            begun: Instant::now(),
            drawn: None,
        }
    }

    /// So much of `total` is done.
    pub fn reach(&mut self, done: u64, total: u64) {
        (self.done, self.total) = (done, total);
        let now = Instant::now();
        let is_due = match self.drawn {
            None => now - self.begun >= SILENT,
            Some(drawn) => now - drawn >= REDRAW,
        };
        if is_due && WANTED.load(Ordering::Relaxed) {
            self.drawn = Some(now);
            let line = table::cut(&self.line(now - self.begun), columns());
            draw(&line);
        }
    }

    fn line(&self, since: Duration) -> String {
        let Self {
            doing, done, total, ..
        } = self;
        let milliseconds = u64::try_from(since.as_millis()).unwrap_or(u64::MAX).max(1);
        let rate = done.saturating_mul(1000) / milliseconds;
        let percent = done.saturating_mul(100) / total.max(&1);
        let left = total.saturating_sub(*done);
        let left = match left.checked_div(rate) {
            Some(seconds @ 0..120) => format!(", {} s left", seconds + 1),
            Some(seconds) => format!(", {} min left", seconds / 60 + 1),
            None => String::new(),
        };
        format!("{doing}: {done} of {total} ({percent}%), {rate}/s{left}")
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if self.drawn.is_some() {
            draw("");
        }
    }
}

fn draw(line: &str) {
    let mut stderr = io::stderr().lock();
    // Nowhere to report that the terminal is gone.
    let _ = write!(stderr, "\r\x1b[2K{line}").and_then(|()| stderr.flush());
}

fn columns() -> usize {
    let size = tcgetwinsize(io::stderr()).ok();
    let columns = size.map(|size| usize::from(size.ws_col));
    // A line that fills the last column would wrap on some terminals.
    columns.filter(|n| *n > 1).unwrap_or(COLUMNS) - 1
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(done: u64, total: u64, seconds: u64) -> String {
        let mut progress = Progress::new("importing", total);
        progress.done = done;
        progress.line(Duration::from_secs(seconds))
    }

    #[test]
    fn rate_and_remaining_time_follow_from_what_was_done() {
        assert_eq!(
            line(500, 2000, 2),
            "importing: 500 of 2000 (25%), 250/s, 7 s left"
        );
        assert_eq!(
            line(10, 10_000, 1),
            "importing: 10 of 10000 (0%), 10/s, 17 min left"
        );
        assert_eq!(line(0, 10, 0), "importing: 0 of 10 (0%), 0/s");
        assert_eq!(line(7, 7, 7), "importing: 7 of 7 (100%), 1/s, 1 s left");
        assert_eq!(line(9, 0, 1), "importing: 9 of 0 (900%), 9/s, 1 s left");
    }
}
