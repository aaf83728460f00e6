//! Credentials of an existing account. A new one is verified by a complete login before it replaces the old one, and an
//! entry of the vault log names the valid one.

use keyshell_base::names::SecretName;
use serde_bytes::ByteBuf;
use shared::ids::{Digest, Seq};
use shared::opaque::Slot;
use shared::secret::SecretBytes;
use shared::vault_log::{Credential, Op};
use shared::wire::call::{Delete, NewEntry};
use shared::wire::register::SlotRecord;
use shared::wire::slots::{Enrol, Install, ListSlots, SlotInfo, SlotsAnswer, Stage};

use crate::error::{Error, Result, Unfinished};
use crate::keys::account::AccountKeys;
use crate::keys::seal::DeviceNameContext;
use crate::keys::wrap;
use crate::opaque::credential::{self, NewCredential};
use crate::opaque::login::StartedLogin;
use crate::vault::conflicts::retry_on_conflict;
use crate::vault::open::Vault;
use crate::vault::sync::check_consistency;
use crate::verification::VerificationError;

/// Length of the secret of a device's own credential, in bytes.
pub const DEVICE_SECRET_LEN: usize = 32;

/// A credential to install.
#[derive(Debug, Clone, Copy)]
pub struct NewSlot<'a> {
    /// Its slot.
    pub slot: Slot,
    /// Password, recovery code or device secret.
    pub secret: &'a SecretBytes,
    /// The name of the device, for a device's slot.
    pub name: Option<&'a SecretName>,
}

impl<'a> NewSlot<'a> {
    /// A credential without a name.
    pub fn new(slot: Slot, secret: &'a SecretBytes) -> Self {
        let name = None;
        Self { slot, secret, name }
    }
}

/// The effect of an installation on other devices' own credentials.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OtherDevices {
    /// They stay valid.
    Keep,
    /// They are revoked: each device asks for the password again.
    Revoke,
}

/// Credentials that were registered and logged in with, but are not installed yet.
pub(crate) struct StagedCredentials {
    /// Their registration records.
    pub(crate) slots: Vec<SlotRecord>,
    /// KE3 of their logins (RFC 9807, section 6.1), one per slot.
    pub(crate) ke3: Vec<ByteBuf>,
}

