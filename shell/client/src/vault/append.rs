//! Appending signed entries: each is replayed on this device before it is sent, and made again after a conflict.

use keyshell_base::time::now_ms;
use serde_bytes::ByteBuf;
use shared::vault_log::{Acknowledge, ENTRY_FORMAT, Entry, Head, Op, SignedEntry};
use shared::wire::call::{Append, NewEntry};
use shared::wire::error::Refusal;
use shared::wire::operation::Operation;

use crate::device::pins::HeldPins;
use crate::error::{Error, Result, Unfinished};
use crate::index::Index;
use crate::index::metadata::MAX_NOTE_LEN;
use crate::keys::account::AccountKeys;
use crate::keys::seal::NoteContext;
use crate::vault::conflicts::retry_on_conflict;
use crate::vault::open::Vault;
use crate::verification::VerificationError;

impl Vault {
    /// Locks the pins if the index is as new as they are; else, after another process on this device has synced, syncs
    /// and returns `None`.
    pub(crate) async fn hold_newest(&mut self) -> Result<Option<HeldPins>> {
        let guard = self.state.pins.hold()?;
        guard.refresh(&mut self.pins)?;
        if self.pins.head.seq <= self.index.head().seq {
            return Ok(Some(guard));
        }
        drop(guard);
        self.sync().await?;
        Ok(None)
    }

    /// Appends these entries, which `operation` carries, on top of the index. Returns `false` on a conflict with
    /// another device's change, after a sync.
    pub(crate) async fn append(
        &mut self,
        guard: HeldPins,
        entries: &[NewEntry],
        operation: impl Operation<Answer = Head>,
    ) -> Result<bool> {
        let before = self.index.head();
        let first = entries.first().map(|new| before.with(&new.entry));
        let after = replayed(
            self.index.clone(),
            self.session.keys(),
            entries.iter().map(|new| &new.entry),
        )?;
        let head = after.head();
        match self.session.attempt(operation).await {
            Ok(Ok(shown)) if shown == head => {
                self.index = after;
                self.save_state(&guard, before)?;
                Ok(true)
            }
            Ok(Ok(_)) => Err(VerificationError::OtherEntriesStored.into()),
            Ok(Err(refusal)) => self.refused(guard, first, before, refusal).await,
            Err(Error::SessionEnded) => {
                drop(guard);
                self.lost = Some(head.hash);
                self.resume()
                    .await
                    .map_err(|error| error.unfinished(Unfinished::Change))?;
                if self.lost.take().is_none() {
                    return Ok(true);
                }
                // The server did not append the entry, but has it with the owner's signature.
                self.note_refused(&self.state.pins.hold()?, first)?;
                Ok(false)
            }
            Err(error) => Err(error.unfinished(Unfinished::Change)),
        }
    }

    /// Records refused entries. Returns `false` for a conflict, after a sync that must bring at least one new entry, and
    /// any other refusal as an error.
    pub(crate) async fn refused(
        &mut self,
        guard: HeldPins,
        first: Option<Head>,
        before: Head,
        refusal: Refusal,
    ) -> Result<bool> {
        self.note_refused(&guard, first)?;
        drop(guard);
        let Refusal::Conflict(_) = refusal else {
            return Err(refusal.into());
        };
        self.sync().await?;
        if self.index.head() == before {
            return Err(VerificationError::ConflictNotShown.into());
        }
        Ok(false)
    }

    /// Records the head that refused entries lead to: the server has them with the owner's signature, and must not
    /// append them later. The first stands for all, since none continues the log without it.
    fn note_refused(&mut self, guard: &HeldPins, first: Option<Head>) -> Result<()> {
        self.pins.refused.extend(first);
        guard.save(&self.pins)
    }

    /// Appends an entry by which the owner acknowledges that entries beyond this log were lost.
    pub(crate) async fn acknowledge(&mut self, lost: Acknowledge) -> Result<()> {
        let before = self.index.head();
        let entry = self.entry(before, Op::Acknowledge(lost))?;
        let head = before.with(&entry);
        let after = replayed(self.index.clone(), self.session.keys(), [&entry])?;
        let entries = vec![NewEntry { entry, value: None }];
        if self.session.ask(Append(entries)).await? != head {
            return Err(VerificationError::OtherEntriesStored.into());
        }
        self.index = after;
        Ok(())
    }

    /// Appends a note (at most [`MAX_NOTE_LEN`] bytes) to the vault log.
    ///
    /// # Errors
    /// [`Error::Limit`] for a longer note, [`Error::Verification`], and those of [`Vault::commit`].
    pub async fn note(&mut self, text: &str) -> Result<()> {
        if text.len() > MAX_NOTE_LEN {
            return Err(Error::Limit(format!(
                "a note has at most {MAX_NOTE_LEN} bytes"
            )));
        }
        self.append_one(|vault, head| {
            let place = NoteContext {
                device: vault.session.device(),
                seq: head.seq.next(),
            };
            Op::Note(ByteBuf::from(
                place.seal(vault.session.keys(), text.as_bytes()),
            ))
        })
        .await
    }

    /// Appends one entry without a value; `op` makes it again after each conflict.
    pub(crate) async fn append_one(&mut self, op: impl Fn(&Self, Head) -> Op) -> Result<()> {
        retry_on_conflict(async || {
            let Some(guard) = self.hold_newest().await? else {
                return Ok(false);
            };
            let head = self.index.head();
            let entry = self.entry(head, op(self, head))?;
            let entries = vec![NewEntry { entry, value: None }];
            self.append(guard, &entries, Append(entries.clone())).await
        })
        .await
    }

    /// Signs one entry on top of `head`.
    pub(crate) fn entry(&self, head: Head, op: Op) -> Result<SignedEntry> {
        self.entry_under(self.session.keys(), head, op)
    }

    /// Signs one entry per operation, each on top of the one before, with these keys; the first on top of `head`.
    pub(crate) fn chain(
        &self,
        keys: &AccountKeys,
        mut head: Head,
        ops: Vec<Op>,
    ) -> Result<Vec<SignedEntry>> {
        let sign = |op| {
            let entry = self.entry_under(keys, head, op)?;
            head = head.with(&entry);
            Ok(entry)
        };
        ops.into_iter().map(sign).collect()
    }

    /// Signs one entry on top of `head` with these keys, which may be those of the next epoch.
    pub(crate) fn entry_under(
        &self,
        keys: &AccountKeys,
        head: Head,
        op: Op,
    ) -> Result<SignedEntry> {
        let entry = Entry {
            format: ENTRY_FORMAT,
            account: keys.account(),
            seq: head.seq.next(),
            previous: head.hash,
            device: self.session.device(),
            time_ms: now_ms(),
            seen: self.pins.audit,
            op,
            former: Vec::new(),
        };
        SignedEntry::sign(&entry, &keys.signing()).map_err(Error::failed)
    }
}

/// The index after these entries. An entry that no device can replay would lock the vault for good, so that each is
/// replayed here before it is sent.
pub(crate) fn replayed<'a>(
    mut index: Index,
    keys: &AccountKeys,
    entries: impl IntoIterator<Item = &'a SignedEntry>,
) -> Result<Index> {
    for entry in entries {
        let replayed = index.replay(keys, entry);
        replayed.map_err(|error| Error::Failed(format!("{error}; nothing was sent")))?;
    }
    Ok(index)
}
