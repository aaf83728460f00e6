//! Limits and options of storage.

use crate::throttle::Policies;

/// Limits and options of any engine's database.
#[derive(Debug, Clone)]
pub struct Config {
    /// Mutations are refused while the database can grow by fewer bytes than this reserve.
    pub min_free_bytes: u64,
    /// Most bytes of one account: entries and sealed values.
    pub quota_bytes: u64,
    /// Most audit records that the sessions of one account make.
    pub record_quota: u64,
    /// Most writes that wait.
    pub max_queue: usize,
    /// Most bytes of writes that wait.
    pub max_queue_bytes: usize,
    /// Most rows of attempts: one per name, per address, and per pair of both.
    pub throttle_rows: u64,
    /// Whether opening the database checks every row.
    pub check_at_start: bool,
    /// Whether the audit checkpoint that an entry names is compared with the audit log.
    pub check_seen: bool,
    /// How login attempts are throttled.
    pub throttle: Policies,
}
