//! Another account key: the whole log, and every value, told again under it, and put in the place of the old ones at
//! once. Whoever has the old key, a thief of a device, can open and sign nothing of what there is afterwards.

use std::collections::{BTreeSet, VecDeque};

use shared::ids::{SecretId, Seq};
use shared::opaque::Slot;
use shared::secret::{Key, SecretBytes};
use shared::vault_log::{Entry, Head, MAX_EPOCH, Op, SignedEntry};
use shared::wire::call::{NewEntry, Sync};
use shared::wire::error::Refusal;
use shared::wire::rekey::{NewLog, Prepared, ReadPrepared, ReadRewritten, Rekey, Rewrite};
use shared::wire::slots::Install;

use crate::device::pins::HeldPins;
use crate::error::{Error, Unfinished};
use crate::index::{Index, VersionInfo, device_name};
use crate::keys::account::AccountKeys;
use crate::keys::wrap::WrapContext;
use crate::opaque::login::By;
use crate::vault::append::{MAX_CONFLICTS, pause, too_many_conflicts};
use crate::vault::enrol::{DEVICE_SECRET_LEN, NewSlot, Proven, said};
use crate::vault::fetch::Fetched;
use crate::vault::open::Vault;
use crate::vault::reencrypt::Retelling;
use crate::verification::VerificationError;

/// Entries that are told again at once: their values are in memory together.
const CHUNK: usize = 32;
/// Bytes of one request, about; entry and value of the longest kind fit in beside.
const REQUEST_BUDGET: usize = 2 * 1024 * 1024;

/// A log that is being told again.
#[derive(Debug)]
pub struct Rotation {
    retelling: Retelling,
    /// The log of now, as far as it was told again.
    old: Index,
    /// The same under the new key.
    new: Index,
    /// How far the server had it when this began.
    prepared: Seq,
    /// Entries that the server has, next ones first.
    known: VecDeque<SignedEntry>,
}

impl Vault {
    /// Tells the whole log again under a new account key, beside the one of now. What was broken off is gone on with;
    /// nothing changes yet. `password` is the one that holds, and stays.
    ///
    /// # Errors
    /// [`Error::LoginRefused`] for a wrong password, [`Error::Limit`] for a key that was replaced too often,
    /// [`Error::Verification`], and those of every exchange.
    pub async fn begin_rotation(&mut self, password: &SecretBytes) -> Result<Rotation, Error> {
        let mut rotation = self.begin(password).await?;
        let told = self.tell(&mut rotation).await;
        told.map_err(|error| error.unfinished(Unfinished::Reencryption))?;
        Ok(rotation)
    }

    /// Puts the new log in the place of the old one, with credentials that open its key: the password, the recovery code
    /// where one is given, and this device's own where it has one. All others go, and all other sessions end.
    ///
    /// # Errors
    /// [`Error::Exists`] if another device changed the same credential meanwhile, [`Error::Verification`], and those of
    /// every exchange.
    pub async fn finish_rotation(
        &mut self,
        mut rotation: Rotation,
        password: &SecretBytes,
        recovery: Option<&SecretBytes>,
    ) -> Result<(), Error> {
        // Telling everything may have taken longer than a login proves who is there.
        let by = By {
            slot: Slot::Password,
            secret: password,
        };
        self.reopen(by).await?;
        self.sync().await?;
        if self.session.keys().epoch() != rotation.retelling.old.epoch() {
            let text = "another device replaced the account key meanwhile; nothing was changed";
            return Err(Error::Exists(text.into()));
        }
        let device = self.session.device();
        let name = device_name::name(self.index.credentials(), &device);
        let own = self.device_secret.is_some();
        let own = own.then(|| SecretBytes::random(DEVICE_SECRET_LEN));
        let candidates = [
            (Slot::Password, Some(password), None),
            (Slot::Recovery, recovery, None),
            (Slot::Device(device), own.as_ref(), Some(&name)),
        ];
        let new = candidates.into_iter().filter_map(|(slot, secret, name)| {
            let secret = secret?;
            Some(NewSlot { slot, secret, name })
        });
        let new: Vec<NewSlot<'_>> = new.collect();
        self.replace(&mut rotation, &new).await?;
        self.device_secret = own;
        Ok(())
    }

