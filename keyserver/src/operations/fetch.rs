//! [`Fetch`].

use serde_bytes::ByteBuf;
use shared::audit_record::Outcome;
use shared::wire::call::Fetch;
use shared::wire::error::Refusal;

use crate::operations::request::{InSession, Perform};
use crate::storage::ask;
use storage::api::ReadValues;

impl Perform for Fetch {
    async fn perform(self, request: InSession) -> Result<Vec<Option<ByteBuf>>, Refusal> {
        let read = ReadValues {
            account: request.context.account,
            items: self.0,
        };
        let values = request.or_record(ask(&request.storage, read).await).await?;
        // Shortens the records to the values that the answer holds.
        let mut records = request.records.clone();
        records.truncate(values.len());
        for (record, value) in records.iter_mut().zip(&values) {
            if value.is_none() {
                record.outcome = Outcome::NotFound;
            }
        }
        request.write(records).await?;
        Ok(values)
    }
}
