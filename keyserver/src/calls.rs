//! Operations inside a session: one function each. No answer leaves before its audit records are durable.

use std::net::IpAddr;
use std::sync::Arc;

use actix::Addr;
use serde_bytes::ByteBuf;
use shared::audit_record::Outcome;
use shared::channel::Sealed;
use shared::codec;
use shared::ids::{DeviceId, SessionId};
use shared::wire::call::{
    Answer, Append, AuditAnswer, AuditRange, Call, Delete, Fetch, NewEntry, Request, Sync,
    SyncAnswer, ValueRef,
};
use shared::wire::error::Refusal;
use shared::wire::limits::{MAX_BATCH, MAX_BODY_LEN, MAX_PAGE};
use shared::wire::rekey::{ReadRewritten, Rekey, Rewrite};
use shared::wire::slots::Enrol;

use crate::audit::{Audit, Query};
use crate::credentials::{is_persons, revoked};
use crate::service::{Service, gone};
use crate::sessions::rates::Asks;
use crate::sessions::session::{Context, Opened};
use crate::sessions::{Bind, Open, Seal, Sessions, Spend};
use crate::storage::{Storage, ask};
use storage::api::{
    self, AuditPage, Draft, ReadAudit, ReadEntries, ReadValues, Which, WriteRecords,
};

/// A sealed request that was opened.
pub enum Taken {
    /// The last one once more, and the answer that it got.
    Repeated(Sealed),
    /// A new one; `None` if it is no message. It must be answered by [`Service::seal`].
    New(Context, Option<Request>),
}

/// One request under way.
pub(crate) struct Work {
    pub(crate) sessions: Addr<Sessions>,
    pub(crate) storage: Addr<Storage>,
    pub(crate) audit: Addr<Audit>,
    pub(crate) context: Context,
    /// Whose session it is.
    pub(crate) device: DeviceId,
    pub(crate) records: Vec<Draft>,
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
            match self
                .sessions
                .send(Open(Arc::clone(&sealed)))
                .await
                .map_err(gone)??
            {
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

    /// Does what a request asks for. Whatever happens to the work there is an answer: else the session would stay
    /// busy for ever.
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

    /// Seals the answer to the request under way; `close` ends the session with it.
    pub async fn seal(
        &self,
        session: SessionId,
        answer: &Answer,
        close: bool,
    ) -> Result<Sealed, Refusal> {
        let answer = codec::encode(answer).map_err(|_| Refusal::Internal)?;
        let seal = Seal {
            session,
            answer: ByteBuf::from(answer),
            close,
        };
        self.sessions.send(seal).await.map_err(gone)?
    }
}

async fn dispatch(
    service: &Service,
    context: Context,
    request: Request,
    remote: IpAddr,
) -> Result<Answer, Refusal> {
    let work = Work {
        sessions: service.sessions.clone(),
        storage: service.storage.clone(),
        audit: service.audit.clone(),
        context,
        device: request.device,
        records: drafts(context, &request, remote),
    };
    let spend = Spend {
        who: Asks {
            account: work.context.account,
            is_person: work.context.is_person,
        },
        operations: work.records.len(),
    };
    // Without a record: that is what there would be too many of.
    service.sessions.send(spend).await.map_err(gone)??;
    let bind = Bind {
        session: context.session,
        device: request.device,
    };
    let bound = service.sessions.send(bind).await.map_err(gone)?;
    if let Err(refusal) = bound.and_then(|()| check(&request)) {
        work.record(Outcome::Refused).await?;
        return Err(refusal);
    }
    match request.call {
        Call::Sync(sync) => work.sync(sync).await,
        Call::Append(Append(entries)) => work.append(entries).await,
        Call::Fetch(Fetch(items)) => work.fetch(items).await,
        Call::Audit(range) => work.audit(range).await,
        Call::Logout => work.logout().await,
        Call::Slots => work.slots().await,
        Call::Enrol(Enrol(requests)) => work.enrol(requests).await,
        Call::Stage(stage) => work.stage(stage).await,
        Call::Install(install) => work.install(install).await,
        Call::Delete(Delete(verified_size)) => work.delete(verified_size).await,
        Call::Prepare(log) => work.prepare(log).await,
        Call::Prepared => work.prepared().await,
        Call::Rewrite(Rewrite(entries)) => work.rewrite(entries).await,
        Call::Rewritten(ReadRewritten(after)) => work.rewritten(after).await,
        Call::Rekey(Rekey(install)) => work.rekey(install).await,
    }
}

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

/// One record an operation; of a batch over the limit only as many as the limit.
fn drafts(context: Context, request: &Request, remote: IpAddr) -> Vec<Draft> {
    let operations = request.call.operations();
    let positions = 0..;
    positions
        .zip(operations)
        .take(MAX_BATCH)
        .enumerate()
        .map(|(index, (position, (operation, secret)))| Draft {
            operation,
            secret,
            outcome: Outcome::Done,
            session: Some(context.session),
            counter: context.counter,
            position,
            device: Some(request.device),
            remote: Some(remote),
            tag: request.tags.get(index).copied(),
            epoch: Some(context.epoch),
            by: Some(context.by),
            is_person: context.is_person,
        })
        .collect()
}

impl Work {
    async fn sync(self, sync: Sync) -> Result<Answer, Refusal> {
        let read = ReadEntries {
            account: self.context.account,
            after: sync.after,
            of: Which::Current,
        };
        let (entries, head) = self.or_record(ask(&self.storage, read).await).await?;
        self.record(Outcome::Done).await?;
        let newest = AuditRange {
            from: 0,
            limit: 0,
            size: None,
            verified_size: sync.audit_size,
            proofs: false,
        };
        let (page, checkpoint) = self.query(&newest).await?;
        Ok(Answer::Sync(SyncAnswer {
            entries,
            head,
            checkpoint,
            consistency: page.consistency,
        }))
    }

