//! [`Logout`].

use shared::wire::call::Logout;
use shared::wire::error::Refusal;

use crate::operations::request::{InSession, Perform};

impl Perform for Logout {
    /// The session ends when its answer is sealed.
    async fn perform(self, request: InSession) -> Result<(), Refusal> {
        request.recorded(Ok(())).await
    }
}
