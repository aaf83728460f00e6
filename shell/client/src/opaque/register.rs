//! Registration of an account by OPAQUE (RFC 9807, section 5): all credentials, the wrapped account key and the genesis
//! entry in one message.

use keyshell_base::time::now_ms;
use opaque_ke::ClientRegistration;
use shared::ids::{AccountId, DeviceId, PublicKey, Seq};
use shared::names::AccountName;
use shared::opaque::{SUITE, Slot, Suite};
use shared::secret::{Key, SecretBytes};
use shared::vault_log::{ENTRY_FORMAT, Entry, FIRST_EPOCH, Head, Identity, Op, SignedEntry};
use shared::wire::path;
use shared::wire::register::{RegisterFinish, RegisterResponse, RegisterStart};

use crate::device::pins::{Pins, ServerPins};
use crate::error::{Error, Result};
use crate::keys::account::AccountKeys;
use crate::opaque::credential::{self, NewCredential};
use crate::transport::api::Api;

/// Generation of the first credential in a slot.
const FIRST_GENERATION: u64 = 1;

/// The inputs of a registration.
#[derive(Debug)]
pub struct Registration<'a> {
    /// The account to make.
    pub account: &'a AccountName,
    /// The device that makes it.
    pub device: DeviceId,
    /// The server's identity.
    pub server: ServerPins,
    /// The invite code, where the server asks for one.
    pub invite: Option<String>,
    /// One credential per slot: password and recovery code, and any others.
    pub credentials: &'a [(Slot, &'a SecretBytes)],
}

impl Registration<'_> {
    /// Makes the first exchange; the account does not exist yet. Returns the last message, and the account's first
    /// pins.
    ///
    /// # Errors
    /// Those of [`Api::post`], [`Error::Verification`] for invalid OPAQUE messages.
    pub async fn prepare(&self, api: &mut Api) -> Result<(RegisterFinish, Pins)> {
        let (states, message) = self.start()?;
        let answer: RegisterResponse = api.post(path::REGISTER_START, &message).await?;
        self.finish(states, &answer)
    }

    /// Makes the last exchange, which creates the account.
    ///
    /// # Errors
    /// Those of [`Api::post`]. After any error the account may exist.
    pub async fn complete(api: &mut Api, finish: &RegisterFinish) -> Result<()> {
        api.post(path::REGISTER_FINISH, finish).await
    }

    /// Makes the first message.
    ///
    /// # Errors
    /// [`Error::Verification`]; never for credentials within their bounds.
    pub fn start(&self) -> Result<(Vec<ClientRegistration<Suite>>, RegisterStart)> {
        let (states, slots) = credential::requests(&self.credentials())?;
        let message = RegisterStart {
            suite: SUITE,
            account: self.account.clone(),
            invite: self.invite.clone(),
            slots,
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
    ) -> Result<(RegisterFinish, Pins)> {
        let keys = AccountKeys::new(AccountId::random(), FIRST_EPOCH, Key::random());
        let (new, answers) = (self.credentials(), &answer.responses);
        let generations = vec![FIRST_GENERATION; new.len()];
        let slots = credential::records(&new, states, answers, &keys, &generations)?;
        let genesis = self.genesis(&keys)?;
        let mut pins = Pins::new(self.server, keys.account(), keys.epoch());
        pins.head = Head::EMPTY.with(&genesis);
        let finish = RegisterFinish {
            pending: answer.pending,
            slots,
            genesis,
        };
        Ok((finish, pins))
    }

    fn credentials(&self) -> Vec<NewCredential<'_>> {
        let new = |&(slot, secret): &(Slot, _)| NewCredential {
            account: self.account,
            server: self.server,
            slot,
            secret,
        };
        self.credentials.iter().map(new).collect()
    }

    fn genesis(&self, keys: &AccountKeys) -> Result<SignedEntry> {
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
            former: Vec::new(),
        };
        SignedEntry::sign(&entry, &keys.signing()).map_err(Error::failed)
    }
}
