//! `POST /v2/call`: opens a sealed request, carries out its operation, seals the answer.

use std::net::IpAddr;
use std::sync::Arc;

use serde_bytes::ByteBuf;
use shared::channel::Sealed;
use shared::codec;
use shared::ids::SessionId;
use shared::wire::call::{Answer, Call, CallOperation, Request};
use shared::wire::error::Refusal;
use shared::wire::limits::{MAX_BATCH, MAX_BODY_LEN};
use shared::wire::slots::ListSlots;

use crate::operations::request::{InSession, Perform};
use crate::operations::service::{Service, gone};
use crate::operations::signatures::{self, Signed};
use crate::sessions::rates::RateKey;
use crate::sessions::session::{Context, Opened};
use crate::sessions::{Bind, Open, Seal, Spend};

/// A sealed request that was opened.
pub enum Taken {
    /// The last one once more, and the answer that it got.
    Repeated(Sealed),
    /// A new one; `None` if it is no message. It must be answered by [`Service::seal`].
    New(Context, Option<Box<Request>>),
}

impl Service {
    /// A sealed request in, its sealed answer out.
    pub async fn call(&self, sealed: Sealed, remote: IpAddr) -> Result<Sealed, Refusal> {
        match self.open(sealed).await? {
            Taken::Repeated(answer) => Ok(answer),
            Taken::New(context, request) => {
                let session = context.session;
                let close = request
                    .as_ref()
                    .is_some_and(|request| ends_session(&request.call));
                let answer = self.perform(context, request, remote).await;
                let close = close && answer.is_ok();
                let answer = answer.unwrap_or_else(Answer::Refused);
                self.seal(session, &answer, close).await
            }
        }
    }

    /// Opens a sealed request. A repetition waits for the first one's answer and gets the same.
    pub async fn open(&self, sealed: Sealed) -> Result<Taken, Refusal> {
        let deadline = tokio::time::Instant::now() + self.repeat_wait;
        let sealed = Arc::new(sealed);
        loop {
            match self
                .sessions
                .send(Open(Arc::clone(&sealed)))
                .await
                .map_err(gone)??
            {
                Opened::Repeated(answer) => return Ok(Taken::Repeated(answer)),
                Opened::New(context, plaintext) => {
                    let request = codec::decode(plaintext.expose(), MAX_BODY_LEN);
                    return Ok(Taken::New(context, request.ok().map(Box::new)));
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

    /// Carries out a request. A panic is answered as well, since the session would stay busy without an answer.
    pub async fn perform(
        &self,
        context: Context,
        request: Option<Box<Request>>,
        remote: IpAddr,
    ) -> Result<Answer, Refusal> {
        let service = self.clone();
        let work = actix_web::rt::spawn(async move {
            let request = request.ok_or(Refusal::Malformed)?;
            dispatch(&service, context, *request, remote).await
        });
        work.await.unwrap_or_else(|_| {
            tracing::error!("a request panicked");
            Err(Refusal::Internal)
        })
    }

    /// Seals the answer to the request under way; `close` ends the session with it.
    pub async fn seal(
        &self,
        session: SessionId,
        answer: &Answer,
        close: bool,
    ) -> Result<Sealed, Refusal> {
        let encoded = codec::encode(answer).map_err(|_| Refusal::Internal)?;
        self.seal_encoded(Seal {
            session,
            answer: ByteBuf::from(encoded),
            is_done: !matches!(answer, Answer::Refused(_)),
            close,
        })
        .await
    }

    /// Seals an encoded answer to the request under way.
    pub async fn seal_encoded(&self, seal: Seal) -> Result<Sealed, Refusal> {
        self.sessions.send(seal).await.map_err(gone)?
    }
}

fn ends_session(call: &Call) -> bool {
    matches!(call, Call::Logout(_) | Call::Delete(_))
}

/// Checks what holds for every operation, then carries out the one that is asked for.
async fn dispatch(
    service: &Service,
    context: Context,
    request: Request,
    remote: IpAddr,
) -> Result<Answer, Refusal> {
    let operations = request.call.operations();
    let spend = Spend {
        who: RateKey {
            account: context.account,
            is_person: context.is_person,
            is_proven: context.is_proven,
        },
        operations: operations.len().clamp(1, MAX_BATCH),
    };
    let is_last = ends_session(&request.call);
    // Refused without a record: the rate limits the number of records.
    let admitted = service.sessions.send(spend).await.map_err(gone)?;
    if !is_last {
        admitted?;
    }
    // Refused without a record as well: without its signatures no record of it could be verified.
    check(&request, &operations)?;
    let opening = signatures::opening(&context, &request)?;
    let signed = Signed {
        context,
        operations,
        signatures: request.signatures,
        opening,
        is_opened: request.opening.is_some(),
    };
    let signed = signatures::verify(signed).await?;
    if signed.is_opened {
        let bind = Bind {
            session: signed.context.session,
            opening: signed.opening.clone(),
        };
        service.sessions.send(bind).await.map_err(gone)?;
    }
    let within = InSession::new(service, signed, remote);
    match request.call {
        Call::Sync(sync) => perform(sync, within).await,
        Call::Append(append) => perform(append, within).await,
        Call::Fetch(fetch) => perform(fetch, within).await,
        Call::Audit(range) => perform(range, within).await,
        Call::Logout(logout) => perform(logout, within).await,
        Call::Slots => perform(ListSlots, within).await,
        Call::Enrol(enrol) => perform(enrol, within).await,
        Call::Stage(stage) => perform(stage, within).await,
        Call::Install(install) => perform(install, within).await,
        Call::Delete(delete) => perform(delete, within).await,
    }
}

async fn perform<O: Perform>(operation: O, request: InSession) -> Result<Answer, Refusal> {
    Ok(O::encode_answer(operation.perform(request).await?))
}

/// One signature per operation, at least one operation, and at most [`MAX_BATCH`].
fn check(request: &Request, operations: &[CallOperation]) -> Result<(), Refusal> {
    if operations.is_empty() || operations.len() != request.signatures.len() {
        return Err(Refusal::Malformed);
    }
    if operations.len() > MAX_BATCH {
        return Err(Refusal::TooLarge);
    }
    Ok(())
}
