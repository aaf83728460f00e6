//! Stores a value as a new secret, a new version, or a field of an item.

use keyshell_base::names::SecretName;
use keyshell_client::index::metadata::Metadata;
use keyshell_client::vault::commit::Change;
use shared::ids::{SecretId, Version};
use shared::secret::SecretBytes;

use crate::commands::field;
use crate::commands::value::{Attributes, exists, find};
use crate::error::Result;
use crate::server::OwnAccount;

/// Stores a value on the server as a new secret or, with `force`, as a new version. Returns the version.
///
/// # Errors
/// [`Error::exists`](crate::error::Error::exists) without `force`; those of a commit.
pub async fn store(
    account: &mut OwnAccount,
    name: &SecretName,
    value: &SecretBytes,
    attributes: &Attributes,
    force: bool,
) -> Result<Version> {
    let vault = account.vault().await?;
    let is_item = |name: &SecretName| {
        let secret = vault.index().find(name);
        secret.is_some_and(|secret| field::is_item(&secret.metadata))
    };
    if vault.index().find(name).is_none()
        && let (base, Some(field)) = field::split(name, is_item)
    {
        return field::store(vault, &base, field, value, force).await;
    }
    let fresh = SecretId::random();
    vault
        .commit(|index| {
            let before = index.find(name);
            if before.is_some() && !force {
                return Err(exists(name));
            }
            let mut metadata = before.map_or_else(
                || Metadata::named(name.clone()),
                |secret| secret.metadata.clone(),
            );
            metadata.created_ms = None;
            metadata.content_type.clone_from(&attributes.content_type);
            if !attributes.tags.is_empty() {
                metadata.set_tags(attributes.tags.clone());
            }
            if let Some(note) = &attributes.note {
                metadata.note.clone_from(note);
            }
            Ok(vec![Change::Put {
                secret: before.map_or(fresh, |secret| secret.id),
                metadata,
                value: value.clone(),
            }])
        })
        .await?;
    let newest = find(vault.index(), name)?.newest();
    Ok(newest.map(|info| info.version).unwrap_or_default())
}
