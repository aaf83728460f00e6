//! Group commit: one thread writes everything that waits in one transaction, with one sync to the disk.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use shared::wire::error::Refusal;
use tokio::sync::oneshot;

use crate::clock::now_ms;
use crate::error::StorageError;
use crate::store::{OutcomeUnknown, Store, WriteResult};
use crate::write::Write;

/// Most writes of one transaction.
const MAX_BATCH: usize = 256;
/// Most bytes of one transaction, estimated.
const MAX_WEIGHT: usize = 16 * 1024 * 1024;
/// Time after which a client may retry where the queue is full, in milliseconds.
const FULL_QUEUE_WAIT_MS: u64 = 1000;

/// A write that waits.
struct Job {
    write: Write,
    answer: oneshot::Sender<WriteResult>,
    reservation: Reservation,
}

/// The size of the queue, shared by its reservations.
#[derive(Debug, Clone)]
struct Queue {
    bytes: Arc<AtomicUsize>,
    max_bytes: usize,
    /// Writes that unauthenticated clients can trigger: they leave half of the queue to sessions.
    unauthenticated: Arc<AtomicUsize>,
    max_unauthenticated: usize,
}

/// The part of the queue that one write takes, until this is dropped.
struct Reservation {
    queue: Queue,
    bytes: usize,
    unauthenticated: usize,
}

impl Queue {
    fn new(max_writes: usize, max_bytes: usize) -> Self {
        Self {
            bytes: Arc::default(),
            max_bytes,
            unauthenticated: Arc::default(),
            max_unauthenticated: max_writes.div_ceil(2),
        }
    }

    /// Reserves a part of the queue. A write that waits alone may have any length.
    fn reserve(&self, bytes: usize, is_unauthenticated: bool) -> Option<Reservation> {
        let unauthenticated = usize::from(is_unauthenticated);
        let bytes_before = self.bytes.fetch_add(bytes, Ordering::SeqCst);
        let unauthenticated_before = self
            .unauthenticated
            .fetch_add(unauthenticated, Ordering::SeqCst);
        let reservation = Reservation {
            queue: self.clone(),
            bytes,
            unauthenticated,
        };
        let has_bytes = bytes_before == 0 || bytes_before.saturating_add(bytes) <= self.max_bytes;
        let has_place = unauthenticated_before + unauthenticated <= self.max_unauthenticated;
        (has_bytes && (has_place || !is_unauthenticated)).then_some(reservation)
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        let queue = &self.queue;
        queue.bytes.fetch_sub(self.bytes, Ordering::SeqCst);
        queue
            .unauthenticated
            .fetch_sub(self.unauthenticated, Ordering::SeqCst);
    }
}

