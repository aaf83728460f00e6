//! A database that answers requests: reads run in parallel, writes are committed in groups.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Instant;

use shared::secret::Key;
use tokio::sync::oneshot;

use crate::config::Config;
use crate::engine::Engine;
use crate::error::StorageError;
use crate::request::{Request, Take, Task};
use crate::store::{OutcomeUnknown, Store, WriteResult};
use crate::write::Write;
use crate::writer::Writer;

/// The answer to a request, later.
pub type Answer<T> = Pin<Box<dyn Future<Output = Result<T, StorageError>> + Send>>;

/// A database in use.
#[derive(Debug)]
pub struct Database {
    store: Arc<Store>,
    writer: Arc<Writer>,
}

impl Database {
    /// Opens the database of an engine, checks it where [`Config::check_at_start`] is set, and starts its writer.
    /// `at_rest` is the key of sealed rows. `on_unknown` is called when it is unknown whether writes are durable, and
    /// should end the process: these writes are never answered.
    ///
    /// # Errors
    /// [`StorageError::Failed`] for a database of another schema or a damaged one, and where the engine fails.
    pub fn open(
        engine: Arc<dyn Engine>,
        config: Config,
        at_rest: &Key,
        on_unknown: fn(&OutcomeUnknown),
    ) -> Result<Self, StorageError> {
        let store = Arc::new(Store::open(engine, config, at_rest)?);
        if store.config().check_at_start {
            let started = Instant::now();
            let found = store.check()?;
            let seconds = started.elapsed().as_secs_f32();
            tracing::info!(?found, seconds, "the database was checked");
        }
        let writer = Arc::new(Writer::start(Arc::clone(&store), on_unknown)?);
        Ok(Self { store, writer })
    }

    /// Answers a request; must be called in a tokio runtime. A write is queued before this returns, and carried out even
    /// if the answer is dropped.
    pub fn ask<R: Request>(&self, request: R) -> Answer<R::Answer> {
        let store = Arc::clone(&self.store);
        match request.task() {
            Task::Read(read) => Box::pin(blocking(move || read(&store))),
            Task::Write(write, take) => {
                let queued = self.writer.queue(write);
                Box::pin(async move { answer(queued?, take).await })
            }
            Task::Verify(verify, take) => {
                let writer = Arc::clone(&self.writer);
                Box::pin(async move {
                    let write = blocking(move || verify(&store)).await?;
                    answer(writer.queue(write)?, take).await
                })
            }
        }
    }

    /// Queues the periodic work: audit records of past login events, expiry of login attempts. A full queue has other
    /// work; the next call does it.
    pub fn tick(&self) {
        let _ = self.writer.queue(Write::Tick);
    }

    /// Accepts no more writes, and waits until those that are queued are durable; must be called in a tokio runtime.
    pub fn close(&self) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        let writer = Arc::clone(&self.writer);
        Box::pin(async move {
            let closed = tokio::task::spawn_blocking(move || writer.close());
            if let Err(error) = closed.await {
                tracing::error!(%error, "the writer was not closed");
            }
        })
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, StorageError> + Send + 'static,
) -> Result<T, StorageError> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|_| StorageError::failed("a read panicked"))?
}

async fn answer<T>(
    queued: oneshot::Receiver<WriteResult>,
    take: Take<T>,
) -> Result<T, StorageError> {
    let written = queued
        .await
        .map_err(|_| StorageError::failed("the writer has ended"))??;
    take(written).ok_or_else(|| StorageError::failed("the writer mixed up answers"))
}
