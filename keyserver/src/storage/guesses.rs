//! Logins: slowed down, counted and recorded before KE2 leaves. Floods are counted together, per address and minute.

use std::net::IpAddr;

use heed::{RoTxn, WithoutTls};
use serde::{Deserialize, Serialize};
use shared::audit_record::{Operation, Outcome};
use shared::ids::{AccountId, Digest};
use shared::wire::error::Refusal;

use crate::storage::api::{Draft, FinishLogin, StartLogin, StorageError};
use crate::storage::at_rest::AtRest;
use crate::storage::check::each;
use crate::storage::engine::Written;
use crate::storage::lmdb::Unit;
use crate::storage::tables::{self, Tables};
use crate::storage::throttle::Guesses;

const MINUTE_MS: u64 = 60 * 1000;
/// Rows that one tick looks at.
const TICK_ROWS: usize = 4096;

/// Starts of one minute that are not written down yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Flood {
    minute: u64,
    remote: IpAddr,
    started: u64,
    refused: u64,
}

impl Unit<'_, '_> {
    pub(super) fn start_login(&mut self, message: &StartLogin) -> Result<Written, StorageError> {
        let account = self.tables.named(self.txn, self.keys, &message.name)?;
        let id = account
            .as_ref()
            .map_or(tables::NOBODY, |account| account.id);
        let admitted = self.admit(message)?;
        self.count_start(&id, message.remote, admitted.is_ok())?;
        match admitted {
            Ok(()) => Ok(Written::Account(account.map(Box::new))),
            Err(wait_ms) => Err(StorageError::Refused(Refusal::Throttled(wait_ms))),
        }
    }

    /// Counts in all three rows, or in none; what cannot be guessed counts for its address alone, whose rate it uses.
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

    fn admit_guess(&mut self, message: &StartLogin) -> Result<Result<(), u64>, StorageError> {
        let policies = &self.config.throttle;
        let pair_key = self.keys.name_and_address(&message.name, message.remote);
        let pair = self.guesses(&pair_key)?;
        let name_key = self.keys.name(&message.name);
        let address_key = self.keys.address(message.remote);
        let by_pair = pair.admit(&policies.pair, self.now_ms);
        let by_address = self
            .guesses(&address_key)?
            .admit(&policies.address, self.now_ms);
        let mut by_name = self
            .guesses(&name_key)?
            .admit(&policies.account, self.now_ms);
        if pair.is_familiar(self.now_ms) && by_name.is_err() {
            by_name = self.guesses(&name_key).map(Ok)?;
        }
        let waits = [by_pair, by_address, by_name].map(Result::err);
        if let Some(longest) = waits.into_iter().flatten().max() {
            return Ok(Err(longest));
        }
        let rows = [
            (pair_key, by_pair),
            (address_key, by_address),
            (name_key, by_name),
        ];
        for (key, guesses) in rows {
            if let Ok(guesses) = guesses {
                self.put_guesses(&key, &guesses)?;
            }
        }
        Ok(Ok(()))
    }

    fn guesses(&self, key: &Digest) -> Result<Guesses, StorageError> {
        let row = self.tables.guesses.decode(self.txn, key.as_bytes())?;
        Ok(row.unwrap_or_default())
    }

    fn put_guesses(&mut self, key: &Digest, guesses: &Guesses) -> Result<(), StorageError> {
        self.tables
            .guesses
            .encode(self.txn, key.as_bytes(), guesses)
    }

    pub(super) fn finish_login(&mut self, message: &FinishLogin) -> Result<Written, StorageError> {
        let account = message.account.unwrap_or(tables::NOBODY);
        if message.session.is_some() {
            self.forgive(message)?;
        }
        let draft = Draft {
            outcome: message.session.map_or(Outcome::Refused, |_| Outcome::Done),
            session: message.session,
            ..start_draft(message.remote, Operation::Login, Outcome::Done)
        };
        self.record(&account, &draft, 1)?;
        self.tables.head(self.txn, &account).map(Written::Head)
    }

