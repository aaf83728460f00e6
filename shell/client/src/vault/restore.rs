//! A server that was restored from a backup: it looks like one that rolls back, and only the owner can tell. They say so
//! in an entry of the log, which the other devices then go by.

use std::sync::Arc;

use keyshell_base::names::SecretName;
use shared::checkpoint::TreeHead;
use shared::ids::{SecretId, Seq, Version};
use shared::vault_log::{Acknowledge, Head};

use crate::device::pins::Pins;
use crate::error::Error;
use crate::frontend::Frontend;
use crate::index::{Index, VersionInfo};
use crate::session::Session;
use crate::vault::device_state::DeviceState;
use crate::vault::open::Vault;
use crate::vault::sync::{ACCEPTED, Astray, Followed};

/// What the server no longer shows, as far as this device knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Loss {
    /// How far this device has seen the vault log.
    pub seen: Head,
    /// How far the server shows it.
    pub shown: Head,
    /// Audit records that this device has seen, and that the server shows.
    pub records: (u64, u64),
    /// Secrets of which the newest version is gone, with that version.
    pub secrets: Vec<(SecretId, SecretName, Version)>,
    /// Secrets that were removed, and are back.
    pub returned: Vec<SecretName>,
    /// Secrets whose name, tags or note are others than this device had seen, by the name that it had seen.
    pub described: Vec<SecretName>,
    /// Whether an account key holds again that was replaced.
    pub is_older_key: bool,
    /// Whether this device still knows what it had seen; else the lists are empty.
    pub is_known: bool,
}

impl Loss {
    fn new(seen: (Head, Option<TreeHead>), known: Option<&Index>, shown: &Vault) -> Self {
        let size = |head: Option<TreeHead>| head.map_or(0, |head| head.size);
        // The same version can be another value: another device went on from what was restored.
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
    /// Opens a vault whose log does not lead through what this device has seen, follows it from its beginning, and, if
    /// `accept` says yes, signs that the rest was lost.
    ///
    /// # Errors
    /// [`Error::Failed`] where nothing is lost, those of `accept`, [`Error::Verification`] for everything that does not
    /// prove out all the same, and those of every exchange.
    pub async fn accept_restore<E: From<Error>>(
        session: Session,
        frontend: Arc<dyn Frontend>,
        state: DeviceState,
        pins: Pins,
        accept: impl FnOnce(&Loss) -> Result<(), E>,
    ) -> Result<(Self, Loss), E> {
        let mut vault = Self::new(session, frontend, state, pins);
        let file = vault.state.pins.clone();
        let guard = file.hold()?;
        guard.refresh(&mut vault.pins)?;
        // Credentials were restored as well.
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
        match vault.follow().await {
            Ok(_) => {
                return Err(Error::Failed(
                    "the server shows everything that this device has seen: there is nothing to acknowledge".into(),
                )
                .into());
            }
            Err(Astray::Failed(error)) => return Err(error.into()),
            Err(Astray::OffThePins(_)) => vault.follow_anew().await?,
        }
        vault.check_identity()?;
        vault.check_credential(by).map_err(Error::from)?;
        vault.check_seen().await?;
        let loss = Loss {
            is_older_key: vault.session.keys().epoch() < epoch,
            ..Loss::new(seen, known.as_ref(), &vault)
        };
        accept(&loss)?;
        let acknowledged = Acknowledge {
            lost_seq: loss.seen.seq,
            lost_hash: loss.seen.hash,
        };
        vault.acknowledge(acknowledged).await?;
        vault.remember_anew(&guard)?;
        Ok((vault, loss))
    }

    /// Follows the log from its beginning, whatever this device has seen of it.
    async fn follow_anew(&mut self) -> Result<(), Error> {
        self.pins.head = Head::EMPTY;
        self.pins.audit = None;
        self.pins.refused.clear();
        self.index = Index::new();
        self.seen.clear();
        match self.follow().await {
            Ok(_) => Ok(()),
            Err(Astray::Failed(error) | Astray::OffThePins(error)) => Err(error),
        }
    }

    /// A log that does not lead through the pins is followed from its beginning, if the owner has acknowledged on
    /// another device that just what this one has seen was lost. Else it is the lie that `error` says.
    pub(crate) async fn follow_restored(&mut self, error: Error) -> Result<Followed, Error> {
        let pins = self.pins.clone();
        let outcome = self.follow_anew().await;
        let mut accepted = self.index.lost().iter();
        let is_accepted = |(_, lost): &(Seq, Acknowledge)| {
            lost.lost_seq == pins.head.seq && lost.lost_hash == pins.head.hash
        };
        if outcome.is_ok() && accepted.any(is_accepted) {
            self.frontend.notice(ACCEPTED);
            return Ok(Followed::WithLoss);
        }
        self.pins = pins;
        // Also where the second look broke off: a server that lies must not choose a milder word for it.
        Err(error)
    }
}
