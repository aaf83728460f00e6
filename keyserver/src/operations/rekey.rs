//! Replacing the account key: [`NewLog`], [`ReadPrepared`], [`Rewrite`], [`ReadRewritten`], [`Rekey`].

use shared::vault_log::{Head, SignedEntry};
use shared::wire::error::Refusal;
use shared::wire::limits::MAX_BATCH;
use shared::wire::rekey::{NewLog, Prepared, ReadPrepared, ReadRewritten, Rekey, Rewrite};

use crate::operations::enrol::prove;
use crate::operations::request::{InSession, Perform};
use crate::storage::ask;
use storage::api::{self, ReadEntries, Which};

impl Perform for NewLog {
    async fn perform(self, request: InSession) -> Result<Option<Prepared>, Refusal> {
        request.need_person().await?;
        let account = request.context.account;
        let prepare = api::Prepare {
            account,
            log: self,
            records: request.records.clone(),
        };
        ask(&request.storage, prepare).await?;
        ask(&request.storage, api::ReadPrepared { account }).await
    }
}

impl Perform for ReadPrepared {
    async fn perform(self, request: InSession) -> Result<Option<Prepared>, Refusal> {
        request.need_person().await?;
        let read = api::ReadPrepared {
            account: request.context.account,
        };
        request.recorded(ask(&request.storage, read).await).await
    }
}

impl Perform for Rewrite {
    async fn perform(self, request: InSession) -> Result<Head, Refusal> {
        request.need_person().await?;
        if self.0.is_empty() || self.0.len() > MAX_BATCH {
            return request.or_record(Err(Refusal::Malformed)).await;
        }
        let append = api::Append {
            account: request.context.account,
            entries: self.0,
            records: request.records.clone(),
        };
        ask(&request.storage, api::Rewrite(append)).await
    }
}

impl Perform for ReadRewritten {
    async fn perform(self, request: InSession) -> Result<Vec<SignedEntry>, Refusal> {
        request.need_person().await?;
        let read = ReadEntries {
            account: request.context.account,
            after: self.0,
            of: Which::Prepared,
        };
        let (entries, _) = request.recorded(ask(&request.storage, read).await).await?;
        Ok(entries)
    }
}

impl Perform for Rekey {
    /// Ends all other sessions: their devices hold the old account key.
    async fn perform(self, request: InSession) -> Result<Head, Refusal> {
        request.need_proof().await?;
        let slots = prove(&request, self.0.ke3).await?;
        let install = api::Install {
            account: request.context.account,
            slots: slots.clone(),
            entries: self.0.entries,
            records: request.records.clone(),
        };
        let head = ask(&request.storage, api::Rekey(install)).await?;
        request.note_replaced(slots).await?;
        request.end_others(None).await?;
        Ok(head)
    }
}
