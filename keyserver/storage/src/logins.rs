//! Logins: throttled and counted before KE2 is sent.

use std::net::IpAddr;

use serde_bytes::ByteBuf;
use shared::audit_record::{AuditedOperation, Outcome};
use shared::ids::Digest;
use shared::names::AccountName;
use shared::opaque::Slot;
use shared::wire::error::Refusal;

use crate::api::{
    Account, Draft, FinishLogin, LoggedIn, StartLogin, StartRegistration, StoredSlot, Success,
};
use crate::context::WriteContext;
use crate::error::StorageError;
use crate::login_aggregates::Event;
use crate::tables::{self, Table};
use crate::throttle::Attempts;
use crate::wait_queue::Admission;

/// The throttle's decision: `Ok` for an admitted start, otherwise the milliseconds to wait.
type Decision = Result<(), u64>;

impl WriteContext<'_> {
    /// Throttles and counts the start of a login. The answer leaves out credentials whose lease is over: a login by one
    /// of them goes on as one by an unknown slot.
    pub fn start_login(&mut self, message: &StartLogin) -> Result<Option<Account>, StorageError> {
        let mut account = self.view().named(&self.rules.decoy, &message.name)?;
        if let Some(account) = &mut account {
            account.slots.retain(|stored| !stored.is_over(self.now_ms));
        }
        let decision = self.admit(message)?;
        let event = match decision {
            Ok(()) => Event::Started,
            Err(_) => Event::Refused,
        };
        let name = self.rules.at_rest.name(&message.name);
        self.count_event(&name, message.remote, event)?;
        throttled(decision).map(|()| account)
    }

    /// Throttles and counts the start of a registration.
    pub fn start_registration(&mut self, message: &StartRegistration) -> Result<(), StorageError> {
        throttled(self.admit_address(message.remote)?)
    }

    /// Counts a start, or returns how long to wait. Secrets that cannot be guessed count for their address only.
    fn admit(&mut self, message: &StartLogin) -> Result<Decision, StorageError> {
        if message.slot.is_guessable() {
            self.admit_guess(message)
        } else {
            self.admit_address(message.remote)
        }
    }

    fn admit_address(&mut self, remote: IpAddr) -> Result<Decision, StorageError> {
        let key = self.rules.at_rest.address(remote);
        let policy = &self.rules.config.throttle.address;
        match self.attempts(&key)?.admit(policy, self.now_ms) {
            Ok(attempts) => self.put_attempts(&key, &attempts).map(Ok),
            Err(wait_ms) => Ok(Err(wait_ms)),
        }
    }

    /// Counts for the address, for the pair of name and address, and for the name. Familiar addresses of the owner leave
    /// no trace in the counts that other addresses can observe.
    fn admit_guess(&mut self, message: &StartLogin) -> Result<Decision, StorageError> {
        let address_key = self.rules.at_rest.address(message.remote);
        let policy = &self.rules.config.throttle.address;
        let address = match self.attempts(&address_key)?.admit(policy, self.now_ms) {
            Ok(address) => address,
            Err(wait_ms) => return Ok(Err(wait_ms)),
        };
        let pair_key = self
            .rules
            .at_rest
            .name_and_address(&message.name, message.remote);
        let decision = match self.take_turn(message, &pair_key)? {
            Some(decision) => decision,
            None => self.admit_pair(message, &pair_key)?,
        };
        if decision.is_ok() {
            self.put_attempts(&address_key, &address)?;
        }
        Ok(decision)
    }

    /// Takes the sender's turn, if it has one: that was counted when it was given.
    fn take_turn(
        &mut self,
        message: &StartLogin,
        pair_key: &Digest,
    ) -> Result<Option<Decision>, StorageError> {
        let queues = [
            self.rules.at_rest.name_and_newcomers(&message.name),
            self.rules.at_rest.name(&message.name),
        ];
        for key in queues {
            let mut queue = self.attempts(&key)?;
            let policy = &self.rules.config.throttle.account;
            if let Some(decision) = queue.take_turn(pair_key, policy, self.now_ms) {
                if decision.is_ok() {
                    self.put_attempts(&key, &queue)?;
                }
                return Ok(Some(decision));
            }
        }
        Ok(None)
    }

    fn admit_pair(
        &mut self,
        message: &StartLogin,
        pair_key: &Digest,
    ) -> Result<Decision, StorageError> {
        let policies = &self.rules.config.throttle;
        let pair = self.attempts(pair_key)?;
        let admitted = match pair.admit(&policies.pair, self.now_ms) {
            Ok(admitted) => admitted,
            Err(wait_ms) => return Ok(Err(wait_ms)),
        };
        let admission = if pair.is_familiar(self.now_ms) {
            Admission::Admitted
        } else {
            let tries = if pair.is_expired(self.now_ms) {
                0
            } else {
                admitted.count
            };
            let key = self.queue_key(&message.name, &admitted);
            let mut queue = self.attempts(&key)?;
            let admission = queue.enqueue(pair_key, tries, &policies.account, self.now_ms);
            if !matches!(admission, Admission::Full(_)) {
                self.put_attempts(&key, &queue)?;
            }
            admission
        };
        let decision = match admission {
            Admission::Admitted => Ok(()),
            Admission::Turn(wait_ms) => Err(wait_ms),
            Admission::Full(wait_ms) => return Ok(Err(wait_ms)),
        };
        self.put_attempts(pair_key, &admitted)?;
        Ok(decision)
    }

    /// Senders that have free starts of their own left are queued apart from those that have used them up: an owner at
    /// a new address does not wait behind addresses that have been guessing for hours.
    fn queue_key(&self, name: &AccountName, pair: &Attempts) -> Digest {
        if pair.count <= self.rules.config.throttle.pair.free {
            self.rules.at_rest.name_and_newcomers(name)
        } else {
            self.rules.at_rest.name(name)
        }
    }

    /// Records a success, after all events that were counted before it; counts a wrong proof.
    pub fn finish_login(
        &mut self,
        message: &FinishLogin,
    ) -> Result<Option<LoggedIn>, StorageError> {
        let name = self.rules.at_rest.name(&message.name);
        let Some(success) = &message.success else {
            self.count_event(&name, message.remote, Event::Wrong)?;
            return Ok(None);
        };
        let Some((account, stored)) = self.current(success)? else {
            self.count_event(&name, message.remote, Event::Wrong)?;
            return Err(StorageError::Refused(Refusal::LoginRefused));
        };
        self.take_back_attempt(message, &success.slot)?;
        self.record_aggregates_of(&name)?;
        let draft = Draft {
            session: Some(success.session),
            ..Draft::without_session(AuditedOperation::Login, Outcome::Done, Some(message.remote))
        };
        self.record(&account.id, &draft, 1)?;
        let (view, id) = (self.view(), &account.id);
        let slot_key = view.slot_key(id, &success.slot)?;
        let history = view.get(Table::KeyHistories, &tables::own(id, &[]))?;
        Ok(Some(LoggedIn {
            head: view.head(id)?,
            epoch: account.signer.epoch,
            signing: stored.signing,
            slot_key: slot_key.filter(|key| key.epoch > success.wrapped.epoch),
            history: history.map(|sealed| ByteBuf::from(sealed.into_owned())),
        }))
    }

    /// The account and the credential, unless it was deleted, or the credential replaced or its lease over since the
    /// login began.
    fn current(&self, success: &Success) -> Result<Option<(Account, StoredSlot)>, StorageError> {
        let account = self.view().find_account(&success.account)?;
        Ok(account.and_then(|account| {
            let mut slots = account.slots.iter();
            let stored = slots.find(|stored| {
                let credential = &stored.credential;
                let is_same =
                    (credential.slot, &credential.wrapped) == (success.slot, &success.wrapped);
                is_same && !stored.is_over(self.now_ms)
            });
            let stored = stored.cloned()?;
            Some((account, stored))
        }))
    }

    /// A success proves that one start from this address was the owner's: its own. Other starts stay counted, so that a
    /// busy owner does not reset the counts of guessers at the same address. The counts of the name stay as well: taking
    /// back from them would show other clients that the name is an account's, and when its owner logs in.
    fn take_back_attempt(
        &mut self,
        message: &FinishLogin,
        slot: &Slot,
    ) -> Result<(), StorageError> {
        let pair_key = self
            .rules
            .at_rest
            .name_and_address(&message.name, message.remote);
        let mut pair = self.attempts(&pair_key)?;
        if slot.is_guessable() {
            pair = pair.take_back();
        }
        let address_key = self.rules.at_rest.address(message.remote);
        let address = self.attempts(&address_key)?.take_back();
        self.put_attempts(&address_key, &address)?;
        self.put_attempts(&pair_key, &pair.succeed(self.now_ms))
    }

    /// Turns aggregates whose span is over into records, and deletes expired attempts.
    pub fn tick(&mut self) -> Result<(), StorageError> {
        self.record_past_aggregates()?;
        self.expire_attempts()
    }
}

fn throttled(decision: Decision) -> Result<(), StorageError> {
    decision.map_err(|wait_ms| StorageError::Refused(Refusal::Throttled(wait_ms)))
}
