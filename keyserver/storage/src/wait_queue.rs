//! The queue for an account name: which of many senders may try the name's password next. Once the free starts of a
//! name are used up one start is admitted per delay. A sender that asks too early is given a turn, which no other
//! sender can take: neither asking often nor low latency helps. Senders that never tried this name are queued before
//! those that did, so that an owner at a new address does not wait behind addresses that guess again and again.
//!
//! A turn counts as a start when it is given, in the row of the name and in that of the sender: reserving turns without
//! taking them costs those who reserve.

use shared::ids::Digest;

use crate::throttle::{Attempts, Policy, Turn};

/// Most turns whose time has not come.
pub const MAX_PENDING: usize = 64;
/// How long a turn can be taken after its time, in milliseconds: people do not come back to the second.
pub const GRACE_MS: u64 = 10 * 60 * 1000;

/// The answer to a start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Admission {
    /// Admitted.
    Admitted,
    /// Refused; the sender has a turn in so many milliseconds, which is counted already.
    Turn(u64),
    /// Refused, and too many turns are pending; the next one is in so many milliseconds.
    Full(u64),
}

impl Attempts {
    /// Takes the turn of a sender that has one: `Ok` when its time has come, otherwise the milliseconds to wait.
    pub fn take_turn(
        &mut self,
        sender: &Digest,
        policy: &Policy,
        now_ms: u64,
    ) -> Option<Result<(), u64>> {
        self.expire_turns(policy, now_ms);
        let place = self.turns.iter().position(|turn| turn.sender == *sender)?;
        let wait_ms = self.turns.get(place)?.at_ms.saturating_sub(now_ms);
        if wait_ms > 0 {
            return Some(Err(wait_ms));
        }
        self.turns.remove(place);
        Some(Ok(()))
    }

    /// Admits a sender that has no turn, or gives it one. `tries` is how many starts it has made before.
    pub fn enqueue(
        &mut self,
        sender: &Digest,
        tries: u32,
        policy: &Policy,
        now_ms: u64,
    ) -> Admission {
        self.expire_turns(policy, now_ms);
        if self.not_before_ms <= now_ms {
            self.add(policy, now_ms);
            self.not_before_ms = now_ms + self.delay_ms(policy);
            return Admission::Admitted;
        }
        let is_full = self.pending(now_ms).count() >= MAX_PENDING;
        let next_ms = self.pending(now_ms).map(|turn| turn.at_ms).min();
        let behind = |turn: &Turn| turn.at_ms > now_ms && turn.tries > tries;
        let place = self.turns.iter().position(behind);
        let place = match (place, next_ms) {
            (None, Some(next_ms)) if is_full => return Admission::Full(next_ms - now_ms),
            (place, _) => place.unwrap_or(self.turns.len()),
        };
        self.turns.insert(
            place,
            Turn {
                sender: *sender,
                tries,
                at_ms: 0,
            },
        );
        let last_ms = if let (true, Some(out)) = (is_full, self.turns.last().copied()) {
            self.turns.pop();
            out.at_ms
        } else {
            let last_ms = self.not_before_ms;
            self.add(policy, now_ms);
            self.not_before_ms += self.delay_ms(policy);
            last_ms
        };
        // The times stay as they are: each turn behind the new one gets the time of the next.
        let mut at_ms = last_ms;
        for turn in self.turns.iter_mut().skip(place).rev() {
            std::mem::swap(&mut at_ms, &mut turn.at_ms);
        }
        let own_ms = self.turns.get(place).map_or(last_ms, |turn| turn.at_ms);
        Admission::Turn(own_ms - now_ms)
    }

    fn pending(&self, now_ms: u64) -> impl Iterator<Item = &Turn> {
        self.turns.iter().filter(move |turn| turn.at_ms > now_ms)
    }