    /// Goes on with what was broken off, or begins.
    async fn begin(&mut self, password: &SecretBytes) -> Result<Rotation, Error> {
        let by = By {
            slot: Slot::Password,
            secret: password,
        };
        let export_key = self.reopen(by).await?;
        self.sync().await?;
        let old = self.session.keys().clone();
        let epoch = old.epoch().saturating_add(1);
        if epoch > MAX_EPOCH {
            let text = "this account key was replaced as often as it can be; make a new account";
            return Err(Error::Limit(text.into()));
        }
        let context = WrapContext {
            account: &old.account(),
            slot: &Slot::Password,
            generation: self.session.by().generation,
            epoch,
        };
        let open = |prepared: &Prepared| {
            let root = context.unwrap(export_key.expose(), &prepared.log.wrapped.blob);
            let keys = AccountKeys::new(old.account(), epoch, root.ok()?);
            (keys.log_key() == prepared.log.log_key).then_some(keys)
        };
        let begun = self.session.ask(ReadPrepared).await?;
        // A key that another device has made may be known to whoever has that device.
        let own = begun.filter(|prepared| self.pins.begun == Some(prepared.log.log_key));
        let goes_on = own.and_then(|prepared| Some((open(&prepared)?, prepared.head.seq)));
        let (new, prepared) = if let Some(goes_on) = goes_on {
            goes_on
        } else {
            let new = AccountKeys::new(old.account(), epoch, Key::random());
            let log = NewLog {
                log_key: new.log_key(),
                wrapped: context.wrap(export_key.expose(), new.root()),
            };
            self.prepare(log).await?;
            (new, Seq(0))
        };
        Ok(Rotation {
            retelling: Retelling { old, new },
            old: Index::new(),
            new: Index::new(),
            prepared,
            known: VecDeque::new(),
        })
    }

    async fn prepare(&mut self, log: NewLog) -> Result<(), Error> {
        let begun = self.session.ask(log.clone()).await?;
        let expected = Prepared {
            log,
            head: Head::EMPTY,
        };
        if begun.as_ref() != Some(&expected) {
            return Err(VerificationError::OtherLogBegun.into());
        }
        self.pins.begun = Some(expected.log.log_key);
        self.state.pins.hold()?.save(&self.pins)
    }

    /// Tells again what is not told yet, up to where the index is.
    async fn tell(&mut self, rotation: &mut Rotation) -> Result<(), Error> {
        let mut progress = self
            .frontend
            .progress("encrypting everything anew", self.index.head().seq.0);
        while rotation.old.head().seq < self.index.head().seq {
            let after = rotation.old.head().seq;
            let mut page = self.entries_after(after).await?;
            // Another device may go on meanwhile.
            let left = usize::try_from(self.index.head().seq.0 - after.0).unwrap_or(usize::MAX);
            page.truncate(left);
            if page.is_empty() {
                return Err(VerificationError::EntriesMissing.into());
            }
            for chunk in page.chunks(CHUNK) {
                self.tell_chunk(rotation, chunk).await?;
                progress.reach(rotation.old.head().seq.0, self.index.head().seq.0);
            }
        }
        if rotation.old.head() == self.index.head() {
            return Ok(());
        }
        Err(VerificationError::LogChanged.into())
    }

    async fn entries_after(&mut self, after: Seq) -> Result<Vec<SignedEntry>, Error> {
        let sync = Sync {
            after,
            audit_size: self.pins.audit.map_or(0, |head| head.size),
        };
        Ok(self.session.ask(sync).await?.entries)
    }