impl Vault {
    /// Makes new credentials, verifies each by a complete login, and installs all of them at once in place of the old
    /// ones. Nothing is re-encrypted.
    ///
    /// # Errors
    /// [`Error::Exists`] if another device has changed the same credential since, [`Error::Verification`], and those of
    /// [`Vault::commit`].
    pub async fn install(&mut self, new: &[NewSlot<'_>], others: OtherDevices) -> Result<()> {
        self.sync().await?;
        let generations = self.next_generations(new);
        let keys = self.session.keys().clone();
        let staged = self.stage(new, &generations, &keys).await?;
        self.installing = new
            .iter()
            .map(|new| (new.slot, new.secret.clone()))
            .collect();
        let installed = self.install_staged(new, &staged, others).await;
        self.installing.clear();
        installed
    }

    async fn install_staged(
        &mut self,
        new: &[NewSlot<'_>],
        staged: &StagedCredentials,
        others: OtherDevices,
    ) -> Result<()> {
        retry_on_conflict(async || {
            let guard = self.hold_newest().await?;
            self.check_newest(staged)?;
            let Some(guard) = guard else {
                return Ok(false);
            };
            let entries = self.entries(new, staged, others)?;
            let install = Install {
                ke3: staged.ke3.clone(),
                entries: entries.iter().map(|new| new.entry.clone()).collect(),
            };
            self.append(guard, &entries, install).await
        })
        .await?;
        self.note_installed(staged)
    }

    /// The generation of each new credential in its slot.
    pub(crate) fn next_generations(&self, new: &[NewSlot<'_>]) -> Vec<u64> {
        let credentials = self.index.credentials();
        let next = |new: &NewSlot<'_>| credentials.generation(&new.slot).saturating_add(1);
        new.iter().map(next).collect()
    }

    /// Verifies that each staged credential is the next generation of its slot.
    pub(crate) fn check_newest(&self, staged: &StagedCredentials) -> Result<()> {
        let is_newest = |record: &SlotRecord| {
            let known = self.index.credentials().generation(&record.slot);
            record.wrapped.generation == known.saturating_add(1)
        };
        if staged.slots.iter().all(is_newest) {
            return Ok(());
        }
        let text = "another device changed the same credential meanwhile; nothing was changed";
        Err(Error::Exists(text.into()))
    }

    /// Replaces the secret of this device's own credential; no entry is appended, and the generation stays.
    ///
    /// # Errors
    /// [`Error::Verification`], and those of [`Session::ask`](crate::session::Session::ask).
    pub async fn renew_device(&mut self, secret: &SecretBytes) -> Result<()> {
        let slot = Slot::Device(self.session.device());
        let generation = self.index.credentials().generation(&slot);
        let new = [NewSlot::new(slot, secret)];
        let keys = self.session.keys().clone();
        let staged = self.stage(&new, &[generation], &keys).await?;
        let install = Install {
            ke3: staged.ke3.clone(),
            entries: Vec::new(),
        };
        self.session.ask(install).await?;
        self.note_installed(&staged)
    }

    pub(crate) fn note_installed(&mut self, staged: &StagedCredentials) -> Result<()> {
        for record in &staged.slots {
            let generation = record.wrapped.generation;
            self.pins
                .note_generation(&record.slot.to_string(), generation)?;
            let installed = SlotInfo::new(record.slot, &record.wrapped);
            self.session.replaced(installed);
        }
        self.state.pins.hold()?.save(&self.pins)
    }

    /// Registers credentials that wrap the account key of `keys`, and logs in with each up to KE3.
    pub(crate) async fn stage(
        &mut self,
        new: &[NewSlot<'_>],
        generations: &[u64],
        keys: &AccountKeys,
    ) -> Result<StagedCredentials> {
        let slots = self.register(new, generations, keys).await?;
        let account = self.session.account().clone();
        let mut attempts = Vec::new();
        let mut ke1 = Vec::new();
        for new in new {
            let (attempt, message) = StartedLogin::start(&account, new.slot, new.secret)?;
            attempts.push(attempt);
            ke1.push(message.ke1);
        }
        let stage = Stage {
            slots: slots.clone(),
            ke1,
        };
        let ke2 = self.session.ask(stage).await?;
        if ke2.len() != attempts.len() {
            return Err(VerificationError::SlotCount.into());
        }
        let mut ke3 = Vec::new();
        for ((attempt, ke2), record) in attempts.into_iter().zip(ke2).zip(&slots) {
            // The password was just registered: a refusal means that the server keeps another record.
            let proven =
                attempt
                    .finish(self.session.server(), &ke2)
                    .map_err(|error| match error {
                        Error::LoginRefused => VerificationError::RegisteredRefused.into(),
                        error => error,
                    })?;
            check_wrapped(keys, proven.export_key(), record)?;
            ke3.push(proven.ke3);
        }
        Ok(StagedCredentials { slots, ke3 })
    }

    async fn register(
        &mut self,
        new: &[NewSlot<'_>],
        generations: &[u64],
        keys: &AccountKeys,
    ) -> Result<Vec<SlotRecord>> {
        let account = self.session.account().clone();
        let credentials: Vec<NewCredential<'_>> = new
            .iter()
            .map(|new| NewCredential {
                account: &account,
                server: self.session.server(),
                slot: new.slot,
                secret: new.secret,
            })
            .collect();
        let (states, requests) = credential::requests(&credentials)?;
        let responses = self.session.ask(Enrol(requests)).await?;
        credential::records(&credentials, states, &responses, keys, generations)
    }

    fn entries(
        &self,
        new: &[NewSlot<'_>],
        staged: &StagedCredentials,
        others: OtherDevices,
    ) -> Result<Vec<NewEntry>> {
        let (keys, head) = (self.session.keys(), self.index.head());
        let mut ops = credential_ops(keys, new, staged, head.seq.next());
        if others == OtherDevices::Revoke {
            let others = self.other_devices().into_iter();
            ops.extend(others.map(|slot| self.revocation(slot)));
        }
        let entries = self.chain(keys, head, ops)?.into_iter();
        let new = entries.map(|entry| NewEntry { entry, value: None });
        Ok(new.collect())
    }

    /// The slots of other devices' own credentials.
    pub fn other_devices(&self) -> Vec<Slot> {
        let own = Slot::Device(self.session.device());
        let slots = self.index.credentials().in_use().into_iter();
        let is_other = |slot: &Slot| matches!(slot, Slot::Device(_)) && *slot != own;
        slots.filter(is_other).collect()
    }

    /// The operation that revokes the credential in this slot.
    pub(crate) fn revocation(&self, slot: Slot) -> Op {
        let known = self.index.credentials().generation(&slot);
        Op::Credential(Credential {
            slot,
            generation: known.saturating_add(1),
            wrapped: None,
            name: None,
        })
    }

    /// Revokes a credential: it opens no session from then on, and the device's sessions end.
    ///
    /// # Errors
    /// Those of [`Vault::commit`].
    pub async fn revoke(&mut self, slot: Slot) -> Result<()> {
        self.append_one(|vault, _| vault.revocation(slot)).await
    }

    /// Lists credentials and open sessions, as the server names them.
    ///
    /// # Errors
    /// [`Error::Verification`] for credentials that the vault log does not name, and those of
    /// [`Session::ask`](crate::session::Session::ask).
    pub async fn slots(&mut self) -> Result<SlotsAnswer> {
        let answer = self.read(ListSlots).await?;
        for shown in &answer.slots {
            self.check_credential(*shown)?;
        }
        Ok(answer)
    }

    /// Verifies that a credential which the server uses is the one that the vault log names.
    pub(crate) fn check_credential(&self, used: SlotInfo) -> Result<(), VerificationError> {
        let credentials = self.index.credentials();
        let slot = used.slot;
        let (logged, shown) = (credentials.generation(&slot).max(1), used.generation);
        if shown != logged {
            return Err(VerificationError::CredentialGeneration {
                slot,
                logged,
                shown,
            });
        }
        let Some(state) = credentials.get(&slot) else {
            return Ok(());
        };
        let is_same = match (state.wrapped, slot) {
            (None, _) => return Err(VerificationError::CredentialRevoked(slot)),
            // A device replaces its own secret without an entry, see `renew_device`.
            (Some(_), Slot::Device(_)) => true,
            (Some(wrapped), _) => wrapped == used.wrapped,
        };
        if is_same {
            return Ok(());
        }
        Err(VerificationError::CredentialKey(slot))
    }

    /// Gives this device a credential of its own, which opens sessions without the password, and a name if it has none.
    ///
    /// # Errors
    /// Those of [`Self::install`] and [`Self::renew_device`].
    pub async fn enrol_device(&mut self) -> Result<()> {
        let device = self.session.device();
        let credentials = self.index.credentials();
        let state = credentials.get(&Slot::Device(device));
        if state.is_none_or(|state| state.wrapped.is_none()) {
            let name = credentials.name_or_new(&device);
            return self.rename_device(&name).await;
        }
        let secret = SecretBytes::random(DEVICE_SECRET_LEN);
        self.renew_device(&secret).await?;
        self.device_secret = Some(secret);
        Ok(())
    }

    /// The secret of this device's own credential, if this process has it.
    pub fn device_secret(&self) -> Option<&SecretBytes> {
        self.device_secret.as_ref()
    }

    /// Takes over the secret of this device's own credential from an earlier session.
    pub fn keep_device_secret(&mut self, secret: SecretBytes) {
        self.device_secret = Some(secret);
    }

    /// Gives this device another name, together with a new credential of its own.
    ///
    /// # Errors
    /// Those of [`Self::install`].
    pub async fn rename_device(&mut self, name: &SecretName) -> Result<()> {
        let secret = SecretBytes::random(DEVICE_SECRET_LEN);
        let new = NewSlot {
            slot: Slot::Device(self.session.device()),
            secret: &secret,
            name: Some(name),
        };
        self.install(&[new], OtherDevices::Keep).await?;
        self.device_secret = Some(secret);
        Ok(())
    }

    /// Deletes the account; returns the server's last signed checkpoint of its audit log.
    ///
    /// # Errors
    /// [`Error::Verification`] for a checkpoint that does not extend the one that this device has seen, and those of
    /// [`Session::ask`](crate::session::Session::ask); [`Unfinished::Deletion`] where the answer was lost.
    pub async fn delete(mut self) -> Result<String> {
        let verified_size = self.pins.audit.map_or(0, |head| head.size);
        let answer = self.session.attempt(Delete(verified_size)).await;
        let deleted = answer.map_err(|error| error.unfinished(Unfinished::Deletion))??;
        let head = self.verified_note(&deleted.checkpoint)?;
        check_consistency(self.pins.audit, head, &deleted.consistency)?;
        if self
            .pins
            .audit
            .is_some_and(|before| before.size >= head.size)
        {
            return Err(VerificationError::DeletionNotCovered.into());
        }
        Ok(deleted.checkpoint)
    }
}

/// Verifies that the export key of the login opens the account key that the registration wrapped.
fn check_wrapped(
    keys: &AccountKeys,
    export_key: &[u8],
    record: &SlotRecord,
) -> Result<(), VerificationError> {
    let opened = wrap::unwrap(keys.account(), record.slot, export_key, &record.wrapped);
    if opened.is_ok_and(|root| root == *keys.root()) {
        return Ok(());
    }
    Err(VerificationError::NewCredential)
}

/// The operations by which the entries from position `seq` on name the new credentials.
pub(crate) fn credential_ops(
    keys: &AccountKeys,
    new: &[NewSlot<'_>],
    staged: &StagedCredentials,
    mut seq: Seq,
) -> Vec<Op> {
    let pairs = new.iter().zip(&staged.slots);
    let op = |(new, record)| {
        let op = credential_op(keys, new, record, seq);
        seq = seq.next();
        op
    };
    pairs.map(op).collect()
}

fn credential_op(keys: &AccountKeys, new: &NewSlot<'_>, record: &SlotRecord, seq: Seq) -> Op {
    let generation = record.wrapped.generation;
    let name = match (new.slot, new.name) {
        (Slot::Device(device), Some(name)) => {
            let place = DeviceNameContext {
                device,
                generation,
                seq,
            };
            Some(ByteBuf::from(place.seal(keys, name.as_str().as_bytes())))
        }
        _ => None,
    };
    Op::Credential(Credential {
        slot: new.slot,
        generation,
        wrapped: Some(Digest::of(&record.wrapped.blob)),
        name,
    })
}
