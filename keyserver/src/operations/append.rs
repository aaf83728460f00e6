//! [`Append`].

use shared::vault_log::{Head, Op};
use shared::wire::call::{Append, NewEntry};
use shared::wire::error::Refusal;

use crate::operations::request::{InSession, Perform, revoked};
use crate::storage::ask;
use storage::api;

impl Perform for Append {
    async fn perform(self, request: InSession) -> Result<Head, Refusal> {
        let revoked = revoked(self.0.iter().map(|new| &new.entry));
        if !revoked.is_empty() {
            request.need_proof().await?;
        }
        if self.0.iter().any(is_of_person) {
            request.need_person().await?;
        }
        let append = api::Append {
            account: request.context.account,
            entries: self.0,
            records: request.records.clone(),
        };
        let head = ask(&request.storage, append).await?;
        request.end_devices(&revoked).await?;
        Ok(head)
    }
}

/// Whether only the owner in person can sign the entry: other devices take their pins from `server` and `acknowledge`.
fn is_of_person(new: &NewEntry) -> bool {
    let entry = new.entry.decode_unverified();
    entry.is_ok_and(|entry| matches!(entry.op, Op::Server(_) | Op::Acknowledge(_)))
}
