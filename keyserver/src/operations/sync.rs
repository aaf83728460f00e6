//! [`Sync`].

use shared::wire::call::{Sync, SyncAnswer};
use shared::wire::error::Refusal;

use crate::audit::Query;
use crate::operations::request::{InSession, Perform};
use crate::operations::service::ask;
use crate::storage::api::{ReadAudit, ReadEntries, Which};

impl Perform for Sync {
    async fn perform(self, request: InSession) -> Result<SyncAnswer, Refusal> {
        let account = request.context.account;
        let read = ReadEntries {
            account,
            after: self.after,
            of: Which::Current,
        };
        let read = ask(&request.storage, read).await;
        let (entries, head) = request.recorded(read).await?;
        let newest = ReadAudit {
            account,
            from: 0,
            limit: 0,
            size: None,
            verified_size: self.audit_size,
            proofs: false,
        };
        let (page, checkpoint) = ask(&request.audit, Query(newest)).await?;
        Ok(SyncAnswer {
            entries,
            head,
            checkpoint,
            consistency: page.consistency,
        })
    }
}
