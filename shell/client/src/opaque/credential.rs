//! Registration of one credential by OPAQUE (RFC 9807, section 5), in a new or an existing account.

use opaque_ke::{ClientRegistration, ClientRegistrationFinishParameters, RegistrationResponse};
use rand::rngs::OsRng;
use serde_bytes::ByteBuf;
use shared::names::AccountName;
use shared::opaque::{self, Slot, Stretching, Suite};
use shared::secret::SecretBytes;
use shared::wire::register::{SlotRecord, SlotRequest};
use zeroize::Zeroize as _;

use crate::device::pins::ServerPins;
use crate::error::Result;
use crate::keys::account::AccountKeys;
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

/// Makes the registration records of several credentials, with one response and one generation per credential.
///
/// # Errors
/// [`VerificationError::SlotCount`] for another number of responses; else as [`NewCredential::record`].
pub fn records(
    credentials: &[NewCredential<'_>],
    states: Vec<ClientRegistration<Suite>>,
    responses: &[ByteBuf],
    keys: &AccountKeys,
    generations: &[u64],
) -> Result<Vec<SlotRecord>> {
    if responses.len() != states.len() {
        return Err(VerificationError::SlotCount.into());
    }
    let answered = states.into_iter().zip(responses).zip(generations);
    let made = credentials.iter().zip(answered);
    made.map(|(new, ((state, response), generation))| {
        new.record(state, response, keys, *generation)
    })
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

    /// Makes the registration record, and wraps the account key under its export key.
    ///
    /// # Errors
    /// [`VerificationError::OpaqueMessage`], [`VerificationError::Opaque`] for a malformed response,
    /// [`VerificationError::OtherRegistrationKey`] for that of another server.
    pub fn record(
        &self,
        state: ClientRegistration<Suite>,
        response: &[u8],
        keys: &AccountKeys,
        generation: u64,
    ) -> Result<SlotRecord> {
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
            generation,
            epoch: keys.epoch(),
        };
        let record = SlotRecord {
            slot: self.slot,
            record: ByteBuf::from(finished.message.serialize().to_vec()),
            wrapped: context.wrap(&finished.export_key, keys.root()),
        };
        finished.export_key.as_mut_slice().zeroize();
        Ok(record)
    }
}
