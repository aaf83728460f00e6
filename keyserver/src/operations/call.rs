//! `POST /v2/call`: opens a sealed request, carries out its operation, seals the answer.

use std::net::IpAddr;
use std::sync::Arc;

use shared::channel::Sealed;
use shared::codec;
use shared::ids::SessionId;
use shared::wire::call::{Answer, Call, Logout, Request};
use shared::wire::error::Refusal;
use shared::wire::limits::{MAX_BATCH, MAX_BODY_LEN};
use shared::wire::rekey::ReadPrepared;
use shared::wire::slots::ListSlots;

use crate::operations::request::{InSession, Perform};
use crate::operations::service::Service;
use crate::sessions::rates::RateKey;
use crate::sessions::session::{Context, Opened};
use crate::sessions::{Sessions, ask};

/// A sealed request that was opened.
pub enum Taken {
    /// The last one once more, and the answer that it got.
    Repeated(Sealed),
    /// A new one; `None` if it is no message. It must be answered by [`Service::seal`].
    New(Context, Option<Request>),
}

impl Service {
    /// A sealed request in, its sealed answer out.
    pub async fn call(&self, sealed: Sealed, remote: IpAddr) -> Result<Sealed, Refusal> {
        match self.open(sealed).await? {
            Taken::Repeated(answer) => Ok(answer),
            Taken::New(context, request) => {
                let close = request
                    .as_ref()
                    .is_some_and(|request| matches!(request.call, Call::Logout | Call::Delete(_)));
                let answer = self.perform(context, request, remote).await;
                let close = close && answer.is_ok();
                let answer = answer.unwrap_or_else(Answer::Refused);
                self.seal(context.session, &answer, close).await
            }
        }
    }

    /// Opens a sealed request. A repetition waits for the first one's answer and gets the same.
    pub async fn open(&self, sealed: Sealed) -> Result<Taken, Refusal> {
        let deadline = tokio::time::Instant::now() + self.repeat_wait;
        let sealed = Arc::new(sealed);
        loop {
            let sealed = Arc::clone(&sealed);
            let open = move |all: &mut Sessions, now| all.channels.open(&sealed, now);
            match ask(&self.sessions, open).await?? {
                Opened::Repeated(answer) => return Ok(Taken::Repeated(answer)),
                Opened::New(context, plaintext) => {
                    let request = codec::decode(plaintext.expose(), MAX_BODY_LEN);
                    return Ok(Taken::New(context, request.ok()));
                }
                Opened::Busy(mut answered) => {
                    // An error means that the session is gone; opening again says so.
                    let _ = tokio::time::timeout_at(deadline, answered.changed())
                        .await
                        .map_err(|_| Refusal::Busy)?;
                }
            }
        }
    }

    /// Carries out a request in a task of its own. A panic is answered too: otherwise the session would stay busy for
    /// ever.
    pub async fn perform(
        &self,
        context: Context,
        request: Option<Request>,
        remote: IpAddr,
    ) -> Result<Answer, Refusal> {
        let service = self.clone();
        let work = actix_web::rt::spawn(async move {
            let request = request.ok_or(Refusal::Malformed)?;
            dispatch(&service, context, request, remote).await
        });
        work.await.unwrap_or_else(|_| {
            tracing::error!("a request panicked");
            Err(Refusal::Internal)
        })
    }

    /// Seals the answer to the current request; `close` ends the session with it.
    pub async fn seal(
        &self,
        session: SessionId,
        answer: &Answer,
        close: bool,
    ) -> Result<Sealed, Refusal> {
        let answer = codec::encode(answer).map_err(|_| Refusal::Internal)?;
        self.seal_encoded(session, answer, close).await
    }

    /// [`Self::seal`] for an answer that is encoded already, or that a server in tests has made up.
    pub async fn seal_encoded(
        &self,
        session: SessionId,
        answer: Vec<u8>,
        close: bool,
    ) -> Result<Sealed, Refusal> {
        let seal = move |all: &mut Sessions, now| all.channels.seal(&session, &answer, close, now);
        ask(&self.sessions, seal).await?
    }
}

/// Makes the checks that every operation needs, then carries out the operation.
async fn dispatch(
    service: &Service,
    context: Context,
    request: Request,
    remote: IpAddr,
) -> Result<Answer, Refusal> {
    let within = InSession::new(service, context, &request, remote);
    let who = RateKey {
        account: context.account,
        is_person: context.is_person,
    };
    let (records, session, device) = (within.records.len(), context.session, request.device);
    // Refused without a record: the rate limits the number of records.
    within
        .ask(move |all, now| all.spend(who, records, now))
        .await??;
    let bound = within
        .ask(move |all, _| all.channels.bind(&session, device))
        .await?;
    within
        .or_record(bound.and_then(|()| check(&request)))
        .await?;
    match request.call {
        Call::Sync(sync) => perform(sync, within).await,
        Call::Append(append) => perform(append, within).await,
        Call::Fetch(fetch) => perform(fetch, within).await,
        Call::Audit(range) => perform(range, within).await,
        Call::Logout => perform(Logout, within).await,
        Call::Slots => perform(ListSlots, within).await,
        Call::Enrol(enrol) => perform(enrol, within).await,
        Call::Stage(stage) => perform(stage, within).await,
        Call::Install(install) => perform(install, within).await,
        Call::Delete(delete) => perform(delete, within).await,
        Call::Prepare(log) => perform(log, within).await,
        Call::Prepared => perform(ReadPrepared, within).await,
        Call::Rewrite(rewrite) => perform(rewrite, within).await,
        Call::Rewritten(read) => perform(read, within).await,
        Call::Rekey(rekey) => perform(rekey, within).await,
    }
}

async fn perform<O: Perform>(operation: O, request: InSession) -> Result<Answer, Refusal> {
    Ok(O::encode_answer(operation.perform(request).await?))
}

/// One tag per operation, at least one operation, and at most [`MAX_BATCH`].
fn check(request: &Request) -> Result<(), Refusal> {
    let operations = request.call.operations().len();
    if operations == 0 || operations != request.tags.len() {
        return Err(Refusal::Malformed);
    }
    if operations > MAX_BATCH {
        return Err(Refusal::TooLarge);
    }
    Ok(())
}
