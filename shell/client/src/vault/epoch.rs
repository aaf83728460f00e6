//! Key epochs: a fresh account key for everything that is written from then on. A change or revocation of a credential
//! begins one, so that the former credential and any copy of the server from before open nothing that is written later.

use ed25519_dalek::Signer as _;
use serde_bytes::ByteBuf;
use shared::ids::Signature;
use shared::opaque::Slot;
use shared::secret::Key;
use shared::vault_log::{Acknowledge, Credential, Head, MAX_EPOCH, Op, Rekey};
use shared::wire::call::NewEntry;
use shared::wire::register::SlotRecord;
use shared::wire::slots::{Install, NewEpoch, SlotKey};

use crate::error::{Error, Result};
use crate::index::Credentials;
use crate::keys::account::AccountKeys;
use crate::keys::slot::{SlotContext, SlotKeys};
use crate::opaque::credential::Begun;
use crate::vault::conflicts::retry_on_conflict;
use crate::vault::enrol::{NewSlot, StagedCredentials, credential_op};
use crate::vault::open::Vault;

/// The credentials that an installation revokes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Revoked<'a> {
    /// These.
    Slots(&'a [Slot]),
    /// Those of all devices, also of ones that another session enrols until the installation is stored.
    Devices,
}

impl Revoked<'_> {
    fn slots(self, credentials: &Credentials) -> Vec<Slot> {
        match self {
            Self::Slots(slots) => slots.to_vec(),
            Self::Devices => {
                let slots = credentials.in_use().into_iter();
                slots
                    .filter(|slot| matches!(slot, Slot::Device(_)))
                    .collect()
            }
        }
    }
}

impl Vault {
    /// Gives this device a credential of its own, with a fresh generation. No key epoch begins.
    pub(crate) async fn install_device(&mut self, new: NewSlot<'_>) -> Result<()> {
        self.sync().await?;
        let keys = self.session.keys().clone();
        self.install(None, &[new], Revoked::Slots(&[]), &keys).await
    }

