//! Throttles login attempts by growing delays, never by a lock. A state machine over milliseconds, without I/O.

use serde::{Deserialize, Serialize};
use shared::ids::Digest;

const SECOND: u64 = 1000;
const HOUR: u64 = 60 * 60 * SECOND;
const DAY: u64 = 24 * HOUR;

/// Attempts that were not added to for this long are deleted.
pub const RETENTION_MS: u64 = 2 * DAY;
/// An address with a success this recent is not delayed by attempts from other addresses.
pub const FAMILIAR_MS: u64 = 30 * DAY;

/// How attempts of one kind are throttled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Policy {
    /// Starts without delay.
    pub free: u32,
    /// The first delay, in milliseconds; each further start doubles it.
    pub first_ms: u64,
    /// The longest delay, in milliseconds.
    pub longest_ms: u64,
    /// Time in which the count halves, in milliseconds.
    pub half_life_ms: u64,
}

/// The policies of all kinds. The defaults allow an owner five typing errors, and a guesser twelve passwords per hour.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Policies {
    /// Attempts on one account from one address.
    pub pair: Policy,
    /// Attempts on one account from all addresses: counted once for addresses that have free starts of `pair` left, and
    /// once for all others. So one account takes twice as many attempts as this admits.
    pub account: Policy,
    /// Attempts on any account from one address.
    pub address: Policy,
}

impl Default for Policies {
    fn default() -> Self {
        Self {
            pair: Policy {
                free: 5,
                first_ms: SECOND,
                longest_ms: 300 * SECOND,
                half_life_ms: 6 * HOUR,
            },
            account: Policy {
                free: 25,
                first_ms: SECOND,
                longest_ms: 60 * SECOND,
                half_life_ms: HOUR,
            },
            address: Policy {
                free: 300,
                first_ms: SECOND,
                longest_ms: SECOND,
                half_life_ms: 20 * SECOND,
            },
        }
    }
}

/// A reserved turn: a later time at which one sender is admitted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Turn {
    /// Digest of name and address.
    pub(crate) sender: Digest,
    /// How many starts the sender had made before.
    pub(crate) tries: u32,
    /// The sender is admitted from this time on; later than the times of all turns before it.
    pub(crate) at_ms: u64,
}

/// The attempts on one account, from one address, or both.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Attempts {
    /// Starts that were admitted and not taken back since.
    pub count: u32,
    /// When the count was last changed, in milliseconds since 1970-01-01 UTC.
    pub counted_ms: u64,
    /// No start is admitted before this time.
    pub not_before_ms: u64,
    /// When a login last succeeded; 0 for never.
    pub success_ms: u64,
    /// Reserved turns, in their order; of accounts only.
    pub turns: Vec<Turn>,
}

impl Attempts {
    /// Admits one start and counts it.
    ///
    /// # Errors
    /// The milliseconds to wait. A refused start is not counted, so that retrying does not lengthen the wait.
    pub fn admit(&self, policy: &Policy, now_ms: u64) -> Result<Self, u64> {
        let wait_ms = self.not_before_ms.saturating_sub(now_ms);
        // A wait beyond the longest delay means that the clock was set back.
        if wait_ms > 0 && wait_ms <= policy.longest_ms {
            return Err(wait_ms);
        }
        let mut admitted = self.clone();
        admitted.add(policy, now_ms);
        admitted.not_before_ms = now_ms + admitted.delay_ms(policy);
        Ok(admitted)
    }

    /// Adds one to the count.
    pub(crate) fn add(&mut self, policy: &Policy, now_ms: u64) {
        let count = self.remaining(policy, now_ms).saturating_add(1);
        // Frequent starts must not restart the half-life that is under way.
        self.counted_ms = if self.halvings(policy, now_ms) == 0 && self.count > 0 {
            self.counted_ms.min(now_ms)
        } else {
            now_ms
        };
        self.count = count;
    }

    /// The count after its halvings.
    pub(crate) fn remaining(&self, policy: &Policy, now_ms: u64) -> u32 {
        let halvings = self.halvings(policy, now_ms);
        self.count.checked_shr(halvings).unwrap_or(0)
    }

    fn halvings(&self, policy: &Policy, now_ms: u64) -> u32 {
        let halvings = now_ms.saturating_sub(self.counted_ms) / policy.half_life_ms.max(1);
        u32::try_from(halvings).unwrap_or(u32::MAX)
    }

