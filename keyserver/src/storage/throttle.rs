//! How guesses are slowed down: growing delays, never a lock. A plain state machine over milliseconds.

use serde::{Deserialize, Serialize};

use crate::storage::line::Turn;

const SECOND: u64 = 1000;
const HOUR: u64 = 60 * 60 * SECOND;
const DAY: u64 = 24 * HOUR;

/// Rows are forgotten after so long.
pub const FORGET_MS: u64 = 2 * DAY;
/// An address with a success this recent is not held up by guesses from elsewhere.
pub const FAMILIAR_MS: u64 = 30 * DAY;

/// How one kind of row counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Policy {
    /// So many starts are free.
    pub free: u32,
    /// The first delay, in milliseconds; each further start doubles it.
    pub first_ms: u64,
    /// The longest delay, in milliseconds.
    pub longest_ms: u64,
    /// The count halves in so many milliseconds.
    pub half_life_ms: u64,
}

/// All policies. The defaults let an owner mistype five times, and a guesser try twelve passwords an hour.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Policies {
    /// One account tried from one address.
    pub pair: Policy,
    /// One account tried from anywhere: once by those who have free starts of `pair` left, once by all others. So one
    /// account takes twice what this lets through.
    pub account: Policy,
    /// Any account tried from one address.
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

/// What is remembered of one account, address, or both.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Guesses {
    /// Starts that were let through and not taken back.
    pub count: u32,
    /// When the count was last changed.
    pub counted_ms: u64,
    /// Nothing is let through before.
    pub not_before_ms: u64,
    /// When a login last succeeded; 0 for never.
    pub success_ms: u64,
    /// Who may come when: of accounts alone.
    pub turns: Vec<Turn>,
}

impl Guesses {
    /// Lets one start through and counts it.
    ///
    /// # Errors
    /// How many milliseconds to wait; nothing is counted then, so that trying does not lengthen the wait.
    pub fn admit(&self, policy: &Policy, now_ms: u64) -> Result<Self, u64> {
        let wait_ms = self.not_before_ms.saturating_sub(now_ms);
        // A longer wait than the longest is of a clock that was set back since.
        if wait_ms > 0 && wait_ms <= policy.longest_ms {
            return Err(wait_ms);
        }
        let mut admitted = self.clone();
        admitted.count(policy, now_ms);
        admitted.not_before_ms = now_ms + admitted.delay_ms(policy);
        Ok(admitted)
    }

    /// Counts one more.
    pub(super) fn count(&mut self, policy: &Policy, now_ms: u64) {
        let count = self.counted(policy, now_ms).saturating_add(1);
        // Times of halvings that are not over yet must not be lost by frequent starts.
        self.counted_ms = if self.halvings(policy, now_ms) == 0 && self.count > 0 {
            self.counted_ms.min(now_ms)
        } else {
            now_ms
        };
        self.count = count;
    }

    /// What is left of the count.
    pub(super) fn counted(&self, policy: &Policy, now_ms: u64) -> u32 {
        let halvings = self.halvings(policy, now_ms);
        self.count.checked_shr(halvings).unwrap_or(0)
    }

    fn halvings(&self, policy: &Policy, now_ms: u64) -> u32 {
        let halvings = now_ms.saturating_sub(self.counted_ms) / policy.half_life_ms.max(1);
        u32::try_from(halvings).unwrap_or(u32::MAX)
    }

    /// How long nothing is let through after so many.
    pub(super) fn delay_ms(&self, policy: &Policy) -> u64 {
        let Some(over) = self.count.checked_sub(policy.free.max(1)) else {
            return 0;
        };
        let factor = 1u64.checked_shl(over).unwrap_or(u64::MAX);
        policy
            .first_ms
            .saturating_mul(factor)
            .min(policy.longest_ms)
    }

    /// Takes back what a success proves to have been the owner's. Whoever has to wait goes on waiting: else others could
    /// see that somebody succeeded.
    #[must_use]
    pub fn take_back(self, count: u32) -> Self {
        Self {
            count: self.count.saturating_sub(count),
            ..self
        }
    }

