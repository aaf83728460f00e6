//! The storage actor: answers the requests of [`storage::api`] from one database.

use std::sync::Arc;
use std::time::Duration;

use actix::{Actor, Addr, AsyncContext as _, Context, Handler, Message, ResponseFuture};
use shared::secret::Key;
use shared::wire::error::Refusal;
use storage::engine::Engine;
use storage::{Config, Database, OutcomeUnknown, Request, StorageError};

/// How often past login events become audit records, and expired login attempts are deleted.
const TICK: Duration = Duration::from_secs(5);

/// The actor.
#[derive(Debug)]
pub struct Storage(Database);

/// A request to the actor.
#[derive(Debug)]
pub struct Ask<R>(pub R);

impl<R: Request> Message for Ask<R> {
    type Result = Result<R::Answer, StorageError>;
}

/// Finishes all writes that wait, and accepts no more.
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "()")]
pub struct Stop;

impl Storage {
    /// Opens the database of an engine; `at_rest`, from the key file, seals rows that hold names and addresses.
    pub fn open(
        engine: Arc<dyn Engine>,
        config: Config,
        at_rest: &Key,
    ) -> Result<Self, StorageError> {
        Database::open(engine, config, at_rest, exit).map(Self)
    }
}

/// Ends the process: clients find out from their logs which writes are durable, once the server runs again.
fn exit(unknown: &OutcomeUnknown) {
    tracing::error!(error = %unknown, "stopping");
    std::process::exit(1);
}

impl Actor for Storage {
    type Context = Context<Self>;

    fn started(&mut self, context: &mut Self::Context) {
        context.run_interval(TICK, |storage, _| storage.0.tick());
    }
}

impl<R: Request> Handler<Ask<R>> for Storage {
    type Result = ResponseFuture<Result<R::Answer, StorageError>>;

    fn handle(&mut self, message: Ask<R>, _: &mut Self::Context) -> Self::Result {
        self.0.ask(message.0)
    }
}

impl Handler<Stop> for Storage {
    type Result = ResponseFuture<()>;

    fn handle(&mut self, _: Stop, _: &mut Self::Context) -> Self::Result {
        self.0.close()
    }
}

/// Sends a request to the storage actor. Failures go to the log, and the client is told [`Refusal::Internal`].
pub async fn ask<R: Request>(storage: &Addr<Storage>, request: R) -> Result<R::Answer, Refusal> {
    let answer = storage.send(Ask(request)).await;
    // An actor that does not answer has stopped: the server is shutting down.
    answer.map_err(|_| Refusal::Unavailable)?.map_err(|error| {
        if let StorageError::Failed(reason) = &error {
            tracing::error!(%reason, "storage failed");
        }
        error.refusal()
    })
}
