//! [`Delete`].

use shared::wire::call::{Delete, Deleted};
use shared::wire::error::Refusal;

use crate::audit::Sign;
use crate::operations::request::{InSession, Perform};
use crate::operations::service::gone;
use crate::storage::ask;
use storage::api;

impl Perform for Delete {
    async fn perform(self, request: InSession) -> Result<Deleted, Refusal> {
        request.need_proof().await?;
        let account = request.context.account;
        let delete = api::Delete {
            account,
            verified_size: self.0,
            records: request.records.clone(),
        };
        let page = ask(&request.storage, delete).await?;
        request.end_others(None).await?;
        let head = page.head;
        let signed = request.audit.send(Sign { account, head }).await;
        Ok(Deleted {
            checkpoint: signed.map_err(gone)?,
            consistency: page.consistency,
        })
    }
}
