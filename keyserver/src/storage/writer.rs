//! The one thread that writes: whatever waits goes into one transaction, one sync to the disk.

use std::sync::Arc;
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
}

/// The way to the thread.
#[derive(Debug)]
pub struct Writer {
    jobs: SyncSender<Job>,
    thread: JoinHandle<()>,
}

impl Writer {
    /// Starts the thread.
    pub fn start<E: Engine>(engine: Arc<E>, max_queue: usize) -> Result<Self, StorageError> {
        let (jobs, waiting) = sync_channel(max_queue.max(1));
        let thread = std::thread::Builder::new()
            .name("writer".into())
            .spawn(move || run(&*engine, &waiting))
            .map_err(|error| StorageError::Failed(format!("no writer: {error}")))?;
        Ok(Self { jobs, thread })
    }

    /// Queues a write; the answer comes when it is durable.
    pub fn queue(&self, write: Write) -> Result<oneshot::Receiver<Answer>, StorageError> {
        let (answer, answered) = oneshot::channel();
        match self.jobs.try_send(Job { write, answer }) {
            Ok(()) => Ok(answered),
            Err(TrySendError::Full(_)) => Err(StorageError::Refused(Refusal::Throttled(
                FULL_QUEUE_WAIT_MS,
            ))),
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

fn run(engine: &impl Engine, waiting: &Receiver<Job>) {
    while let Ok(first) = waiting.recv() {
        let mut weight = first.write.weight();
        let mut writes = vec![first.write];
        let mut answers = vec![first.answer];
        while writes.len() < MAX_BATCH && weight < MAX_WEIGHT {
            let Ok(job) = waiting.try_recv() else { break };
            weight += job.write.weight();
            writes.push(job.write);
            answers.push(job.answer);
        }
        let results = engine.write(&writes, now_ms());
        for (answer, result) in answers.into_iter().zip(results) {
            if let (true, Err(error)) = (answer.is_closed(), &result) {
                tracing::error!(%error, "a write failed that nobody waits for");
            }
            // Whoever asked may have gone; the write is done all the same.
            let _ = answer.send(result);
        }
    }
}
