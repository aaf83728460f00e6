//! Replacement of the account key: the whole log and all values are re-encrypted and re-signed under a new key, and
//! replace the old ones at once. The old key, which a stolen device may hold, then opens and signs nothing on the
//! server.

use std::collections::{BTreeSet, VecDeque};

use shared::ids::{SecretId, Seq};
use shared::opaque::Slot;
use shared::secret::{Key, SecretBytes};
use shared::vault_log::{Entry, Head, MAX_EPOCH, Op, SignedEntry};
use shared::wire::call::{NewEntry, Sync};
use shared::wire::rekey::{NewLog, Prepared, ReadPrepared, ReadRewritten, Rekey, Rewrite};
use shared::wire::slots::Install;

use crate::device::pins::HeldPins;
use crate::error::{Error, Result, Unfinished};
use crate::index::{Index, VersionInfo};
use crate::keys::account::AccountKeys;
use crate::keys::wrap::WrapContext;
use crate::opaque::login::LoginCredential;
use crate::vault::append::replayed;
use crate::vault::conflicts::retry_on_conflict;
use crate::vault::enrol::{DEVICE_SECRET_LEN, NewSlot, StagedCredentials, credential_ops};
use crate::vault::fetch::Fetched;
use crate::vault::open::Vault;
use crate::vault::reencrypt::Reencryption;
use crate::verification::VerificationError;

/// Entries that are re-encrypted at once: their values are in memory together.
const CHUNK: usize = 32;
/// Approximate bytes of one request; the largest entry with its value fits in beyond it.
const REQUEST_BUDGET: usize = 2 * 1024 * 1024;

/// A replacement of the account key in progress.
#[derive(Debug)]
pub struct Rotation {
    reencryption: Reencryption,
    /// The replay of the current log, up to the last entry that was re-encrypted.
    old: Index,
    /// The replay of the re-encrypted log.
    new: Index,
    /// Position up to which the server had the re-encrypted log when this started.
    prepared: Seq,
    /// Re-encrypted entries that the server showed and that are not verified yet, oldest first.
    rewritten: VecDeque<SignedEntry>,
}

impl Vault {
    /// Re-encrypts the whole log under a new account key, beside the current one; continues one that broke off. The
    /// account key is not replaced yet. `password` is the current one, and stays valid.
    ///
    /// # Errors
    /// [`Error::LoginRefused`] for a wrong password, [`Error::Limit`] for a key that was replaced too often,
    /// [`Error::Verification`], [`Unfinished::Reencryption`], and those of
    /// [`Session::ask`](crate::session::Session::ask).
    pub async fn begin_rotation(&mut self, password: &SecretBytes) -> Result<Rotation> {
        let mut rotation = self.begin(password).await?;
        let reencrypted = self.reencrypt_new(&mut rotation).await;
        reencrypted.map_err(|error| error.unfinished(Unfinished::Reencryption))?;
        Ok(rotation)
    }

