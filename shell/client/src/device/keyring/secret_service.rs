//! The Secret Service over D-Bus (GNOME's keyring, KDE's wallet, KeePassXC). Secrets are encrypted on the bus.

use std::collections::HashMap;

use secret_service::{Collection, EncryptionType, Error, Item as Found, SecretService};
use shared::secret::SecretBytes;

use super::{APPLICATION, Item, KeyringError, Unlocking, timeout};

const CONTENT_TYPE: &str = "application/octet-stream";

pub(super) fn look() -> Result<(), KeyringError> {
    with_service(Unlocking::Never, async |service| {
        collection(service).await.map(drop)
    })
}

pub(super) fn has(item: Item) -> Result<bool, KeyringError> {
    with_service(Unlocking::Never, async |service| {
        let found = service.search_items(attributes(item, &id(item))).await;
        let found = found.map_err(failed)?;
        Ok(!found.unlocked.is_empty() || !found.locked.is_empty())
    })
}

pub(super) fn read(item: Item, unlocking: Unlocking) -> Result<Option<SecretBytes>, KeyringError> {
    with_service(unlocking, async |service| {
        match find(service, item, unlocking).await? {
            Some(found) => {
                let secret = found.get_secret().await.map_err(failed)?;
                Ok(Some(SecretBytes::new(secret)))
            }
            None => Ok(None),
        }
    })
}

pub(super) fn write(
    item: Item,
    secret: &SecretBytes,
    unlocking: Unlocking,
) -> Result<(), KeyringError> {
    with_service(unlocking, async |service| {
        let collection = collection(service).await?;
        if collection.is_locked().await.map_err(failed)? {
            may_ask(unlocking)?;
            collection.unlock().await.map_err(failed)?;
        }
        let label = format!("{APPLICATION}: {}", item.kind.name());
        let id = id(item);
        let made = collection.create_item(
            &label,
            attributes(item, &id),
            secret.expose(),
            true,
            CONTENT_TYPE,
        );
        made.await.map(drop).map_err(failed)
    })
}

pub(super) fn remove(item: Item, unlocking: Unlocking) -> Result<(), KeyringError> {
    with_service(unlocking, async |service| {
        match find(service, item, unlocking).await? {
            Some(found) => found.delete().await.map_err(failed),
            None => Ok(()),
        }
    })
}

fn id(item: Item) -> String {
    item.id.to_string()
}

fn attributes(item: Item, id: &str) -> HashMap<&str, &str> {
    HashMap::from([
        ("application", APPLICATION),
        ("kind", item.kind.name()),
        ("item", id),
    ])
}

/// The one that lasts: what is kept until the end of the login only would be lost with it.
async fn collection<'a>(service: &'a SecretService<'_>) -> Result<Collection<'a>, KeyringError> {
    match service.get_default_collection().await {
        Err(Error::NoResult) => Err(KeyringError::Absent("it has no default collection".into())),
        found => found.map_err(failed),
    }
}

/// The item, unlocked.
async fn find<'a>(
    service: &'a SecretService<'_>,
    item: Item,
    unlocking: Unlocking,
) -> Result<Option<Found<'a>>, KeyringError> {
    let found = service.search_items(attributes(item, &id(item))).await;
    let mut found = found.map_err(failed)?;
    if let Some(unlocked) = found.unlocked.pop() {
        return Ok(Some(unlocked));
    }
    let Some(locked) = found.locked.pop() else {
        return Ok(None);
    };
    may_ask(unlocking)?;
    locked.unlock().await.map_err(failed)?;
    Ok(Some(locked))
}

fn may_ask(unlocking: Unlocking) -> Result<(), KeyringError> {
    match unlocking {
        Unlocking::Never => Err(KeyringError::Locked),
        Unlocking::Ask => Ok(()),
    }
}

/// Connects, and closes the connection at the timeout, which also removes a prompt that is still open.
fn with_service<T>(
    unlocking: Unlocking,
    work: impl AsyncFnOnce(&SecretService<'_>) -> Result<T, KeyringError>,
) -> Result<T, KeyringError> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| KeyringError::Failed(error.to_string()))?;
    runtime.block_on(async {
        let work = async {
            let service = SecretService::connect(EncryptionType::Dh).await;
            work(&service.map_err(absent)?).await
        };
        let done = tokio::time::timeout(timeout(unlocking), work).await;
        done.unwrap_or(Err(KeyringError::Silent))
    })
}

/// A service that cannot be connected to counts as missing.
fn absent(error: Error) -> KeyringError {
    KeyringError::Absent(match error {
        Error::Unavailable => "no session bus".into(),
        error => error.to_string(),
    })
}

fn failed(error: Error) -> KeyringError {
    match error {
        Error::Locked | Error::Prompt | Error::PromptDisconnected => KeyringError::Locked,
        error => KeyringError::Failed(error.to_string()),
    }
}
