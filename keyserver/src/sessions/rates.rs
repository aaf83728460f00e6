//! Rate limit of operations and bytes per account: each operation causes an audit record, which is kept for ever, and
//! bytes of requests and answers count as operations, [`BYTES_PER_OPERATION`] each.
//!
//! Sessions that were opened with password or recovery code have a limit of their own, so that a stolen device cannot
//! use up the rate which the owner needs to revoke it.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use shared::ids::AccountId;

/// Bytes of requests and answers that count as one operation.
pub const BYTES_PER_OPERATION: usize = 64 * 1024;

/// The generic cell rate algorithm: per key the time at which all operations so far are paid for. It may be ahead of
/// the clock by the burst.
#[derive(Debug)]
pub struct Rates {
    each: Duration,
    ahead: Duration,
    paid: HashMap<RateKey, Instant>,
}

/// Key of a rate limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct RateKey {
    /// The account.
    pub account: AccountId,
    /// Whether the session was opened with password or recovery code.
    pub is_person: bool,
    /// Whether that was a moment ago: a thief of a session cannot use up the rate of the owner who shuts it out.
    pub is_proven: bool,
}

impl Rates {
    /// Limits of operations per second in the long run, and at once.
    pub fn new(per_second: u32, at_once: u32) -> Self {
        let each = Duration::from_secs(1) / per_second.max(1);
        Self {
            each,
            ahead: each.saturating_mul(at_once),
            paid: HashMap::new(),
        }
    }

    /// Counts operations.
    ///
    /// # Errors
    /// The time to wait if the operations are over the limit; they are not counted then.
    pub fn spend(&mut self, who: RateKey, operations: u32, now: Instant) -> Result<(), Duration> {
        let paid = self.paid_after(who, operations, now);
        let wait = paid.saturating_duration_since(now + self.ahead);
        if wait > Duration::ZERO {
            return Err(wait);
        }
        self.paid.insert(who, paid);
        Ok(())
    }

    /// Counts bytes that were received or are being sent, also over the limit: later operations wait for it.
    pub fn charge(&mut self, who: RateKey, bytes: usize, now: Instant) {
        let operations = u32::try_from(bytes / BYTES_PER_OPERATION).unwrap_or(u32::MAX);
        if operations > 0 {
            // What is over the burst is not counted, so that nobody waits longer than it takes to refill.
            let paid = self.paid_after(who, operations, now);
            self.paid.insert(who, paid.min(now + self.ahead));
        }
    }

    fn paid_after(&self, who: RateKey, operations: u32, now: Instant) -> Instant {
        let from = self.paid.get(&who).map_or(now, |paid| now.max(*paid));
        from + self.each.saturating_mul(operations)
    }

    /// Removes keys whose operations are paid for.
    pub fn sweep(&mut self, now: Instant) {
        self.paid.retain(|_, paid| *paid > now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn so_many_at_once_and_then_at_the_rate() {
        let mut rates = Rates::new(100, 1000);
        let by_device = || RateKey {
            account: AccountId::random(),
            is_person: false,
            is_proven: false,
        };
        let (busy, other) = (by_device(), by_device());
        let start = Instant::now();
        let second = Duration::from_secs(1);
        for _ in 0..10 {
            assert_eq!(rates.spend(busy, 100, start), Ok(()));
        }
        assert_eq!(rates.spend(busy, 100, start), Err(second));
        assert_eq!(rates.spend(other, 1000, start), Ok(()));
        assert_eq!(rates.spend(busy, 100, start + second), Ok(()));
        assert_eq!(rates.spend(busy, 1, start + second), Err(second / 100));
        rates.sweep(start + 10 * second);
        assert_eq!(rates.paid.len(), 1);
        rates.sweep(start + 11 * second);
        assert!(rates.paid.is_empty());
        assert_eq!(rates.spend(busy, 1000, start + 11 * second), Ok(()));
    }

    #[test]
    fn bytes_count_as_operations() {
        let mut rates = Rates::new(100, 1000);
        let who = RateKey {
            account: AccountId::random(),
            is_person: false,
            is_proven: false,
        };
        let start = Instant::now();
        rates.charge(who, BYTES_PER_OPERATION - 1, start);
        rates.charge(who, 990 * BYTES_PER_OPERATION, start);
        assert_eq!(rates.spend(who, 10, start), Ok(()));
        assert!(rates.spend(who, 1, start).is_err());
        // An answer that is ready is sent; no number of answers makes anybody wait longer than the burst takes.
        for _ in 0..9 {
            rates.charge(who, 1000 * BYTES_PER_OPERATION, start);
        }
        let second = Duration::from_secs(1);
        assert_eq!(rates.spend(who, 1, start), Err(second / 100));
    }

    #[test]
    fn a_device_does_not_use_up_what_its_owner_may_ask() {
        let mut rates = Rates::new(100, 1000);
        let thief = RateKey {
            account: AccountId::random(),
            is_person: false,
            is_proven: false,
        };
        let owner = RateKey {
            is_person: true,
            ..thief
        };
        let start = Instant::now();
        assert_eq!(rates.spend(thief, 1000, start), Ok(()));
        assert!(rates.spend(thief, 1, start).is_err());
        assert_eq!(rates.spend(owner, 1000, start), Ok(()));
        assert!(rates.spend(owner, 1, start).is_err());
        // Nor does the thief of a session that the password opened.
        let proven = RateKey {
            is_proven: true,
            ..owner
        };
        assert_eq!(rates.spend(proven, 1000, start), Ok(()));
    }
}
