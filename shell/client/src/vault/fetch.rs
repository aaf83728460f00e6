//! Values: fetched, verified against the vault log, decrypted.

use serde_bytes::ByteBuf;
use shared::ids::{Digest, SecretId};
use shared::secret::SecretBytes;
use shared::wire::call::{Fetch, ValueRef};
use shared::wire::limits::MAX_BATCH;

use crate::error::{Error, Result};
use crate::index::VersionInfo;
use crate::keys::seal::SecretContext;
use crate::vault::open::Vault;
use crate::verification::VerificationError;

/// The outcome for one value that was asked for.
#[derive(Debug)]
pub enum Fetched {
    /// The value that the vault log names.
    Value(SecretBytes),
    /// Another device has destroyed it since, as the vault log says.
    Removed,
    /// The value that the vault log names, which does not decrypt: the device that signed it wrote it so.
    Unreadable,
}

impl Vault {
    /// Fetches and verifies values, in the order asked for; `None` for secrets that another device has removed since.
    ///
    /// # Errors
    /// [`VerificationError::WrongValue`], [`VerificationError::ValueWithheld`], [`VerificationError::ValueCount`];
    /// [`Error::Failed`] for a value that does not decrypt; those of [`Vault::sync`].
    pub async fn fetch(
        &mut self,
        wanted: &[(SecretId, VersionInfo)],
    ) -> Result<Vec<Option<SecretBytes>>> {
        let fetched = self.fetch_each(wanted).await?;
        let values = fetched.into_iter().zip(wanted);
        values
            .map(|(fetched, (id, info))| match fetched {
                Fetched::Value(value) => Ok(Some(value)),
                Fetched::Removed => Ok(None),
                Fetched::Unreadable => Err(self.unreadable(*id, info)),
            })
            .collect()
    }

    fn unreadable(&self, id: SecretId, info: &VersionInfo) -> Error {
        let device = self.index.credentials().device_name(&info.device);
        Error::Failed(format!(
            "the value of `{}` (version {}) cannot be read: device `{device}` wrote it so",
            self.shown_name(id),
            info.version
        ))
    }

    /// Fetches and verifies values as [`Self::fetch`] does, and returns unreadable ones as [`Fetched::Unreadable`].
    ///
    /// # Errors
    /// Those of [`Self::fetch`] except for values that do not decrypt.
    pub(crate) async fn fetch_each(
        &mut self,
        wanted: &[(SecretId, VersionInfo)],
    ) -> Result<Vec<Fetched>> {
        let mut values: Vec<Fetched> = Vec::with_capacity(wanted.len());
        let total = wanted.len() as u64;
        let mut progress = self.frontend.progress("reading values", total);
        while let Some(rest) = wanted.get(values.len()..).filter(|rest| !rest.is_empty()) {
            let batch = rest.iter().take(MAX_BATCH);
            let items: Vec<ValueRef> = batch.map(|(id, info)| info.reference(*id)).collect();
            let asked = items.len();
            let sealed = self.read(Fetch(items)).await?;
            if sealed.is_empty() || sealed.len() > asked {
                let shown = sealed.len();
                return Err(VerificationError::ValueCount { asked, shown }.into());
            }
            for ((id, info), sealed) in rest.iter().zip(sealed) {
                values.push(if let Some(sealed) = sealed {
                    self.open_newest(*id, info, &sealed).await?
                } else {
                    self.removed_meanwhile(*id, info).await?;
                    Fetched::Removed
                });
            }
            progress.reach(values.len() as u64, total);
        }
        Ok(values)
    }

    /// Fetches and verifies one value.
    ///
    /// # Errors
    /// As [`Self::fetch`]; [`Error::NoSuchSecret`] if another device has removed the secret since.
    pub async fn fetch_one(&mut self, id: SecretId, info: &VersionInfo) -> Result<SecretBytes> {
        let values = self.fetch(&[(id, *info)]).await?;
        let value = values.into_iter().next().flatten();
        value.ok_or_else(|| Error::NoSuchSecret(self.shown_name(id)))
    }

    fn shown_name(&self, id: SecretId) -> String {
        let name = self.index.name_of(&id).map(ToString::to_string);
        name.unwrap_or_else(|| id.to_string())
    }

    /// Verifies that a missing value is one that the vault log, read again, says was destroyed.
    async fn removed_meanwhile(&mut self, id: SecretId, info: &VersionInfo) -> Result<()> {
        self.sync().await?;
        let known = self.index.known(&id);
        if known.is_none_or(|secret| secret.version(Some(info.version)).is_none()) {
            return Ok(());
        }
        Err(VerificationError::ValueWithheld {
            name: self.shown_name(id),
            version: info.version,
            seq: info.seq,
        }
        .into())
    }

    /// Opens a value; syncs first where it has another hash than the index names, since another device may have
    /// re-encrypted it after the last sync.
    async fn open_newest(
        &mut self,
        id: SecretId,
        info: &VersionInfo,
        sealed: &ByteBuf,
    ) -> Result<Fetched> {
        if Digest::of(sealed) != info.value_hash {
            self.sync().await?;
            let known = self.index.known(&id);
            let newest = known.and_then(|secret| secret.version(Some(info.version)));
            if let Some(newest) = newest.copied() {
                return self.open_value(id, &newest, sealed);
            }
        }
        self.open_value(id, info, sealed)
    }

    fn open_value(&self, id: SecretId, info: &VersionInfo, sealed: &ByteBuf) -> Result<Fetched> {
        if Digest::of(sealed) != info.value_hash {
            return Err(VerificationError::WrongValue {
                name: self.shown_name(id),
                version: info.version,
                seq: info.seq,
            }
            .into());
        }
        let place = SecretContext {
            secret: id,
            version: info.version,
        };
        // The owner's key has signed the hash of these bytes: if they do not decrypt, the writing device is at fault.
        let opened = place.open_value(self.session.keys(), info.epoch, sealed);
        Ok(opened.map_or(Fetched::Unreadable, Fetched::Value))
    }
}
