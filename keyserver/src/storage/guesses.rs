//! Logins: slowed down and counted before KE2 leaves.

use std::net::IpAddr;

use heed::{RoTxn, WithoutTls};
use shared::audit_record::{Operation, Outcome};
use shared::ids::Digest;
use shared::names::AccountName;
use shared::vault_log::Head;
use shared::wire::error::Refusal;

use crate::storage::api::{
    Account, Draft, FinishLogin, StartLogin, StartRegistration, StorageError, Success,
};
use crate::storage::check::each;
use crate::storage::engine::Written;
use crate::storage::floods::Event;
use crate::storage::line::Place;
use crate::storage::lmdb::Unit;
use crate::storage::tables::Tables;
use crate::storage::throttle::Guesses;

/// Rows that one tick looks at.
const TICK_ROWS: usize = 4096;
/// Rows of which one is forgotten where there are too many.
const SAMPLE: usize = 16;

impl Unit<'_, '_> {
    pub(super) fn start_login(&mut self, message: &StartLogin) -> Result<Written, StorageError> {
        let account = self
            .tables
            .named(self.txn, self.keys, self.decoy, &message.name)?;
        let admitted = self.admit(message)?;
        let event = match admitted {
            Ok(()) => Event::Started,
            Err(_) => Event::Refused,
        };
        self.count(&self.keys.name(&message.name), message.remote, event)?;
        match admitted {
            Ok(()) => Ok(Written::Account(account.map(Box::new))),
            Err(wait_ms) => Err(StorageError::Refused(Refusal::Throttled(wait_ms))),
        }
    }

    pub(super) fn start_registration(
        &mut self,
        message: &StartRegistration,
    ) -> Result<Written, StorageError> {
        match self.admit_address(message.remote)? {
            Ok(()) => Ok(Written::Done),
            Err(wait_ms) => Err(StorageError::Refused(Refusal::Throttled(wait_ms))),
        }
    }

    /// Counts a start, or says how long to wait; what cannot be guessed counts for its address alone, whose rate it uses.
    fn admit(&mut self, message: &StartLogin) -> Result<Result<(), u64>, StorageError> {
        if message.slot.is_guessable() {
            self.admit_guess(message)
        } else {
            self.admit_address(message.remote)
        }
    }

    fn admit_address(&mut self, remote: IpAddr) -> Result<Result<(), u64>, StorageError> {
        let key = self.keys.address(remote);
        let admitted = self
            .guesses(&key)?
            .admit(&self.config.throttle.address, self.now_ms);
        match admitted {
            Ok(guesses) => self.put_guesses(&key, &guesses).map(Ok),
            Err(wait_ms) => Ok(Err(wait_ms)),
        }
    }

    /// Counts for the address, for the pair of name and address, and for the name. The owner's usual addresses leave no
    /// trace in what others see of the name.
    fn admit_guess(&mut self, message: &StartLogin) -> Result<Result<(), u64>, StorageError> {
        let policies = &self.config.throttle;
        let address_key = self.keys.address(message.remote);
        let address = self.guesses(&address_key)?;
        let address = match address.admit(&policies.address, self.now_ms) {
            Ok(address) => address,
            Err(wait_ms) => return Ok(Err(wait_ms)),
        };
        let pair_key = self.keys.name_and_address(&message.name, message.remote);
        let place = match self.take_turn(message, &pair_key)? {
            Some(turn) => turn,
            None => self.ask(message, &pair_key)?,
        };
        if place.is_ok() {
            self.put_guesses(&address_key, &address)?;
        }
        Ok(place)
    }

    /// Where this sender was given a turn: it was counted then.
    fn take_turn(
        &mut self,
        message: &StartLogin,
        pair_key: &Digest,
    ) -> Result<Option<Result<(), u64>>, StorageError> {
        let lines = [
            self.keys.name_and_newcomers(&message.name),
            self.keys.name(&message.name),
        ];
        for key in lines {
            let mut line = self.guesses(&key)?;
            let policy = &self.config.throttle.account;
            if let Some(turn) = line.take_turn(pair_key, policy, self.now_ms) {
                if turn.is_ok() {
                    self.put_guesses(&key, &line)?;
                }
                return Ok(Some(turn));
            }
        }
        Ok(None)
    }

    fn ask(
        &mut self,
        message: &StartLogin,
        pair_key: &Digest,
    ) -> Result<Result<(), u64>, StorageError> {
        let policies = &self.config.throttle;
        let pair = self.guesses(pair_key)?;
        let admitted = match pair.admit(&policies.pair, self.now_ms) {
            Ok(admitted) => admitted,
            Err(wait_ms) => return Ok(Err(wait_ms)),
        };
        let place = if pair.is_familiar(self.now_ms) {
            Place::Through
        } else {
            let tries = if pair.is_forgotten(self.now_ms) {
                0
            } else {
                admitted.count
            };
            let key = self.line(&message.name, &admitted);
            let mut line = self.guesses(&key)?;
            let place = line.stand_in_line(pair_key, tries, &policies.account, self.now_ms);
            if !matches!(place, Place::Full(_)) {
                self.put_guesses(&key, &line)?;
            }
            place
        };
        let answer = match place {
            Place::Through => Ok(()),
            Place::Turn(wait_ms) => Err(wait_ms),
            Place::Full(wait_ms) => return Ok(Err(wait_ms)),
        };
        self.put_guesses(pair_key, &admitted)?;
        Ok(answer)
    }

