//! [`ListSlots`].

use shared::wire::error::Refusal;
use shared::wire::slots::{ListSlots, SlotsAnswer};

use crate::operations::request::{InSession, Perform};
use crate::storage::ask;
use storage::api::ReadSlots;

impl Perform for ListSlots {
    async fn perform(self, request: InSession) -> Result<SlotsAnswer, Refusal> {
        let read = ReadSlots {
            account: request.context.account,
        };
        let slots = request.or_record(ask(&request.storage, read).await).await?;
        let session = request.context.session;
        let listed = request.ask(move |all, now| all.list(&session, now)).await?;
        let sessions = request.recorded(listed).await?;
        Ok(SlotsAnswer { slots, sessions })
    }
}
