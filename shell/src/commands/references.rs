//! Fetches the values for commands that use secrets without showing them.

use std::collections::BTreeMap;

use keyshell_base::names::SecretName;
use keyshell_client::agent::{Agent, Purpose, Values};
use shared::secret::SecretBytes;

use crate::commands::field;
use crate::error::{Error, Result};
use crate::server::OwnAccount;

/// The newest values of all the named secrets, in the given order. `purpose` tells the agent whether the values are
/// shown.
///
/// # Errors
/// [`Error::no_such_secret`] with all missing names; those of fetching.
pub async fn resolve(
    account: &mut OwnAccount,
    names: &[SecretName],
    purpose: Purpose,
) -> Result<Vec<SecretBytes>> {
    // Each secret is fetched, and recorded in the audit log, once, however often it is used.
    let mut places = BTreeMap::new();
    let mut wanted = Vec::new();
    for name in names {
        places.entry(name).or_insert_with(|| {
            wanted.push(name.clone());
            wanted.len() - 1
        });
    }
    if wanted.is_empty() {
        return Ok(Vec::new());
    }
    let values = match account.agent() {
        Some(mut agent) => by_agent(&mut agent, wanted, purpose)?,
        None => by_session(account, &wanted).await?,
    };
    let value = |name: &SecretName| values.get(*places.get(name)?).cloned();
    names
        .iter()
        .map(|name| value(name).ok_or_else(|| Error::no_such_secret(name)))
        .collect()
}

async fn by_session(account: &mut OwnAccount, names: &[SecretName]) -> Result<Vec<SecretBytes>> {
    let vault = account.vault().await?;
    let found = field::find_all(vault.index(), names, None);
    let found = found.map_err(|missing| Error::no_such_secrets(&missing))?;
    let fields: Vec<_> = found.iter().map(|place| place.field).collect();
    let wanted: Vec<_> = found
        .iter()
        .map(|place| (place.secret.id, *place.info))
        .collect();
    let values = vault.fetch(&wanted).await?;
    let values = values.into_iter().zip(names).zip(fields);
    let value = |((value, name), field): ((Option<SecretBytes>, &SecretName), Option<&str>)| {
        // A missing value was removed by another device after the index was read.
        let value = value.ok_or_else(|| Error::no_such_secret(name))?;
        field::take(name.as_str(), value, field)
    };
    values.map(value).collect()
}

/// Fetches through the agent, which serves values for use even if it reveals none.
fn by_agent(
    agent: &mut Agent,
    names: Vec<SecretName>,
    purpose: Purpose,
) -> Result<Vec<SecretBytes>> {
    let count = names.len();
    let found = agent.values(Values {
        names,
        version: None,
        purpose,
    })?;
    if found.len() != count {
        return Err(Error::failed(
            "the agent returned a wrong number of values; run `lock`, then `unlock`",
        ));
    }
    let values = found.into_iter();
    Ok(values
        .map(|found| SecretBytes::new(found.value.into_vec()))
        .collect())
}
