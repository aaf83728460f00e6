//! One request of a session while it is carried out.

use std::net::IpAddr;

use actix::Addr;
use shared::audit_record::Outcome;
use shared::ids::DeviceId;
use shared::opaque::Slot;
use shared::wire::error::Refusal;
use shared::wire::operation::Operation;
use shared::wire::register::SlotRecord;

use crate::audit::Audit;
use crate::operations::service::{Service, gone};
use crate::operations::signatures::Signed;
use crate::sessions::session::Context;
use crate::sessions::{End, Installed, Sessions};
use crate::storage::Storage;
use crate::storage::ask;
use storage::api::{Draft, WriteRecords};

/// An operation as the server carries it out.
pub(super) trait Perform: Operation {
    /// Does the operation and records it; refusals are recorded too.
    async fn perform(self, request: InSession) -> Result<Self::Answer, Refusal>;
}

/// The session that a request came in, the actors, and the request's audit records.
pub(super) struct InSession {
    pub(super) sessions: Addr<Sessions>,
    pub(super) storage: Addr<Storage>,
    pub(super) audit: Addr<Audit>,
    pub(super) context: Context,
    /// The device whose key signed the request.
    pub(super) device: DeviceId,
    /// One draft per audited operation.
    pub(super) records: Vec<Draft>,
}

impl InSession {
    pub(super) fn new(service: &Service, signed: Signed, remote: IpAddr) -> Self {
        let device = DeviceId::of(&signed.opening.device);
        Self {
            sessions: service.sessions.clone(),
            storage: service.storage.clone(),
            audit: service.audit.clone(),
            device,
            records: drafts(&signed, device, remote),
            context: signed.context,
        }
    }

    /// Writes all records with this outcome.
    pub(super) async fn record(&self, outcome: Outcome) -> Result<(), Refusal> {
        let mut records = self.records.clone();
        for record in &mut records {
            record.outcome = outcome;
        }
        self.write(records).await
    }

    /// Writes records; storage takes at least one, and an empty request has done nothing.
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

    /// Refuses a session that was not opened with password or recovery code just now: an unattended session must not
    /// suffice.
    pub(super) async fn need_proof(&self) -> Result<(), Refusal> {
        let result = self.context.is_proven.then_some(());
        self.or_record(result.ok_or(Refusal::NeedsPassword)).await
    }

    /// The session goes on under the credential that replaced the one which opened it, and under the key epoch that its
    /// own request has begun.
    pub(super) async fn note_installed(
        &self,
        slots: Vec<SlotRecord>,
        begins_epoch: bool,
    ) -> Result<(), Refusal> {
        let installed = Installed {
            session: self.context.session,
            slots,
            begins_epoch,
        };
        self.sessions.send(installed).await.map_err(gone)
    }

    /// Ends all sessions of the account but this one: those that the credential of one slot opened, or all.
    pub(super) async fn end_others(&self, by: Option<Slot>) -> Result<(), Refusal> {
        let end = End {
            account: self.context.account,
            keep: self.context.session,
            by,
        };
        self.sessions.send(end).await.map_err(gone)
    }
}

/// One record per operation.
fn drafts(signed: &Signed, device: DeviceId, remote: IpAddr) -> Vec<Draft> {
    let context = &signed.context;
    let operations = signed.operations.iter().zip(&signed.signatures);
    (0..)
        .zip(operations)
        .map(|(position, (operation, signature))| Draft {
            operation: operation.operation,
            secret: operation.secret,
            outcome: Outcome::Done,
            session: Some(context.session),
            counter: context.counter,
            position,
            device: Some(device),
            remote: Some(remote),
            signature: Some(*signature),
            entry: operation.entry,
            opening: signed.is_opened.then(|| signed.opening.clone()),
            epoch: Some(context.epoch),
            by: Some(context.by),
            is_person: context.is_person,
            is_proven: context.is_proven,
        })
        .collect()
}