    /// Those who have free starts of their own left are counted apart from those who have used them up: an owner at a
    /// new address does not stand in line behind addresses that have been guessing for hours.
    fn line(&self, name: &AccountName, pair: &Guesses) -> Digest {
        if pair.count <= self.config.throttle.pair.free {
            self.keys.name_and_newcomers(name)
        } else {
            self.keys.name(name)
        }
    }

    pub(super) fn guesses(&self, key: &Digest) -> Result<Guesses, StorageError> {
        let row = self.tables.guesses.decode(self.txn, key.as_bytes())?;
        Ok(row.unwrap_or_default())
    }

    pub(super) fn put_guesses(
        &mut self,
        key: &Digest,
        guesses: &Guesses,
    ) -> Result<(), StorageError> {
        let table = &self.tables.guesses;
        let is_full = table.count(self.txn)? >= self.config.guess_rows;
        if is_full && table.get(self.txn, key.as_bytes())?.is_none() {
            self.forget_least()?;
        }
        table.encode(self.txn, key.as_bytes(), guesses)
    }

    /// Forgets one row: of a few that stand together, which digests put there by chance, the one that says least.
    fn forget_least(&mut self) -> Result<(), StorageError> {
        let table = &self.tables.guesses;
        let start: [u8; 4] = rand::random();
        let mut rows = table.from(self.txn, &start, SAMPLE)?;
        if rows.is_empty() {
            rows = table.from(self.txn, &[0], SAMPLE)?;
        }
        let mut least = None;
        for (key, row) in rows {
            let guesses = self.decode_guesses(&row)?;
            let says = (
                guesses.is_familiar(self.now_ms),
                guesses.count,
                guesses.counted_ms,
            );
            if least.as_ref().is_none_or(|(least, _)| says < *least) {
                least = Some((says, key));
            }
        }
        if let Some((_, key)) = least {
            table.delete(self.txn, &key)?;
        }
        Ok(())
    }

    fn decode_guesses(&self, row: &[u8]) -> Result<Guesses, StorageError> {
        shared::codec::decode(row, row.len()).map_err(|_| self.tables.guesses.damaged())
    }

    /// A success is a record at once, after all that was counted before it; a wrong proof is counted.
    pub(super) fn finish_login(&mut self, message: &FinishLogin) -> Result<Written, StorageError> {
        let name = self.keys.name(&message.name);
        let Some(success) = &message.success else {
            self.count(&name, message.remote, Event::Wrong)?;
            return Ok(Written::Head(Head::EMPTY));
        };
        let Some(account) = self.current(success)? else {
            self.count(&name, message.remote, Event::Wrong)?;
            return Err(StorageError::Refused(Refusal::LoginRefused));
        };
        self.forgive(message)?;
        self.write_down_name(&name)?;
        let draft = Draft {
            session: Some(success.session),
            ..Draft::without_session(Operation::Login, Outcome::Done, Some(message.remote))
        };
        self.record(&account.id, &draft, 1)?;
        let head = self.tables.head(self.txn, &account.log)?;
        Ok(Written::Head(head))
    }

    /// The account, if it was not deleted and the credential not replaced since the login began.
    fn current(&self, success: &Success) -> Result<Option<Account>, StorageError> {
        let account = self.tables.account(self.txn, self.keys, &success.account)?;
        Ok(account.filter(|account| {
            let mut slots = account.slots.iter();
            slots.any(|stored| stored.slot == success.slot && stored.wrapped == success.wrapped)
        }))
    }

    /// A success proves that the starts from this address were the owner's. What the name's rows count stays: taking it
    /// back would show others that the name is an account's, and when its owner logs in.
    fn forgive(&mut self, message: &FinishLogin) -> Result<(), StorageError> {
        let pair_key = self.keys.name_and_address(&message.name, message.remote);
        let pair = self.guesses(&pair_key)?;
        let address_key = self.keys.address(message.remote);
        let address = self.guesses(&address_key)?.take_back(pair.count);
        self.put_guesses(&address_key, &address)?;
        self.put_guesses(&pair_key, &pair.succeed(self.now_ms))
    }

    /// Writes down counts whose time is over, and forgets guesses that are old.
    pub(super) fn tick(&mut self) -> Result<Written, StorageError> {
        self.write_down_past_spans()?;
        // Starting anywhere sees every row in the long run, without remembering where the last tick ended.
        let start: [u8; 1] = rand::random();
        for (key, row) in self.tables.guesses.from(self.txn, &start, TICK_ROWS)? {
            if self.decode_guesses(&row)?.is_forgotten(self.now_ms) {
                self.tables.guesses.delete(self.txn, &key)?;
            }
        }
        Ok(Written::Done)
    }
}

/// Checks that every row is one.
pub fn check(txn: &RoTxn<'_, WithoutTls>, tables: &Tables) -> Result<(), StorageError> {
    each(txn, &tables.guesses, |_, row| {
        shared::codec::decode::<Guesses>(row, row.len())
            .map(drop)
            .map_err(|_| tables.guesses.damaged())
    })
}
