//! Takes secrets out of a stream of bytes while it passes.
//!
//! Nothing is held back but what may be the beginning of a secret.

mod encodings;

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use aho_corasick::automaton::{Automaton, StateID};
use aho_corasick::nfa::contiguous::NFA;
use aho_corasick::{Anchored, MatchKind};
use shared::secret::SecretBytes;
use zeroize::Zeroizing;

use crate::error::Error;
use crate::mask::encodings::Encoded;

/// What stands in the place of a secret.
pub const MASK: &[u8] = b"[masked]";
/// Values shorter than this are not looked for, in bytes: they are everywhere.
pub const MIN_LEN: usize = 4;
/// Nor are longer ones, in bytes: what finds them would not fit into memory.
pub const MAX_LEN: usize = 64 * 1024;

/// What is looked for.
#[derive(Debug)]
pub struct Patterns {
    automaton: NFA,
    start: StateID,
    /// How many of the bytes that led to a state may be the beginning of a secret.
    open: HashMap<StateID, usize>,
}

/// Whether a value is one that can be looked for; a line's end at its end does not count.
pub fn is_maskable(value: &SecretBytes) -> bool {
    (MIN_LEN..=MAX_LEN).contains(&trimmed(value.expose()).len())
}

fn trimmed(value: &[u8]) -> &[u8] {
    let value = value.strip_suffix(b"\n").unwrap_or(value);
    value.strip_suffix(b"\r").unwrap_or(value)
}

impl Patterns {
    /// All forms of those of the values that can be looked for; `None` where there is none of that kind.
    ///
    /// # Errors
    /// [`Error::Limit`] for more than an automaton can hold.
    pub fn of<'a>(
        values: impl IntoIterator<Item = &'a SecretBytes>,
    ) -> Result<Option<Self>, Error> {
        let mut forms: Vec<Encoded> = Vec::new();
        for value in values.into_iter().filter(|value| is_maskable(value)) {
            let value = value.expose();
            forms.extend(encodings::all(value));
            // Many programs leave a line's end at the end out.
            forms.extend(encodings::all(trimmed(value)));
        }
        if forms.is_empty() {
            return Ok(None);
        }
        forms.sort_unstable_by(|one, other| one.as_slice().cmp(other));
        forms.dedup_by(|one, other| one.as_slice() == other.as_slice());
        Self::new(&forms).map(Some)
    }

    fn new(forms: &[Encoded]) -> Result<Self, Error> {
        let too_many = |_| Error::Limit("too many or too long values to mask".into());
        let automaton = NFA::builder()
            .match_kind(MatchKind::Standard)
            .build(forms.iter().map(|form| form.as_slice()))
            .map_err(too_many)?;
        let start = automaton
            .start_state(Anchored::No)
            .map_err(|error| Error::Failed(error.to_string()))?;
        let mut patterns = Self {
            automaton,
            start,
            open: HashMap::new(),
        };
        for form in forms {
            patterns.note_beginnings(form);
        }
        for form in forms {
            patterns.note_end(form);
        }
        Ok(patterns)
    }

    fn next(&self, state: StateID, byte: u8) -> StateID {
        self.automaton.next_state(Anchored::No, state, byte)
    }

    /// In an automaton of this kind, the beginning of a pattern leads to a state of its own.
    fn note_beginnings(&mut self, form: &[u8]) {
        let mut state = self.start;
        for (depth, byte) in form.iter().enumerate() {
            self.open.insert(state, depth);
            state = self.next(state, *byte);
        }
    }

    /// A pattern that nothing longer begins with: what is open after it is open after its bytes but the first as well.
    fn note_end(&mut self, form: &[u8]) {
        let follow = |bytes: &[u8]| {
            let bytes = bytes.iter();
            bytes.fold(self.start, |state, byte| self.next(state, *byte))
        };
        let end = follow(form);
        let mut rest = form;
        let open = loop {
            rest = rest.get(1..).unwrap_or_default();
            let state = follow(rest);
            if let Some(open) = self.open.get(&state) {
                break *open;
            }
            // The end of another pattern: of a shorter one, since it is part of this one.
            let len = self.matched(state).unwrap_or_default();
            rest = rest.get(rest.len() - len..).unwrap_or_default();
        };
        self.open.entry(end).or_insert(open);
    }

    /// Length of the longest pattern that ends here.
    fn matched(&self, state: StateID) -> Option<usize> {
        if !self.automaton.is_match(state) {
            return None;
        }
        let found = 0..self.automaton.match_len(state);
        found
            .map(|index| self.automaton.match_pattern(state, index))
            .map(|pattern| self.automaton.pattern_len(pattern))
            .max()
    }
}

/// One stream. Positions are counted from its beginning.
#[derive(Debug)]
pub struct Mask {
    patterns: Arc<Patterns>,
    state: StateID,
    /// What was neither let through nor masked yet.
    held: Zeroizing<Vec<u8>>,
    held_from: usize,
    /// What was found in there, by where it begins.
    found: Vec<Range<usize>>,
    /// Where the last mask that was written ends.
    masked_to: Option<usize>,
}

impl Mask {
    /// A stream that has not begun.
    pub fn new(patterns: Arc<Patterns>) -> Self {
        Self {
            state: patterns.start,
            patterns,
            held: Zeroizing::default(),
            held_from: 0,
            found: Vec::new(),
            masked_to: None,
        }
    }

    /// Takes the next bytes and returns what can be let through by now.
    pub fn push(&mut self, bytes: &[u8]) -> Vec<u8> {
        let mut position = self.held_from + self.held.len();
        self.held.extend_from_slice(bytes);
        for byte in bytes {
            position += 1;
            self.state = self.patterns.next(self.state, *byte);
            if let Some(len) = self.patterns.matched(self.state) {
                self.note(position.saturating_sub(len)..position);
            }
        }
        let open = self.patterns.open.get(&self.state);
        // Every state is known; hold everything rather than let something through.
        let open = open.copied().unwrap_or(self.held.len());
        self.release(position.saturating_sub(open))
    }

    /// The end of the stream: returns what is left.
    pub fn finish(mut self) -> Vec<u8> {
        self.release(self.held_from + self.held.len())
    }

    /// A longer one swallows those that began after it.
    fn note(&mut self, mut range: Range<usize>) {
        while let Some(last) = self.found.pop_if(|last| last.start >= range.start) {
            range.end = range.end.max(last.end);
        }
        self.found.push(range);
    }

    /// Lets through, or masks, all that stands before `end`.
    fn release(&mut self, end: usize) -> Vec<u8> {
        let mut through = Vec::new();
        let mut from = self.held_from;
        let ready = self.found.partition_point(|range| range.start < end);
        let ready: Vec<Range<usize>> = self.found.drain(..ready).collect();
        for range in ready {
            through.extend_from_slice(self.held_between(from, range.start));
            if self.masked_to.is_none_or(|masked| masked < range.start) {
                through.extend_from_slice(MASK);
            }
            self.masked_to = self.masked_to.max(Some(range.end));
            from = from.max(range.end);
        }
        through.extend_from_slice(self.held_between(from, end));
        let done = (from.max(end) - self.held_from).min(self.held.len());
        self.held.drain(..done);
        self.held_from += done;
        through
    }

    fn held_between(&self, from: usize, to: usize) -> &[u8] {
        let (from, to) = (from - self.held_from, to.saturating_sub(self.held_from));
        self.held.get(from..to).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests;
