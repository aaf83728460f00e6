//! Operations on credentials and on the account itself, inside a session.

use serde_bytes::ByteBuf;
use shared::audit_record::Outcome;
use shared::ids::DeviceId;
use shared::opaque::Slot;
use shared::vault_log::{Op, SignedEntry};
use shared::wire::call::{Answer, Deleted, NewEntry};
use shared::wire::error::Refusal;
use shared::wire::register::{SlotRecord, SlotRequest};
use shared::wire::slots::{Install, SlotsAnswer, Stage};
use storage::api;

use crate::audit::Sign;
use crate::calls::Work;
use crate::service::gone;
use crate::sessions::{End, Enrol, List, ProveSlots, Replaced, StageSlots};
use crate::storage::ask;

/// The slots that entries revoke.
pub fn revoked<'a>(entries: impl Iterator<Item = &'a SignedEntry>) -> Vec<Slot> {
    let ops = entries.filter_map(|signed| signed.peek().ok().map(|entry| entry.op));
    ops.filter_map(|op| match op {
        Op::Credential(credential) => Some(credential.slot),
        _ => None,
    })
    .collect()
}

/// Whether these say what only the owner can: who the server is, and what may have been lost. Devices go by it.
pub fn is_persons(entries: &[NewEntry]) -> bool {
    let mut ops = entries
        .iter()
        .filter_map(|new| new.entry.peek().ok().map(|entry| entry.op));
    ops.any(|op| matches!(op, Op::Server(_) | Op::Acknowledge(_)))
}

impl Work {
    pub(crate) async fn slots(self) -> Result<Answer, Refusal> {
        let read = api::ReadSlots {
            account: self.context.account,
        };
        let slots = self.or_record(ask(&self.storage, read).await).await?;
        let listed = self.sessions.send(List(self.context.session)).await;
        let sessions = self.or_record(listed.map_err(gone)?).await?;
        self.record(Outcome::Done).await?;
        Ok(Answer::Slots(SlotsAnswer { slots, sessions }))
    }

    pub(crate) async fn enrol(self, requests: Vec<SlotRequest>) -> Result<Answer, Refusal> {
        let enrol = Enrol {
            session: self.context.session,
            requests,
        };
        let answered = self.sessions.send(enrol).await.map_err(gone)?;
        let responses = self.or_record(answered).await?;
        self.record(Outcome::Done).await?;
        Ok(Answer::Enrol(responses))
    }

    pub(crate) async fn stage(self, stage: Stage) -> Result<Answer, Refusal> {
        let stage = StageSlots {
            session: self.context.session,
            stage,
        };
        let answered = self.sessions.send(stage).await.map_err(gone)?;
        let ke2: Vec<ByteBuf> = self.or_record(answered).await?;
        self.record(Outcome::Done).await?;
        Ok(Answer::Stage(ke2))
    }

    /// Once the new credentials are in place the old ones open nothing, and sessions that they opened end.
    pub(crate) async fn install(self, install: Install) -> Result<Answer, Refusal> {
        let prove = ProveSlots {
            session: self.context.session,
            ke3: install.ke3,
        };
        let proven = self.sessions.send(prove).await.map_err(gone)?;
        let slots = self.or_record(proven).await?;
        let is_own = |record: &SlotRecord| record.slot == Slot::Device(self.device);
        if install.entries.is_empty() && !slots.iter().all(is_own) {
            // Without an entry nobody would hear of it.
            self.record(Outcome::Refused).await?;
            return Err(Refusal::BadEntry);
        }
        // Those beyond the new ones; storage refuses them where they are anything else.
        let revoked = revoked(install.entries.iter().skip(slots.len()));
        if !revoked.is_empty() {
            self.need_proof().await?;
        }
        let replaces_password = slots.iter().any(|record| record.slot == Slot::Password);
        let install = api::Install {
            account: self.context.account,
            slots: slots.clone(),
            entries: install.entries,
            records: self.records.clone(),
        };
        let head = ask(&self.storage, install).await?;
        self.note_replaced(slots).await?;
        if replaces_password {
            self.end_others(None).await?;
        }
        self.end_devices(&revoked).await?;
        Ok(Answer::Install(head))
    }

    pub(crate) async fn delete(self, verified_size: u64) -> Result<Answer, Refusal> {
        self.need_proof().await?;
        let account = self.context.account;
        let delete = api::Delete {
            account,
            verified_size,
            records: self.records.clone(),
        };
        let page = ask(&self.storage, delete).await?;
        self.end_others(None).await?;
        let head = page.head;
        let signed = self.audit.send(Sign { account, head }).await;
        Ok(Answer::Delete(Deleted {
            checkpoint: signed.map_err(gone)?,
            consistency: page.consistency,
        }))
    }

    /// The session goes on by what took the place of the credential that opened it.
    pub(crate) async fn note_replaced(&self, slots: Vec<SlotRecord>) -> Result<(), Refusal> {
        let session = self.context.session;
        let replaced = Replaced { session, slots };
        self.sessions.send(replaced).await.map_err(gone)
    }

    /// Ends the sessions of devices whose slots were revoked.
    pub(crate) async fn end_devices(&self, revoked: &[Slot]) -> Result<(), Refusal> {
        for slot in revoked {
            if let Slot::Device(device) = slot {
                self.end_others(Some(*device)).await?;
            }
        }
        Ok(())
    }

    /// Refuses what takes a session that the owner opened in person.
    pub(crate) async fn need_person(&self) -> Result<(), Refusal> {
        self.need(self.context.is_person).await
    }

    /// Refuses what takes the owner in person, and not whoever finds their session open.
    pub(crate) async fn need_proof(&self) -> Result<(), Refusal> {
        self.need(self.context.is_proven).await
    }

    async fn need(&self, is_there: bool) -> Result<(), Refusal> {
        if is_there {
            return Ok(());
        }
        self.record(Outcome::Refused).await?;
        Err(Refusal::NeedsPassword)
    }

    /// Ends all sessions but this one: of one device, or of every device.
    pub(crate) async fn end_others(&self, device: Option<DeviceId>) -> Result<(), Refusal> {
        let end = End {
            account: self.context.account,
            keep: self.context.session,
            device,
        };
        self.sessions.send(end).await.map_err(gone)
    }
}
