//! Aggregates of unauthenticated login events: starts of logins and wrong proofs are counted per name, span of time and
//! network, durably, before they are answered. Each count becomes one audit record when its span ends, and only then the
//! name is looked up, so that clients cannot tell whether it is an account's. A span is a minute at first and gets longer
//! with the number of records that the aggregates of a name became, so that no number of senders can fill an owner's
//! audit log.

use std::net::IpAddr;
use std::ops::Bound;

use serde::{Deserialize, Serialize};
use shared::audit_record::{AuditedOperation, Outcome};
use shared::ids::Digest;

use crate::api::Draft;
use crate::audit_tree::Tree;
use crate::context::WriteContext;
use crate::error::StorageError;
use crate::network::network;
use crate::tables::{self, NOBODY, Table};
use crate::throttle::Policy;
use crate::view::{Row, View};

const MINUTE_MS: u64 = 60 * 1000;
/// Spans in minutes, longest first: a day, an hour, a minute. Each begins at a multiple of its length.
const SPANS: [u64; 3] = [24 * 60, 60, 1];
/// Spans are a minute until the aggregates of a name became this many records.
pub const BY_MINUTE: u32 = 128;
/// Spans are an hour from [`BY_MINUTE`] until this many records; then a day.
pub const BY_HOUR: u32 = 384;
/// How these records are counted: the count halves per day.
const RECORD_COUNT: Policy = Policy {
    free: u32::MAX,
    first_ms: 0,
    longest_ms: 0,
    half_life_ms: 24 * 60 * MINUTE_MS,
};
/// Networks of one name and span that are counted separately; all others are counted together.
pub const NETWORKS: usize = 16;
/// Most rows. Where more names are counted the row whose span ends first becomes records at once.
pub const MAX_ROWS: u64 = 8192;
/// Rows that one tick turns into records.
const TICK_ROWS: usize = 1024;
/// Records that are kept about names without an account. They are never read: writing them makes such a name take as
/// long as one with an account.
pub const NOBODYS_RECORDS: u64 = 1024;
/// Bytes of a row's key: the minute in which its span ends, and the digest of the name.
const MINUTE_LEN: usize = 8;
const KEY_LEN: usize = MINUTE_LEN + Digest::LEN;

const TABLE: Table = Table::LoginAggregates;

/// An event that is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// A login was started.
    Started,
    /// A start was refused by the throttle.
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

/// The events of one name in one span.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
struct LoginAggregate {
    /// Each with the first address that was seen in it.
    networks: Vec<(IpAddr, Counts)>,
    others: Counts,
}

impl LoginAggregate {
    fn count(&mut self, remote: IpAddr, event: Event) {
        let known = |(seen, _): &(IpAddr, Counts)| network(*seen) == network(remote);
        if !self.networks.iter().any(known) && self.networks.len() < NETWORKS {
            self.networks.push((remote, Counts::default()));
        }
        let counts = match self.networks.iter_mut().find(|counted| known(counted)) {
            Some((_, counts)) => counts,
            None => &mut self.others,
        };
        match event {
            Event::Started => counts.started += 1,
            Event::Refused => counts.refused += 1,
            Event::Wrong => counts.wrong += 1,
        }
    }

    /// One audit record per count.
    fn records(&self) -> impl Iterator<Item = (Draft, u64)> {
        let networks = self.networks.iter();
        networks
            .map(|(remote, counts)| (Some(*remote), *counts))
            .chain([(None, self.others)])
            .flat_map(|(remote, counts)| {
                [
                    (AuditedOperation::LoginStart, Outcome::Done, counts.started),
                    (
                        AuditedOperation::LoginStart,
                        Outcome::Refused,
                        counts.refused,
                    ),
                    (AuditedOperation::Login, Outcome::Refused, counts.wrong),
                ]
                .map(|(operation, outcome, count)| {
                    (Draft::without_session(operation, outcome, remote), count)
                })
            })
            .filter(|(_, count)| *count > 0)
    }
}

