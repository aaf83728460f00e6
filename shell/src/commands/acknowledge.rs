//! `acknowledge`

use std::fmt::Write as _;

use clap::Args;
use keyshell_base::names::SecretName;
use keyshell_client::device::local::{LocalSecret, Origin};
use keyshell_client::error::Error as ClientError;
use keyshell_client::index::Secret;
use keyshell_client::index::metadata::Metadata;
use keyshell_client::keys::recovery::RecoveryCode;
use keyshell_client::vault::commit::Change;
use keyshell_client::vault::restore::{NewCredentials, RestoreLoss};
use serde_json::json;
use shared::ids::{SecretId, Version};
use shared::opaque::Slot;
use shared::secret::SecretBytes;

use crate::commands::new_password::NewPassword;
use crate::commands::sheet::{Sheet, SheetOptions};
use crate::error::{Error, Result};
use crate::server::OwnAccount;
use crate::shell::Shell;

/// Accept the data loss of a server that was restored from a backup.
///
/// A restored server cannot be told from a lying one: commands end with exit status 7, because the vault log is not the
/// one that this device has verified. If you know that the server was restored, this command lists the lost data and
/// signs an acknowledgement, which your other devices accept if they had verified the same entries. Credentials that are
/// valid again, such as an old password or a revoked device, are replaced or revoked in the same step. Lost secrets of
/// which this device has a copy (`get --save`) are stored again.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  acknowledge   # lists the lost data, and asks\n  acknowledge --yes"
)]
pub struct Acknowledge {
    /// Do not ask for confirmation.
    #[arg(long)]
    yes: bool,
    #[command(flatten)]
    new: NewPassword,
    #[command(flatten)]
    sheet: SheetOptions,
}

impl Acknowledge {
    pub(super) async fn run(self, shell: &mut Shell) -> Result<()> {
        let account = shell.account.name()?;
        let examined = shell.account.examine_restore().await;
        let (vault, loss, password) = examined.map_err(with_password_of_backup)?;
        shell.context.out.say(&describe(&loss));
        let prompt = shell.context.prompt;
        if !self.yes && !prompt.confirm("Accept this loss?", "give --yes")? {
            return Err(Error::declined());
        }
        let returns = |slot| {
            let mut returned = loss.returned_credentials.iter();
            returned.any(|credential| credential.slot == slot)
        };
        let mut new = NewCredentials::default();
        let code = returns(Slot::Recovery).then(RecoveryCode::random);
        if code.is_some() {
            self.sheet.announce(&shell.context);
        }
        if returns(Slot::Password) {
            let text = "the password of before is valid again: choose a new one";
            shell.context.out.say(text);
            new.password = Some(self.new.get(shell, &account, Some(&password))?);
        }
        let mut sheet = match &code {
            Some(code) => {
                let connected = shell.account.connect().await?;
                // What is acknowledged is not stored yet, so that there is no state to name.
                let sheet = Sheet::new(shell, &connected, &account, code, None)?;
                new.recovery = Some(code.as_secret().clone());
                Some((sheet.keep(&self.sheet)?, sheet))
            }
            None => None,
        };
        let done = shell.account.acknowledge_restore(vault, &loss, &new);
        if let Err(error) = Box::pin(done).await.map_err(Error::from) {
            return Err(match &sheet {
                Some((kept, sheet)) => kept.report_after(&shell.context, sheet, error),
                None => error,
            });
        }
        if let Some((kept, sheet)) = &mut sheet {
            kept.report(shell, sheet)?;
        }
        // After the sheet was shown, since this may ask for a password.
        shell
            .account
            .follow_restore(&password, new.password.as_ref())?;
        report(shell, &loss).await
    }
}

/// Adds to a refused login that the restored server knows the password of before.
fn with_password_of_backup(error: ClientError) -> Error {
    let error = Error::from(error);
    if error.kind() != "login_refused" {
        return error;
    }
    error.with("a restored server knows the password that was valid at the time of its backup")
}

