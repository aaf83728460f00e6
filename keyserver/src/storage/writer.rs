//! The one thread that writes: whatever waits goes into one transaction, one sync to the disk.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread::JoinHandle;

use shared::wire::error::Refusal;
use tokio::sync::oneshot;

use crate::service::now_ms;
use crate::storage::api::StorageError;
use crate::storage::engine::{Engine, Write, Written};

/// Most writes of one transaction.
const MAX_BATCH: usize = 256;
/// Most bytes of one transaction, about.
const MAX_WEIGHT: usize = 16 * 1024 * 1024;
/// What a client is told to wait where the queue is full, in milliseconds.
const FULL_QUEUE_WAIT_MS: u64 = 1000;

type Answer = Result<Written, StorageError>;

struct Job {
    write: Write,
    answer: oneshot::Sender<Answer>,
    room: Room,
}

/// How many bytes wait.
#[derive(Debug, Clone)]
struct Waiting {
    bytes: Arc<AtomicUsize>,
    most: usize,
}

/// What one write takes of it; free again when dropped.
struct Room {
    waiting: Waiting,
    bytes: usize,
}

impl Waiting {
    /// One write alone is let in however long it is.
    fn enter(&self, bytes: usize) -> Option<Room> {
        let before = self.bytes.fetch_add(bytes, Ordering::SeqCst);
        let room = Room {
            waiting: self.clone(),
            bytes,
        };
        (before == 0 || before.saturating_add(bytes) <= self.most).then_some(room)
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        self.waiting.bytes.fetch_sub(self.bytes, Ordering::SeqCst);
    }
}

/// The way to the thread.
#[derive(Debug)]
pub struct Writer {
    jobs: SyncSender<Job>,
    waiting: Waiting,
    thread: JoinHandle<()>,
}

impl Writer {
    /// Starts the thread; so many writes, and so many bytes in them, may wait.
    pub fn start<E: Engine>(
        engine: Arc<E>,
        max_queue: usize,
        max_bytes: usize,
    ) -> Result<Self, StorageError> {
        let (jobs, queued) = sync_channel(max_queue.max(1));
        let thread = std::thread::Builder::new()
            .name("writer".into())
            .spawn(move || run(&*engine, &queued))
            .map_err(|error| StorageError::Failed(format!("no writer: {error}")))?;
        let waiting = Waiting {
            bytes: Arc::default(),
            most: max_bytes,
        };
        Ok(Self {
            jobs,
            waiting,
            thread,
        })
    }

    /// Queues a write; the answer comes when it is durable.
    pub fn queue(&self, write: Write) -> Result<oneshot::Receiver<Answer>, StorageError> {
        let full = || StorageError::Refused(Refusal::Throttled(FULL_QUEUE_WAIT_MS));
        let room = self.waiting.enter(write.weight()).ok_or_else(full)?;
        let (answer, answered) = oneshot::channel();
        let job = Job {
            write,
            answer,
            room,
        };
        match self.jobs.try_send(job) {
            Ok(()) => Ok(answered),
            Err(TrySendError::Full(_)) => Err(full()),
            Err(TrySendError::Disconnected(_)) => {
                Err(StorageError::Failed("the writer is gone".into()))
            }
        }
    }

    /// Finishes what is queued.
    pub fn finish(self) {
        drop(self.jobs);
        if self.thread.join().is_err() {
            tracing::error!("the writer panicked");
        }
    }
}

fn run(engine: &impl Engine, queued: &Receiver<Job>) {
    while let Ok(first) = queued.recv() {
        let mut weight = first.write.weight();
        let mut writes = vec![first.write];
        // What a write takes is free again only when it is done.
        let mut answers = vec![(first.answer, first.room)];
        while writes.len() < MAX_BATCH && weight < MAX_WEIGHT {
            let Ok(job) = queued.try_recv() else { break };
            weight += job.write.weight();
            writes.push(job.write);
            answers.push((job.answer, job.room));
        }
        let results = engine.write(&writes, now_ms());
        for ((answer, _room), result) in answers.into_iter().zip(results) {
            if let (true, Err(error)) = (answer.is_closed(), &result) {
                tracing::error!(%error, "a write failed that nobody waits for");
            }
            // Whoever asked may have gone; the write is done all the same.
            let _ = answer.send(result);
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn what_waits_is_bounded_in_bytes() {
        let waiting = Waiting {
            bytes: Arc::default(),
            most: 100,
        };
        let long = waiting.enter(1000).unwrap();
        assert!(waiting.enter(1).is_none());
        drop(long);
        let first = waiting.enter(60);
        assert!(first.is_some() && waiting.enter(41).is_none());
        let second = waiting.enter(40);
        assert!(second.is_some() && waiting.enter(1).is_none());
        drop((first, second));
        assert_eq!(waiting.bytes.load(Ordering::SeqCst), 0);
    }
}