    async fn tell_chunk(
        &mut self,
        rotation: &mut Rotation,
        chunk: &[SignedEntry],
    ) -> Result<(), Error> {
        let mut untold = Vec::new();
        for signed in chunk {
            let entry = rotation.read(signed)?;
            if entry.seq <= rotation.prepared {
                self.check_told(rotation, &entry, signed).await?;
            } else {
                let wanted = self.stored(&entry)?;
                untold.push((entry, signed, wanted));
            }
        }
        let wanted: Vec<_> = untold.iter().filter_map(|(_, _, wanted)| *wanted).collect();
        let mut values = self.fetch_each(&wanted).await?.into_iter();
        let mut batch = Vec::new();
        let mut bytes = 0;
        for (entry, signed, wanted) in untold {
            // By what was asked for: the index may have become another one meanwhile.
            let value = match wanted {
                Some(_) => values.next().ok_or_else(|| changed_meanwhile(&entry))?,
                None => Fetched::Removed,
            };
            self.check_value(&entry, &value)?;
            let new = rotation.tell(entry, signed, &value)?;
            bytes += new.entry.size() + new.value.as_ref().map_or(0, |value| value.len());
            batch.push(new);
            if bytes >= REQUEST_BUDGET {
                self.rewrite(rotation, std::mem::take(&mut batch)).await?;
                bytes = 0;
            }
        }
        self.rewrite(rotation, batch).await
    }

    /// The version that a `put` made, but of a secret that was removed since.
    fn stored(&self, entry: &Entry) -> Result<Option<(SecretId, VersionInfo)>, Error> {
        let Op::Put(put) = &entry.op else {
            return Ok(None);
        };
        if self.index.was_removed(&put.secret) {
            return Ok(None);
        }
        let secret = self.index.get(&put.secret);
        let info = secret.and_then(|secret| secret.version(Some(put.version)));
        let info = info.ok_or_else(|| changed_meanwhile(entry))?;
        Ok(Some((put.secret, *info)))
    }

    /// Nothing but what was removed loses its value: the old log is deleted with all that it has.
    fn check_value(&self, entry: &Entry, value: &Fetched) -> Result<(), Error> {
        let Op::Put(put) = &entry.op else {
            return Ok(());
        };
        if !matches!(value, Fetched::Removed) || self.index.was_removed(&put.secret) {
            return Ok(());
        }
        Err(changed_meanwhile(entry))
    }

    /// What the server says was told before must have been told by an owner's device, of just this entry.
    async fn check_told(
        &mut self,
        rotation: &mut Rotation,
        entry: &Entry,
        signed: &SignedEntry,
    ) -> Result<(), Error> {
        if rotation.known.is_empty() {
            let after = rotation.new.head().seq;
            rotation.known = self.session.ask(ReadRewritten(after)).await?.into();
        }
        let other = VerificationError::OtherLogPrepared;
        let told = rotation.known.pop_front().ok_or(other.clone())?;
        let keys = &rotation.retelling.new;
        let replayed = rotation
            .new
            .replay(keys, &told)
            .map_err(|_| other.clone())?;
        if replayed.former == rotation.retelling.former(entry, signed) {
            return Ok(());
        }
        Err(other.into())
    }

    async fn rewrite(&mut self, rotation: &Rotation, batch: Vec<NewEntry>) -> Result<(), Error> {
        let Some(last) = batch.last() else {
            return Ok(());
        };
        let hash = last.entry.hash();
        let shown = self.session.ask(Rewrite(batch)).await?;
        if shown.hash == hash && shown == rotation.new.head() {
            return Ok(());
        }
        Err(VerificationError::OtherEntriesStored.into())
    }

