//! Registration of an account by OPAQUE (RFC 9807, section 5): all credentials, the wrapped account key and the first
//! entries of the vault log in one message.

use keyshell_base::time::now_ms;
use opaque_ke::ClientRegistration;
use shared::ids::AccountId;
use shared::names::AccountName;
use shared::opaque::{SUITE, Slot, Suite};
use shared::secret::{Key, SecretBytes};
use shared::vault_log::{
    Credential, ENTRY_FORMAT, Entry, FIRST_EPOCH, Head, Identity, Op, SignedEntry,
};
use shared::wire::path;
use shared::wire::register::{RegisterFinish, RegisterResponse, RegisterStart};

use crate::device::identity::DeviceIdentity;
use crate::device::pins::{Pins, ServerPins};
use crate::error::{Error, Result};
use crate::keys::account::AccountKeys;
use crate::opaque::credential::{self, Begun, NewCredential};
use crate::transport::api::Api;

/// The first credentials of an account.
const FIRST: Begun = Begun {
    generation: 1,
    epoch: FIRST_EPOCH,
};

/// The inputs of a registration.
#[derive(Debug)]
pub struct Registration<'a> {
    /// The account to make.
    pub account: &'a AccountName,
    /// The device that makes it.
    pub device: &'a DeviceIdentity,
    /// The server's identity.
    pub server: ServerPins,
    /// The invite code, where the server asks for one.
    pub invite: Option<String>,
    /// One credential per slot: password and recovery code.
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

    /// Makes the last message, with a fresh account key and the first entries of the vault log.
    ///
    /// # Errors
    /// [`Error::Verification`].
    pub fn finish(
        &self,
        states: Vec<ClientRegistration<Suite>>,
        answer: &RegisterResponse,
    ) -> Result<(RegisterFinish, Pins)> {
        let keys = AccountKeys::first(AccountId::random(), Key::random());
        let (new, answers) = (self.credentials(), &answer.responses);
        let made = credential::records(&new, states, answers, &keys, &vec![FIRST; new.len()])?;
        let mut head = Head::EMPTY;
        let mut entries = vec![self.entry(&keys, &mut head, self.genesis(&keys))?];
        let mut slots = Vec::new();
        for (record, slot_keys) in made {
            let op = Op::Credential(Credential {
                slot: record.slot,
                generation: FIRST.generation,
                keys: Some(slot_keys.public(&record.wrapped.blob)),
                name: None,
            });
            entries.push(self.entry(&keys, &mut head, op)?);
            slots.push(record);
        }
        let mut pins = Pins::new(self.server, keys.account(), keys.epoch());
        pins.head = head;
        let finish = RegisterFinish {
            pending: answer.pending,
            slots,
            entries,
        };
        Ok((finish, pins))
    }

    fn credentials(&self) -> Vec<NewCredential<'_>> {
        let new = |&(slot, secret): &(Slot, _)| NewCredential {
            account: self.account,
            server: self.server,
            slot,
            secret,
            device: self.device,
            lease: None,
        };
        self.credentials.iter().map(new).collect()
    }

    fn genesis(&self, keys: &AccountKeys) -> Op {
        Op::Genesis(Identity {
            server: self.server.server,
            opaque_key: self.server.opaque_key,
            checkpoint_key: self.server.checkpoint_key,
            log_key: keys.log_key(),
            suite: SUITE,
        })
    }

    /// Signs the entry on top of `head`, and moves that.
    fn entry(&self, keys: &AccountKeys, head: &mut Head, op: Op) -> Result<SignedEntry> {
        let entry = Entry {
            format: ENTRY_FORMAT,
            account: keys.account(),
            seq: head.seq.next(),
            previous: head.hash,
            device: self.device.id(),
            time_ms: now_ms(),
            seen: None,
            op,
            authorisation: None,
        };
        let signed = SignedEntry::sign(&entry, &keys.signing()).map_err(Error::failed)?;
        *head = head.with(&signed);
        Ok(signed)
    }
}
