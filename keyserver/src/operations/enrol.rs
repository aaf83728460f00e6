//! New credentials of an existing account: [`Enrol`], [`Stage`], [`Install`].

use serde_bytes::ByteBuf;
use shared::opaque::Slot;
use shared::vault_log::Head;
use shared::wire::error::Refusal;
use shared::wire::register::SlotRecord;
use shared::wire::slots::{Enrol, Install, Stage};

use crate::operations::request::{InSession, Perform, revoked};
use crate::sessions::Sessions;
use crate::storage::ask;
use storage::api;

impl Perform for Enrol {
    async fn perform(self, request: InSession) -> Result<Vec<ByteBuf>, Refusal> {
        let session = request.context.session;
        let enrol = move |all: &mut Sessions, now| all.enrol(&session, &self.0, now);
        request.recorded(request.ask(enrol).await?).await
    }
}

impl Perform for Stage {
    async fn perform(self, request: InSession) -> Result<Vec<ByteBuf>, Refusal> {
        let session = request.context.session;
        let stage = move |all: &mut Sessions, now| all.stage(&session, self, now);
        request.recorded(request.ask(stage).await?).await
    }
}

impl Perform for Install {
    /// Ends the sessions that the replaced and revoked credentials have opened.
    async fn perform(self, request: InSession) -> Result<Head, Refusal> {
        let slots = prove(&request, self.ke3).await?;
        let is_own = |record: &SlotRecord| record.slot == Slot::Device(request.device);
        if self.entries.is_empty() && !slots.iter().all(is_own) {
            // Without an entry the owner's other devices would not notice.
            return request.or_record(Err(Refusal::BadEntry)).await;
        }
        // Entries beyond those of the new credentials; storage refuses all but revocations there.
        let revoked = revoked(self.entries.iter().skip(slots.len()));
        if !revoked.is_empty() {
            request.need_proof().await?;
        }
        let replaces_password = slots.iter().any(|record| record.slot == Slot::Password);
        let install = api::Install {
            account: request.context.account,
            slots: slots.clone(),
            entries: self.entries,
            records: request.records.clone(),
        };
        let head = ask(&request.storage, install).await?;
        request.note_replaced(slots).await?;
        if replaces_password {
            request.end_others(None).await?;
        }
        request.end_devices(&revoked).await?;
        Ok(head)
    }
}

/// Checks the last login message of each staged credential.
pub(super) async fn prove(
    request: &InSession,
    ke3: Vec<ByteBuf>,
) -> Result<Vec<SlotRecord>, Refusal> {
    let session = request.context.session;
    let proven = request.ask(move |all, _| all.prove(&session, &ke3)).await?;
    request.or_record(proven).await
}
