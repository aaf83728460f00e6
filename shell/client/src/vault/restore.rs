//! A server that was restored from a backup. It looks like one that rolls back its log, and only the owner can tell the
//! two apart: an entry signed by the owner acknowledges the loss to all devices.

use std::sync::Arc;

use keyshell_base::names::SecretName;
use shared::checkpoint::TreeHead;
use shared::ids::{SecretId, Seq, Version};
use shared::vault_log::{Acknowledge, Head};

use crate::device::pins::Pins;
use crate::error::{Error, Result};
use crate::frontend::Frontend;
use crate::index::{Index, VersionInfo};
use crate::session::Session;
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
    /// Whether the current account key is one that had been replaced.
    pub is_older_key: bool,
    /// Whether this device has a cached index to compare with; else the lists are empty.
    pub is_known: bool,
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
            is_older_key: false,
            is_known: known.is_some(),
        }
    }
}

impl Vault {
    /// Opens a vault whose log does not extend the one that this device has seen: replays it from its beginning, and if
    /// `accept` returns `Ok`, appends an entry that acknowledges the loss.
    ///
    /// # Errors
    /// [`Error::Failed`] where nothing is lost, those of `accept`, [`Error::Verification`] for a log that a restore
    /// does not explain, and those of [`Session::ask`].
    pub async fn accept_restore<E: From<Error>>(
        session: Session,
        frontend: Arc<dyn Frontend>,
        state: DeviceState,
        pins: Pins,
        accept: impl FnOnce(&RestoreLoss) -> Result<(), E>,
    ) -> Result<(Self, RestoreLoss), E> {
        let mut vault = Self::new(session, frontend, state, pins);
        let guard = vault.state.pins.hold()?;
        guard.refresh(&mut vault.pins)?;
        // Credentials were restored with the log.
        vault.pins.generations.clear();
        let by = vault.session.by();
        vault
            .pins
            .note_generation(&by.slot.to_string(), by.generation)?;
        let known = vault.cached_index();
        if let Some(index) = &known
            && vault.fits_pins(index)
        {
            vault.index = index.clone();
        }
        let (seen, epoch) = ((vault.pins.head, vault.pins.audit), vault.pins.epoch);
        match vault.replay_new().await {
            Ok(_) => {
                return Err(Error::Failed(
                    "the server shows everything that this device has seen: there is nothing to acknowledge".into(),
                )
                .into());
            }
            Err(ReplayFailure::Failed(error)) => return Err(error.into()),
            Err(ReplayFailure::NotExtending(_)) => vault.replay_from_start().await?,
        }
        vault.check_identity()?;
        vault.check_credential(by).map_err(Error::from)?;
        vault.check_seen().await?;
        let loss = RestoreLoss {
            is_older_key: vault.session.keys().epoch() < epoch,
            ..RestoreLoss::new(seen, known.as_ref(), &vault)
        };
        accept(&loss)?;
        let acknowledged = Acknowledge {
            lost_seq: loss.seen.seq,
            lost_hash: loss.seen.hash,
        };
        vault.acknowledge(acknowledged).await?;
        vault.replace_state(&guard)?;
        vault.show_notices();
        Ok((vault, loss))
    }

    /// Replays the log from its beginning, without regard to the pinned head.
    async fn replay_from_start(&mut self) -> Result<()> {
        self.pins.head = Head::EMPTY;
        self.pins.audit = None;
        self.pins.refused.clear();
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
        let is_accepted = |(_, lost): &(Seq, Acknowledge)| {
            lost.lost_seq == pins.head.seq && lost.lost_hash == pins.head.hash
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
