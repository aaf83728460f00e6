//! Limits and options of storage.

use crate::throttle::Policies;

/// Limits and options, whatever the engine.
#[derive(Debug, Clone)]
pub struct Config {
    /// Mutations are refused while the database can grow by fewer bytes than this reserve.
    pub min_free_bytes: u64,
    /// Most bytes of one account's content: sealed values, metadata and notes.
    pub quota_bytes: u64,
    /// Most audit records that the sessions of one account make; refilled within 30 days.
    pub record_quota: u64,
    /// Longest lease of a device's credential, in seconds.
    pub device_lease_seconds: u32,
    /// Most writes that wait.
    pub max_queue: usize,
    /// Most bytes of writes that wait.
    pub max_queue_bytes: usize,
    /// Most rows of attempts: one per name, per address, and per pair of both.
    pub throttle_rows: u64,
    /// Whether everything in the database is checked when it is opened.
    pub check_at_start: bool,
    /// Whether the audit checkpoint that an entry names is compared with the audit log.
    pub check_seen: bool,
    /// How login attempts are throttled.
    pub throttle: Policies,
}

impl Default for Config {
    fn default() -> Self {
        const MIB: usize = 1024 * 1024;
        Self {
            min_free_bytes: 64 * MIB as u64,
            quota_bytes: 1024 * MIB as u64,
            record_quota: 2_000_000,
            device_lease_seconds: 24 * 60 * 60,
            max_queue: 1024,
            max_queue_bytes: 64 * MIB,
            throttle_rows: 1_000_000,
            check_at_start: true,
            check_seen: true,
            throttle: Policies::default(),
        }
    }
}