    /// The delay that follows the newest start, in milliseconds.
    pub(crate) fn delay_ms(&self, policy: &Policy) -> u64 {
        let Some(over) = self.count.checked_sub(policy.free.max(1)) else {
            return 0;
        };
        let factor = 1u64.checked_shl(over).unwrap_or(u64::MAX);
        policy
            .first_ms
            .saturating_mul(factor)
            .min(policy.longest_ms)
    }

    /// Takes back one start, which a success proves to be the owner's. A delay under way stays: otherwise other clients at
    /// this address could see that a login succeeded, and guess beside a busy owner without delays.
    #[must_use]
    pub fn take_back(self) -> Self {
        Self {
            count: self.count.saturating_sub(1),
            ..self
        }
    }

    /// Notes a success.
    #[must_use]
    pub fn succeed(self, now_ms: u64) -> Self {
        Self {
            success_ms: now_ms,
            ..self
        }
    }

    /// Whether a login succeeded recently.
    pub fn is_familiar(&self, now_ms: u64) -> bool {
        self.success_ms > 0 && now_ms.abs_diff(self.success_ms) < FAMILIAR_MS
    }

    /// Whether the row can be deleted.
    pub fn is_expired(&self, now_ms: u64) -> bool {
        now_ms.abs_diff(self.counted_ms) > RETENTION_MS && !self.is_familiar(now_ms)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const START: u64 = 1_000_000;

    #[test]
    fn delays_double_after_five_free_starts_up_to_their_bound() {
        let policy = Policies::default().pair;
        let mut attempts = Attempts::default();
        let mut now = START;
        for _ in 0..5 {
            attempts = attempts.admit(&policy, now).unwrap();
        }
        let mut waited = Vec::new();
        for _ in 0..12 {
            let wait = attempts.admit(&policy, now).unwrap_err();
            waited.push(wait / SECOND);
            now += wait;
            attempts = attempts.admit(&policy, now).unwrap();
        }
        assert_eq!(waited, [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300, 300]);
    }

    #[test]
    fn retrying_while_throttled_does_not_lengthen_the_wait() {
        let policy = Policies::default().pair;
        let mut attempts = Attempts::default();
        for _ in 0..5 {
            attempts = attempts.admit(&policy, START).unwrap();
        }
        for _ in 0..1000 {
            assert_eq!(attempts.admit(&policy, START + 1), Err(SECOND - 1));
        }
        assert!(attempts.admit(&policy, START + SECOND).is_ok());
    }

    #[test]
    fn a_success_takes_back_its_own_start_and_makes_the_address_familiar() {
        let policy = Policies::default().pair;
        let mut attempts = Attempts::default();
        for _ in 0..5 {
            attempts = attempts.admit(&policy, START).unwrap();
        }
        let attempts = attempts.take_back().succeed(START + 1);
        assert_eq!(attempts.count, 4);
        // The delay under way stays.
        assert_eq!(attempts.admit(&policy, START + 1), Err(SECOND - 1));
        assert!(attempts.admit(&policy, START + SECOND).is_ok());
        assert!(attempts.is_familiar(START + FAMILIAR_MS));
        assert!(!attempts.is_familiar(START + 1 + FAMILIAR_MS));
    }

    #[test]
    fn a_clock_that_jumps_never_delays_beyond_the_longest_delay() {
        let policy = Policies::default().pair;
        let year = 365 * RETENTION_MS;
        let mut attempts = Attempts::default();
        for _ in 0..20 {
            attempts = attempts
                .admit(&policy, START + year)
                .or_else(|wait| attempts.admit(&policy, START + year + wait))
                .unwrap();
        }
        // Set back again: the delay of that year is dropped, and the count continues from here.
        let back = attempts.admit(&policy, START).unwrap();
        assert_eq!(back.counted_ms, START);
        let wait = back.admit(&policy, START + 1).unwrap_err();
        assert_eq!(wait, policy.longest_ms - 1);
        assert!(attempts.is_expired(START) && !back.is_expired(START + RETENTION_MS));
    }

    #[test]
    fn counts_halve_with_time_and_expire() {
        let policy = Policies::default().account;
        let mut attempts = Attempts::default();
        for _ in 0..policy.free {
            attempts = attempts.admit(&policy, START).unwrap();
        }
        let later = attempts.admit(&policy, START + 3 * HOUR).unwrap();
        assert_eq!(later.count, policy.free / 8 + 1);
        assert!(!attempts.is_expired(START + RETENTION_MS));
        assert!(attempts.is_expired(START + RETENTION_MS + 1));
    }
}
