//! [`AuditRange`].

use shared::wire::call::{AuditAnswer, AuditRange};
use shared::wire::error::Refusal;
use shared::wire::limits::MAX_PAGE;

use crate::audit::Query;
use crate::operations::request::{InSession, Perform};
use crate::operations::service::gone;
use storage::api::ReadAudit;

impl Perform for AuditRange {
    /// The newest tree includes the record of this request; a named size is read first, since it can be refused.
    async fn perform(self, request: InSession) -> Result<AuditAnswer, Refusal> {
        let is_newest = self.size.is_none();
        if is_newest {
            request.recorded(Ok(())).await?;
        }
        let read = ReadAudit {
            account: request.context.account,
            from: self.from,
            limit: self.limit.min(u32::try_from(MAX_PAGE).unwrap_or(u32::MAX)),
            size: self.size,
            verified_size: self.verified_size,
            proofs: self.proofs,
            seen: Vec::new(),
        };
        let mut page = request.audit.send(Query(read)).await.map_err(gone)?;
        if !is_newest {
            page = request.recorded(page).await;
        }
        let (page, checkpoint) = page?;
        Ok(AuditAnswer {
            records: page.records,
            checkpoint,
            consistency: page.consistency,
            inclusion: page.inclusion,
        })
    }
}