impl WriteContext<'_> {
    /// Counts one event; takes the key of the name.
    pub fn count_event(
        &mut self,
        name: &Digest,
        remote: IpAddr,
        event: Event,
    ) -> Result<(), StorageError> {
        let now = self.now_ms / MINUTE_MS;
        let mut found = None;
        // A span that has begun goes on, whatever the next span will be.
        for span in SPANS {
            let key = key(end(now, span), name);
            if let Some(aggregate) = self.view().open(TABLE, &key)? {
                found = Some((key, aggregate));
                break;
            }
        }
        let (key, mut aggregate) = if let Some(found) = found {
            found
        } else {
            self.evict_aggregate()?;
            self.count_inserted(TABLE)?;
            let key = key(end(now, self.span(name)?), name);
            (key, LoginAggregate::default())
        };
        aggregate.count(remote, event);
        self.seal(TABLE, &key, &aggregate)
    }

    /// The length of a name's next span, in minutes.
    fn span(&self, name: &Digest) -> Result<u64, StorageError> {
        let [day, hour, minute] = SPANS;
        let key = self.rules.at_rest.aggregate_records(name.as_bytes());
        let records = self.attempts(&key)?;
        Ok(match records.remaining(&RECORD_COUNT, self.now_ms) {
            ..BY_MINUTE => minute,
            BY_MINUTE..BY_HOUR => hour,
            _ => day,
        })
    }

    /// Makes room for one more row.
    fn evict_aggregate(&mut self) -> Result<(), StorageError> {
        if self.view().counted(TABLE)? < MAX_ROWS {
            return Ok(());
        }
        let rows = self
            .view()
            .rows(TABLE, (Bound::Unbounded, Bound::Unbounded), 1)?;
        self.record_aggregates(rows)
    }

    /// Turns aggregates whose span is over into records. Also aggregates whose span ends later than any that
    /// begins now: the clock was set back after they were counted.
    pub fn record_past_aggregates(&mut self) -> Result<(), StorageError> {
        let now = self.now_ms / MINUTE_MS;
        let [longest, ..] = SPANS;
        let [past, future] = [now + 1, end(now, longest) + 1].map(u64::to_be_bytes);
        let past = (Bound::Unbounded, Bound::Excluded(past.as_slice()));
        let future = (Bound::Included(future.as_slice()), Bound::Unbounded);
        for range in [past, future] {
            let rows = self.view().rows(TABLE, range, TICK_ROWS)?;
            self.record_aggregates(rows)?;
        }
        Ok(())
    }

    /// Turns all aggregates of one name into records, so that its owner sees them; takes the key of the name.
    pub fn record_aggregates_of(&mut self, name: &Digest) -> Result<(), StorageError> {
        let mut next = 0;
        loop {
            let wanted = key(next, name);
            let range = (Bound::Included(wanted.as_slice()), Bound::Unbounded);
            let rows = self.view().rows(TABLE, range, 1)?;
            let Some((found, _)) = rows.first() else {
                return Ok(());
            };
            // One look per minute in which a span ends, and one per gap between two.
            next = (next + 1).max(minute(found));
            if *found == wanted {
                self.record_aggregates(rows)?;
            }
        }
    }

    fn record_aggregates(&mut self, rows: Vec<Row>) -> Result<(), StorageError> {
        for (key, sealed) in rows {
            let aggregate: LoginAggregate = self.rules.at_rest.open(TABLE, &key, &sealed)?;
            let name = key.get(MINUTE_LEN..).unwrap_or_default();
            let account = self.view().account_id(name)?.unwrap_or(NOBODY);
            let records_key = self.rules.at_rest.aggregate_records(name);
            let mut records = self.attempts(&records_key)?;
            for (draft, count) in aggregate.records() {
                self.record(&account, &draft, count)?;
                records.add(&RECORD_COUNT, self.now_ms);
            }
            self.put_attempts(&records_key, &records)?;
            self.delete_counted(TABLE, &key)?;
            if account == NOBODY {
                self.limit_nobodys_records()?;
            }
        }
        Ok(())
    }

    /// Overwrites the records about names without an account from the first one on, once there are enough.
    fn limit_nobodys_records(&mut self) -> Result<(), StorageError> {
        let tree = self.view().tree(&NOBODY)?;
        if tree.size < NOBODYS_RECORDS {
            return Ok(());
        }
        let empty = Tree { size: 0, ..tree };
        self.encode(Table::Trees, &tables::own(&NOBODY, &[]), &empty)
    }
}

/// The minute in which the span that is under way ends.
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

/// Checks that every row is one, and the table's counter.
pub fn check(view: View<'_>) -> Result<(), StorageError> {
    let mut rows = 0;
    view.each(TABLE, |key, sealed| {
        rows += 1;
        if key.len() != KEY_LEN {
            return Err(TABLE.damaged());
        }
        view.at_rest
            .open::<LoginAggregate>(TABLE, key, sealed)
            .map(drop)
    })?;
    view.check_counter(TABLE, rows)
}
