//! Who of many senders may try a name's password next. Beyond the free starts of a name there is one turn in a while,
//! and whoever asks too early is given a turn of their own: nobody else can take it, so that neither asking often nor
//! being near helps. Senders that never tried this name go before those that did: an owner at a new address does not
//! stand behind addresses that guess again and again.
//!
//! A turn is counted when it is given, in the name's row and in the sender's: giving turns to those who do not come
//! costs those who asked.

use serde::{Deserialize, Serialize};
use shared::ids::Digest;

use crate::storage::throttle::{Guesses, Policy};

/// Most that wait for a turn to come.
pub const LENGTH: usize = 64;
/// So long after its time a turn is still good: a person does not come back to the second.
pub const GRACE_MS: u64 = 10 * 60 * 1000;

/// A turn that somebody was given.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Turn {
    /// Name and address.
    who: Digest,
    /// How often they had tried before.
    tries: u32,
    /// From when on they may come; later than all before it in the line.
    at_ms: u64,
}

/// What becomes of a start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// It is let through.
    Through,
    /// It is refused; its sender has a turn in so many milliseconds, which is counted already.
    Turn(u64),
    /// It is refused, and too many are waiting; one may ask again in so many milliseconds.
    Full(u64),
}

impl Guesses {
    /// How long somebody who was given a turn has to wait for it; taken out when it has come.
    pub fn take_turn(
        &mut self,
        who: &Digest,
        policy: &Policy,
        now_ms: u64,
    ) -> Option<Result<(), u64>> {
        self.tidy(policy, now_ms);
        let place = self.turns.iter().position(|turn| turn.who == *who)?;
        let wait_ms = self.turns.get(place)?.at_ms.saturating_sub(now_ms);
        if wait_ms > 0 {
            return Some(Err(wait_ms));
        }
        self.turns.remove(place);
        Some(Ok(()))
    }

    /// Lets through who has no turn yet, or gives them one. `tries` says how often they tried before.
    pub fn stand_in_line(
        &mut self,
        who: &Digest,
        tries: u32,
        policy: &Policy,
        now_ms: u64,
    ) -> Place {
        self.tidy(policy, now_ms);
        if self.not_before_ms <= now_ms {
            self.count(policy, now_ms);
            self.not_before_ms = now_ms + self.delay_ms(policy);
            return Place::Through;
        }
        let is_full = self.coming(now_ms).count() >= LENGTH;
        let next_ms = self.coming(now_ms).map(|turn| turn.at_ms).min();
        let behind = |turn: &Turn| turn.at_ms > now_ms && turn.tries > tries;
        let place = self.turns.iter().position(behind);
        let place = match (place, next_ms) {
            (None, Some(next_ms)) if is_full => return Place::Full(next_ms - now_ms),
            (place, _) => place.unwrap_or(self.turns.len()),
        };
        self.turns.insert(
            place,
            Turn {
                who: *who,
                tries,
                at_ms: 0,
            },
        );
        let last_ms = if let (true, Some(out)) = (is_full, self.turns.last().copied()) {
            self.turns.pop();
            out.at_ms
        } else {
            let last_ms = self.not_before_ms;
            self.count(policy, now_ms);
            self.not_before_ms += self.delay_ms(policy);
            last_ms
        };
        // The times stay where they are, and those behind come one later.
        let mut at_ms = last_ms;
        for turn in self.turns.iter_mut().skip(place).rev() {
            std::mem::swap(&mut at_ms, &mut turn.at_ms);
        }
        let own_ms = self.turns.get(place).map_or(last_ms, |turn| turn.at_ms);
        Place::Turn(own_ms - now_ms)
    }

    fn coming(&self, now_ms: u64) -> impl Iterator<Item = &Turn> {
        self.turns.iter().filter(move |turn| turn.at_ms > now_ms)
    }

