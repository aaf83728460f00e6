//! One request of a session while it is carried out.

use std::net::IpAddr;
use std::time::Instant;

use actix::Addr;
use shared::audit_record::Outcome;
use shared::ids::DeviceId;
use shared::opaque::Slot;
use shared::vault_log::{Op, SignedEntry};
use shared::wire::call::Request;
use shared::wire::error::Refusal;
use shared::wire::limits::MAX_BATCH;
use shared::wire::operation::Operation;
use shared::wire::register::SlotRecord;

use crate::audit::Audit;
use crate::operations::service::Service;
use crate::sessions::session::Context;
use crate::sessions::{self, Sessions};
use crate::storage::Storage;
use crate::storage::ask;
use storage::api::{Draft, WriteRecords};

/// An operation as the server carries it out.
pub(super) trait Perform: Operation {
    /// Carries out the operation and records it; refusals are recorded too.
    async fn perform(self, request: InSession) -> Result<Self::Answer, Refusal>;
}

/// The session that a request came in, the actors, and the request's audit records.
pub(super) struct InSession {
    sessions: Addr<Sessions>,
    pub(super) storage: Addr<Storage>,
    pub(super) audit: Addr<Audit>,
    pub(super) context: Context,
    /// The device that the request names, which is that of the session.
    pub(super) device: DeviceId,
    /// One draft per audited operation.
    pub(super) records: Vec<Draft>,
}

impl InSession {
    pub(super) fn new(
        service: &Service,
        context: Context,
        request: &Request,
        remote: IpAddr,
    ) -> Self {
        Self {
            sessions: service.sessions.clone(),
            storage: service.storage.clone(),
            audit: service.audit.clone(),
            context,
            device: request.device,
            records: drafts(context, request, remote),
        }
    }

    /// Calls the sessions actor.
    pub(super) async fn ask<T: Send + 'static>(
        &self,
        call: impl FnOnce(&mut Sessions, Instant) -> T + Send + 'static,
    ) -> Result<T, Refusal> {
        sessions::ask(&self.sessions, call).await
    }

    /// Writes all records with this outcome.
    pub(super) async fn record(&self, outcome: Outcome) -> Result<(), Refusal> {
        let mut records = self.records.clone();
        for record in &mut records {
            record.outcome = outcome;
        }
        self.write(records).await
    }

    /// Writes records. An empty request has none, and storage takes at least one.
    pub(super) async fn write(&self, records: Vec<Draft>) -> Result<(), Refusal> {
        if records.is_empty() {
            return Ok(());
        }
        let account = self.context.account;
        ask(&self.storage, WriteRecords { account, records }).await
    }

    /// Records an operation as done or refused before it is answered.
    pub(super) async fn recorded<T>(&self, result: Result<T, Refusal>) -> Result<T, Refusal> {
        let done = self.or_record(result).await?;
        self.record(Outcome::Done).await?;
        Ok(done)
    }

    /// Records a refusal before it is answered.
    pub(super) async fn or_record<T>(&self, result: Result<T, Refusal>) -> Result<T, Refusal> {
        if result.is_err() {
            self.record(Outcome::Refused).await?;
        }
        result
    }

    /// Refuses a session that a device's credential opened.
    pub(super) async fn need_person(&self) -> Result<(), Refusal> {
        self.need(self.context.is_person).await
    }

    /// Refuses a session that was not opened with password or recovery code just now: an unattended session must not
    /// suffice.
    pub(super) async fn need_proof(&self) -> Result<(), Refusal> {
        self.need(self.context.is_proven).await
    }

    async fn need(&self, holds: bool) -> Result<(), Refusal> {
        let result = holds.then_some(()).ok_or(Refusal::NeedsPassword);
        self.or_record(result).await
    }

    /// Continues the session under the credential that replaced the one which opened it.
    pub(super) async fn note_replaced(&self, slots: Vec<SlotRecord>) -> Result<(), Refusal> {
        let session = self.context.session;
        let replaced = move |all: &mut Sessions, _| {
            for slot in &slots {
                all.channels.replaced(&session, slot);
            }
        };
        self.ask(replaced).await
    }

    /// Ends the sessions of devices whose slots were revoked.
    pub(super) async fn end_devices(&self, revoked: &[Slot]) -> Result<(), Refusal> {
        for slot in revoked {
            if let Slot::Device(device) = slot {
                self.end_others(Some(*device)).await?;
            }
        }
        Ok(())
    }

    /// Ends all sessions of the account but this one: those of one device, or of every device.
    pub(super) async fn end_others(&self, device: Option<DeviceId>) -> Result<(), Refusal> {
        let (account, keep) = (self.context.account, self.context.session);
        self.ask(move |all, _| all.channels.end(&account, &keep, device))
            .await
    }
}

/// One record per operation; of a batch over the limit only as many as the limit.
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

/// The slots that entries revoke.
pub(super) fn revoked<'a>(entries: impl Iterator<Item = &'a SignedEntry>) -> Vec<Slot> {
    let ops = entries.filter_map(|signed| signed.decode_unverified().ok().map(|entry| entry.op));
    ops.filter_map(|op| match op {
        Op::Credential(credential) => Some(credential.slot),
        _ => None,
    })
    .collect()
}