    /// Proves the credentials that open the new key, and puts them and the new log in place.
    async fn replace(&mut self, rotation: &mut Rotation, new: &[NewSlot<'_>]) -> Result<(), Error> {
        let credentials = self.index.credentials();
        let generations: Vec<u64> = new
            .iter()
            .map(|new| credentials.generation(&new.slot).saturating_add(1))
            .collect();
        let keys = rotation.retelling.new.clone();
        let proven = self.prove(new, &generations, &keys).await?;
        for conflicts in 0..MAX_CONFLICTS {
            self.sync().await?;
            self.check_newest(&proven)?;
            self.tell(rotation).await?;
            let file = self.state.pins.clone();
            if let Some(guard) = self.hold_newest(&file).await?
                && rotation.old.head() == self.index.head()
                && self.finish(guard, rotation, new, &proven).await?
            {
                return self.note_installed(&proven);
            }
            pause(conflicts).await;
        }
        Err(too_many_conflicts())
    }

    /// Whether the new log is in place; if not, another device was faster.
    async fn finish(
        &mut self,
        guard: HeldPins<'_>,
        rotation: &Rotation,
        new: &[NewSlot<'_>],
        proven: &Proven,
    ) -> Result<bool, Error> {
        let before = self.index.head();
        let keys = &rotation.retelling.new;
        let entries = self.last_entries(rotation, new, proven)?;
        let first = entries.first().map(|entry| rotation.new.head().with(entry));
        let mut after = rotation.new.clone();
        for entry in &entries {
            after
                .replay(keys, entry)
                .map_err(|error| Error::Failed(format!("{error}; nothing was sent")))?;
        }
        let rekey = Rekey(Install {
            ke3: proven.ke3.clone(),
            entries,
        });
        let answer = self.session.attempt(rekey).await;
        match answer.map_err(|error| error.unfinished(Unfinished::Replacement))? {
            Ok(shown) if shown == after.head() => {
                self.session.rekeyed(keys.clone());
                self.index = after;
                self.pins.recognise(keys.epoch(), shown);
                self.remember(&guard, before)?;
                Ok(true)
            }
            Ok(_) => Err(VerificationError::OtherEntriesStored.into()),
            Err(Refusal::Conflict(_)) => {
                self.note_refused(&guard, first)?;
                drop(guard);
                self.sync_after_conflict(before).await?;
                Ok(false)
            }
            Err(refusal) => {
                self.note_refused(&guard, first)?;
                Err(refusal.into())
            }
        }
    }

    /// The new key, the credentials that open it, and the end of all others.
    fn last_entries(
        &self,
        rotation: &Rotation,
        new: &[NewSlot<'_>],
        proven: &Proven,
    ) -> Result<Vec<SignedEntry>, Error> {
        let keys = &rotation.retelling.new;
        let mut head = rotation.new.head();
        let mut entries = Vec::new();
        let mut push = |op: &dyn Fn(Head) -> Op| -> Result<(), Error> {
            let entry = self.entry_under(keys, head, op(head))?;
            head = head.with(&entry);
            entries.push(entry);
            Ok(())
        };
        let former = self.index.head();
        push(&|head| Op::Rekey(rotation.retelling.begin(former, head.seq.next())))?;
        for (new, record) in new.iter().zip(&proven.slots) {
            push(&|head| said(keys, new, record, head))?;
        }
        let credentials = self.index.credentials();
        let is_kept = |slot: &Slot| new.iter().any(|new| new.slot == *slot);
        for slot in credentials.in_use() {
            if !is_kept(&slot) {
                push(&|_| self.revocation(slot))?;
            }
        }
        Ok(entries)
    }
}

fn changed_meanwhile(entry: &Entry) -> Error {
    Error::Failed(format!(
        "the vault changed under the value of log entry {} while it was read",
        entry.seq
    ))
}

impl Rotation {
    /// The slots whose credentials hold.
    pub fn in_use(&self) -> BTreeSet<Slot> {
        self.old.credentials().in_use()
    }

    /// Verifies the next entry of the log of now.
    fn read(&mut self, signed: &SignedEntry) -> Result<Entry, Error> {
        let keys = &self.retelling.old;
        self.old.replay(keys, signed)?;
        let entry = signed.verify(&keys.account(), &keys.log_key());
        Ok(entry.map_err(VerificationError::from)?)
    }

    /// Tells it again.
    fn tell(
        &mut self,
        entry: Entry,
        signed: &SignedEntry,
        value: &Fetched,
    ) -> Result<NewEntry, Error> {
        let failed = |error: String| Error::Failed(error);
        let told = self
            .retelling
            .entry(entry, signed, self.new.head(), value)
            .map_err(|error| failed(error.to_string()))?;
        self.new
            .replay(&self.retelling.new, &told.entry)
            .map_err(|error| failed(error.to_string()))?;
        Ok(told)
    }
}
