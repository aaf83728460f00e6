//! Starts of logins, and proofs that were wrong, until they are records: counted by name, span of time and address,
//! durably, before there is an answer. Nobody can tell from outside whether the name is an account's, because it is
//! looked up only when the span is over. A span is a minute at first; the more records a name's floods have become, the
//! longer it gets, so that no number of senders can fill an owner's log.

use std::net::IpAddr;

use heed::{RoTxn, WithoutTls};
use serde::{Deserialize, Serialize};
use shared::audit_record::{Operation, Outcome};
use shared::ids::{AccountId, Digest};

use crate::network::network;
use crate::storage::api::{Draft, StorageError};
use crate::storage::at_rest::AtRest;
use crate::storage::check::each;
use crate::storage::lmdb::Unit;
use crate::storage::records::Tree;
use crate::storage::tables::{self, NOBODY, Tables};
use crate::storage::throttle::Policy;

const MINUTE_MS: u64 = 60 * 1000;
/// Spans in minutes, longest first: a minute, an hour, a day. Each begins at a multiple of itself.
const SPANS: [u64; 3] = [24 * 60, 60, 1];
/// So many records of one name's floods are for a minute each, and up to so many for an hour each.
pub const BY_MINUTE: u32 = 128;
/// See [`BY_MINUTE`].
pub const BY_HOUR: u32 = 384;
/// How such records count: half of them are forgotten in a day.
const LOUDNESS: Policy = Policy {
    free: u32::MAX,
    first_ms: 0,
    longest_ms: 0,
    half_life_ms: 24 * 60 * MINUTE_MS,
};
/// Networks of one name and span that are counted one by one; all others are counted together.
pub const NETWORKS: usize = 16;
/// Most rows. Where more names are counted the one whose span ends first becomes records at once.
pub const MAX_ROWS: u64 = 8192;
/// Rows that one tick writes down.
const TICK_ROWS: usize = 1024;
/// So many records about names which nobody has are kept. Nobody reads them: they are written so that a name without
/// an account takes the server as long as one with an account.
pub const NOBODYS_RECORDS: u64 = 1024;
/// Bytes of a row's key: the minute in which its span is over, and the name's digest.
const MINUTE_LEN: usize = 8;
const KEY_LEN: usize = MINUTE_LEN + Digest::LEN;

/// What is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// A login was started.
    Started,
    /// A start was refused: it came too soon.
    Refused,
    /// A login was finished with a wrong proof.
    Wrong,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
struct Counts {
    started: u64,
    refused: u64,
    wrong: u64,
}

/// One name in one span.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
struct Flood {
    /// Each with the first address that was seen of it.
    networks: Vec<(IpAddr, Counts)>,
    others: Counts,
}

impl Flood {
    fn count(&mut self, remote: IpAddr, event: Event) {
        let known = |(seen, _): &(IpAddr, Counts)| network(*seen) == network(remote);
        if !self.networks.iter().any(known) && self.networks.len() < NETWORKS {
            self.networks.push((remote, Counts::default()));
        }
        let counts = match self.networks.iter_mut().find(|line| known(line)) {
            Some((_, counts)) => counts,
            None => &mut self.others,
        };
        match event {
            Event::Started => counts.started += 1,
            Event::Refused => counts.refused += 1,
            Event::Wrong => counts.wrong += 1,
        }
    }

    /// What the owner is shown: one record for each count.
    fn records(&self) -> impl Iterator<Item = (Draft, u64)> {
        let named = self.networks.iter();
        let lines = named.map(|(remote, counts)| (Some(*remote), *counts));
        lines
            .chain([(None, self.others)])
            .flat_map(|(remote, counts)| {
                [
                    (Operation::LoginStart, Outcome::Done, counts.started),
                    (Operation::LoginStart, Outcome::Refused, counts.refused),
                    (Operation::Login, Outcome::Refused, counts.wrong),
                ]
                .map(|(operation, outcome, count)| {
                    (Draft::without_session(operation, outcome, remote), count)
                })
            })
            .filter(|(_, count)| *count > 0)
    }
}

impl Unit<'_, '_> {
    /// Counts one event.
    pub(super) fn count(
        &mut self,
        name: &Digest,
        remote: IpAddr,
        event: Event,
    ) -> Result<(), StorageError> {
        let table = &self.tables.floods;
        let now = self.now_ms / MINUTE_MS;
        let mut found = None;
        // A span that has begun goes on, whatever the next one will be.
        for span in SPANS {
            let key = key(end(now, span), name);
            if let Some(sealed) = table.get(self.txn, &key)? {
                found = Some((self.keys.open(table.name, &key, sealed)?, key));
                break;
            }
        }
        let (mut flood, key): (Flood, _) = if let Some(found) = found {
            found
        } else {
            self.make_room()?;
            let span = self.span(name)?;
            (Flood::default(), key(end(now, span), name))
        };
        flood.count(remote, event);
        let sealed = self.keys.seal(table.name, &key, &flood)?;
        table.put(self.txn, &key, &sealed)
    }