    /// A success proves that the starts from this address were the owner's.
    fn forgive(&mut self, message: &FinishLogin) -> Result<(), StorageError> {
        let pair_key = self.keys.name_and_address(&message.name, message.remote);
        let pair = self.guesses(&pair_key)?;
        self.put_guesses(&pair_key, &pair.succeed(self.now_ms))?;
        let others = [
            self.keys.name(&message.name),
            self.keys.address(message.remote),
        ];
        for key in others {
            let guesses = self.guesses(&key)?.take_back(pair.count);
            self.put_guesses(&key, &guesses)?;
        }
        Ok(())
    }

    /// The first start of a minute is a record at once; those after it are counted, and recorded when it is over.
    fn count_start(
        &mut self,
        account: &AccountId,
        remote: IpAddr,
        admitted: bool,
    ) -> Result<(), StorageError> {
        let key = tables::own(account, &[self.keys.address(remote).as_bytes()]);
        let minute = self.now_ms / MINUTE_MS;
        let known = self.flood(&key)?;
        let flood = match known {
            Some(mut flood) if flood.minute == minute => {
                if admitted {
                    flood.started += 1;
                } else {
                    flood.refused += 1;
                }
                flood
            }
            known => {
                if let Some(flood) = known {
                    self.write_flood(account, &flood)?;
                }
                let outcome = if admitted {
                    Outcome::Done
                } else {
                    Outcome::Refused
                };
                let draft = start_draft(remote, Operation::LoginStart, outcome);
                self.record(account, &draft, 1)?;
                Flood {
                    minute,
                    remote,
                    started: 0,
                    refused: 0,
                }
            }
        };
        let sealed = self.keys.seal(self.tables.floods.name, &key, &flood)?;
        self.tables.floods.put(self.txn, &key, &sealed)
    }

    fn flood(&self, key: &[u8]) -> Result<Option<Flood>, StorageError> {
        let table = &self.tables.floods;
        let sealed = table.get(self.txn, key)?;
        sealed
            .map(|sealed| self.keys.open(table.name, key, sealed))
            .transpose()
    }

    fn write_flood(&mut self, account: &AccountId, flood: &Flood) -> Result<(), StorageError> {
        for (count, outcome) in [
            (flood.started, Outcome::Done),
            (flood.refused, Outcome::Refused),
        ] {
            if count > 0 {
                let draft = start_draft(flood.remote, Operation::LoginStart, outcome);
                self.record(account, &draft, count)?;
            }
        }
        Ok(())
    }

    /// Writes down floods of minutes that are over, and forgets guesses that are old.
    pub(super) fn tick(&mut self) -> Result<Written, StorageError> {
        let minute = self.now_ms / MINUTE_MS;
        for (key, sealed) in self.tables.floods.from(self.txn, &[0], TICK_ROWS)? {
            let flood: Flood = self.keys.open(self.tables.floods.name, &key, &sealed)?;
            if flood.minute >= minute {
                continue;
            }
            let account = key
                .first_chunk()
                .map(|id| AccountId::new(*id))
                .ok_or_else(|| self.tables.floods.damaged())?;
            self.write_flood(&account, &flood)?;
            self.tables.floods.delete(self.txn, &key)?;
        }
        // Starting anywhere sees every row in the long run, without remembering where the last tick ended.
        let start: [u8; 1] = rand::random();
        for (key, row) in self.tables.guesses.from(self.txn, &start, TICK_ROWS)? {
            let guesses: Guesses = shared::codec::decode(&row, row.len())
                .map_err(|_| self.tables.guesses.damaged())?;
            if guesses.is_forgotten(self.now_ms) {
                self.tables.guesses.delete(self.txn, &key)?;
            }
        }
        Ok(Written::Done)
    }
}

/// Checks that every row of guesses and floods is one.
pub fn check(
    txn: &RoTxn<'_, WithoutTls>,
    tables: &Tables,
    keys: &AtRest,
) -> Result<(), StorageError> {
    each(txn, &tables.floods, |key, sealed| {
        keys.open::<Flood>(tables.floods.name, key, sealed)
            .map(drop)
    })?;
    each(txn, &tables.guesses, |_, row| {
        shared::codec::decode::<Guesses>(row, row.len())
            .map(drop)
            .map_err(|_| tables.guesses.damaged())
    })
}

fn start_draft(remote: IpAddr, operation: Operation, outcome: Outcome) -> Draft {
    Draft {
        operation,
        secret: None,
        outcome,
        session: None,
        counter: 0,
        position: 0,
        device: None,
        remote,
        tag: None,
    }
}
