//! Values: fetched, compared with the log, opened.

use serde_bytes::ByteBuf;
use shared::ids::Digest;
use shared::secret::SecretBytes;
use shared::wire::call::{Answer, Call, ValueRef};
use shared::wire::limits::MAX_BATCH;

use crate::error::Error;
use crate::vault::index::{Secret, VersionInfo};
use crate::vault::open::{Vault, accept};
use crate::vault::seal::Place;

impl Vault {
    /// Fetches and verifies values, in the order asked for.
    ///
    /// # Errors
    /// [`Error::Verification`], naming the secret whose value is missing, altered or another one.
    pub async fn fetch(
        &mut self,
        wanted: &[(Secret, VersionInfo)],
    ) -> Result<Vec<SecretBytes>, Error> {
        let mut values: Vec<SecretBytes> = Vec::with_capacity(wanted.len());
        while let Some(rest) = wanted.get(values.len()..).filter(|rest| !rest.is_empty()) {
            let batch = rest.iter().take(MAX_BATCH);
            let items: Vec<ValueRef> = batch.map(|(secret, info)| secret.reference(info)).collect();
            let asked = items.len();
            let Answer::Fetch(sealed) = accept(self.read(Call::Fetch(items)).await?)? else {
                return Err(Error::unproven("the server answered another question"));
            };
            if sealed.is_empty() || sealed.len() > asked {
                return Err(Error::unproven(
                    "the server answered with a wrong number of values",
                ));
            }
            for ((secret, info), sealed) in rest.iter().zip(sealed) {
                values.push(self.open_value(secret, info, sealed.as_ref())?);
            }
        }
        Ok(values)
    }

    fn open_value(
        &self,
        secret: &Secret,
        info: &VersionInfo,
        sealed: Option<&ByteBuf>,
    ) -> Result<SecretBytes, Error> {
        let name = &secret.metadata.name;
        let (version, seq) = (info.version, info.seq);
        let sealed = sealed.ok_or_else(|| {
            Error::unproven(format!(
                "the server withholds the value of `{name}` (version {version}), which log entry {seq} says is stored"
            ))
        })?;
        if Digest::of(sealed) != info.value_hash {
            return Err(Error::unproven(format!(
                "the value of `{name}` (version {version}) is not the one that log entry {seq} names"
            )));
        }
        let place = Place {
            account: self.pins.account,
            secret: secret.id,
            version,
            epoch: info.epoch,
        };
        place
            .open_value(self.session.keys(), sealed)
            .map_err(|_| Error::unproven(format!("the value of `{name}` does not open")))
    }
}
