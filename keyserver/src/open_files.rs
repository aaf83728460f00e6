//! The limit of open files, of which each connection is one.

use std::io;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Open files besides connections: database, locks, log, listeners, queues, and short reads.
const OTHERS: u64 = 128;

/// Raises the soft limit to the hard limit. The usual soft limit of 1024 is for programs that use `select`.
///
/// # Errors
/// Those of the kernel; the limit is unchanged then.
pub fn raise() -> io::Result<()> {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: maximum,
        maximum,
    };
    Ok(setrlimit(Resource::Nofile, raised)?)
}

/// Number of file descriptors that are left for connections.
pub fn left() -> usize {
    let limit = getrlimit(Resource::Nofile).current;
    limit.map_or(usize::MAX, |limit| {
        usize::try_from(limit.saturating_sub(OTHERS)).unwrap_or(usize::MAX)
    })
}