    /// Replaces the log and the account key. New credentials wrap the new key: the password, the recovery code where
    /// one is given, and this device's own where it has one. All others are revoked, and all other sessions end.
    ///
    /// # Errors
    /// [`Error::Exists`] if another device has changed the same credential or replaced the account key since,
    /// [`Error::Verification`], [`Unfinished::Replacement`], and those of [`Vault::commit`].
    pub async fn finish_rotation(
        &mut self,
        mut rotation: Rotation,
        password: &SecretBytes,
        recovery: Option<&SecretBytes>,
    ) -> Result<()> {
        // The server wants a recent login by password, and the re-encryption may have taken long.
        self.reopen(LoginCredential::new(Slot::Password, password))
            .await?;
        self.sync().await?;
        if self.session.keys().epoch() != rotation.reencryption.old.epoch() {
            let text = "another device replaced the account key meanwhile; nothing was changed";
            return Err(Error::Exists(text.into()));
        }
        let device = self.session.device();
        let name = self.index.credentials().name_or_new(&device);
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

    /// Continues a replacement that broke off, or starts one.
    async fn begin(&mut self, password: &SecretBytes) -> Result<Rotation> {
        let by = LoginCredential::new(Slot::Password, password);
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
        // A key that another device made is known to a thief of that device, so that it is not used.
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
            reencryption: Reencryption { old, new },
            old: Index::new(),
            new: Index::new(),
            prepared,
            rewritten: VecDeque::new(),
        })
    }

    async fn prepare(&mut self, log: NewLog) -> Result<()> {
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

    /// Re-encrypts the entries that are not yet, up to the head of the index.
    async fn reencrypt_new(&mut self, rotation: &mut Rotation) -> Result<()> {
        let mut progress = self
            .frontend
            .progress("re-encrypting the vault", self.index.head().seq.0);
        while rotation.old.head().seq < self.index.head().seq {
            let after = rotation.old.head().seq;
            let mut page = self.entries_after(after).await?;
            // Another device may have appended more since.
            let left = usize::try_from(self.index.head().seq.0 - after.0).unwrap_or(usize::MAX);
            page.truncate(left);
            if page.is_empty() {
                return Err(VerificationError::EntriesMissing.into());
            }
            for chunk in page.chunks(CHUNK) {
                self.reencrypt_chunk(rotation, chunk).await?;
                progress.reach(rotation.old.head().seq.0, self.index.head().seq.0);
            }
        }
        if rotation.old.head() == self.index.head() {
            return Ok(());
        }
        Err(VerificationError::LogChanged.into())
    }

    async fn entries_after(&mut self, after: Seq) -> Result<Vec<SignedEntry>> {
        let sync = Sync {
            after,
            audit_size: self.pins.audit.map_or(0, |head| head.size),
        };
        Ok(self.session.ask(sync).await?.entries)
    }

    async fn reencrypt_chunk(
        &mut self,
        rotation: &mut Rotation,
        chunk: &[SignedEntry],
    ) -> Result<()> {
        let mut remaining = Vec::new();
        for signed in chunk {
            let entry = rotation.read(signed)?;
            if entry.seq <= rotation.prepared {
                self.check_reencrypted(rotation, &entry, signed).await?;
            } else {
                let wanted = self.stored(&entry)?;
                remaining.push((entry, signed, wanted));
            }
        }
        let wanted: Vec<_> = remaining
            .iter()
            .filter_map(|(_, _, wanted)| *wanted)
            .collect();
        let mut values = self.fetch_each(&wanted).await?.into_iter();
        let mut batch = Vec::new();
        let mut bytes = 0;
        for (entry, signed, wanted) in remaining {
            // Decided by the request, since the index may have changed since.
            let value = match wanted {
                Some(_) => values.next().ok_or_else(|| changed_meanwhile(&entry))?,
                None => Fetched::Removed,
            };
            self.check_value(&entry, &value)?;
            let new = rotation.reencrypt(entry, signed, &value)?;
            bytes += new.entry.size() + new.value.as_ref().map_or(0, |value| value.len());
            batch.push(new);
            if bytes >= REQUEST_BUDGET {
                self.rewrite(rotation, std::mem::take(&mut batch)).await?;
                bytes = 0;
            }
        }
        self.rewrite(rotation, batch).await
    }

    /// The version that an [`Op::Put`] made; `None` where its secret was removed since.
    fn stored(&self, entry: &Entry) -> Result<Option<(SecretId, VersionInfo)>> {
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

    /// Verifies that only removed secrets lose their value, since the old log is deleted with all its values.
    fn check_value(&self, entry: &Entry, value: &Fetched) -> Result<()> {
        let Op::Put(put) = &entry.op else {
            return Ok(());
        };
        if !matches!(value, Fetched::Removed) || self.index.was_removed(&put.secret) {
            return Ok(());
        }
        Err(changed_meanwhile(entry))
    }

    /// Verifies that the server's re-encrypted entry is signed under the new key, and made from this entry.
    async fn check_reencrypted(
        &mut self,
        rotation: &mut Rotation,
        entry: &Entry,
        signed: &SignedEntry,
    ) -> Result<()> {
        if rotation.rewritten.is_empty() {
            let after = rotation.new.head().seq;
            rotation.rewritten = self.session.ask(ReadRewritten(after)).await?.into();
        }
        let other = VerificationError::OtherLogPrepared;
        let reencrypted = rotation.rewritten.pop_front().ok_or(other.clone())?;
        let keys = &rotation.reencryption.new;
        let replayed = rotation
            .new
            .replay(keys, &reencrypted)
            .map_err(|_| other.clone())?;
        if replayed.former == rotation.reencryption.former(entry, signed) {
            return Ok(());
        }
        Err(other.into())
    }

    async fn rewrite(&mut self, rotation: &Rotation, batch: Vec<NewEntry>) -> Result<()> {
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

    /// Stages credentials that wrap the new key, then replaces the old log and credentials.
    async fn replace(&mut self, rotation: &mut Rotation, new: &[NewSlot<'_>]) -> Result<()> {
        let generations = self.next_generations(new);
        let keys = rotation.reencryption.new.clone();
        let staged = self.stage(new, &generations, &keys).await?;
        retry_on_conflict(async || {
            self.sync().await?;
            self.check_newest(&staged)?;
            self.reencrypt_new(rotation).await?;
            let guard = self.hold_newest().await?;
            match guard.filter(|_| rotation.old.head() == self.index.head()) {
                Some(guard) => self.finish(guard, rotation, new, &staged).await,
                None => Ok(false),
            }
        })
        .await?;
        self.note_installed(&staged)
    }

    /// Sends the replacement; `false` on a conflict, after a sync.
    async fn finish(
        &mut self,
        guard: HeldPins,
        rotation: &Rotation,
        new: &[NewSlot<'_>],
        staged: &StagedCredentials,
    ) -> Result<bool> {
        let before = self.index.head();
        let keys = &rotation.reencryption.new;
        let entries = self.last_entries(rotation, new, staged)?;
        let first = entries.first().map(|entry| rotation.new.head().with(entry));
        let after = replayed(rotation.new.clone(), keys, &entries)?;
        let rekey = Rekey(Install {
            ke3: staged.ke3.clone(),
            entries,
        });
        let answer = self.session.attempt(rekey).await;
        match answer.map_err(|error| error.unfinished(Unfinished::Replacement))? {
            Ok(shown) if shown == after.head() => {
                self.session.rekeyed(keys.clone());
                self.index = after;
                self.pins.recognise(keys.epoch(), shown);
                self.save_state(&guard, before)?;
                Ok(true)
            }
            Ok(_) => Err(VerificationError::OtherEntriesStored.into()),
            Err(refusal) => self.refused(guard, first, before, refusal).await,
        }
    }

    /// The entries that end the re-encrypted log: the new epoch, its credentials, the revocation of all others.
    fn last_entries(
        &self,
        rotation: &Rotation,
        new: &[NewSlot<'_>],
        staged: &StagedCredentials,
    ) -> Result<Vec<SignedEntry>> {
        let keys = &rotation.reencryption.new;
        let head = rotation.new.head();
        let first = head.seq.next();
        let begin = rotation.reencryption.begin(self.index.head(), first);
        let mut ops = vec![Op::Rekey(begin)];
        ops.extend(credential_ops(keys, new, staged, first.next()));
        let mut others = self.index.credentials().in_use();
        others.retain(|slot| new.iter().all(|new| new.slot != *slot));
        ops.extend(others.into_iter().map(|slot| self.revocation(slot)));
        self.chain(keys, head, ops)
    }
}

fn changed_meanwhile(entry: &Entry) -> Error {
    Error::Failed(format!(
        "the vault changed under the value of log entry {} while it was read",
        entry.seq
    ))
}

impl Rotation {
    /// The slots whose credentials are valid.
    pub fn in_use(&self) -> BTreeSet<Slot> {
        self.old.credentials().in_use()
    }

    /// Verifies the next entry of the current log.
    fn read(&mut self, signed: &SignedEntry) -> Result<Entry> {
        let keys = &self.reencryption.old;
        self.old.replay(keys, signed)?;
        let entry = signed.verify(&keys.account(), &keys.log_key());
        Ok(entry.map_err(VerificationError::from)?)
    }

    /// Re-encrypts a verified entry.
    fn reencrypt(
        &mut self,
        entry: Entry,
        signed: &SignedEntry,
        value: &Fetched,
    ) -> Result<NewEntry> {
        // Failures of this device, not of the server.
        let failed = Error::failed;
        let (again, head) = (&self.reencryption, self.new.head());
        let reencrypted = again.entry(entry, signed, head, value).map_err(failed)?;
        let replayed = self.new.replay(&again.new, &reencrypted.entry);
        replayed.map_err(failed)?;
        Ok(reencrypted)
    }
}
