//! Registration by OPAQUE (RFC 9807, section 5): all slots, the wrapped account key and the genesis entry at once.

use opaque_ke::{ClientRegistration, ClientRegistrationFinishParameters, RegistrationResponse};
use rand::rngs::OsRng;
use serde_bytes::ByteBuf;
use shared::ids::{AccountId, DeviceId, PublicKey, Seq};
use shared::names::AccountName;
use shared::opaque::{self, SUITE, Slot, Stretching, Suite};
use shared::secret::{Key, SecretBytes};
use shared::vault_log::{ENTRY_FORMAT, Entry, Head, Identity, Op, SignedEntry};
use shared::wire::path;
use shared::wire::register::{
    RegisterFinish, RegisterResponse, RegisterStart, SlotRecord, SlotRequest,
};
use zeroize::Zeroize as _;

use crate::client::api::Api;
use crate::error::Error;
use crate::time::now_ms;
use crate::vault::keys::{AccountKeys, EPOCH};
use crate::vault::pins::{Pins, ServerPins};
use crate::vault::wrap::WrapContext;

/// Generation of a credential that was just made.
const FIRST_GENERATION: u64 = 1;

/// Length of RFC 9807's `RegistrationResponse` in this suite, in bytes.
const RESPONSE_LEN: usize = 64;

/// What a registration needs.
#[derive(Debug)]
pub struct Registration<'a> {
    /// The account to make.
    pub account: &'a AccountName,
    /// The device that makes it.
    pub device: DeviceId,
    /// Who the server is.
    pub server: ServerPins,
    /// The invite code, where the server asks for one.
    pub invite: Option<String>,
    /// One credential a slot: password and recovery code, and any others.
    pub credentials: &'a [(Slot, &'a SecretBytes)],
}

impl Registration<'_> {
    /// The first exchange; no account is made yet. Returns the last message, and the account's first pins.
    ///
    /// # Errors
    /// What the server's refusals become, [`Error::Verification`] for invalid OPAQUE messages.
    pub async fn prepare(&self, api: &mut Api) -> Result<(RegisterFinish, Pins), Error> {
        let (states, message) = self.start()?;
        let answer: RegisterResponse = api.post(path::REGISTER_START, &message).await?;
        self.finish(states, &answer)
    }

    /// The last exchange.
    ///
    /// # Errors
    /// What the server's refusals become. Whatever they say, the account may have been made.
    pub async fn complete(api: &mut Api, finish: &RegisterFinish) -> Result<(), Error> {
        api.post(path::REGISTER_FINISH, finish).await
    }

    /// Makes the first message.
    ///
    /// # Errors
    /// [`Error::Verification`]; never for credentials within their bounds.
    pub fn start(&self) -> Result<(Vec<ClientRegistration<Suite>>, RegisterStart), Error> {
        let mut states = Vec::new();
        let mut requests = Vec::new();
        for (slot, credential) in self.credentials {
            let started = ClientRegistration::<Suite>::start(&mut OsRng, credential.expose())
                .map_err(|error| invalid(&error))?;
            requests.push(SlotRequest {
                slot: *slot,
                request: ByteBuf::from(started.message.serialize().to_vec()),
            });
            states.push(started.state);
        }
        let message = RegisterStart {
            suite: SUITE,
            account: self.account.clone(),
            invite: self.invite.clone(),
            slots: requests,
        };
        Ok((states, message))
    }

    /// Makes the last message, with a fresh account key and the genesis entry.
    ///
    /// # Errors
    /// [`Error::Verification`].
    pub fn finish(
        &self,
        states: Vec<ClientRegistration<Suite>>,
        answer: &RegisterResponse,
    ) -> Result<(RegisterFinish, Pins), Error> {
        if answer.responses.len() != states.len() {
            return Err(Error::unproven("the registration answer lacks a slot"));
        }
        let keys = AccountKeys::new(AccountId::random(), Key::random());
        let mut slots = Vec::new();
        for ((state, response), (slot, credential)) in states
            .into_iter()
            .zip(&answer.responses)
            .zip(self.credentials)
        {
            slots.push(self.slot_record(state, response, *slot, credential, &keys)?);
        }
        let genesis = self.genesis(&keys)?;
        let mut pins = Pins::new(self.server, keys.account());
        pins.head = Head {
            seq: Seq(1),
            hash: genesis.hash(),
        };
        let finish = RegisterFinish {
            pending: answer.pending,
            slots,
            genesis,
        };
        Ok((finish, pins))
    }

    fn slot_record(
        &self,
        state: ClientRegistration<Suite>,
        response: &[u8],
        slot: Slot,
        credential: &SecretBytes,
        keys: &AccountKeys,
    ) -> Result<SlotRecord, Error> {
        // Deserialising ignores trailing bytes.
        if response.len() != RESPONSE_LEN {
            return Err(Error::unproven(
                "the server's registration answer is malformed",
            ));
        }
        let response =
            RegistrationResponse::deserialize(response).map_err(|error| invalid(&error))?;
        let stretching = Stretching::of(&slot, self.account, &self.server.server);
        let identifiers = opaque::identifiers(self.account, &self.server.server);
        let parameters = ClientRegistrationFinishParameters::new(identifiers, Some(&stretching));
        let mut finished = state
            .finish(&mut OsRng, credential.expose(), response, parameters)
            .map_err(|error| invalid(&error))?;
        if finished.server_s_pk.serialize().as_slice() != self.server.opaque_key.as_bytes() {
            let text = "the server registers with another OPAQUE key than it says it has";
            return Err(Error::unproven(text));
        }
        let context = WrapContext {
            account: &keys.account(),
            slot: &slot,
            generation: FIRST_GENERATION,
            epoch: EPOCH,
        };
        let record = SlotRecord {
            slot,
            record: ByteBuf::from(finished.message.serialize().to_vec()),
            wrapped: context.wrap(&finished.export_key, keys.root()),
        };
        finished.export_key.as_mut_slice().zeroize();
        Ok(record)
    }

    fn genesis(&self, keys: &AccountKeys) -> Result<SignedEntry, Error> {
        let log_key: PublicKey = keys.log_key();
        let entry = Entry {
            format: ENTRY_FORMAT,
            account: keys.account(),
            seq: Seq(1),
            previous: Head::EMPTY.hash,
            device: self.device,
            time_ms: now_ms(),
            seen: None,
            op: Op::Genesis(Identity {
                server: self.server.server,
                opaque_key: self.server.opaque_key,
                checkpoint_key: self.server.checkpoint_key,
                log_key,
                suite: SUITE,
            }),
        };
        SignedEntry::sign(&entry, &keys.signing()).map_err(|error| Error::Failed(error.to_string()))
    }
}

fn invalid(error: &opaque_ke::errors::ProtocolError) -> Error {
    Error::unproven(format!("the server's OPAQUE message is invalid: {error}"))
}
