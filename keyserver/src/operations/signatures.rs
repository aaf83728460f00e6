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
    let opening = match (context.opening.as_deref(), &request.opening) {
        (None, Some(new)) if is_sync => new,
        (Some(bound), Some(again)) if !context.is_confirmed && bound == again => bound,
        (Some(bound), None) if context.is_confirmed => bound,
        _ => return Err(Refusal::Malformed),
    };
    Ok(opening.clone())
}

/// Up to this many signatures are verified on the thread of the request: each takes about 50 µs, and another thread for
/// them up to 30 µs.
const FEW: usize = 4;

/// Verifies the certificate of the opening, where the request carries one, and each signature.
///
/// # Errors
/// [`Refusal::BadSignature`].
pub(super) async fn verify(signed: Signed) -> Result<Signed, Refusal> {
    if signed.signatures.len() <= FEW {
        return is_verified(&signed)
            .then_some(signed)
            .ok_or(Refusal::BadSignature);
    }
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
    if signed.signatures.len() != signed.operations.len() {
        return false;
    }
    // Each alone and strictly, and not in a batch: a device can make signatures that pass in a batch and fail alone, of
    // which the owner's audit would say that the server made them up.
    let mut operations = (0..).zip(&signed.operations).zip(&signed.signatures);
    operations.all(|((position, operation), signature)| {
        let operation = SignedOperation {
            account: &context.account,
            session: &context.session,
            counter: context.counter,
            position,
            operation: operation.operation,
            secret: operation.secret.as_ref(),
            entry: operation.entry.as_ref(),
        };
        request::verify(&opening.device, &operation.message(), signature)
    })
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

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use ed25519_dalek::{SigningKey, Verifier as _};
    use sha2::{Digest as _, Sha512};
    use shared::ids::{AccountId, PublicKey, SecretId, Seq, SessionId, Version};
    use shared::wire::call::{Fetch, Logout, Sync, ValueRef};

    use super::*;

    fn key(byte: u8) -> SigningKey {
        SigningKey::from_bytes(&[byte; 32])
    }

    fn public(key: &SigningKey) -> PublicKey {
        PublicKey::new(key.verifying_key().to_bytes())
    }

    /// A session that the password opened, whose signing key is `key(1)`.
    fn context() -> Context {
        Context {
            session: SessionId::new([2; 16]),
            account: AccountId::new([3; 16]),
            counter: 1,
            is_person: true,
            is_proven: true,
            by: (Slot::Password, 4),
            epoch: 1,
            signing: public(&key(1)),
            opening: None,
            is_confirmed: false,
        }
    }

    /// An opening that the session's credential signed, for the device of `key(5)`.
    fn signed_opening(context: &Context, by: (Slot, u64), device: &SigningKey) -> Opening {
        let device = public(device);
        Opening::sign(&context.account, &context.session, by, device, &key(1))
    }

    fn valid_opening(context: &Context) -> Opening {
        signed_opening(context, context.by, &key(5))
    }

    fn request(opening: Option<Opening>, call: impl Into<Call>) -> Request {
        Request {
            opening,
            signatures: Vec::new(),
            call: call.into(),
        }
    }

    const SYNC: Sync = Sync {
        after: Seq(0),
        audit_size: 0,
    };
    const LOGOUT: Logout = Logout { retire: false };

    #[test]
    fn requests_carry_the_opening_until_one_is_confirmed() {
        let fresh = context();
        let first = valid_opening(&fresh);
        let other = signed_opening(&fresh, fresh.by, &key(6));
        let bound = Context {
            opening: Some(Box::new(first.clone())),
            ..fresh.clone()
        };
        let confirmed = Context {
            is_confirmed: true,
            ..bound.clone()
        };
        let (none, first, other) = (None, Some(first), Some(other));
        for (context, carried, accepted) in [
            (&fresh, &first, [true, false]),
            (&fresh, &none, [false, false]),
            (&bound, &first, [true, true]),
            (&bound, &other, [false, false]),
            (&bound, &none, [false, false]),
            (&confirmed, &none, [true, true]),
            (&confirmed, &first, [false, false]),
            (&confirmed, &other, [false, false]),
        ] {
            let calls = [Call::from(SYNC), Call::from(LOGOUT)];
            for (call, is_accepted) in calls.into_iter().zip(accepted) {
                let found = opening(context, &request(carried.clone(), call));
                let expected = if is_accepted {
                    Ok(first.clone().unwrap())
                } else {
                    Err(Refusal::Malformed)
                };
                assert_eq!(found, expected, "{context:?} {carried:?}");
            }
        }
    }

    #[test]
    fn only_the_credential_of_the_session_authorises_a_device() {
        let context = context();
        let verified = |context: &Context, opening: &Opening| is_authorised(context, opening);
        let valid = valid_opening(&context);
        assert!(verified(&context, &valid));
        let recovery = (Slot::Recovery, 4);
        for wrong in [
            signed_opening(&context, (Slot::Password, 3), &key(5)),
            signed_opening(&context, recovery, &key(5)),
            Opening {
                device: public(&key(6)),
                ..valid.clone()
            },
        ] {
            assert!(!verified(&context, &wrong), "{wrong:?}");
        }
        for other in [
            Context {
                signing: public(&key(9)),
                ..context.clone()
            },
            Context {
                session: SessionId::new([9; 16]),
                ..context.clone()
            },
            Context {
                account: AccountId::new([9; 16]),
                ..context.clone()
            },
        ] {
            assert!(!verified(&other, &valid), "{other:?}");
        }
        // A session that a device's credential opened is that device's.
        let own = Slot::Device(DeviceId::of(&public(&key(1))));
        let of_device = Context {
            by: (own, 1),
            ..context
        };
        let own_key = signed_opening(&of_device, (own, 1), &key(1));
        let other_key = signed_opening(&of_device, (own, 1), &key(5));
        assert!(verified(&of_device, &own_key));
        assert!(!verified(&of_device, &other_key));
    }

    /// A request for three values, each operation signed by the device of `key(5)`.
    fn signed(context: &Context) -> Signed {
        let item = |byte| ValueRef {
            secret: SecretId::new([byte; 16]),
            version: Version(1),
        };
        let operations = Call::from(Fetch(vec![item(1), item(2), item(3)])).operations();
        let mut signatures = Vec::new();
        for (position, operation) in (0..).zip(&operations) {
            let operation = SignedOperation {
                account: &context.account,
                session: &context.session,
                counter: context.counter,
                position,
                operation: operation.operation,
                secret: operation.secret.as_ref(),
                entry: operation.entry.as_ref(),
            };
            signatures.push(operation.sign(&key(5)));
        }
        Signed {
            context: context.clone(),
            operations,
            signatures,
            opening: valid_opening(context),
            is_opened: true,
        }
    }

    #[test]
    fn each_operation_is_signed_by_the_device() {
        let context = context();
        assert!(is_verified(&signed(&context)));
        let wrong: [fn(&mut Signed); 7] = [
            |signed| signed.signatures.swap(0, 1),
            |signed| signed.operations.swap(0, 1),
            |signed| *signed.signatures.last_mut().unwrap() = Signature::new([0; 64]),
            |signed| signed.context.counter = 2,
            |signed| signed.opening = signed_opening(&signed.context, signed.context.by, &key(6)),
            |signed| signed.opening.certificate = Signature::new([0; 64]),
            |signed| signed.operations.last_mut().unwrap().secret = None,
        ];
        for (number, change) in wrong.into_iter().enumerate() {
            let mut signed = signed(&context);
            change(&mut signed);
            assert!(!is_verified(&signed), "{number}");
        }
        // The certificate was verified with the request that carried it.
        let mut later = signed(&context);
        later.is_opened = false;
        later.opening.certificate = Signature::new([0; 64]);
        assert!(is_verified(&later));
    }

    /// A signature whose `R` is the neutral element, which only the holder of the key can make: it solves the equation
    /// of RFC 8032, and strict verification refuses it.
    fn loose(key: &SigningKey, message: &[u8]) -> Signature {
        fn number<S: From<u64>>(_: &S, number: u64) -> S {
            S::from(number)
        }
        let mut neutral = [0; 32];
        neutral[0] = 1;
        let hash = Sha512::new()
            .chain_update(neutral)
            .chain_update(key.verifying_key())
            .chain_update(message)
            .finalize();
        let secret = key.to_scalar();
        let base = number(&secret, 256);
        let bytes = hash.iter().rev();
        let challenge = bytes.fold(number(&secret, 0), |sum, byte| {
            sum * base + number(&secret, u64::from(*byte))
        });
        let mut signature = [0; 64];
        signature[..32].copy_from_slice(&neutral);
        signature[32..].copy_from_slice((challenge * secret).as_bytes());
        Signature::new(signature)
    }

    #[test]
    fn what_fails_alone_fails_among_others() {
        let context = context();
        let mut signed = signed(&context);
        let operation = &signed.operations[1];
        let operation = SignedOperation {
            account: &context.account,
            session: &context.session,
            counter: context.counter,
            position: 1,
            operation: operation.operation,
            secret: operation.secret.as_ref(),
            entry: operation.entry.as_ref(),
        };
        let message = operation.message();
        let signature = loose(&key(5), &message);
        let verifier = key(5).verifying_key();
        let dalek = ed25519_dalek::Signature::from_bytes(signature.as_bytes());
        assert!(verifier.verify(&message, &dalek).is_ok());
        assert!(verifier.verify_strict(&message, &dalek).is_err());
        signed.signatures[1] = signature;
        assert!(!is_verified(&signed));
    }
}