/// The writer's thread and its queue.
#[derive(Debug)]
pub struct Writer {
    /// `None` once the writer was closed.
    jobs: Mutex<Option<SyncSender<Job>>>,
    queue: Queue,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Writer {
    /// Starts the thread. `on_unknown` is called when it is unknown whether writes are durable, and should end the
    /// process: if it returns, the thread ends, and those writes are never answered.
    pub fn start(store: Arc<Store>, on_unknown: fn(&OutcomeUnknown)) -> Result<Self, StorageError> {
        let (max_writes, max_bytes) = (store.config().max_queue, store.config().max_queue_bytes);
        let (jobs, queued) = sync_channel(max_writes.max(1));
        let thread = std::thread::Builder::new()
            .name("writer".into())
            .spawn(move || run(&store, &queued, on_unknown))
            .map_err(|error| StorageError::Failed(format!("no writer: {error}")))?;
        Ok(Self {
            jobs: Mutex::new(Some(jobs)),
            queue: Queue::new(max_writes, max_bytes),
            thread: Mutex::new(Some(thread)),
        })
    }

    /// Queues a write; it is answered when it is durable.
    ///
    /// # Errors
    /// [`Refusal::Throttled`] where the queue is full, [`Refusal::Unavailable`] once the writer was closed.
    pub fn queue(&self, write: Write) -> Result<oneshot::Receiver<WriteResult>, StorageError> {
        let full = || StorageError::Refused(Refusal::Throttled(FULL_QUEUE_WAIT_MS));
        let reservation = self
            .queue
            .reserve(write.weight(), write.is_unauthenticated())
            .ok_or_else(full)?;
        let (answer, answered) = oneshot::channel();
        let job = Job {
            write,
            answer,
            reservation,
        };
        let jobs = self.jobs.lock().unwrap_or_else(PoisonError::into_inner);
        let jobs = jobs
            .as_ref()
            .ok_or(StorageError::Refused(Refusal::Unavailable))?;
        match jobs.try_send(job) {
            Ok(()) => Ok(answered),
            Err(TrySendError::Full(_)) => Err(full()),
            Err(TrySendError::Disconnected(_)) => Err(StorageError::failed("the writer has ended")),
        }
    }

    /// Accepts no more writes, and waits until those that are queued are durable.
    pub fn close(&self) {
        fn take<T>(mutex: &Mutex<Option<T>>) -> Option<T> {
            mutex.lock().unwrap_or_else(PoisonError::into_inner).take()
        }
        drop(take(&self.jobs));
        if let Some(thread) = take(&self.thread)
            && thread.join().is_err()
        {
            tracing::error!("the writer panicked");
        }
    }
}

fn run(store: &Store, queued: &Receiver<Job>, on_unknown: fn(&OutcomeUnknown)) {
    while let Ok(first) = queued.recv() {
        let mut weight = first.write.weight();
        let mut writes = vec![first.write];
        // Reservations end only when the writes are done.
        let mut answers = vec![(first.answer, first.reservation)];
        while writes.len() < MAX_BATCH && weight < MAX_WEIGHT {
            let Ok(job) = queued.try_recv() else { break };
            weight += job.write.weight();
            writes.push(job.write);
            answers.push((job.answer, job.reservation));
        }
        let results = match store.write(&writes, now_ms()) {
            Ok(results) => results,
            Err(unknown) => {
                on_unknown(&unknown);
                // A dropped sender would be an answer: clients would be told that these writes were not stored.
                std::mem::forget(answers);
                return;
            }
        };
        for ((answer, _reservation), result) in answers.into_iter().zip(results) {
            if let (true, Err(error)) = (answer.is_closed(), &result) {
                tracing::error!(%error, "a write failed whose caller is gone");
            }
            // A write whose caller is gone is carried out all the same.
            let _ = answer.send(result);
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::net::IpAddr;

    use shared::ids::AccountId;
    use shared::names::AccountName;
    use shared::opaque::Slot;
    use shared::secret::Key;

    use tokio::sync::oneshot::error::TryRecvError;

    use super::*;
    use crate::api::{StartLogin, WriteRecords};
    use crate::config::Config;
    use crate::engine::{CommitOutcome, Engine, Read, Work};
    use crate::testing::memory::Memory;
    use crate::write::Written;

    #[test]
    fn the_bytes_that_wait_are_bounded() {
        let queue = Queue::new(10, 100);
        let reserve = |bytes| queue.reserve(bytes, false);
        let long = reserve(1000).unwrap();
        assert!(reserve(1).is_none());
        drop(long);
        let first = reserve(60);
        assert!(first.is_some() && reserve(41).is_none());
        let second = reserve(40);
        assert!(second.is_some() && reserve(1).is_none());
        drop((first, second));
        assert_eq!(queue.bytes.load(Ordering::SeqCst), 0);
    }

    type Hook = Box<dyn Fn() -> Option<CommitOutcome> + Send + Sync>;

    /// An engine with a hook before every write, which may replace its outcome.
    struct Hooked {
        engine: Memory,
        hook: Hook,
    }

    impl Engine for Hooked {
        fn read(&self, read: &mut Read<'_>) -> Result<(), StorageError> {
            self.engine.read(read)
        }

        fn write(&self, work: &mut Work<'_>) -> CommitOutcome {
            (self.hook)().unwrap_or_else(|| self.engine.write(work))
        }

        fn free_bytes(&self) -> u64 {
            self.engine.free_bytes()
        }
    }

    fn store(hook: impl Fn() -> Option<CommitOutcome> + Send + Sync + 'static) -> Arc<Store> {
        let engine = Hooked {
            engine: Memory::default(),
            hook: Box::new(hook),
        };
        let config = Config {
            max_queue: 64,
            max_queue_bytes: 1 << 20,
            ..Config::default()
        };
        Arc::new(Store::open(Arc::new(engine), config, &Key::new([7; 32])).unwrap())
    }

    fn start() -> Write {
        Write::StartLogin(StartLogin {
            name: AccountName::parse("alice").unwrap(),
            slot: Slot::Password,
            remote: IpAddr::from([192, 0, 2, 1]),
        })
    }

    #[test]
    fn a_flood_of_logins_leaves_room_for_sessions() {
        let (go_on, stalled) = sync_channel(1);
        // One write opens the store.
        go_on.send(()).unwrap();
        let stalled = Mutex::new(stalled);
        let store = store(move || {
            // A sender that is gone ends the stall.
            let _ = stalled.lock().unwrap().recv();
            None
        });
        let writer = Writer::start(store, |_| ()).unwrap();
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
        // There is no such account: the write was carried out, and refused.
        let refused = of_session.blocking_recv().unwrap();
        assert!(matches!(
            refused,
            Err(StorageError::Refused(Refusal::NoSession))
        ));
        for answer in waiting {
            assert!(answer.blocking_recv().is_ok());
        }
        assert!(writer.queue(start()).is_ok());
        writer.close();
        assert!(matches!(
            writer.queue(start()),
            Err(StorageError::Refused(Refusal::Unavailable))
        ));
    }

    #[test]
    fn writes_of_an_unknown_outcome_are_never_answered() {
        static REPORTED: AtomicUsize = AtomicUsize::new(0);
        let opened = AtomicUsize::new(0);
        let store = store(move || {
            let is_open = opened.fetch_add(1, Ordering::SeqCst) > 0;
            is_open.then(|| CommitOutcome::Unknown("the connection was lost".into()))
        });
        let writer = Writer::start(store, |_| {
            REPORTED.fetch_add(1, Ordering::SeqCst);
        })
        .unwrap();
        let mut answer = writer.queue(start()).unwrap();
        writer.close();
        assert_eq!(REPORTED.load(Ordering::SeqCst), 1);
        // Not even that the writer has ended: the caller would take it for a write that was not stored.
        assert_eq!(answer.try_recv().err(), Some(TryRecvError::Empty));
    }

    #[test]
    fn writes_that_were_not_committed_fail_one_by_one() {
        let opened = AtomicUsize::new(0);
        let store = store(move || {
            // The batch of two fails, and the first of them again.
            let number = opened.fetch_add(1, Ordering::SeqCst);
            (1..=2)
                .contains(&number)
                .then(|| CommitOutcome::NotCommitted(StorageError::failed("lost")))
        });
        let results = store.write(&[Write::Tick, Write::Tick], now_ms()).unwrap();
        assert!(matches!(
            results.as_slice(),
            [Err(StorageError::Failed(_)), Ok(Written::Done)]
        ));
    }
}
