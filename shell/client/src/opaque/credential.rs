//! Registration of one credential by OPAQUE (RFC 9807, section 5), in a new or an existing account.

use opaque_ke::{ClientRegistration, ClientRegistrationFinishParameters, RegistrationResponse};
use rand::rngs::OsRng;
use serde_bytes::ByteBuf;
use shared::names::AccountName;
use shared::opaque::{self, Slot, Stretching, Suite};
use shared::secret::SecretBytes;
use shared::wire::register::{Lease, SlotRecord, SlotRequest};
use zeroize::Zeroize as _;

use crate::device::identity::DeviceIdentity;
use crate::device::pins::ServerPins;
use crate::error::Result;
use crate::keys::account::AccountKeys;
use crate::keys::slot::{SlotContext, SlotKeys};
use crate::keys::wrap::WrapContext;
use crate::verification::{OpaqueMessage, VerificationError};

/// Length of RFC 9807's `RegistrationResponse` in this suite, in bytes.
const RESPONSE_LEN: usize = 64;

/// The inputs of one credential.
#[derive(Debug, Clone, Copy)]
pub struct NewCredential<'a> {
    /// The account that the credential opens.
    pub account: &'a AccountName,
    /// The server's identity.
    pub server: ServerPins,
    /// The credential's slot.
    pub slot: Slot,
    /// Password, recovery code or device secret.
    pub secret: &'a SecretBytes,
    /// The device that makes it, from whose seed the keys of its own slot descend.
    pub device: &'a DeviceIdentity,
    /// The lease of a device's credential; `None` for other slots.
    pub lease: Option<Lease>,
}

/// Generation of a credential and the key epoch in which it began.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Begun {
    /// The generation, from 1.
    pub generation: u64,
    /// The key epoch, whose account key the credential wraps.
    pub epoch: u32,
}

/// Makes the registration requests of several credentials.
///
/// # Errors
/// As [`NewCredential::request`].
pub fn requests(
    credentials: &[NewCredential<'_>],
) -> Result<(Vec<ClientRegistration<Suite>>, Vec<SlotRequest>)> {
    let made = credentials.iter().map(NewCredential::request);
    let made: Vec<_> = made.collect::<Result<_>>()?;
    Ok(made.into_iter().unzip())
}

/// Makes the registration records of several credentials, with one response and one [`Begun`] per credential.
///
/// # Errors
/// [`VerificationError::SlotCount`] for another number of responses; else as [`NewCredential::record`].
pub fn records(
    credentials: &[NewCredential<'_>],
    states: Vec<ClientRegistration<Suite>>,
    responses: &[ByteBuf],
    keys: &AccountKeys,
    begun: &[Begun],
) -> Result<Vec<(SlotRecord, SlotKeys)>> {
    if responses.len() != states.len() {
        return Err(VerificationError::SlotCount.into());
    }
    let answered = states.into_iter().zip(responses).zip(begun);
    let made = credentials.iter().zip(answered);
    made.map(|(new, ((state, response), begun))| new.record(state, response, keys, *begun))
        .collect()
}

impl NewCredential<'_> {
    /// Makes the registration request.
    ///
    /// # Errors
    /// [`Error::Verification`](crate::error::Error::Verification); never for secrets within their bounds.
    pub fn request(&self) -> Result<(ClientRegistration<Suite>, SlotRequest)> {
        let started = ClientRegistration::<Suite>::start(&mut OsRng, self.secret.expose())
            .map_err(VerificationError::Opaque)?;
        let request = SlotRequest {
            slot: self.slot,
            request: ByteBuf::from(started.message.serialize().to_vec()),
        };
        Ok((started.state, request))
    }

    /// Makes the registration record, wraps the account key of the epoch in which the generation begins under its export
    /// key, and derives the credential's key pairs.
    ///
    /// # Errors
    /// [`VerificationError::OpaqueMessage`], [`VerificationError::Opaque`] for a malformed response,
    /// [`VerificationError::OtherRegistrationKey`] for that of another server.
    pub fn record(
        &self,
        state: ClientRegistration<Suite>,
        response: &[u8],
        keys: &AccountKeys,
        begun: Begun,
    ) -> Result<(SlotRecord, SlotKeys)> {
        // Deserialising ignores trailing bytes.
        if response.len() != RESPONSE_LEN {
            let message = OpaqueMessage::RegistrationResponse;
            return Err(VerificationError::OpaqueMessage(message).into());
        }
        let response =
            RegistrationResponse::deserialize(response).map_err(VerificationError::Opaque)?;
        let stretching = Stretching::of(&self.slot, self.account, &self.server.server);
        let identifiers = opaque::identifiers(self.account, &self.server.server);
        let parameters = ClientRegistrationFinishParameters::new(identifiers, Some(&stretching));
        let mut finished = state
            .finish(&mut OsRng, self.secret.expose(), response, parameters)
            .map_err(VerificationError::Opaque)?;
        if finished.server_s_pk.serialize().as_slice() != self.server.opaque_key.as_bytes() {
            return Err(VerificationError::OtherRegistrationKey.into());
        }
        let context = WrapContext {
            account: &keys.account(),
            slot: &self.slot,
            generation: begun.generation,
            epoch: begun.epoch,
        };
        let account_key = keys.of_epoch(begun.epoch);
        let account_key = account_key.ok_or(VerificationError::UnknownEpoch(begun.epoch))?;
        let record = SlotRecord {
            slot: self.slot,
            record: ByteBuf::from(finished.message.serialize().to_vec()),
            wrapped: context.wrap(&finished.export_key, account_key),
            lease: self.lease,
        };
        let context = SlotContext {
            account: keys.account(),
            slot: self.slot,
            generation: begun.generation,
        };
        let slot_keys = context.keys_of(&finished.export_key, account_key, self.device);
        finished.export_key.as_mut_slice().zeroize();
        Ok((record, slot_keys))
    }
}