    async fn append(self, entries: Vec<NewEntry>) -> Result<Answer, Refusal> {
        let revoked = revoked(entries.iter().map(|new| &new.entry));
        if !revoked.is_empty() {
            self.need_proof().await?;
        }
        if is_persons(&entries) {
            self.need_person().await?;
        }
        let append = api::Append {
            account: self.context.account,
            entries,
            records: self.records.clone(),
        };
        let head = ask(&self.storage, append).await?;
        self.end_devices(&revoked).await?;
        Ok(Answer::Append(head))
    }

    async fn fetch(mut self, items: Vec<ValueRef>) -> Result<Answer, Refusal> {
        let read = ReadValues {
            account: self.context.account,
            items,
        };
        let values = self.or_record(ask(&self.storage, read).await).await?;
        // Only what is answered was done.
        self.records.truncate(values.len());
        for (record, value) in self.records.iter_mut().zip(&values) {
            if value.is_none() {
                record.outcome = Outcome::NotFound;
            }
        }
        self.write(self.records.clone()).await?;
        Ok(Answer::Fetch(values))
    }

    /// The newest tree includes the record of its own reading; a named size is proven first, as it can be refused.
    async fn audit(self, range: AuditRange) -> Result<Answer, Refusal> {
        let (page, checkpoint) = if range.size.is_some() {
            let page = self.or_record(self.query(&range).await).await?;
            self.record(Outcome::Done).await?;
            page
        } else {
            self.record(Outcome::Done).await?;
            self.query(&range).await?
        };
        Ok(Answer::Audit(AuditAnswer {
            records: page.records,
            checkpoint,
            consistency: page.consistency,
            inclusion: page.inclusion,
        }))
    }

    async fn logout(self) -> Result<Answer, Refusal> {
        self.record(Outcome::Done).await?;
        Ok(Answer::Logout)
    }

    async fn query(&self, range: &AuditRange) -> Result<(AuditPage, String), Refusal> {
        let read = ReadAudit {
            account: self.context.account,
            from: range.from,
            limit: range.limit.min(u32::try_from(MAX_PAGE).unwrap_or(u32::MAX)),
            size: range.size,
            verified_size: range.verified_size,
            proofs: range.proofs,
        };
        self.audit.send(Query(read)).await.map_err(gone)?
    }

    /// Writes the records down with this outcome.
    pub(crate) async fn record(&self, outcome: Outcome) -> Result<(), Refusal> {
        let mut records = self.records.clone();
        for record in &mut records {
            record.outcome = outcome;
        }
        self.write(records).await
    }

    async fn write(&self, records: Vec<Draft>) -> Result<(), Refusal> {
        // Storage takes at least one; an empty request has done nothing.
        if records.is_empty() {
            return Ok(());
        }
        let account = self.context.account;
        ask(&self.storage, WriteRecords { account, records }).await
    }

    /// Records the failure of a read before it is answered.
    pub(crate) async fn or_record<T>(&self, result: Result<T, Refusal>) -> Result<T, Refusal> {
        if result.is_err() {
            self.record(Outcome::Refused).await?;
        }
        result
    }
}
