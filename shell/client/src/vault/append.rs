//! Appending signed entries: each is replayed on this device before it is sent, and made again after a conflict.

use keyshell_base::time::now_ms;
use serde_bytes::ByteBuf;
use shared::ids::Digest;
use shared::vault_log::{ENTRY_FORMAT, Entry, Head, LogError, Op, SignedEntry};
use shared::wire::call::{Append, LoggedEntry, NewEntry};
use shared::wire::error::Refusal;
use shared::wire::operation::Operation;

use crate::device::pins::{HeldPins, MAX_REFUSED};
use crate::error::{Error, Result, Unfinished};
use crate::index::Index;
use crate::index::metadata::MAX_NOTE_LEN;
use crate::keys::account::AccountKeys;
use crate::keys::seal::TextContext;
use crate::keys::slot::SlotKeys;
use crate::vault::conflicts::retry_on_conflict;
use crate::vault::open::Vault;
use crate::verification::VerificationError;

impl Vault {
    /// Locks the pins if the index is as new as they are; else, after another process on this device has synced, syncs
    /// and returns `None`.
    pub(crate) async fn hold_newest(&mut self) -> Result<Option<HeldPins>> {
        let guard = self.state.pins.hold()?;
        if self.acknowledging {
            return Ok(Some(guard));
        }
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
        let keys = self.session.keys().clone();
        self.append_under(&keys, guard, entries, operation).await
    }

    /// As [`Self::append`]; `keys` are those after the entries, which may begin a key epoch.
    pub(crate) async fn append_under(
        &mut self,
        keys: &AccountKeys,
        guard: HeldPins,
        entries: &[NewEntry],
        operation: impl Operation<Answer = Head>,
    ) -> Result<bool> {
        let before = self.index.head();
        let first = entries.first().map(|new| before.with(&new.entry));
        self.check_refused(before)?;
        let after = replayed(self.index.clone(), keys, entries)?;
        let head = after.head();
        match self.session.attempt(operation).await {
            Ok(Ok(shown)) if shown == head => {
                self.index = after;
                self.session.rekeyed(keys.clone());
                if std::mem::take(&mut self.acknowledging) {
                    self.replace_state(&guard)?;
                } else {
                    self.save_state(&guard, before)?;
                }
                Ok(true)
            }
            Ok(Ok(_)) => Err(VerificationError::OtherEntriesStored.into()),
            Ok(Err(refusal)) => self.refused(guard, first, before, refusal).await,
            Err(Error::SessionEnded) if !self.acknowledging => {
                drop(guard);
                self.lost = Some(head.hash);
                self.resume()
                    .await
                    .map_err(|error| error.unfinished(Unfinished::Change))?;
                if self.lost.take().is_none() {
                    return Ok(true);
                }
                // Not counted as refused: an answer outside the channel proves nothing, and an honest server may still be
                // handed the request.
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
        if self.acknowledging {
            let text = "the log has changed since the loss was examined; nothing was written, run `acknowledge` again";
            return Err(Error::Exists(text.into()));
        }
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
        if !self.acknowledging {
            return guard.save(&self.pins);
        }
        // The other pins in memory are older than the stored ones.
        let mut stored = self.state.pins.load()?.unwrap_or_else(|| self.pins.clone());
        stored.refused.extend(first);
        guard.replace(&stored)
    }

    /// Refuses to sign anything more for a position at which the server refused as many entries as this device can
    /// remember: it could store a forgotten one later.
    fn check_refused(&self, head: Head) -> Result<()> {
        let next = head.seq.next();
        let refused = self
            .pins
            .refused
            .iter()
            .filter(|refused| refused.seq == next);
        if refused.count() < MAX_REFUSED {
            return Ok(());
        }
        Err(Error::Failed(format!(
            "the server refused {MAX_REFUSED} changes at this position of the vault log; this device signs no more there, \
             since the server could store one of them later: another device can write, and this one follows"
        )))
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
            let place = TextContext::Note {
                device: vault.session.device(),
                seq: head.seq.next(),
            };
            let sealed = place.seal(vault.session.keys(), text.as_bytes())?;
            let note = Op::Note(Digest::of(&sealed));
            Ok((note, Some(ByteBuf::from(sealed))))
        })
        .await
    }

    /// Appends one entry without a value; `op` makes it, and its sealed metadata or note, again after each conflict.
    pub(crate) async fn append_one(
        &mut self,
        op: impl Fn(&Self, Head) -> Result<(Op, Option<ByteBuf>), Error>,
    ) -> Result<()> {
        retry_on_conflict(async || {
            let Some(guard) = self.hold_newest().await? else {
                return Ok(false);
            };
            let head = self.index.head();
            let (op, metadata) = op(self, head)?;
            let entry = self.entry(head, op)?;
            let entries = vec![NewEntry {
                entry,
                value: None,
                metadata,
            }];
            self.append(guard, &entries, Append(entries.clone())).await
        })
        .await
    }

    /// Signs one entry on top of `head`.
    pub(crate) fn entry(&self, head: Head, op: Op) -> Result<SignedEntry> {
        self.authorised_entry(self.session.keys(), head, op, None)
    }

    /// Signs one entry on top of `head` with these keys, and authorises an operation that needs it by `by`, or else by
    /// the credential that opened the session.
    pub(crate) fn authorised_entry(
        &self,
        keys: &AccountKeys,
        head: Head,
        op: Op,
        by: Option<&SlotKeys>,
    ) -> Result<SignedEntry> {
        let failed = |error: LogError| Error::Failed(error.to_string());
        let mut entry = Entry {
            format: ENTRY_FORMAT,
            account: keys.account(),
            seq: head.seq.next(),
            previous: head.hash,
            device: self.session.device(),
            time_ms: now_ms(),
            seen: self.pins.audit,
            op,
            authorisation: None,
        };
        if entry.op.needs_authorisation() {
            let key = by.unwrap_or_else(|| self.session.slot_keys()).signing();
            let slot = self.session.by().slot;
            entry.authorise(slot, &key).map_err(failed)?;
        }
        SignedEntry::sign(&entry, &keys.signing()).map_err(failed)
    }
}

/// The index after these entries. An entry that no device can replay would lock the vault for good, so that each is
/// replayed here before it is sent.
pub(crate) fn replayed<'a>(
    mut index: Index,
    keys: &AccountKeys,
    entries: impl IntoIterator<Item = &'a NewEntry>,
) -> Result<Index> {
    for new in entries {
        let logged = LoggedEntry {
            entry: new.entry.clone(),
            metadata: new.metadata.clone(),
        };
        let replayed = index.replay(keys, &logged);
        replayed.map_err(|error| Error::Failed(format!("{error}; nothing was sent")))?;
    }
    Ok(index)
}
