//! A server that was restored from a backup. It looks like one that rolls back its log, and only the owner can tell the
//! two apart: an entry signed by the owner acknowledges the loss to all devices.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use keyshell_base::names::SecretName;
use shared::checkpoint::TreeHead;
use shared::ids::{PublicKey, SecretId, Seq, Version};
use shared::opaque::Slot;
use shared::request;
use shared::secret::SecretBytes;
use shared::vault_log::{Acknowledge, FIRST_EPOCH, Head};

use crate::device::pins::{PinnedCredential, Pins};
use crate::error::{Error, Result};
use crate::frontend::Frontend;
use crate::index::{Credentials, Index, VersionInfo};
use crate::keys::password::Password;
use crate::session::Session;
use crate::vault::enrol::NewSlot;
use crate::vault::epoch::{LostHead, Revoked};
use crate::vault::open::{DeviceState, Vault};
use crate::vault::sync::{Continuity, LOSS_ACKNOWLEDGED, ReplayFailure};

/// The state that a restored server lost, as far as this device knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RestoreLoss {
    /// The head of the vault log that this device has seen.
    pub seen: Head,
    /// The head that the server shows.
    pub shown: Head,
    /// Number of audit records that this device has seen, and that the server shows.
    pub records: (u64, u64),
    /// Secrets whose newest version is lost, with that version.
    pub secrets: Vec<(SecretId, SecretName, Version)>,
    /// Secrets that were removed and exist again.
    pub returned: Vec<SecretName>,
    /// Secrets whose metadata differ from those that this device has seen, by the name that it has seen.
    pub described: Vec<SecretName>,
    /// Credentials that are valid again, or that this device has never seen: each is replaced or revoked together with
    /// the acknowledgement.
    pub returned_credentials: Vec<ReturnedCredential>,
    /// Labels of slots whose credential is lost.
    pub lost_credentials: Vec<String>,
    /// Newest key epoch that this device has seen.
    pub seen_epoch: u32,
    /// Whether the current account key is one that had been replaced.
    pub is_older_key: bool,
    /// Whether this device has a cached index to compare with; else the lists are empty.
    pub is_known: bool,
    /// Whether it has one that no account key of the server opens.
    pub is_sealed: bool,
}

/// A credential that a restored server has, and that is not the newest one which this device has seen in its slot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReturnedCredential {
    /// The slot.
    pub slot: Slot,
    /// Name of the device, for a device's slot.
    pub device: Option<String>,
    /// Newest generation that this device has seen; `None` for a slot that it has never seen.
    pub seen: Option<u64>,
    /// Generation shown.
    pub shown: u64,
}

/// Credentials that replace returned ones. Those of devices are revoked.
#[derive(Debug, Clone, Default)]
pub struct NewCredentials {
    /// The new password.
    pub password: Option<Password>,
    /// The new recovery code.
    pub recovery: Option<SecretBytes>,
}

impl RestoreLoss {
    fn new(seen: (Head, Option<TreeHead>), known: Option<&Index>, shown: &Vault) -> Self {
        let size = |head: Option<TreeHead>| head.map_or(0, |head| head.size);
        // Another device may have stored another value under the same version after the restore.
        let is_gone = |id: &SecretId, newest: &VersionInfo| {
            let secret = shown.index().get(id);
            let now = secret.and_then(|secret| secret.version(Some(newest.version)));
            now.is_none_or(|now| now.value_hash != newest.value_hash)
        };
        let known_secrets = known.map(Index::secrets).unwrap_or_default();
        let secrets = known_secrets.iter().filter_map(|secret| {
            let newest = secret.newest()?;
            let lost = (secret.id, secret.metadata.name.clone(), newest.version);
            is_gone(&secret.id, newest).then_some(lost)
        });
        let described = known_secrets.iter().filter(|secret| {
            let now = shown.index().get(&secret.id);
            now.is_some_and(|now| now.metadata != secret.metadata)
        });
        let shown_secrets = shown.index().secrets().into_iter();
        let returned =
            shown_secrets.filter(|secret| known.is_some_and(|known| known.was_removed(&secret.id)));
        Self {
            seen: seen.0,
            shown: shown.index().head(),
            records: (size(seen.1), size(shown.pins().audit)),
            secrets: secrets.collect(),
            returned: returned
                .map(|secret| secret.metadata.name.clone())
                .collect(),
            described: described
                .map(|secret| secret.metadata.name.clone())
                .collect(),
            returned_credentials: Vec::new(),
            lost_credentials: Vec::new(),
            seen_epoch: FIRST_EPOCH,
            is_older_key: false,
            is_known: known.is_some(),
            is_sealed: false,
        }
    }

    /// Compares the credentials of the shown log with those that this device has seen, by slot label.
    fn with_credentials(
        self,
        seen: &BTreeMap<String, PinnedCredential>,
        shown: &Credentials,
    ) -> Self {
        let returned = shown.iter().filter_map(|(slot, state)| {
            state.keys.as_ref()?;
            let seen = seen.get(&slot.to_string()).copied();
            (seen != Some(state.pinned())).then(|| ReturnedCredential {
                slot: *slot,
                device: match slot {
                    Slot::Device(id) => Some(shown.device_name(id)),
                    Slot::Password | Slot::Recovery => None,
                },
                seen: seen.map(|seen| seen.generation),
                shown: state.generation,
            })
        });
        let labels: BTreeSet<String> = shown.iter().map(|(slot, _)| slot.to_string()).collect();
        let lost = seen
            .iter()
            .filter(|(label, seen)| seen.keys.is_some() && !labels.contains(*label));
        Self {
            returned_credentials: returned.collect(),
            lost_credentials: lost.map(|(label, _)| label.clone()).collect(),
            ..self
        }
    }
}

