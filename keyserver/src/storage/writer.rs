//! The one thread that writes: whatever waits goes into one transaction, one sync to the disk.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread::JoinHandle;

use shared::wire::error::Refusal;
use tokio::sync::oneshot;

use crate::clock::now_ms;
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

/// How much waits.
#[derive(Debug, Clone)]
struct Waiting {
    bytes: Arc<AtomicUsize>,
    most: usize,
    /// Writes that anybody can ask for: they never take what sessions need.
    anybodys: Arc<AtomicUsize>,
    most_anybodys: usize,
}

/// What one write takes of it; free again when dropped.
struct Room {
    waiting: Waiting,
    bytes: usize,
    anybodys: usize,
}

impl Waiting {
    fn new(max_queue: usize, max_bytes: usize) -> Self {
        Self {
            bytes: Arc::default(),
            most: max_bytes,
            anybodys: Arc::default(),
            most_anybodys: max_queue.div_ceil(2),
        }
    }

    /// One write alone is let in however long it is.
    fn enter(&self, bytes: usize, is_anybodys: bool) -> Option<Room> {
        let anybodys = usize::from(is_anybodys);
        let bytes_before = self.bytes.fetch_add(bytes, Ordering::SeqCst);
        let anybodys_before = self.anybodys.fetch_add(anybodys, Ordering::SeqCst);
        let room = Room {
            waiting: self.clone(),
            bytes,
            anybodys,
        };
        let has_bytes = bytes_before == 0 || bytes_before.saturating_add(bytes) <= self.most;
        let has_place = anybodys_before + anybodys <= self.most_anybodys;
        (has_bytes && (has_place || !is_anybodys)).then_some(room)
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        let waiting = &self.waiting;
        waiting.bytes.fetch_sub(self.bytes, Ordering::SeqCst);
        waiting.anybodys.fetch_sub(self.anybodys, Ordering::SeqCst);
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
    /// Starts the thread; so many writes, and so many bytes in them, may wait. Half of the writes may be such as anybody
    /// can ask for.
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
        Ok(Self {
            jobs,
            waiting: Waiting::new(max_queue, max_bytes),
            thread,
        })
    }

    /// Queues a write; the answer comes when it is durable.
    pub fn queue(&self, write: Write) -> Result<oneshot::Receiver<Answer>, StorageError> {
        let full = || StorageError::Refused(Refusal::Throttled(FULL_QUEUE_WAIT_MS));
        let room = self
            .waiting
            .enter(write.weight(), write.is_anybodys())
            .ok_or_else(full)?;
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
    use std::net::IpAddr;
    use std::sync::Mutex;

    use serde_bytes::ByteBuf;
    use shared::ids::{AccountId, PublicKey};
    use shared::names::AccountName;
    use shared::opaque::Slot;
    use shared::vault_log::{Head, SignedEntry};
    use shared::wire::rekey::Prepared;
    use shared::wire::slots::SlotInfo;

    use super::*;
    use crate::storage::api::{
        AuditPage, CheckRegistration, ReadAudit, ReadEntries, ReadValues, StartLogin, Which,
        WriteRecords,
    };

    #[test]
    fn what_waits_is_bounded_in_bytes() {
        let waiting = Waiting::new(10, 100);
        let enter = |bytes| waiting.enter(bytes, false);
        let long = enter(1000).unwrap();
        assert!(enter(1).is_none());
        drop(long);
        let first = enter(60);
        assert!(first.is_some() && enter(41).is_none());
        let second = enter(40);
        assert!(second.is_some() && enter(1).is_none());
        drop((first, second));
        assert_eq!(waiting.bytes.load(Ordering::SeqCst), 0);
    }

    /// An engine that does nothing until it is told to.
    struct Stalled(Mutex<Receiver<()>>);

    impl Engine for Stalled {
        fn write(&self, batch: &[Write], _: u64) -> Vec<Answer> {
            // A sender that is gone ends the stall.
            let _ = self.0.lock().unwrap().recv();
            batch.iter().map(|_| Ok(Written::Done)).collect()
        }

        fn log_key(&self, _: &AccountId, _: Which) -> Result<Option<PublicKey>, StorageError> {
            unreachable!()
        }

        fn prepared(&self, _: &AccountId) -> Result<Option<Prepared>, StorageError> {
            unreachable!()
        }

        fn check_registration(&self, _: &CheckRegistration) -> Result<(), StorageError> {
            unreachable!()
        }

        fn slots(&self, _: &AccountId) -> Result<Vec<SlotInfo>, StorageError> {
            unreachable!()
        }

        fn values(&self, _: &ReadValues) -> Result<Vec<Option<ByteBuf>>, StorageError> {
            unreachable!()
        }

        fn entries(&self, _: &ReadEntries) -> Result<(Vec<SignedEntry>, Head), StorageError> {
            unreachable!()
        }

        fn audit(&self, _: &ReadAudit) -> Result<AuditPage, StorageError> {
            unreachable!()
        }
    }

    #[test]
    fn a_flood_of_logins_leaves_room_for_sessions() {
        let (go_on, stalled) = sync_channel(0);
        let engine = Arc::new(Stalled(Mutex::new(stalled)));
        let writer = Writer::start(engine, 64, 1 << 20).unwrap();
        let start = || {
            Write::StartLogin(StartLogin {
                name: AccountName::parse("alice").unwrap(),
                slot: Slot::Password,
                remote: IpAddr::from([192, 0, 2, 1]),
            })
        };
        let waiting: Vec<_> = (0..1000)
            .filter_map(|_| writer.queue(start()).ok())
            .collect();
        assert_eq!(waiting.len(), 32);
        let records = WriteRecords {
            account: AccountId::random(),
            records: Vec::new(),
        };
        let of_session = writer.queue(Write::Records(records)).unwrap();
        drop(go_on);
        assert!(matches!(of_session.blocking_recv(), Ok(Ok(Written::Done))));
        for answer in waiting {
            assert!(answer.blocking_recv().is_ok());
        }
        assert!(writer.queue(start()).is_ok());
        writer.finish();
    }
}
