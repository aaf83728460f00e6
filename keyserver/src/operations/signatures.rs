//! Verifies the signatures of a request, before anything else is done for it.

use shared::ids::{DeviceId, Signature};
use shared::opaque::Slot;
use shared::request::{self, Opening, SignedOperation};
use shared::wire::call::{Call, CallOperation, Request};
use shared::wire::error::Refusal;

use crate::sessions::session::Context;

/// A request with the key that has to have signed it.
pub(super) struct Signed {
    pub(super) context: Context,
    pub(super) operations: Vec<CallOperation>,
    /// One per operation.
    pub(super) signatures: Vec<Signature>,
    /// The opening of the session, which names the device's key.
    pub(super) opening: Opening,
    /// Whether the request carries it.
    pub(super) is_opened: bool,
}

/// The opening of the session: from the request, until one was answered without a refusal; then from the session.
///
/// # Errors
/// [`Refusal::Malformed`] for a first request that is no `sync` or has no opening, and for an opening that is another
/// one or not needed any more.
pub(super) fn opening(context: &Context, request: &Request) -> Result<Opening, Refusal> {
    let is_sync = matches!(request.call, Call::Sync(_));
    let opening = match (&context.opening, &request.opening) {
        (None, Some(new)) if is_sync => new,
        (Some(bound), Some(again)) if !context.is_confirmed && bound == again => bound,
        (Some(bound), None) if context.is_confirmed => bound,
        _ => return Err(Refusal::Malformed),
    };
    Ok(opening.clone())
}

/// Verifies the certificate of the opening, where the request carries one, and each signature.
///
/// # Errors
/// [`Refusal::BadSignature`].
pub(super) async fn verify(signed: Signed) -> Result<Signed, Refusal> {
    let verified = tokio::task::spawn_blocking(move || is_verified(&signed).then_some(signed));
    let verified = verified.await.map_err(|_| Refusal::Internal)?;
    verified.ok_or(Refusal::BadSignature)
}

fn is_verified(signed: &Signed) -> bool {
    let Signed {
        context, opening, ..
    } = signed;
    if signed.is_opened && !is_authorised(context, opening) {
        return false;
    }
    let messages: Vec<Vec<u8>> = (0..)
        .zip(&signed.operations)
        .map(|(position, operation)| {
            SignedOperation {
                account: &context.account,
                session: &context.session,
                counter: context.counter,
                position,
                operation: operation.operation,
                secret: operation.secret.as_ref(),
                entry: operation.entry.as_ref(),
            }
            .message()
        })
        .collect();
    let mut signatures = messages.iter().zip(&signed.signatures);
    // The batch refuses some signatures that are valid one by one, and owners verify them one by one in the end.
    request::verify_batch(&opening.device, &messages, &signed.signatures)
        || signatures
            .all(|(message, signature)| request::verify(&opening.device, message, signature))
}

/// Whether the credential that opened the session vouches for the device's key.
fn is_authorised(context: &Context, opening: &Opening) -> bool {
    let (slot, generation) = context.by;
    let is_own = match slot {
        Slot::Device(id) => DeviceId::of(&opening.device) == id,
        Slot::Password | Slot::Recovery => true,
    };
    is_own
        && (opening.slot, opening.generation) == (slot, generation)
        && opening.is_signed_by(&context.account, &context.session, &context.signing)
}
