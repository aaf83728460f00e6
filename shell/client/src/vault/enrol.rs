//! Credentials of an existing account. A new one is verified by a complete login before it replaces the old one, and an
//! entry of the vault log names the valid one.

use std::net::IpAddr;

use keyshell_base::names::SecretName;
use serde_bytes::ByteBuf;
use shared::ids::Seq;
use shared::opaque::Slot;
use shared::secret::SecretBytes;
use shared::vault_log::{Credential, Op};
use shared::wire::call::Delete;
use shared::wire::register::{Lease, SlotRecord};
use shared::wire::slots::{Enrol, Install, ListSlots, SlotInfo, SlotsAnswer, Stage};

use crate::error::{Error, Result, Unfinished};
use crate::keys::account::AccountKeys;
use crate::keys::seal::TextContext;
use crate::keys::slot::SlotKeys;
use crate::keys::wrap;
use crate::opaque::credential::{self, Begun, NewCredential};
use crate::opaque::login::StartedLogin;
use crate::vault::open::Vault;
use crate::vault::sync::check_consistency;
use crate::verification::VerificationError;

/// Length of the secret of a device's own credential, in bytes.
pub const DEVICE_SECRET_LEN: usize = 32;

/// How often a list of credentials that contradicts the log is asked for again, after a sync: another device may have
/// changed one between the two answers.
const LATER_SYNCS: usize = 2;

/// A credential to install.
#[derive(Debug, Clone, Copy)]
pub struct NewSlot<'a> {
    /// Its slot.
    pub slot: Slot,
    /// Password, recovery code or device secret.
    pub secret: &'a SecretBytes,
    /// The name of the device, for a device's slot.
    pub name: Option<&'a SecretName>,
    /// The lease, for a device's slot.
    pub lease: Option<Lease>,
}

impl<'a> NewSlot<'a> {
    /// A password or recovery code.
    pub fn new(slot: Slot, secret: &'a SecretBytes) -> Self {
        Self {
            slot,
            secret,
            name: None,
            lease: None,
        }
    }
}

/// Credentials that were registered and logged in with, but are not installed yet.
pub(crate) struct StagedCredentials {
    /// Their registration records.
    pub(crate) slots: Vec<SlotRecord>,
    /// KE3 of their logins (RFC 9807, section 6.1), one per slot.
    pub(crate) ke3: Vec<ByteBuf>,
    /// Their key pairs, one per slot.
    pub(crate) keys: Vec<SlotKeys>,
}

impl StagedCredentials {
    pub(crate) fn get(&self, slot: &Slot) -> Option<&SlotKeys> {
        let mut both = self.slots.iter().zip(&self.keys);
        both.find(|(record, _)| record.slot == *slot)
            .map(|(_, keys)| keys)
    }
}

impl Vault {
    /// Replaces the secret of this device's own credential; no entry is appended, and the generation stays.
    ///
    /// # Errors
    /// [`Error::Verification`], and those of [`Session::ask`](crate::session::Session::ask).
    pub async fn renew_device(&mut self, secret: &SecretBytes, lease: Lease) -> Result<()> {
        let slot = Slot::Device(self.session.device());
        let state = self.index.credentials().get(&slot);
        let begun = state.map_or(Begun::default(), |state| Begun {
            generation: state.generation,
            epoch: state.epoch,
        });
        let new = [NewSlot {
            slot,
            secret,
            name: None,
            lease: Some(lease),
        }];
        let keys = self.session.keys().clone();
        let staged = self.stage(&new, &[begun], &keys).await?;
        let install = Install {
            ke3: staged.ke3.clone(),
            entries: Vec::new(),
            epoch: None,
        };
        self.session.ask(install).await?;
        self.note_installed(staged)
    }

    pub(crate) fn note_installed(&mut self, staged: StagedCredentials) -> Result<()> {
        for (record, keys) in staged.slots.iter().zip(staged.keys) {
            let generation = record.wrapped.generation;
            self.pins
                .note_generation(&record.slot.to_string(), generation)?;
            let installed = SlotInfo::new(record.slot, &record.wrapped);
            self.session.replaced(installed, keys);
        }
        self.state.pins.hold()?.save(&self.pins)
    }

