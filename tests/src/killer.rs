//! Kills a program at a chosen step of its work on files.

use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use rustix::fs::inotify::{self, CreateFlags, ReadFlags, Reader, WatchFlags};

/// How the names of files begin that the shell is still writing.
pub const UNFINISHED: &str = ".keyshell-unfinished-";
/// What the thread that waits for the program's end makes, so that nobody waits for events that never come.
const ENDED: &str = "ended";

/// What happens to files of one name, and to unfinished ones, in one folder.
pub struct Watch {
    inotify: OwnedFd,
    name: String,
}

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// It was killed, at this event.
    Killed(ReadFlags),
    /// It had done its work before.
    Finished,
}

impl Watch {
    /// Watches the file of this name; the folder must exist.
    pub fn new(folder: &Path, name: &str) -> Self {
        let inotify = inotify::init(CreateFlags::CLOEXEC).unwrap();
        let writing = WatchFlags::CREATE
            | WatchFlags::MODIFY
            | WatchFlags::MOVE
            | WatchFlags::DELETE
            | WatchFlags::CLOSE_WRITE;
        inotify::add_watch(&inotify, folder, writing).unwrap();
        Self {
            inotify,
            name: name.to_owned(),
        }
    }

    /// Waits for the event number `step`, counted from 0; `None` if the program ended before.
    pub fn wait_for(&self, step: usize) -> Option<ReadFlags> {
        let mut buffer = [MaybeUninit::uninit(); 4096];
        let mut reader = Reader::new(&self.inotify, &mut buffer);
        let mut seen = 0;
        loop {
            let event = reader.next().unwrap();
            let name = event.file_name().unwrap_or_default().to_str().unwrap();
            if name == ENDED {
                return None;
            }
            if name == self.name || name.starts_with(UNFINISHED) {
                if seen == step {
                    return Some(event.events());
                }
                seen += 1;
            }
        }
    }
}

/// Runs a program and kills it at event number `step` of what it does to the file `name` in `folder`.
pub fn kill_at(mut command: Command, folder: &Path, name: &str, step: usize) -> End {
    let watch = Watch::new(folder, name);
    let ended = tempfile::tempdir().unwrap();
    inotify::add_watch(&watch.inotify, ended.path(), WatchFlags::CREATE).unwrap();
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let end = std::thread::scope(|scope| {
        let mut stdout = child.stdout.take().unwrap();
        let marker = ended.path().join(ENDED);
        scope.spawn(move || {
            std::io::copy(&mut stdout, &mut std::io::sink()).unwrap();
            std::fs::write(marker, "").unwrap();
        });
        watch.wait_for(step).inspect(|_| child.kill().unwrap())
    });
    finish(child, end)
}

fn finish(mut child: Child, event: Option<ReadFlags>) -> End {
    let status = child.wait().unwrap();
    match event {
        // It may have been at its end when the signal came.
        Some(event) if status.code().is_none() => End::Killed(event),
        _ => {
            assert!(status.success(), "{status}");
            End::Finished
        }
    }
}

/// How many unfinished files are in a folder.
pub fn unfinished(folder: &Path) -> usize {
    let entries = std::fs::read_dir(folder).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name());
    let is_unfinished = |name: &std::ffi::OsString| name.to_string_lossy().starts_with(UNFINISHED);
    names.filter(is_unfinished).count()
}
