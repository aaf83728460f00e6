//! Replaces secrets in a stream of bytes.
//!
//! Only bytes that may be the beginning of a secret are delayed.

mod encodings;

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use aho_corasick::automaton::{Automaton, StateID};
use aho_corasick::nfa::contiguous::NFA;
use aho_corasick::{Anchored, MatchKind};
use shared::secret::SecretBytes;
use zeroize::Zeroizing;

use crate::error::{Error, Result};
use crate::mask::encodings::Encoded;
pub use crate::mask::encodings::UNRESERVED;

/// Replaces a secret.
pub const MASK: &[u8] = b"[masked]";
/// Minimum length of masked values, in bytes: shorter ones occur everywhere.
pub const MIN_LEN: usize = 4;
/// Minimum length of a masked line of a value of several lines, in bytes: `true` or `data:` stand in other output too.
const MIN_LINE_LEN: usize = 8;
/// Maximum length of masked values, in bytes: the automaton for longer ones would take too much memory.
pub const MAX_LEN: usize = 64 * 1024;

/// The encodings that are searched for.
#[derive(Debug)]
pub struct Patterns {
    automaton: NFA,
    start: StateID,
    /// Per state, the number of last bytes that may be the beginning of a secret.
    open: HashMap<StateID, usize>,
}

/// Whether a value can be masked, by its length without a trailing line break.
pub fn is_maskable(value: &SecretBytes) -> bool {
    (MIN_LEN..=MAX_LEN).contains(&trimmed(value.expose()).len())
}

fn trimmed(value: &[u8]) -> &[u8] {
    let value = value.strip_suffix(b"\n").unwrap_or(value);
    value.strip_suffix(b"\r").unwrap_or(value)
}

/// The lines of a value without the white space around them, but for lines that are too short to be masked.
fn lines(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    let lines = value.split(|byte| matches!(byte, b'\n' | b'\r'));
    lines
        .map(<[u8]>::trim_ascii)
        .filter(|line| line.len() >= MIN_LINE_LEN)
}

impl Patterns {
    /// The encodings of all values that can be masked; `None` if there are none.
    ///
    /// # Errors
    /// [`Error::limit`] for more patterns than the automaton can hold.
    pub fn of<'a>(values: impl IntoIterator<Item = &'a SecretBytes>) -> Result<Option<Self>> {
        let mut forms: Vec<Encoded> = Vec::new();
        for value in values.into_iter().filter(|value| is_maskable(value)) {
            let value = value.expose();
            forms.extend(encodings::all(value));
            // Many programs drop a trailing line break, indent lines, or show some of them.
            let parts = std::iter::once(trimmed(value)).chain(lines(value));
            forms.extend(parts.flat_map(encodings::all));
        }
        if forms.is_empty() {
            return Ok(None);
        }
        forms.sort_unstable_by(|one, other| one.as_slice().cmp(other));
        forms.dedup_by(|one, other| one.as_slice() == other.as_slice());
        Self::new(&forms).map(Some)
    }

    fn new(forms: &[Encoded]) -> Result<Self> {
        let too_many = |_| Error::limit("too many or too long values to mask");
        let automaton = NFA::builder()
            .match_kind(MatchKind::Standard)
            .build(forms.iter().map(|form| form.as_slice()))
            .map_err(too_many)?;
        let start = automaton.start_state(Anchored::No).map_err(Error::failed)?;
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

    /// Notes the depth of each state that a proper prefix of a pattern leads to: each prefix has a state of its own.
    fn note_beginnings(&mut self, form: &[u8]) {
        let mut state = self.start;
        for (depth, byte) in form.iter().enumerate() {
            self.open.insert(state, depth);
            state = self.next(state, *byte);
        }
    }

    /// Notes the open bytes after a pattern that is no prefix of another: those of its longest proper suffix
    /// with an entry.
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
            // This state ends another pattern, a shorter one, since it is part of `form`.
            let len = self.matched(state).unwrap_or_default();
            rest = rest.get(rest.len() - len..).unwrap_or_default();
        };
        self.open.entry(end).or_insert(open);
    }

    /// Length of the longest pattern that ends in this state.
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

/// A masked stream. Positions are counted from its beginning.
#[derive(Debug)]
pub struct Mask {
    patterns: Arc<Patterns>,
    state: StateID,
    /// Bytes that were neither passed nor masked yet.
    held: Zeroizing<Vec<u8>>,
    held_from: usize,
    /// Patterns found in `held`, by their beginning.
    found: Vec<Range<usize>>,
    /// End of the last secret that was masked.
    masked_to: Option<usize>,
}

impl Mask {
    /// A mask at the beginning of a stream.
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

    /// Takes the next bytes and returns the output that is certain by now.
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
        // Every state has an entry; without one, all bytes are held rather than passed.
        let open = open.copied().unwrap_or(self.held.len());
        self.release(position.saturating_sub(open))
    }

    /// Ends the stream and returns the rest of the output.
    pub fn finish(mut self) -> Vec<u8> {
        self.release(self.held_from + self.held.len())
    }

    /// Adds a found pattern; merges it with those that begin inside of it.
    fn note(&mut self, mut range: Range<usize>) {
        while let Some(last) = self.found.pop_if(|last| last.start >= range.start) {
            range.end = range.end.max(last.end);
        }
        self.found.push(range);
    }

    /// Passes or masks all bytes before `end`.
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
