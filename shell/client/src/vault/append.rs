//! Appending signed entries: replayed here before they are sent, and never lost to another device's.

use std::time::Duration;

use keyshell_base::time::now_ms;
use rand::Rng as _;
use rand::rngs::OsRng;
use serde_bytes::ByteBuf;
use shared::vault_log::{Acknowledge, ENTRY_FORMAT, Entry, Head, Op, SignedEntry};
use shared::wire::call::{Append, NewEntry};
use shared::wire::error::Refusal;
use shared::wire::operation::Operation;

use crate::device::pins::{HeldPins, PinsFile};
use crate::error::{Error, Unfinished};
use crate::index::Index;
use crate::index::metadata::MAX_NOTE_LEN;
use crate::keys::account::AccountKeys;
use crate::keys::seal::NotePlace;
use crate::vault::open::Vault;
use crate::verification::VerificationError;

/// After so many conflicts in a row somebody should know.
pub(crate) const MAX_CONFLICTS: u32 = 128;

/// The first pause after a conflict lasts at most so long; it doubles with each one after it.
const SHORTEST_PAUSE: Duration = Duration::from_millis(10);
const MAX_DOUBLINGS: u32 = 6;

/// Devices that were refused together must not come back together.
pub(crate) async fn pause(conflicts: u32) {
    let longest = SHORTEST_PAUSE * (1 << conflicts.min(MAX_DOUBLINGS));
    tokio::time::sleep(longest.mul_f64(OsRng.r#gen())).await;
}

/// The error after [`MAX_CONFLICTS`].
pub(crate) fn too_many_conflicts() -> Error {
    let text = "other devices keep changing the vault; nothing was written, try again";
    Error::Exists(text.into())
}

impl Vault {
    /// Holds the pins, if the index is as new as they are; if another run on this device was faster it syncs instead.
    pub(crate) async fn hold_newest<'a>(
        &mut self,
        file: &'a PinsFile,
    ) -> Result<Option<HeldPins<'a>>, Error> {
        let guard = file.hold()?;
        guard.refresh(&mut self.pins)?;
        if self.pins.head.seq <= self.index.head().seq {
            return Ok(Some(guard));
        }
        drop(guard);
        self.sync().await?;
        Ok(None)
    }

    /// Whether these entries, which `operation` appends on top of the index, are in the log now; if not, another device was
    /// faster.
    pub(crate) async fn append(
        &mut self,
        guard: HeldPins<'_>,
        entries: &[NewEntry],
        operation: impl Operation<Answer = Head>,
    ) -> Result<bool, Error> {
        let before = self.index.head();
        let first = entries.first().map(|new| before.with(&new.entry));
        let after = self.replayed(entries)?;
        let head = after.head();
        match self.session.attempt(operation).await {
            Ok(Ok(shown)) if shown == head => {
                self.index = after;
                self.remember(&guard, before)?;
                Ok(true)
            }
            Ok(Ok(_)) => Err(VerificationError::OtherEntriesStored.into()),
            Ok(Err(Refusal::Conflict(_))) => {
                self.note_refused(&guard, first)?;
                drop(guard);
                self.sync_after_conflict(before).await?;
                Ok(false)
            }
            Ok(Err(refusal)) => {
                self.note_refused(&guard, first)?;
                Err(refusal.into())
            }
            Err(Error::SessionEnded) => {
                drop(guard);
                self.lost = Some(head.hash);
                self.resume()
                    .await
                    .map_err(|error| error.unfinished(Unfinished::Change))?;
                if self.lost.take().is_none() {
                    return Ok(true);
                }
                // It is not there, and the server holds it with the owner's signature all the same.
                let file = self.state.pins.clone();
                self.note_refused(&file.hold()?, first)?;
                Ok(false)
            }
            Err(error) => Err(error.unfinished(Unfinished::Change)),
        }
    }

    /// Looks what another device was faster with.
    pub(crate) async fn sync_after_conflict(&mut self, before: Head) -> Result<(), Error> {
        self.sync().await?;
        if self.index.head() != before {
            return Ok(());
        }
        Err(VerificationError::ConflictNotShown.into())
    }

    /// The index as it will be. An entry that no device could replay would lock the vault for good, so that none is
    /// sent before this device has replayed it.
    fn replayed(&self, entries: &[NewEntry]) -> Result<Index, Error> {
        let mut index = self.index.clone();
        for new in entries {
            index
                .replay(self.session.keys(), &new.entry)
                .map_err(|error| Error::Failed(format!("{error}; nothing was sent")))?;
        }
        Ok(index)
    }

    /// The server says that it did not store these entries, and holds them with the owner's signature. None of them
    /// can come into the log without the first.
    pub(crate) fn note_refused(
        &mut self,
        guard: &HeldPins<'_>,
        first: Option<Head>,
    ) -> Result<(), Error> {
        self.pins.refused.extend(first);
        guard.save(&self.pins)
    }

    /// Appends the owner's word that what they had seen beyond this log was lost.
    pub(crate) async fn acknowledge(&mut self, lost: Acknowledge) -> Result<(), Error> {
        let before = self.index.head();
        let entry = self.entry(before, Op::Acknowledge(lost))?;
        let head = before.with(&entry);
        let entries = vec![NewEntry { entry, value: None }];
        let after = self.replayed(&entries)?;
        if self.session.ask(Append(entries)).await? != head {
            return Err(VerificationError::OtherEntriesStored.into());
        }
        self.index = after;
        Ok(())
    }

    /// Writes a note into the vault log.
    ///
    /// # Errors
    /// [`Error::Verification`], and those of every exchange.
    pub async fn note(&mut self, text: &str) -> Result<(), Error> {
        if text.len() > MAX_NOTE_LEN {
            return Err(Error::Limit(format!(
                "a note has at most {MAX_NOTE_LEN} bytes"
            )));
        }
        self.append_one(|vault, head| {
            let place = NotePlace {
                device: vault.session.device(),
                seq: head.seq.next(),
            };
            Op::Note(ByteBuf::from(
                place.seal(vault.session.keys(), text.as_bytes()),
            ))
        })
        .await
    }

    /// Appends one entry without a value, made anew on top of whatever another device was faster with.
    pub(crate) async fn append_one(&mut self, op: impl Fn(&Self, Head) -> Op) -> Result<(), Error> {
        for conflicts in 0..MAX_CONFLICTS {
            let file = self.state.pins.clone();
            if let Some(guard) = self.hold_newest(&file).await? {
                let head = self.index.head();
                let entry = self.entry(head, op(self, head))?;
                let entries = vec![NewEntry { entry, value: None }];
                let append = Append(entries.clone());
                if self.append(guard, &entries, append).await? {
                    return Ok(());
                }
            }
            pause(conflicts).await;
        }
        Err(too_many_conflicts())
    }

    /// Signs one entry on top of `head`.
    pub(crate) fn entry(&self, head: Head, op: Op) -> Result<SignedEntry, Error> {
        self.entry_under(self.session.keys(), head, op)
    }

    /// The same with keys that do not hold yet.
    pub(crate) fn entry_under(
        &self,
        keys: &AccountKeys,
        head: Head,
        op: Op,
    ) -> Result<SignedEntry, Error> {
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
        SignedEntry::sign(&entry, &keys.signing()).map_err(|error| Error::Failed(error.to_string()))
    }
}
