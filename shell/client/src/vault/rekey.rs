//! Replacement of the account key: a key epoch begins, then everything that was sealed in former epochs is sealed again.
//! The old key, which a stolen device may hold, then opens nothing that the server stores.

use serde_bytes::ByteBuf;
use shared::ids::{Digest, SecretId, Version};
use shared::secret::SecretBytes;
use shared::vault_log::{MAX_METADATA_LEN, Op, Sealed};
use shared::wire::call::{Append, NewEntry};

use crate::error::{Error, Result, Unfinished};
use crate::index::metadata::Metadata;
use crate::index::{Secret, VersionInfo};
use crate::keys::seal::SecretContext;
use crate::opaque::login::LoginCredential;
use crate::vault::conflicts::retry_on_conflict;
use crate::vault::enrol::NewSlot;
use crate::vault::epoch::Revoked;
use crate::vault::fetch::Fetched;
use crate::vault::open::Vault;

/// Versions that are sealed again at once: their values are in memory together.
const CHUNK: usize = 32;
/// Approximate bytes of one request; the largest version fits in beyond it.
const REQUEST_BUDGET: usize = 2 * 1024 * 1024;

/// One version to seal again, with the metadata that it gets.
struct Stale {
    secret: SecretId,
    version: VersionInfo,
    metadata: Metadata,
}

impl Vault {
    /// Begins a key epoch and seals every value and all metadata again under its account key; goes on with a replacement
    /// that broke off on this device. The session was just opened with `by`. All credentials stay valid; all other sessions
    /// end. Returns the number of versions that cannot be read and stay as they are.
    ///
    /// # Errors
    /// [`Error::LoginRefused`] for a wrong credential, [`Error::Limit`] for a key that was replaced too often,
    /// [`Error::Verification`], [`Unfinished::Reencryption`], and those of [`Vault::begin_epoch`].
    pub async fn replace_account_key(&mut self, by: LoginCredential<'_>) -> Result<u64> {
        self.sync().await?;
        if !self.is_replacing_account_key() {
            self.begin_replacement(&[], Revoked::Slots(&[])).await?;
        }
        let unreadable = self.reseal_all(by).await;
        let unreadable = unreadable.map_err(|error| error.unfinished(Unfinished::Reencryption))?;
        self.note_rotating(None)?;
        Ok(unreadable)
    }

    /// Whether this device has begun to replace the account key, and not everything is re-encrypted yet.
    pub fn is_replacing_account_key(&self) -> bool {
        self.pins.rotating == Some(self.session.keys().epoch())
    }

