//! [`ListSlots`].

use shared::wire::error::Refusal;
use shared::wire::slots::{ListSlots, SlotsAnswer};

use crate::operations::request::{InSession, Perform};
use crate::operations::service::gone;
use crate::sessions::List;
use crate::storage::ask;
use storage::api::ReadSlots;

impl Perform for ListSlots {
    async fn perform(self, request: InSession) -> Result<SlotsAnswer, Refusal> {
        let read = ReadSlots {
            account: request.context.account,
        };
        let slots = request.or_record(ask(&request.storage, read).await).await?;
        let listed = request.sessions.send(List(request.context.session)).await;
        let sessions = request.recorded(listed.map_err(gone)?).await?;
        Ok(SlotsAnswer { slots, sessions })
    }
}