    /// How long the next span of a name is, in minutes.
    fn span(&self, name: &Digest) -> Result<u64, StorageError> {
        let [day, hour, minute] = SPANS;
        let loudness = self.guesses(&self.keys.loudness(name.as_bytes()))?;
        Ok(match loudness.counted(&LOUDNESS, self.now_ms) {
            ..BY_MINUTE => minute,
            BY_MINUTE..BY_HOUR => hour,
            _ => day,
        })
    }

    fn make_room(&mut self) -> Result<(), StorageError> {
        if self.tables.floods.count(self.txn)? < MAX_ROWS {
            return Ok(());
        }
        for (key, sealed) in self.tables.floods.from(self.txn, &[0], 1)? {
            self.write_down(&key, &sealed)?;
        }
        Ok(())
    }

    /// Writes down spans that are over. Those that end later than any that begins now are of a clock that was set back
    /// since.
    pub(super) fn write_down_past_spans(&mut self) -> Result<(), StorageError> {
        let now = self.now_ms / MINUTE_MS;
        let [longest, ..] = SPANS;
        let never = end(now, longest) + 1;
        let table = &self.tables.floods;
        let mut rows = table.from(self.txn, &[0], TICK_ROWS)?;
        rows.retain(|(key, _)| minute(key) <= now);
        rows.extend(table.from(self.txn, &never.to_be_bytes(), TICK_ROWS)?);
        for (key, sealed) in rows {
            self.write_down(&key, &sealed)?;
        }
        Ok(())
    }

    /// Writes down everything about one name, so that its owner sees all of it.
    pub(super) fn write_down_name(&mut self, name: &Digest) -> Result<(), StorageError> {
        let mut next = 0;
        while let [(found, sealed)] = &*self.tables.floods.from(self.txn, &key(next, name), 1)? {
            if *found == key(next, name) {
                self.write_down(found, sealed)?;
            }
            // One look for each minute that anything was counted in, and one for each gap between two.
            next = (next + 1).max(minute(found));
        }
        Ok(())
    }

    fn write_down(&mut self, key: &[u8], sealed: &[u8]) -> Result<(), StorageError> {
        let flood: Flood = self.keys.open(self.tables.floods.name, key, sealed)?;
        let name = key.get(MINUTE_LEN..).unwrap_or_default();
        let account = match self.tables.names.get(self.txn, name)? {
            Some(id) => AccountId::from_slice(id).ok_or_else(|| self.tables.names.damaged())?,
            None => NOBODY,
        };
        let loudness_key = self.keys.loudness(name);
        let mut loudness = self.guesses(&loudness_key)?;
        for (draft, count) in flood.records() {
            self.record(&account, &draft, count)?;
            loudness.count(&LOUDNESS, self.now_ms);
        }
        self.put_guesses(&loudness_key, &loudness)?;
        self.tables.floods.delete(self.txn, key)?;
        if account == NOBODY {
            self.start_nobody_over()?;
        }
        Ok(())
    }

    fn start_nobody_over(&mut self) -> Result<(), StorageError> {
        let tree = self.tables.tree(self.txn, &NOBODY)?;
        if tree.size < NOBODYS_RECORDS {
            return Ok(());
        }
        let empty = Tree { size: 0, ..tree };
        let own = tables::own(&NOBODY, &[]);
        self.tables.trees.encode(self.txn, &own, &empty)
    }
}

/// The minute in which the span that runs now is over.
fn end(now: u64, span: u64) -> u64 {
    now - now % span + span
}

fn key(minute: u64, name: &Digest) -> Vec<u8> {
    [minute.to_be_bytes().as_slice(), name.as_bytes()].concat()
}

fn minute(key: &[u8]) -> u64 {
    key.first_chunk()
        .map_or(0, |bytes| u64::from_be_bytes(*bytes))
}

/// Checks that every row is one.
pub fn check(
    txn: &RoTxn<'_, WithoutTls>,
    tables: &Tables,
    keys: &AtRest,
) -> Result<(), StorageError> {
    each(txn, &tables.floods, |key, sealed| {
        if key.len() != KEY_LEN {
            return Err(tables.floods.damaged());
        }
        keys.open::<Flood>(tables.floods.name, key, sealed)
            .map(drop)
    })
}