    /// Begins a key epoch as [`Self::begin_epoch`] does; [`Self::replace_account_key`] then re-encrypts everything under
    /// its account key.
    ///
    /// # Errors
    /// Those of [`Vault::begin_epoch`].
    pub(crate) async fn begin_replacement(
        &mut self,
        new: &[NewSlot<'_>],
        revoked: Revoked<'_>,
    ) -> Result<()> {
        self.sync().await?;
        self.begin_epoch_after(None, new, revoked).await?;
        self.note_rotating(Some(self.session.keys().epoch()))
    }

    fn note_rotating(&mut self, epoch: Option<u32>) -> Result<()> {
        let guard = self.state.pins.hold()?;
        guard.refresh(&mut self.pins)?;
        self.pins.rotating = epoch;
        guard.replace(&self.pins)
    }

    async fn reseal_all(&mut self, by: LoginCredential<'_>) -> Result<u64> {
        let stale = self.stale();
        let total = stale.len() as u64;
        let mut progress = self.frontend.progress("re-encrypting the vault", total);
        let (mut done, mut unreadable) = (0, 0);
        for chunk in stale.chunks(CHUNK) {
            let wanted: Vec<_> = chunk.iter().map(|old| (old.secret, old.version)).collect();
            let fetched = self.fetch_each(&wanted).await?;
            let mut readable = Vec::new();
            for (old, fetched) in chunk.iter().zip(fetched) {
                match fetched {
                    Fetched::Value(value) => readable.push((old, value)),
                    Fetched::Removed => {}
                    Fetched::Unreadable => unreadable += 1,
                }
            }
            let mut rest = readable.as_slice();
            while !rest.is_empty() {
                let (now, later) = rest.split_at(fitting(rest));
                self.reseal(now, by).await?;
                rest = later;
            }
            done += chunk.len() as u64;
            progress.reach(done, total);
        }
        Ok(unreadable)
    }

    /// Appends new sealed forms; logs in again where the server wants a more recent proof.
    async fn reseal(
        &mut self,
        versions: &[(&Stale, SecretBytes)],
        by: LoginCredential<'_>,
    ) -> Result<()> {
        match self.try_reseal(versions).await {
            Err(Error::NeedsPassword) => {
                self.reopen(by).await?;
                self.sync().await?;
                self.try_reseal(versions).await
            }
            outcome => outcome,
        }
    }

    async fn try_reseal(&mut self, versions: &[(&Stale, SecretBytes)]) -> Result<()> {
        retry_on_conflict(async || {
            let Some(guard) = self.hold_newest().await? else {
                return Ok(false);
            };
            let mut head = self.index.head();
            let mut entries = Vec::new();
            for (old, value) in versions {
                // Another device may have destroyed it since.
                if !self.is_sealed_as(old.secret, &old.version) {
                    continue;
                }
                let new = self.sealed_again(old, value)?;
                let (op, value, metadata) = new;
                let entry = self.authorised_entry(self.session.keys(), head, op, None)?;
                head = head.with(&entry);
                entries.push(NewEntry {
                    entry,
                    value: Some(value),
                    metadata: Some(metadata),
                });
            }
            if entries.is_empty() {
                return Ok(true);
            }
            self.append(guard, &entries, Append(entries.clone())).await
        })
        .await
    }

    fn sealed_again(&self, old: &Stale, value: &SecretBytes) -> Result<(Op, ByteBuf, ByteBuf)> {
        let keys = self.session.keys();
        let place = SecretContext {
            secret: old.secret,
            version: old.version.version,
        };
        let value = ByteBuf::from(place.seal_value(keys, value)?);
        let sealed = |metadata: &Metadata| -> Result<ByteBuf> {
            // Without the limits of this program: another one may have written more.
            let encoded = metadata.encode_any()?;
            Ok(ByteBuf::from(place.seal_metadata(keys, encoded.expose())?))
        };
        let mut metadata = sealed(&old.metadata)?;
        if metadata.len() > MAX_METADATA_LEN {
            metadata = sealed(&Metadata::named(old.metadata.name.clone()))?;
        }
        let sealed = Sealed {
            secret: old.secret,
            version: old.version.version,
            epoch: keys.epoch(),
            value: Digest::of(&value),
            metadata: Digest::of(&metadata),
        };
        Ok((Op::Reseal(sealed), value, metadata))
    }

    fn is_sealed_as(&self, secret: SecretId, version: &VersionInfo) -> bool {
        let known = self.index.known(&secret);
        let known = known.and_then(|secret| secret.version(Some(version.version)));
        known.is_some_and(|known| known.value_hash == version.value_hash)
    }

    /// The versions whose value or metadata are sealed in a former epoch, also those of removed secrets.
    fn stale(&self) -> Vec<Stale> {
        let epoch = self.session.keys().epoch();
        let live = self.index.secrets().into_iter();
        let removed = self.index.removed().into_iter();
        let all = live.chain(removed.map(|removed| &removed.secret));
        all.flat_map(|secret| stale_versions(secret, epoch))
            .collect()
    }
}

fn stale_versions(secret: &Secret, epoch: u32) -> impl Iterator<Item = Stale> {
    let newest = secret.newest().map(|newest| newest.version);
    secret.versions.iter().filter_map(move |info| {
        let is_newest = newest == Some(info.version);
        let is_stale = info.epoch < epoch || (is_newest && secret.metadata_epoch < epoch);
        is_stale.then(|| Stale {
            secret: secret.id,
            version: *info,
            metadata: metadata_of(secret, info, newest),
        })
    })
}

/// Only the newest version's metadata are shown; of older ones the time is kept.
fn metadata_of(secret: &Secret, info: &VersionInfo, newest: Option<Version>) -> Metadata {
    let metadata = if newest == Some(info.version) {
        secret.metadata.clone()
    } else {
        Metadata::named(secret.metadata.name.clone())
    };
    Metadata {
        created_ms: Some(info.created_ms),
        ..metadata
    }
}

/// Number of versions that one request carries, at least one.
fn fitting(versions: &[(&Stale, SecretBytes)]) -> usize {
    let mut bytes = 0;
    let fits = |(_, value): &&(&Stale, SecretBytes)| {
        bytes += value.len();
        bytes <= REQUEST_BUDGET
    };
    versions.iter().take_while(fits).count().max(1)
}