    /// Registers credentials that wrap the account key of `keys`, and logs in with each up to KE3.
    pub(crate) async fn stage(
        &mut self,
        new: &[NewSlot<'_>],
        begun: &[Begun],
        keys: &AccountKeys,
    ) -> Result<StagedCredentials> {
        let registered = self.register(new, begun, keys).await?;
        let (slots, slot_keys): (Vec<_>, Vec<_>) = registered.into_iter().unzip();
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
        Ok(StagedCredentials {
            slots,
            ke3,
            keys: slot_keys,
        })
    }

    async fn register(
        &mut self,
        new: &[NewSlot<'_>],
        begun: &[Begun],
        keys: &AccountKeys,
    ) -> Result<Vec<(SlotRecord, SlotKeys)>> {
        let account = self.session.account().clone();
        let device = self.session.device_identity().clone();
        let server = self.session.server();
        let credentials: Vec<NewCredential<'_>> = new
            .iter()
            .map(|new| NewCredential {
                account: &account,
                server,
                slot: new.slot,
                secret: new.secret,
                device: &device,
                lease: new.lease,
            })
            .collect();
        let (states, requests) = credential::requests(&credentials)?;
        let responses = self.session.ask(Enrol(requests)).await?;
        credential::records(&credentials, states, &responses, keys, begun)
    }

    /// The slots of other devices' own credentials.
    pub fn other_devices(&self) -> Vec<Slot> {
        let own = Slot::Device(self.session.device());
        let slots = self.index.credentials().in_use().into_iter();
        let is_other = |slot: &Slot| matches!(slot, Slot::Device(_)) && *slot != own;
        slots.filter(is_other).collect()
    }

    /// Revokes credentials: they open no session from then on, the devices' sessions end, and a key epoch begins.
    ///
    /// # Errors
    /// Those of [`Vault::begin_epoch`].
    pub async fn revoke(&mut self, slots: &[Slot]) -> Result<()> {
        self.begin_epoch(&[], slots).await
    }

    /// Lists credentials and open sessions, as the server names them.
    ///
    /// # Errors
    /// [`Error::Verification`] for credentials that the vault log does not name, and those of
    /// [`Session::ask`](crate::session::Session::ask).
    pub async fn slots(&mut self) -> Result<SlotsAnswer> {
        let mut answer = self.read(ListSlots).await?;
        let mut checked = self.check_credentials(&answer.slots);
        for _ in 0..LATER_SYNCS {
            if checked.is_ok() || self.acknowledging {
                break;
            }
            // Another device may have changed a credential since the last sync.
            self.sync().await?;
            answer = self.read(ListSlots).await?;
            checked = self.check_credentials(&answer.slots);
        }
        checked?;
        let mut remotes = answer.sessions.iter().map(|session| &session.remote);
        if remotes.any(|remote| remote.parse::<IpAddr>().is_err()) {
            return Err(VerificationError::SessionAddress.into());
        }
        Ok(answer)
    }

    fn check_credentials(&self, used: &[SlotInfo]) -> Result<(), VerificationError> {
        used.iter()
            .try_for_each(|used| self.check_credential(*used))
    }

    /// Verifies that a credential which the server uses is the one that the vault log names.
    pub(crate) fn check_credential(&self, used: SlotInfo) -> Result<(), VerificationError> {
        let credentials = self.index.credentials();
        let slot = used.slot;
        let (logged, shown) = (credentials.generation(&slot), used.generation);
        if shown != logged {
            return Err(VerificationError::CredentialGeneration {
                slot,
                logged,
                shown,
            });
        }
        let Some(state) = credentials.get(&slot) else {
            return Err(VerificationError::CredentialGeneration {
                slot,
                logged,
                shown,
            });
        };
        let is_same = match (&state.keys, slot) {
            (None, _) => return Err(VerificationError::CredentialRevoked(slot)),
            // A device replaces its own secret without an entry, see `renew_device`.
            (Some(_), Slot::Device(_)) => true,
            (Some(keys), _) => keys.wrapped == used.wrapped,
        };
        if is_same {
            return Ok(());
        }
        Err(VerificationError::CredentialKey(slot))
    }

    /// Gives this device a credential of its own, which opens sessions without the password, and a name if it has none.
    ///
    /// # Errors
    /// Those of [`Vault::begin_epoch`] and [`Self::renew_device`].
    pub async fn enrol_device(&mut self, lease: Lease) -> Result<()> {
        let device = self.session.device();
        let credentials = self.index.credentials();
        let state = credentials.get(&Slot::Device(device));
        let epoch = self.session.keys().epoch();
        let is_older = state.is_some_and(|state| state.epoch < epoch);
        let is_revoked = state.is_none_or(|state| state.keys.is_none());
        // A credential whose lease was over when a key epoch began got no account key of that epoch.
        if is_revoked || (is_older && self.over().await?.contains(&Slot::Device(device))) {
            let credentials = self.index.credentials();
            let name = credentials.name_or_new(&device);
            return self.rename_device(&name, lease).await;
        }
        let secret = SecretBytes::random(DEVICE_SECRET_LEN);
        self.renew_device(&secret, lease).await?;
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
    /// Those of [`Vault::begin_epoch`].
    pub async fn rename_device(&mut self, name: &SecretName, lease: Lease) -> Result<()> {
        let secret = SecretBytes::random(DEVICE_SECRET_LEN);
        let new = NewSlot {
            slot: Slot::Device(self.session.device()),
            secret: &secret,
            name: Some(name),
            lease: Some(lease),
        };
        self.install_device(new).await?;
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
    if opened.is_ok_and(|key| keys.of_epoch(record.wrapped.epoch) == Some(&key)) {
        return Ok(());
    }
    Err(VerificationError::NewCredential)
}

/// The operation by which the entry at position `seq` names a new credential.
pub(crate) fn credential_op(
    keys: &AccountKeys,
    new: &NewSlot<'_>,
    (record, slot_keys): (&SlotRecord, &SlotKeys),
    seq: Seq,
) -> Result<Op> {
    let generation = record.wrapped.generation;
    let name = match (new.slot, new.name) {
        (Slot::Device(device), Some(name)) => {
            let place = TextContext::DeviceName {
                device,
                generation,
                seq,
            };
            let sealed = place.seal(keys, name.as_str().as_bytes())?;
            Some(ByteBuf::from(sealed))
        }
        _ => None,
    };
    Ok(Op::Credential(Credential {
        slot: new.slot,
        generation,
        keys: Some(slot_keys.public(&record.wrapped.blob)),
        name,
    }))
}
