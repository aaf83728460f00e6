//! What commands do that use secrets without showing them.

use std::collections::BTreeMap;

use shared::ids::SecretId;
use shared::secret::SecretBytes;

use crate::agent::{Agent, Purpose, Values};
use crate::error::Error;
use crate::shell::Shell;
use crate::vault::index::VersionInfo;
use crate::vault::names::SecretName;

/// The newest values of secrets, in the order asked for; all of them or none.
///
/// # Errors
/// [`Error::NoSuchSecret`] naming all that are missing, and those of fetching.
pub async fn resolve(shell: &mut Shell, names: &[SecretName]) -> Result<Vec<SecretBytes>, Error> {
    if names.is_empty() {
        return Ok(Vec::new());
    }
    if let Some(mut agent) = shell.agent() {
        return by_agent(&mut agent, names);
    }
    let vault = shell.vault().await?;
    let mut wanted: Vec<(SecretId, VersionInfo)> = Vec::new();
    let mut places: BTreeMap<&str, usize> = BTreeMap::new();
    let mut missing: Vec<&str> = Vec::new();
    for name in names {
        let found = vault.index().find(name);
        let newest = found.and_then(|secret| Some((secret.id, *secret.newest()?)));
        match newest {
            _ if places.contains_key(name.as_str()) || missing.contains(&name.as_str()) => {}
            Some(newest) => {
                places.insert(name.as_str(), wanted.len());
                wanted.push(newest);
            }
            None => missing.push(name.as_str()),
        }
    }
    if !missing.is_empty() {
        return Err(Error::NoSuchSecret(missing.join("`, `")));
    }
    let values = vault.fetch(&wanted).await?;
    // What is not there was removed by another device since.
    let value = |name: &SecretName| {
        let place = places.get(name.as_str());
        let value = place.and_then(|place| values.get(*place).cloned().flatten());
        value.ok_or_else(|| Error::NoSuchSecret(name.to_string()))
    };
    names.iter().map(value).collect()
}

/// The agent fetches what is used, also where it shows nothing.
fn by_agent(agent: &mut Agent, names: &[SecretName]) -> Result<Vec<SecretBytes>, Error> {
    let found = agent.values(Values {
        names: names.iter().map(ToString::to_string).collect(),
        version: None,
        purpose: Purpose::Use,
    })?;
    if found.len() != names.len() {
        return Err(Error::Failed(
            "the agent answered with a wrong number of values".into(),
        ));
    }
    let values = found.into_iter();
    Ok(values
        .map(|found| SecretBytes::new(found.value.into_vec()))
        .collect())
}