impl Vault {
    /// Opens a vault whose log does not extend the one that this device has seen, and compares the two. Nothing is written
    /// until [`Self::acknowledge_restore`].
    ///
    /// # Errors
    /// [`Error::Failed`] where nothing is lost, [`Error::Verification`] for a log that a restore does not explain, and
    /// those of [`Session::ask`].
    pub async fn examine_restore(
        session: Session,
        frontend: Arc<dyn Frontend>,
        state: DeviceState,
        pins: Pins,
    ) -> Result<(Self, RestoreLoss)> {
        let stored = state.pins.load()?.unwrap_or_else(|| pins.clone());
        let mut vault = Self::new(session, frontend, state, pins);
        vault.pins.head = stored.head;
        vault.pins.audit = stored.audit;
        let known = vault.cached_index();
        if let Some(index) = &known
            && vault.fits_pins(index)
        {
            vault.index = index.clone();
        }
        match vault.replay_new().await {
            Ok(_) => {
                return Err(Error::failed(
                    "the server shows everything that this device has seen: there is nothing to acknowledge",
                ));
            }
            Err(ReplayFailure::Failed(error)) => return Err(error),
            Err(ReplayFailure::NotExtending(_)) => vault.replay_from_start().await?,
        }
        vault.check_identity()?;
        vault.check_content()?;
        vault.check_credential(vault.session.by())?;
        let seen = (stored.head, stored.audit);
        let loss = RestoreLoss::new(seen, known.as_ref(), &vault)
            .with_credentials(&stored.credentials, vault.index.credentials());
        let loss = RestoreLoss {
            is_older_key: vault.session.keys().epoch() < stored.epoch,
            seen_epoch: stored.epoch,
            is_sealed: !loss.is_known && vault.state.index.exists(),
            ..loss
        };
        Ok((vault, loss))
    }

    /// Acknowledges a loss: appends an entry for all devices, begins a key epoch, installs the new credentials and revokes
    /// returned credentials of devices, all at once. Nothing else is written before.
    ///
    /// # Errors
    /// Those of [`Vault::begin_epoch`].
    pub async fn acknowledge_restore(
        &mut self,
        loss: &RestoreLoss,
        new: &NewCredentials,
    ) -> Result<()> {
        self.acknowledging = true;
        let password = new.password.as_ref();
        let password = password.map(|new| NewSlot::new(Slot::Password, new.as_secret()));
        let recovery = new.recovery.as_ref();
        let recovery = recovery.map(|new| NewSlot::new(Slot::Recovery, new));
        let new: Vec<_> = [password, recovery].into_iter().flatten().collect();
        let head = LostHead {
            head: loss.seen,
            epoch: loss.seen_epoch,
        };
        // Until this is stored, this device goes on refusing the state that the server shows.
        // A secret of a device that was renewed or retired since the copy was made is valid again, and no entry tells.
        self.begin_epoch_after(Some(head), &new, Revoked::Devices)
            .await?;
        self.show_notices();
        Ok(())
    }

    /// Replays the log from its beginning, without regard to the pinned head.
    async fn replay_from_start(&mut self) -> Result<()> {
        self.pins.head = Head::EMPTY;
        self.pins.audit = None;
        self.index = Index::new();
        self.seen.clear();
        match self.replay_new().await {
            Ok(_) => Ok(()),
            Err(ReplayFailure::Failed(error) | ReplayFailure::NotExtending(error)) => Err(error),
        }
    }

    /// Replays a log that does not extend the pinned head from its beginning, and accepts it if the owner has
    /// acknowledged on another device that just this head was lost. Else returns `error`.
    pub(crate) async fn replay_restored(&mut self, error: Error) -> Result<Continuity> {
        let pins = self.pins.clone();
        let outcome = self.replay_from_start().await;
        let mut accepted = self.index.lost().iter();
        // By the log key that this device has pinned: a holder of an older account key can fork the log, but not make it
        // accept the fork.
        let log_key = pins.log_key;
        let account = self.session.keys().account();
        let is_accepted = |(seq, lost): &(Seq, Acknowledge)| {
            let before = self.index.entries().get(seq_index(*seq));
            let message =
                before.map(|(previous, _)| Acknowledge::message(&account, &pins.head, previous));
            let is_signed = |key: &PublicKey| {
                let signature = lost.signature.as_ref().zip(message.as_ref());
                signature.is_some_and(|(by, message)| request::verify(key, message, by))
            };
            lost.lost_seq == pins.head.seq
                && lost.lost_hash == pins.head.hash
                && log_key.as_ref().is_some_and(is_signed)
        };
        if outcome.is_ok() && accepted.any(is_accepted) {
            self.notices.push(LOSS_ACKNOWLEDGED.into());
            return Ok(Continuity::RestoredWithLoss);
        }
        self.pins = pins;
        // Returned also where the second replay failed: a lying server must not replace it by a milder error.
        Err(error)
    }
}

/// Index, among the entries, of the one before position `seq`.
fn seq_index(seq: Seq) -> usize {
    usize::try_from(seq.0.saturating_sub(2)).unwrap_or(usize::MAX)
}
