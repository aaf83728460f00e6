//! [`Sync`].

use shared::wire::call::{Sync, SyncAnswer};
use shared::wire::error::Refusal;

use crate::audit::Query;
use crate::operations::request::{InSession, Perform};
use crate::operations::service::gone;
use crate::storage::ask;
use storage::api::{ReadAudit, ReadEntries};

impl Perform for Sync {
    async fn perform(self, request: InSession) -> Result<SyncAnswer, Refusal> {
        let account = request.context.account;
        let read = ReadEntries {
            account,
            after: self.after,
        };
        let read = ask(&request.storage, read).await;
        let stored = request.recorded(read).await?;
        let newest = ReadAudit {
            account,
            from: 0,
            limit: 0,
            size: None,
            verified_size: self.audit_size,
            proofs: false,
            seen: stored.seen.into_iter().collect(),
        };
        let (page, checkpoint) = request.audit.send(Query(newest)).await.map_err(gone)??;
        Ok(SyncAnswer {
            entries: stored.entries,
            head: stored.head,
            checkpoint,
            consistency: page.consistency,
            seen: page.seen,
        })
    }
}
