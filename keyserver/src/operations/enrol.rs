//! New credentials of an existing account: [`Enrol`], [`Stage`], [`Install`].

use serde_bytes::ByteBuf;
use shared::opaque::Slot;
use shared::vault_log::Head;
use shared::wire::error::Refusal;
use shared::wire::register::SlotRecord;
use shared::wire::slots::{Enrol, Install, Stage};

use crate::operations::request::{InSession, Perform};
use crate::operations::service::gone;
use crate::sessions::{self, ProveSlots, StageSlots};
use crate::storage::ask;
use storage::api;

impl Perform for Enrol {
    async fn perform(self, request: InSession) -> Result<Vec<ByteBuf>, Refusal> {
        let enrol = sessions::Enrol {
            session: request.context.session,
            requests: self.0,
        };
        let responses = request.sessions.send(enrol).await.map_err(gone)?;
        request.recorded(responses).await
    }
}

impl Perform for Stage {
    async fn perform(self, request: InSession) -> Result<Vec<ByteBuf>, Refusal> {
        let stage = StageSlots {
            session: request.context.session,
            stage: self,
        };
        let ke2 = request.sessions.send(stage).await.map_err(gone)?;
        request.recorded(ke2).await
    }
}

impl Perform for Install {
    /// Ends all other sessions where a key epoch begins: they know the former account key only. A device that renews its
    /// secret ends its sessions of before.
    async fn perform(self, request: InSession) -> Result<Head, Refusal> {
        let slots = prove(&request, self.ke3, self.entries.is_empty()).await?;
        let is_own = |record: &SlotRecord| record.slot == Slot::Device(request.device);
        if self.entries.is_empty() && !slots.iter().all(is_own) {
            // Without an entry the owner's other devices would not notice.
            return request.or_record(Err(Refusal::BadEntry)).await;
        }
        if !slots.iter().all(is_own) {
            request.need_proof().await?;
        }
        let (begins_epoch, is_renewal) = (self.epoch.is_some(), self.entries.is_empty());
        let install = api::Install {
            account: request.context.account,
            slots: slots.clone(),
            entries: self.entries,
            epoch: self.epoch,
            records: request.records.clone(),
        };
        let head = ask(&request.storage, install).await?;
        request.note_installed(slots, begins_epoch).await?;
        if begins_epoch {
            request.end_others(None).await?;
        } else if is_renewal {
            // They were opened by the secret that this one replaces.
            let own = Slot::Device(request.device);
            request.end_others(Some(own)).await?;
        }
        Ok(head)
    }
}

/// Checks the last login message of each staged credential. An install of entries alone has none.
async fn prove(
    request: &InSession,
    ke3: Vec<ByteBuf>,
    is_bare: bool,
) -> Result<Vec<SlotRecord>, Refusal> {
    let prove = ProveSlots {
        session: request.context.session,
        ke3,
    };
    let proven = request.sessions.send(prove).await.map_err(gone)?;
    let proven = proven.and_then(|slots| {
        if slots.is_empty() && is_bare {
            return Err(Refusal::Malformed);
        }
        Ok(slots)
    });
    request.or_record(proven).await
}