/// Stores what this device has copies of, and prints what is lost.
async fn report(shell: &mut Shell, loss: &RestoreLoss) -> Result<()> {
    let out = shell.context.out;
    let (back, gone) = put_back(shell, loss).await?;
    for name in &back {
        out.note(&format!(
            "{name}: stored again from the copy on this device"
        ));
    }
    for name in &gone {
        out.say(&format!("{name}: lost"));
    }
    let returned: Vec<String> = loss.returned.iter().map(ToString::to_string).collect();
    let described: Vec<String> = loss.described.iter().map(ToString::to_string).collect();
    let credentials = loss.returned_credentials.iter().map(|credential| {
        json!({
            "slot": credential.slot.to_string(), "device": credential.device,
            "seen": credential.seen, "shown": credential.shown,
        })
    });
    let object = json!({
        "seen": loss.seen.seq, "shown": loss.shown.seq,
        "put_back": back, "lost": gone, "returned": returned, "described": described,
        "credentials": credentials.collect::<Vec<_>>(), "lost_credentials": loss.lost_credentials,
        "known": loss.is_known,
    });
    out.either(&object, "")
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
    for credential in &loss.returned_credentials {
        let what = match (&credential.slot, &credential.device) {
            (_, Some(device)) => format!("the credential of device {device}: it will be revoked"),
            (Slot::Recovery, None) => "the recovery code: it will be replaced".to_owned(),
            (_, None) => "the password: it will be replaced".to_owned(),
        };
        let seen = credential
            .seen
            .map_or_else(|| "none".to_owned(), |seen| seen.to_string());
        let _ = write!(
            text,
            "\n  valid again: {what} (generation {}; this device has seen {seen})",
            credential.shown
        );
    }
    for slot in &loss.lost_credentials {
        let _ = write!(text, "\n  lost: the {slot} credential");
    }
    if loss.is_older_key {
        text.push_str("\n  a replaced account key is valid again: a new one replaces it now");
    }
    for name in &loss.described {
        let _ = write!(text, "\n  name, tags or note differ: {name}");
    }
    if loss.is_sealed {
        text.push_str(
            "\n  This device's index of the vault is sealed under an account key that the server has lost. So this device \
             cannot tell which secrets are affected, except for those with a copy in the local store.",
        );
    } else if !loss.is_known {
        text.push_str(
            "\n  This device has no index of the vault and cannot tell which secrets are affected.",
        );
    }
    text
}

/// Stores the lost secrets of which this device has a copy; returns the names of those, and of those without a copy.
async fn put_back(shell: &mut Shell, loss: &RestoreLoss) -> Result<(Vec<String>, Vec<String>)> {
    let copies = match shell.account.local_store() {
        Ok(store) => store.secrets().to_vec(),
        Err(ClientError::NoLocalStore) => Vec::new(),
        // The loss is acknowledged, and the rest of it is reported all the same.
        Err(error) => {
            let why = match error {
                // It was reported before.
                ClientError::WrongPassword(_) => "the store does not open".to_owned(),
                error => error.to_string(),
            };
            let text = format!("copies in the local store are not stored again: {why}");
            shell.context.out.say(&text);
            Vec::new()
        }
    };
    let account = &mut shell.account;
    let (mut back, mut gone) = (Vec::new(), Vec::new());
    let missing = if loss.is_known {
        loss.secrets.clone()
    } else {
        copies_without_original(account, &copies)
    };
    for (id, name, version) in &missing {
        let mut copies = copies.iter();
        let is_copy = |saved: &&LocalSecret| {
            saved.name == name.as_str() && saved.origin == Origin::Saved(*id, *version)
        };
        let Some(saved) = copies.find(is_copy).cloned() else {
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

/// The copies of versions that the server does not have.
fn copies_without_original(
    account: &OwnAccount,
    copies: &[LocalSecret],
) -> Vec<(SecretId, SecretName, Version)> {
    let Some(vault) = account.open_vault() else {
        return Vec::new();
    };
    let lost = copies.iter().filter_map(|copy| {
        let Origin::Saved(id, version) = copy.origin else {
            return None;
        };
        let known = vault.index().known(&id);
        let newest = known.and_then(Secret::newest);
        let is_there = newest.is_some_and(|newest| newest.version >= version);
        let name = SecretName::parse(&copy.name).ok()?;
        let is_lost = !is_there && !vault.index().was_removed(&id);
        is_lost.then_some((id, name, version))
    });
    lost.collect()
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
