//! `acknowledge`

use std::fmt::Write as _;

use clap::Args;
use keyshell_base::names::SecretName;
use keyshell_client::device::local::Origin;
use keyshell_client::index::Secret;
use keyshell_client::index::metadata::Metadata;
use keyshell_client::vault::commit::Change;
use keyshell_client::vault::restore::RestoreLoss;
use serde_json::json;
use shared::ids::{SecretId, Version};
use shared::secret::SecretBytes;

use crate::error::{Error, Result};
use crate::server::OwnAccount;
use crate::shell::Shell;

/// Accept the data loss of a server that was restored from a backup.
///
/// A restored server cannot be told from a lying one: commands end with exit status 7, because the vault log is not the
/// one that this device has verified. If you know that the server was restored, this command lists the lost data and
/// signs an acknowledgement, which your other devices accept if they had verified the same entries. Lost secrets of
/// which this device has a copy (`get --save`) are stored again.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  acknowledge   # lists the lost data, and asks\n  acknowledge --yes"
)]
pub struct Acknowledge {
    /// Do not ask for confirmation.
    #[arg(long)]
    yes: bool,
}

impl Acknowledge {
    pub(super) async fn run(self, shell: &mut Shell) -> Result<()> {
        let (out, prompt, yes) = (shell.context.out, shell.context.prompt, self.yes);
        let accept = |loss: &RestoreLoss| {
            out.say(&describe(loss));
            if yes || prompt.confirm("Accept this loss?", "give --yes")? {
                return Ok(());
            }
            Err(Error::failed("nothing was acknowledged"))
        };
        let loss = shell.account.accept_restore(accept).await?;
        let (back, gone) = put_back(&mut shell.account, &loss).await?;
        for name in &back {
            out.note(&format!(
                "{name}: stored again from the copy on this device"
            ));
        }
        for name in &gone {
            out.say(&format!("{name}: lost"));
        }
        let object = json!({
            "seen": loss.seen.seq, "shown": loss.shown.seq,
            "put_back": back, "lost": gone, "returned": loss.returned, "described": loss.described,
            "known": loss.is_known,
        });
        out.either(&object, "")
    }
}

fn describe(loss: &RestoreLoss) -> String {
    let mut text = format!(
        "This device has verified {} entries of the vault log and {} audit records; the server shows {} and {}.",
        loss.seen.seq, loss.records.0, loss.shown.seq, loss.records.1
    );
    for (_, name, version) in &loss.secrets {
        // Writing to a string does not fail.
        let _ = write!(text, "\n  lost: {name}, version {version}");
    }
    for name in &loss.returned {
        let _ = write!(text, "\n  removed before, and present again: {name}");
    }
    if loss.is_older_key {
        text.push_str("\n  the replaced account key is valid again: run `rotate-key` again");
    }
    for name in &loss.described {
        let _ = write!(text, "\n  name, tags or note differ: {name}");
    }
    if !loss.is_known {
        text.push_str(
            "\n  This device has no index of the vault and cannot tell which secrets are affected.",
        );
    }
    text
}

/// Stores the lost secrets of which this device has a copy; returns the names of those, and of those without a copy.
async fn put_back(
    account: &mut OwnAccount,
    loss: &RestoreLoss,
) -> Result<(Vec<String>, Vec<String>)> {
    let (mut back, mut gone) = (Vec::new(), Vec::new());
    for (id, name, version) in &loss.secrets {
        let store = account.local_store()?;
        let saved = store
            .get(name.as_str())
            .filter(|saved| saved.origin == Origin::Saved(*id, *version))
            .cloned();
        let Some(saved) = saved else {
            gone.push(name.to_string());
            continue;
        };
        let mut metadata = Metadata::named(name.clone());
        metadata.set_tags(saved.tags);
        metadata.note = saved.note;
        metadata.content_type = saved.content_type;
        back.push(store_again(account, metadata, saved.value, *version).await?);
    }
    Ok((back, gone))
}

async fn store_again(
    account: &mut OwnAccount,
    metadata: Metadata,
    value: SecretBytes,
    version: Version,
) -> Result<String> {
    let fresh = SecretId::random();
    let vault = account.vault().await?;
    let beside = SecretName::parse(&format!("{} (lost version {version})", metadata.name));
    let mut placed = metadata.name.clone();
    vault
        .commit(|index| {
            let known = index.find(&metadata.name);
            // A version written since the restore keeps the name; the lost version is stored under another name.
            let newest = known.and_then(Secret::newest);
            let is_older = newest.is_none_or(|newest| newest.version < version);
            let mut metadata = metadata.clone();
            let secret = known.map(|known| known.id).filter(|_| is_older);
            if !is_older && let Ok(name) = &beside {
                metadata.name = name.clone();
            }
            placed = metadata.name.clone();
            Ok::<_, Error>(vec![Change::Put {
                secret: secret.unwrap_or(fresh),
                metadata,
                value: value.clone(),
            }])
        })
        .await?;
    Ok(placed.to_string())
}
