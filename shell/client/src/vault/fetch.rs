//! Values: fetched, compared with the log, opened.

use serde_bytes::ByteBuf;
use shared::ids::{Digest, SecretId};
use shared::secret::SecretBytes;
use shared::wire::call::{Fetch, ValueRef};
use shared::wire::limits::MAX_BATCH;

use crate::error::Error;
use crate::index::VersionInfo;
use crate::keys::seal::Place;
use crate::vault::open::Vault;
use crate::verification::VerificationError;

/// What became of a value that was asked for.
#[derive(Debug)]
pub enum Fetched {
    /// It is the one that the log names.
    Value(SecretBytes),
    /// Another device removed its secret meanwhile, as the log says.
    Removed,
    /// It is the one that the log names, and does not open: so it was written.
    Unreadable,
}

impl Vault {
    /// Fetches and verifies values, in the order asked for; `None` for those of secrets that another device removed
    /// meanwhile, as the vault log then says.
    ///
    /// # Errors
    /// [`Error::Verification`], naming the secret whose value is missing, altered or another one; [`Error::Failed`] for
    /// one that was written so that nobody can read it.
    pub async fn fetch(
        &mut self,
        wanted: &[(SecretId, VersionInfo)],
    ) -> Result<Vec<Option<SecretBytes>>, Error> {
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

    /// The same, for whoever goes on with what cannot be read.
    ///
    /// # Errors
    /// [`Error::Verification`], naming the secret whose value is missing, altered or another one.
    pub(crate) async fn fetch_each(
        &mut self,
        wanted: &[(SecretId, VersionInfo)],
    ) -> Result<Vec<Fetched>, Error> {
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
                    self.open_value(*id, info, &sealed)?
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
    /// As [`Self::fetch`]; [`Error::NoSuchSecret`] if another device removed the secret meanwhile.
    pub async fn fetch_one(
        &mut self,
        id: SecretId,
        info: &VersionInfo,
    ) -> Result<SecretBytes, Error> {
        let values = self.fetch(&[(id, *info)]).await?;
        let value = values.into_iter().next().flatten();
        value.ok_or_else(|| Error::NoSuchSecret(self.shown_name(id)))
    }

    fn shown_name(&self, id: SecretId) -> String {
        let name = self.index.name_of(&id).map(ToString::to_string);
        name.unwrap_or_else(|| id.to_string())
    }

    /// A value that is not there was removed since the log was read, and the log says so; or the server withholds it.
    async fn removed_meanwhile(&mut self, id: SecretId, info: &VersionInfo) -> Result<(), Error> {
        if !self.index.was_removed(&id) {
            self.sync().await?;
        }
        if self.index.was_removed(&id) {
            return Ok(());
        }
        Err(VerificationError::ValueWithheld {
            name: self.shown_name(id),
            version: info.version,
            seq: info.seq,
        }
        .into())
    }

    fn open_value(
        &self,
        id: SecretId,
        info: &VersionInfo,
        sealed: &ByteBuf,
    ) -> Result<Fetched, Error> {
        if info.epoch != self.session.keys().epoch() {
            return Err(Error::Failed(
                "another device replaced the account key while this was read: do it again".into(),
            ));
        }
        if Digest::of(sealed) != info.value_hash {
            return Err(VerificationError::WrongValue {
                name: self.shown_name(id),
                version: info.version,
                seq: info.seq,
            }
            .into());
        }
        let place = Place {
            secret: id,
            version: info.version,
        };
        // The owner's key has signed just these bytes: if they do not open it is not the server's doing.
        let opened = place.open_value(self.session.keys(), sealed);
        Ok(opened.map_or(Fetched::Unreadable, Fetched::Value))
    }
}