    /// Begins a key epoch: makes new credentials, verifies each by a complete login, installs all of them at once in
    /// place of the old ones, and revokes others. The fresh account key is encapsulated to every credential that stays,
    /// so that recovery sheet and other devices go on working. Nothing is re-encrypted.
    ///
    /// # Errors
    /// [`Error::Exists`] if another device has changed the same credential or begun an epoch since, [`Error::Limit`]
    /// after [`MAX_EPOCH`] epochs, [`Error::Verification`], and those of [`Vault::commit`].
    pub async fn begin_epoch(&mut self, new: &[NewSlot<'_>], revoked: &[Slot]) -> Result<()> {
        self.sync().await?;
        self.begin_epoch_after(None, new, Revoked::Slots(revoked))
            .await
    }

    /// As [`Self::begin_epoch`]; acknowledges the loss of entries together with it.
    pub(crate) async fn begin_epoch_after(
        &mut self,
        lost: Option<LostHead>,
        new: &[NewSlot<'_>],
        revoked: Revoked<'_>,
    ) -> Result<()> {
        let keys = self.session.keys();
        if keys.epoch() >= MAX_EPOCH {
            let text = "this account key was replaced as often as it can be; make a new account";
            return Err(Error::Limit(text.into()));
        }
        let next = keys.with_next(Key::random());
        self.install(lost, new, revoked, &next).await
    }

    /// Installs credentials in the current epoch of `keys`, which begins with them if it is later than the session's.
    async fn install(
        &mut self,
        lost: Option<LostHead>,
        new: &[NewSlot<'_>],
        revoked: Revoked<'_>,
        keys: &AccountKeys,
    ) -> Result<()> {
        let begun: Vec<Begun> = new
            .iter()
            .map(|new| Begun {
                generation: self.next_generation(&new.slot),
                epoch: keys.epoch(),
            })
            .collect();
        let staged = if new.is_empty() {
            StagedCredentials {
                slots: Vec::new(),
                ke3: Vec::new(),
                keys: Vec::new(),
            }
        } else {
            self.stage(new, &begun, keys).await?
        };
        self.installing = new
            .iter()
            .map(|new| (new.slot, new.secret.clone()))
            .collect();
        let installed = self.install_staged(lost, new, &staged, revoked, keys).await;
        self.installing.clear();
        installed?;
        self.note_installed(staged)
    }

    async fn install_staged(
        &mut self,
        lost: Option<LostHead>,
        new: &[NewSlot<'_>],
        staged: &StagedCredentials,
        revoked: Revoked<'_>,
        keys: &AccountKeys,
    ) -> Result<()> {
        let former = self.session.keys().epoch();
        let begins_epoch = keys.epoch() > former;
        retry_on_conflict(async || {
            let over = if begins_epoch {
                self.over().await?
            } else {
                Vec::new()
            };
            let Some(guard) = self.hold_newest().await? else {
                return Ok(false);
            };
            self.check_newest(staged, former)?;
            let revoked = revoked.slots(self.index.credentials());
            let (slot_keys, unusable) = if begins_epoch {
                self.slot_keys(staged, &[&*revoked, &over].concat(), keys)
            } else {
                (Vec::new(), Vec::new())
            };
            let revoked = [revoked, unusable].concat();
            let entries = self.credential_entries(lost, new, staged, &revoked, keys)?;
            let install = Install {
                ke3: staged.ke3.clone(),
                entries: entries.iter().map(|new| new.entry.clone()).collect(),
                epoch: begins_epoch.then(|| NewEpoch {
                    slot_keys,
                    history: ByteBuf::from(keys.seal_history()),
                }),
            };
            self.append_under(keys, guard, &entries, install).await
        })
        .await
    }

    /// The account key of a new epoch, encapsulated to each credential that stays; and the devices' credentials whose
    /// KEM keys are none, which must be revoked.
    fn slot_keys(
        &self,
        staged: &StagedCredentials,
        excluded: &[Slot],
        keys: &AccountKeys,
    ) -> (Vec<SlotKey>, Vec<Slot>) {
        let (mut slot_keys, mut unusable) = (Vec::new(), Vec::new());
        for (slot, state) in self.index.credentials().iter() {
            let Some(public) = &state.keys else { continue };
            if staged.get(slot).is_some() || excluded.contains(slot) {
                continue;
            }
            let context = SlotContext {
                account: keys.account(),
                slot: *slot,
                generation: state.generation,
            };
            match context.encapsulate(&public.kem, keys.epoch(), keys.current()) {
                Ok(slot_key) => slot_keys.push(slot_key),
                Err(_) => unusable.push(*slot),
            }
        }
        (slot_keys, unusable)
    }

    /// The devices whose credentials have a lease that is over.
    pub(crate) async fn over(&mut self) -> Result<Vec<Slot>> {
        let shown = self.slots().await?.slots;
        let is_over = |slot: &Slot| {
            let shown = shown.iter().find(|shown| shown.slot == *slot);
            matches!(slot, Slot::Device(_)) && shown.is_none_or(|shown| shown.is_over)
        };
        let slots = self.index.credentials().in_use().into_iter();
        Ok(slots.filter(is_over).collect())
    }

    fn next_generation(&self, slot: &Slot) -> u64 {
        self.index.credentials().generation(slot).saturating_add(1)
    }

    /// Verifies that each staged credential is the next generation of its slot, and that no other epoch began.
    fn check_newest(&self, staged: &StagedCredentials, epoch: u32) -> Result<()> {
        let is_newest =
            |record: &SlotRecord| record.wrapped.generation == self.next_generation(&record.slot);
        if staged.slots.iter().all(is_newest) && self.session.keys().epoch() == epoch {
            return Ok(());
        }
        let text = "another device changed the same credential, or the account key, meanwhile; nothing was changed";
        Err(Error::Exists(text.into()))
    }

    /// Signed by the log key of the lost epoch, where the restored log goes up to it; else other devices ask their owner.
    fn acknowledgement(&self, lost: LostHead) -> Op {
        let keys = self.session.keys();
        let message = Acknowledge::message(&keys.account(), &lost.head, &self.index.head().hash);
        let key = keys.signing_of(lost.epoch);
        Op::Acknowledge(Acknowledge {
            lost_seq: lost.head.seq,
            lost_hash: lost.head.hash,
            signature: key.map(|key| Signature::new(key.sign(&message).to_bytes())),
        })
    }

    /// The entries of an installation: the epoch that begins, the new credentials, the revocations. Each is authorised
    /// by the newest credential of the slot that opened this session.
    fn credential_entries(
        &self,
        lost: Option<LostHead>,
        new: &[NewSlot<'_>],
        staged: &StagedCredentials,
        revoked: &[Slot],
        keys: &AccountKeys,
    ) -> Result<Vec<NewEntry>> {
        let mut signed = SignedEntries {
            vault: self,
            by: self.session.slot_keys(),
            head: self.index.head(),
            entries: Vec::new(),
        };
        if let Some(lost) = lost {
            signed.push(self.session.keys(), self.acknowledgement(lost))?;
        }
        if keys.epoch() > self.session.keys().epoch() {
            let rekey = Rekey {
                epoch: keys.epoch(),
                log_key: keys.log_key(),
                credentials: u8::try_from(new.len() + revoked.len()).map_err(Error::failed)?,
            };
            signed.push(self.session.keys(), Op::Rekey(rekey))?;
        }
        for ((new, record), slot_keys) in new.iter().zip(&staged.slots).zip(&staged.keys) {
            let op = credential_op(keys, new, (record, slot_keys), signed.head.seq.next())?;
            signed.push(keys, op)?;
            if new.slot == self.session.by().slot {
                signed.by = slot_keys;
            }
        }
        for slot in revoked {
            let revocation = Op::Credential(Credential {
                slot: *slot,
                generation: self.next_generation(slot),
                keys: None,
                name: None,
            });
            signed.push(keys, revocation)?;
        }
        Ok(signed.entries)
    }
}

/// The head of a lost log, and the key epoch that the device had pinned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct LostHead {
    pub(crate) head: Head,
    pub(crate) epoch: u32,
}

/// Entries that follow each other, under construction.
struct SignedEntries<'a> {
    vault: &'a Vault,
    /// The keys that authorise the next entry.
    by: &'a SlotKeys,
    head: Head,
    entries: Vec<NewEntry>,
}

impl SignedEntries<'_> {
    fn push(&mut self, keys: &AccountKeys, op: Op) -> Result<()> {
        let entry = self
            .vault
            .authorised_entry(keys, self.head, op, Some(self.by))?;
        self.head = self.head.with(&entry);
        self.entries.push(NewEntry {
            entry,
            value: None,
            metadata: None,
        });
        Ok(())
    }
}
