//! [`Append`].

use shared::vault_log::Head;
use shared::wire::call::Append;
use shared::wire::error::Refusal;

use crate::operations::request::{InSession, Perform};
use crate::storage::ask;
use storage::api;

impl Perform for Append {
    async fn perform(self, request: InSession) -> Result<Head, Refusal> {
        let append = api::Append {
            account: request.context.account,
            entries: self.0,
            records: request.records.clone(),
        };
        ask(&request.storage, append).await
    }
}
