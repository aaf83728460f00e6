//! Credentials of an account that exists: a new one is proven by a complete login before it takes the place of the old
//! one, and the owner says in the vault log which one holds.

use keyshell_base::names::SecretName;
use serde_bytes::ByteBuf;
use shared::ids::Digest;
use shared::opaque::Slot;
use shared::secret::SecretBytes;
use shared::vault_log::{Credential, Head, Op};
use shared::wire::call::{Delete, NewEntry};
use shared::wire::register::SlotRecord;
use shared::wire::slots::{Enrol, Install, ListSlots, SlotInfo, SlotsAnswer, Stage};

use crate::error::{Error, Unfinished};
use crate::index::device_name;
use crate::keys::account::AccountKeys;
use crate::keys::seal::NamePlace;
use crate::keys::wrap::WrapContext;
use crate::opaque::credential::NewCredential;
use crate::opaque::login::Attempt;
use crate::vault::append::{MAX_CONFLICTS, pause, too_many_conflicts};
use crate::vault::open::Vault;
use crate::vault::sync::check_consistency;
use crate::verification::VerificationError;

/// Length of a device's secret, in bytes.
pub const DEVICE_SECRET_LEN: usize = 32;

/// A credential to put in place.
#[derive(Debug, Clone, Copy)]
pub struct NewSlot<'a> {
    /// In which slot.
    pub slot: Slot,
    /// Password, recovery code or device secret.
    pub secret: &'a SecretBytes,
    /// The name of the device, for a device's slot.
    pub name: Option<&'a SecretName>,
}

/// What becomes of the credentials that other devices have of their own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Others {
    /// They open sessions as before.
    Stay,
    /// They are revoked: each asks for the password again.
    Go,
}

/// Credentials whose logins succeeded.
pub(crate) struct Proven {
    /// What was registered.
    pub(crate) slots: Vec<SlotRecord>,
    /// RFC 9807's KE3, one a slot.
    pub(crate) ke3: Vec<ByteBuf>,
}

