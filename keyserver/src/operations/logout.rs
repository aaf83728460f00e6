//! [`Logout`].

use shared::opaque::Slot;
use shared::wire::call::Logout;
use shared::wire::error::Refusal;

use crate::operations::request::{InSession, Perform};
use crate::storage::ask;
use storage::api::Retire;

impl Perform for Logout {
    /// The session ends when its answer is sealed.
    async fn perform(self, request: InSession) -> Result<(), Refusal> {
        if !self.retire {
            return request.recorded(Ok(())).await;
        }
        let slot = Slot::Device(request.device);
        let retire = Retire {
            account: request.context.account,
            slot,
            records: request.records.clone(),
        };
        ask(&request.storage, retire).await?;
        request.end_others(Some(slot)).await
    }
}