    /// Drops turns that were not taken in time, and all turns where the clock was set back.
    fn expire_turns(&mut self, policy: &Policy, now_ms: u64) {
        self.turns
            .retain(|turn| turn.at_ms.saturating_add(GRACE_MS) > now_ms);
        let pending = u64::try_from(self.pending(now_ms).count()).unwrap_or(u64::MAX);
        let longest = policy.longest_ms.saturating_mul(pending.saturating_add(1));
        if self.not_before_ms.saturating_sub(now_ms) > longest {
            self.turns.clear();
            self.not_before_ms = 0;
        }
        // Short delays leave many turns in one time of grace.
        let surplus = self.turns.len().saturating_sub(2 * MAX_PENDING);
        self.turns.drain(..surplus);
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::throttle::Policies;

    const NOW: u64 = 1_000_000_000;
    const MINUTE: u64 = 60_000;

    fn sender(number: u32) -> Digest {
        Digest::of(&number.to_be_bytes())
    }

    fn policy() -> Policy {
        Policies::default().account
    }

    fn take(queue: &mut Attempts, number: u32, now_ms: u64) -> Option<Result<(), u64>> {
        queue.take_turn(&sender(number), &policy(), now_ms)
    }

    /// A queue that admits one start per minute, the next one in a minute.
    fn busy() -> Attempts {
        let mut queue = Attempts::default();
        for number in 0..100 {
            queue.not_before_ms = 0;
            let place = queue.enqueue(&sender(number), 1, &policy(), NOW);
            assert_eq!(place, Admission::Admitted);
        }
        assert_eq!(queue.not_before_ms, NOW + MINUTE);
        queue
    }

    #[test]
    fn a_turn_is_taken_once_in_time_and_only_by_its_sender() {
        let mut queue = busy();
        let ask = |queue: &mut Attempts, number, now_ms| {
            queue.enqueue(&sender(number), 0, &policy(), now_ms)
        };
        assert_eq!(ask(&mut queue, 1, NOW), Admission::Turn(MINUTE));
        assert_eq!(ask(&mut queue, 2, NOW), Admission::Turn(2 * MINUTE));
        assert_eq!(ask(&mut queue, 3, NOW), Admission::Turn(3 * MINUTE));
        let then = NOW + MINUTE;
        assert_eq!(take(&mut queue, 1, then - 1), Some(Err(1)));
        // Another sender that asks at that moment does not get the turn.
        assert_eq!(ask(&mut queue, 4, then), Admission::Turn(3 * MINUTE));
        assert_eq!(take(&mut queue, 4, then), Some(Err(3 * MINUTE)));
        assert_eq!(take(&mut queue, 1, then), Some(Ok(())));
        assert_eq!(take(&mut queue, 1, then), None);
        let late = NOW + 2 * MINUTE + GRACE_MS;
        assert_eq!(take(&mut queue, 2, late), None);
        assert_eq!(take(&mut queue, 3, late), Some(Ok(())));
    }

    #[test]
    fn senders_with_fewer_tries_go_first_and_no_turn_is_lost() {
        let mut queue = busy();
        let mut ask = |number, tries| queue.enqueue(&sender(number), tries, &policy(), NOW);
        assert_eq!(ask(1, 3), Admission::Turn(MINUTE));
        assert_eq!(ask(2, 1), Admission::Turn(MINUTE));
        assert_eq!(ask(3, 0), Admission::Turn(MINUTE));
        assert_eq!(ask(4, 0), Admission::Turn(2 * MINUTE));
        for (number, minutes) in [(3, 1), (4, 2), (2, 3), (1, 4)] {
            let wait = take(&mut queue, number, NOW).unwrap();
            assert_eq!(wait, Err(minutes * MINUTE), "{number}");
        }
    }

    #[test]
    fn a_full_queue_admits_only_senders_with_fewer_tries() {
        let mut queue = busy();
        let length = u32::try_from(MAX_PENDING).unwrap();
        for number in 0..length {
            queue.enqueue(&sender(number), 1, &policy(), NOW);
        }
        let full = queue.clone();
        let later = queue.enqueue(&sender(1000), 1, &policy(), NOW);
        assert_eq!(later, Admission::Full(MINUTE));
        assert_eq!(queue, full);
        let fresh = queue.enqueue(&sender(1001), 0, &policy(), NOW);
        assert_eq!(fresh, Admission::Turn(MINUTE));
        // The last one was dropped.
        assert_eq!(take(&mut queue, length - 1, NOW), None);
        assert_eq!(take(&mut queue, 0, NOW), Some(Err(2 * MINUTE)));
        assert_eq!(
            (queue.turns.len(), queue.not_before_ms),
            (MAX_PENDING, full.not_before_ms)
        );
    }

    #[test]
    fn a_clock_that_is_set_back_empties_the_queue() {
        let mut queue = busy();
        for number in 0..10 {
            queue.enqueue(&sender(number), 1, &policy(), NOW);
        }
        let back = NOW - 60 * MINUTE;
        let place = queue.enqueue(&sender(11), 0, &policy(), back);
        assert_eq!(place, Admission::Admitted);
        assert_eq!(queue.not_before_ms, back + MINUTE);
    }

    #[test]
    fn turns_that_are_not_taken_do_not_pile_up() {
        let short = Policy {
            longest_ms: 1,
            first_ms: 1,
            ..policy()
        };
        let mut queue = busy();
        queue.not_before_ms = NOW + 1;
        for number in 0..10_000 {
            queue.enqueue(&sender(number), 0, &short, NOW + u64::from(number));
            queue.enqueue(&sender(number + 10_000), 0, &short, NOW + u64::from(number));
        }
        assert!(queue.turns.len() <= 2 * MAX_PENDING + 1);
    }
}