impl Vault {
    /// Makes new credentials, proves each by a complete login, and puts all of them in place at once. The old ones open
    /// nothing from then on; nothing is re-encrypted. `others` says what becomes of other devices' own.
    ///
    /// # Errors
    /// [`Error::Exists`] if another device changed the same credential meanwhile, [`Error::Verification`], and those of
    /// every exchange.
    pub async fn install(&mut self, new: &[NewSlot<'_>], others: Others) -> Result<(), Error> {
        self.sync().await?;
        let credentials = self.index.credentials();
        let generations: Vec<u64> = new
            .iter()
            .map(|new| credentials.generation(&new.slot).saturating_add(1))
            .collect();
        let keys = self.session.keys().clone();
        let proven = self.prove(new, &generations, &keys).await?;
        self.installing = new
            .iter()
            .map(|new| (new.slot, new.secret.clone()))
            .collect();
        let installed = self.place(new, &proven, others).await;
        self.installing.clear();
        installed
    }

    async fn place(
        &mut self,
        new: &[NewSlot<'_>],
        proven: &Proven,
        others: Others,
    ) -> Result<(), Error> {
        for conflicts in 0..MAX_CONFLICTS {
            let file = self.state.pins.clone();
            let guard = self.hold_newest(&file).await?;
            self.check_newest(proven)?;
            if let Some(guard) = guard {
                let entries = self.entries(new, proven, others)?;
                let install = Install {
                    ke3: proven.ke3.clone(),
                    entries: entries.iter().map(|new| new.entry.clone()).collect(),
                };
                if self.append(guard, &entries, install).await? {
                    return self.note_installed(proven);
                }
            }
            pause(conflicts).await;
        }
        Err(too_many_conflicts())
    }

    /// Each must be the next one of its slot.
    pub(crate) fn check_newest(&self, proven: &Proven) -> Result<(), Error> {
        let is_newest = |record: &SlotRecord| {
            let known = self.index.credentials().generation(&record.slot);
            record.wrapped.generation == known.saturating_add(1)
        };
        if proven.slots.iter().all(is_newest) {
            return Ok(());
        }
        let text = "another device changed the same credential meanwhile; nothing was changed";
        Err(Error::Exists(text.into()))
    }

    /// Gives this device's slot another secret. Nothing else changes, and nothing is said in the log.
    ///
    /// # Errors
    /// [`Error::Verification`], and those of every exchange.
    pub async fn renew_device(&mut self, secret: &SecretBytes) -> Result<(), Error> {
        let slot = Slot::Device(self.session.device());
        let generation = self.index.credentials().generation(&slot);
        let new = [NewSlot {
            slot,
            secret,
            name: None,
        }];
        let keys = self.session.keys().clone();
        let proven = self.prove(&new, &[generation], &keys).await?;
        let install = Install {
            ke3: proven.ke3.clone(),
            entries: Vec::new(),
        };
        self.session.ask(install).await?;
        self.note_installed(&proven)
    }

    pub(crate) fn note_installed(&mut self, proven: &Proven) -> Result<(), Error> {
        for record in &proven.slots {
            let generation = record.wrapped.generation;
            self.pins
                .note_generation(&record.slot.to_string(), generation)?;
            let installed = SlotInfo::new(record.slot, &record.wrapped);
            self.session.replaced(installed);
        }
        self.state.pins.hold()?.save(&self.pins)
    }

    /// Registration, and a login by what was registered, up to KE3; `keys` are what the credentials will open.
    pub(crate) async fn prove(
        &mut self,
        new: &[NewSlot<'_>],
        generations: &[u64],
        keys: &AccountKeys,
    ) -> Result<Proven, Error> {
        let slots = self.register(new, generations, keys).await?;
        let account = self.session.account().clone();
        let mut attempts = Vec::new();
        let mut ke1 = Vec::new();
        for new in new {
            let (attempt, message) = Attempt::start(&account, new.slot, new.secret)?;
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
            // Just registered: a refusal says that the server keeps something else.
            let proven =
                attempt
                    .prove(self.session.server(), &ke2)
                    .map_err(|error| match error {
                        Error::LoginRefused => VerificationError::RegisteredRefused.into(),
                        error => error,
                    })?;
            check_wrapped(keys, proven.export_key(), record)?;
            ke3.push(proven.ke3);
        }
        Ok(Proven { slots, ke3 })
    }

    async fn register(
        &mut self,
        new: &[NewSlot<'_>],
        generations: &[u64],
        keys: &AccountKeys,
    ) -> Result<Vec<SlotRecord>, Error> {
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
        let mut states = Vec::new();
        let mut requests = Vec::new();
        for credential in &credentials {
            let (state, request) = credential.request()?;
            states.push(state);
            requests.push(request);
        }
        let responses = self.session.ask(Enrol(requests)).await?;
        if responses.len() != states.len() {
            return Err(VerificationError::SlotCount.into());
        }
        let made = credentials.iter().zip(states).zip(responses);
        made.zip(generations)
            .map(|(((credential, state), response), generation)| {
                credential.record(state, &response, keys, *generation)
            })
            .collect()
    }

    fn entries(
        &self,
        new: &[NewSlot<'_>],
        proven: &Proven,
        others: Others,
    ) -> Result<Vec<NewEntry>, Error> {
        let keys = self.session.keys();
        let mut head = self.index.head();
        let mut entries = Vec::new();
        let mut push = |op: &dyn Fn(Head) -> Op| -> Result<(), Error> {
            let entry = self.entry(head, op(head))?;
            head = head.with(&entry);
            entries.push(NewEntry { entry, value: None });
            Ok(())
        };
        for (new, record) in new.iter().zip(&proven.slots) {
            push(&|head| said(keys, new, record, head))?;
        }
        if others == Others::Go {
            for slot in self.other_devices() {
                push(&|_| self.revocation(slot))?;
            }
        }
        Ok(entries)
    }

    /// The slots of other devices that have a credential of their own.
    pub fn other_devices(&self) -> Vec<Slot> {
        let own = Slot::Device(self.session.device());
        let slots = self.index.credentials().in_use().into_iter();
        let is_other = |slot: &Slot| matches!(slot, Slot::Device(_)) && *slot != own;
        slots.filter(is_other).collect()
    }

    /// What revokes the credential in this slot.
    pub(crate) fn revocation(&self, slot: Slot) -> Op {
        let known = self.index.credentials().generation(&slot);
        Op::Credential(Credential {
            slot,
            generation: known.saturating_add(1),
            wrapped: None,
            name: None,
        })
    }

    /// Revokes a credential: it opens nothing from then on, and the device's sessions end.
    ///
    /// # Errors
    /// [`Error::Verification`], and those of every exchange.
    pub async fn revoke(&mut self, slot: Slot) -> Result<(), Error> {
        self.append_one(|vault, _| vault.revocation(slot)).await
    }

    /// What the server says there is: credentials and open sessions.
    ///
    /// # Errors
    /// [`Error::Verification`] where the credentials are not those that the owner's entries name, and those of every
    /// exchange.
    pub async fn slots(&mut self) -> Result<SlotsAnswer, Error> {
        let answer = self.read(ListSlots).await?;
        for shown in &answer.slots {
            self.check_credential(*shown)?;
        }
        Ok(answer)
    }

    /// A credential that the server goes by must be the one that the owner's entries name.
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
            (None, _) => return Err(VerificationError::CredentialRevoked { slot }),
            // A device's secret changes with the program that holds it.
            (Some(_), Slot::Device(_)) => true,
            (Some(wrapped), _) => wrapped == used.wrapped,
        };
        if is_same {
            return Ok(());
        }
        Err(VerificationError::CredentialKey { slot })
    }

    /// Gives this device a credential of its own, by which it opens sessions again without the password; and a name, if
    /// it has none yet.
    ///
    /// # Errors
    /// Those of [`Self::install`] and [`Self::renew_device`].
    pub async fn enrol_device(&mut self) -> Result<(), Error> {
        let device = self.session.device();
        let credentials = self.index.credentials();
        let state = credentials.get(&Slot::Device(device));
        if state.is_none_or(|state| state.wrapped.is_none()) {
            let name = device_name::name(credentials, &device);
            return self.rename_device(&name).await;
        }
        let secret = SecretBytes::random(DEVICE_SECRET_LEN);
        self.renew_device(&secret).await?;
        self.device_secret = Some(secret);
        Ok(())
    }

    /// The secret of this device's own credential, if this run has it.
    pub fn device_secret(&self) -> Option<&SecretBytes> {
        self.device_secret.as_ref()
    }

    /// Takes the secret of this device's own credential over from a session before.
    pub fn keep_device_secret(&mut self, secret: SecretBytes) {
        self.device_secret = Some(secret);
    }

    /// Gives this device another name, which takes another credential.
    ///
    /// # Errors
    /// Those of [`Self::install`].
    pub async fn rename_device(&mut self, name: &SecretName) -> Result<(), Error> {
        let secret = SecretBytes::random(DEVICE_SECRET_LEN);
        let new = NewSlot {
            slot: Slot::Device(self.session.device()),
            secret: &secret,
            name: Some(name),
        };
        self.install(&[new], Others::Stay).await?;
        self.device_secret = Some(secret);
        Ok(())
    }

    /// Deletes the account; returns the server's last signed checkpoint of its audit log.
    ///
    /// # Errors
    /// [`Error::Verification`] for a checkpoint that does not extend what this device has seen, and those of every
    /// exchange.
    pub async fn delete(mut self) -> Result<String, Error> {
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

/// What comes out of the login must open what was wrapped at the registration.
fn check_wrapped(
    keys: &AccountKeys,
    export_key: &[u8],
    record: &SlotRecord,
) -> Result<(), VerificationError> {
    let context = WrapContext {
        account: &keys.account(),
        slot: &record.slot,
        generation: record.wrapped.generation,
        epoch: record.wrapped.epoch,
    };
    let opened = context.unwrap(export_key, &record.wrapped.blob);
    if opened.is_ok_and(|root| root == *keys.root()) {
        return Ok(());
    }
    Err(VerificationError::NewCredential)
}

/// What the entry on top of `head` says of a new credential.
pub(crate) fn said(keys: &AccountKeys, new: &NewSlot<'_>, record: &SlotRecord, head: Head) -> Op {
    let generation = record.wrapped.generation;
    let name = match (new.slot, new.name) {
        (Slot::Device(device), Some(name)) => {
            let place = NamePlace {
                device,
                generation,
                seq: head.seq.next(),
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