    /// A success: nothing is held against this address and account any more.
    #[must_use]
    pub fn succeed(self, now_ms: u64) -> Self {
        Self {
            count: 0,
            counted_ms: now_ms,
            not_before_ms: 0,
            success_ms: now_ms,
            turns: Vec::new(),
        }
    }

    /// Whether a login succeeded not long ago.
    pub fn is_familiar(&self, now_ms: u64) -> bool {
        self.success_ms > 0 && now_ms.abs_diff(self.success_ms) < FAMILIAR_MS
    }

    /// Whether nothing is left to remember.
    pub fn is_forgotten(&self, now_ms: u64) -> bool {
        now_ms.abs_diff(self.counted_ms) > FORGET_MS && !self.is_familiar(now_ms)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const START: u64 = 1_000_000;

    #[test]
    fn five_are_free_then_delays_double_up_to_their_bound() {
        let policy = Policies::default().pair;
        let mut guesses = Guesses::default();
        let mut now = START;
        for _ in 0..5 {
            guesses = guesses.admit(&policy, now).unwrap();
        }
        let mut waited = Vec::new();
        for _ in 0..12 {
            let wait = guesses.admit(&policy, now).unwrap_err();
            waited.push(wait / SECOND);
            now += wait;
            guesses = guesses.admit(&policy, now).unwrap();
        }
        assert_eq!(waited, [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300, 300]);
    }

    #[test]
    fn trying_while_throttled_does_not_lengthen_the_wait() {
        let policy = Policies::default().pair;
        let mut guesses = Guesses::default();
        for _ in 0..5 {
            guesses = guesses.admit(&policy, START).unwrap();
        }
        for _ in 0..1000 {
            assert_eq!(guesses.admit(&policy, START + 1), Err(SECOND - 1));
        }
        assert!(guesses.admit(&policy, START + SECOND).is_ok());
    }

    #[test]
    fn a_success_clears_the_pair_and_makes_the_address_familiar() {
        let policy = Policies::default().pair;
        let mut guesses = Guesses::default();
        for _ in 0..5 {
            guesses = guesses.admit(&policy, START).unwrap();
        }
        let guesses = guesses.succeed(START + 1);
        assert!(guesses.admit(&policy, START + 1).is_ok());
        assert!(guesses.is_familiar(START + FAMILIAR_MS));
        assert!(!guesses.is_familiar(START + 1 + FAMILIAR_MS));
    }

    #[test]
    fn a_clock_that_jumps_makes_nobody_wait_longer_than_the_longest() {
        let policy = Policies::default().pair;
        let year = 365 * FORGET_MS;
        let mut guesses = Guesses::default();
        for _ in 0..20 {
            guesses = guesses
                .admit(&policy, START + year)
                .or_else(|wait| guesses.admit(&policy, START + year + wait))
                .unwrap();
        }
        // Back again: nothing of the year is left, and the count goes on from here.
        let back = guesses.admit(&policy, START).unwrap();
        assert_eq!(back.counted_ms, START);
        let wait = back.admit(&policy, START + 1).unwrap_err();
        assert_eq!(wait, policy.longest_ms - 1);
        assert!(guesses.is_forgotten(START) && !back.is_forgotten(START + FORGET_MS));
    }

    #[test]
    fn counts_halve_with_time_and_are_forgotten() {
        let policy = Policies::default().account;
        let mut guesses = Guesses::default();
        for _ in 0..policy.free {
            guesses = guesses.admit(&policy, START).unwrap();
        }
        let later = guesses.admit(&policy, START + 3 * HOUR).unwrap();
        assert_eq!(later.count, policy.free / 8 + 1);
        assert!(!guesses.is_forgotten(START + FORGET_MS));
        assert!(guesses.is_forgotten(START + FORGET_MS + 1));
    }
}