    /// Forgets turns that nobody came for, and all of a clock that was set back since.
    fn tidy(&mut self, policy: &Policy, now_ms: u64) {
        self.turns
            .retain(|turn| turn.at_ms.saturating_add(GRACE_MS) > now_ms);
        let coming = u64::try_from(self.coming(now_ms).count()).unwrap_or(u64::MAX);
        let longest = policy.longest_ms.saturating_mul(coming.saturating_add(1));
        if self.not_before_ms.saturating_sub(now_ms) > longest {
            self.turns.clear();
            self.not_before_ms = 0;
        }
        // Short delays leave many turns in one time of grace.
        let surplus = self.turns.len().saturating_sub(2 * LENGTH);
        self.turns.drain(..surplus);
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::storage::throttle::Policies;

    const NOW: u64 = 1_000_000_000;
    const MINUTE: u64 = 60_000;

    fn who(number: u32) -> Digest {
        Digest::of(&number.to_be_bytes())
    }

    fn policy() -> Policy {
        Policies::default().account
    }

    fn take(line: &mut Guesses, number: u32, now_ms: u64) -> Option<Result<(), u64>> {
        line.take_turn(&who(number), &policy(), now_ms)
    }

    /// A line where a turn comes once a minute, and the next one in a minute.
    fn busy() -> Guesses {
        let mut line = Guesses::default();
        for number in 0..100 {
            line.not_before_ms = 0;
            let place = line.stand_in_line(&who(number), 1, &policy(), NOW);
            assert_eq!(place, Place::Through);
        }
        assert_eq!(line.not_before_ms, NOW + MINUTE);
        line
    }

    #[test]
    fn a_turn_is_taken_by_whom_it_was_given_once_and_in_time() {
        let mut line = busy();
        let ask = |line: &mut Guesses, number, now_ms| {
            line.stand_in_line(&who(number), 0, &policy(), now_ms)
        };
        assert_eq!(ask(&mut line, 1, NOW), Place::Turn(MINUTE));
        assert_eq!(ask(&mut line, 2, NOW), Place::Turn(2 * MINUTE));
        assert_eq!(ask(&mut line, 3, NOW), Place::Turn(3 * MINUTE));
        let then = NOW + MINUTE;
        assert_eq!(take(&mut line, 1, then - 1), Some(Err(1)));
        // Whoever is first at the moment gets nothing of it.
        assert_eq!(ask(&mut line, 4, then), Place::Turn(3 * MINUTE));
        assert_eq!(take(&mut line, 4, then), Some(Err(3 * MINUTE)));
        assert_eq!(take(&mut line, 1, then), Some(Ok(())));
        assert_eq!(take(&mut line, 1, then), None);
        let late = NOW + 2 * MINUTE + GRACE_MS;
        assert_eq!(take(&mut line, 2, late), None);
        assert_eq!(take(&mut line, 3, late), Some(Ok(())));
    }

    #[test]
    fn those_who_tried_less_go_first_and_nobody_loses_a_turn() {
        let mut line = busy();
        let mut ask = |number, tries| line.stand_in_line(&who(number), tries, &policy(), NOW);
        assert_eq!(ask(1, 3), Place::Turn(MINUTE));
        assert_eq!(ask(2, 1), Place::Turn(MINUTE));
        assert_eq!(ask(3, 0), Place::Turn(MINUTE));
        assert_eq!(ask(4, 0), Place::Turn(2 * MINUTE));
        for (number, minutes) in [(3, 1), (4, 2), (2, 3), (1, 4)] {
            let wait = take(&mut line, number, NOW).unwrap();
            assert_eq!(wait, Err(minutes * MINUTE), "{number}");
        }
    }

    #[test]
    fn a_full_line_lets_in_only_those_who_tried_less() {
        let mut line = busy();
        let length = u32::try_from(LENGTH).unwrap();
        for number in 0..length {
            line.stand_in_line(&who(number), 1, &policy(), NOW);
        }
        let full = line.clone();
        let later = line.stand_in_line(&who(1000), 1, &policy(), NOW);
        assert_eq!(later, Place::Full(MINUTE));
        assert_eq!(line, full);
        let fresh = line.stand_in_line(&who(1001), 0, &policy(), NOW);
        assert_eq!(fresh, Place::Turn(MINUTE));
        // The last one is out.
        assert_eq!(take(&mut line, length - 1, NOW), None);
        assert_eq!(take(&mut line, 0, NOW), Some(Err(2 * MINUTE)));
        assert_eq!(
            (line.turns.len(), line.not_before_ms),
            (LENGTH, full.not_before_ms)
        );
    }

    #[test]
    fn a_clock_that_is_set_back_ends_the_line() {
        let mut line = busy();
        for number in 0..10 {
            line.stand_in_line(&who(number), 1, &policy(), NOW);
        }
        let back = NOW - 60 * MINUTE;
        let place = line.stand_in_line(&who(11), 0, &policy(), back);
        assert_eq!(place, Place::Through);
        assert_eq!(line.not_before_ms, back + MINUTE);
    }

    #[test]
    fn turns_that_nobody_takes_do_not_pile_up() {
        let short = Policy {
            longest_ms: 1,
            first_ms: 1,
            ..policy()
        };
        let mut line = busy();
        line.not_before_ms = NOW + 1;
        for number in 0..10_000 {
            line.stand_in_line(&who(number), 0, &short, NOW + u64::from(number));
            line.stand_in_line(&who(number + 10_000), 0, &short, NOW + u64::from(number));
        }
        assert!(line.turns.len() <= 2 * LENGTH + 1);
    }
}
