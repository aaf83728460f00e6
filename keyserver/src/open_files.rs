//! The limit of open files: each connection is one.

use std::io;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// What is open besides connections: database, locks, log, listeners, queues, and what is read for a moment.
const OTHERS: u64 = 128;

/// Raises the limit as far as it goes without asking anybody. The usual 1024 is for programs that use `select`.
///
/// # Errors
/// What the kernel says; the limit is as it was then.
pub fn raise() -> io::Result<()> {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: maximum,
        maximum,
    };
    Ok(setrlimit(Resource::Nofile, raised)?)
}

/// How many connections there are descriptors for.
pub fn left() -> usize {
    let limit = getrlimit(Resource::Nofile).current;
    limit.map_or(usize::MAX, |limit| {
        usize::try_from(limit.saturating_sub(OTHERS)).unwrap_or(usize::MAX)
    })
}
