//! Operations towards another account key, inside a session that was opened with the password.

use shared::audit_record::Outcome;
use shared::ids::Seq;
use shared::wire::call::{Answer, NewEntry};
use shared::wire::error::Refusal;
use shared::wire::rekey::NewLog;
use shared::wire::slots::Install;
use storage::api::{self, ReadEntries, ReadPrepared, Which};

use crate::calls::Work;
use crate::service::gone;
use crate::sessions::ProveSlots;
use crate::storage::ask;

impl Work {
    /// Begins another log.
    pub(crate) async fn prepare(self, log: NewLog) -> Result<Answer, Refusal> {
        self.need_person().await?;
        let account = self.context.account;
        let prepare = api::Prepare {
            account,
            log,
            records: self.records.clone(),
        };
        ask(&self.storage, prepare).await?;
        let prepared = ask(&self.storage, ReadPrepared { account }).await?;
        Ok(Answer::Prepared(prepared))
    }

    /// Says how far that log has come.
    pub(crate) async fn prepared(self) -> Result<Answer, Refusal> {
        self.need_person().await?;
        let read = ReadPrepared {
            account: self.context.account,
        };
        let prepared = self.or_record(ask(&self.storage, read).await).await?;
        self.record(Outcome::Done).await?;
        Ok(Answer::Prepared(prepared))
    }

    /// Appends to it.
    pub(crate) async fn rewrite(self, entries: Vec<NewEntry>) -> Result<Answer, Refusal> {
        self.need_person().await?;
        if entries.is_empty() || entries.len() > shared::wire::limits::MAX_BATCH {
            self.record(Outcome::Refused).await?;
            return Err(Refusal::Malformed);
        }
        let rewrite = api::Rewrite {
            account: self.context.account,
            entries,
            records: self.records.clone(),
        };
        Ok(Answer::Append(ask(&self.storage, rewrite).await?))
    }

    /// Reads it.
    pub(crate) async fn rewritten(self, after: Seq) -> Result<Answer, Refusal> {
        self.need_person().await?;
        let read = ReadEntries {
            account: self.context.account,
            after,
            of: Which::Prepared,
        };
        let (entries, _) = self.or_record(ask(&self.storage, read).await).await?;
        self.record(Outcome::Done).await?;
        Ok(Answer::Rewritten(entries))
    }

    /// Puts it in the place of the old one. All sessions but this one end: they have the old key.
    pub(crate) async fn rekey(self, install: Install) -> Result<Answer, Refusal> {
        self.need_proof().await?;
        let prove = ProveSlots {
            session: self.context.session,
            ke3: install.ke3,
        };
        let proven = self.sessions.send(prove).await.map_err(gone)?;
        let slots = self.or_record(proven).await?;
        let rekey = api::Rekey {
            account: self.context.account,
            slots: slots.clone(),
            entries: install.entries,
            records: self.records.clone(),
        };
        let head = ask(&self.storage, rekey).await?;
        self.note_replaced(slots).await?;
        self.end_others(None).await?;
        Ok(Answer::Install(head))
    }
}
