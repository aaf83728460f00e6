//! Registers, stores, reads, audits: `cargo run --example first_secret -- https://127.0.0.1:7443 sha256:PIN FOLDER`
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use keyshell_base::names::SecretName;
use keyshell_client::account::{Account, Device, Server};
use keyshell_client::device::home::Home;
use keyshell_client::error::Error;
use keyshell_client::frontend::Frontend;
use keyshell_client::index::metadata::Metadata;
use keyshell_client::keys::password::Password;
use keyshell_client::keys::recovery::RecoveryCode;
use keyshell_client::vault::{audit::AuditQuery, commit::Change};
use shared::{ids::SecretId, names::AccountName, secret::SecretBytes};

type Done<T> = Result<T, Box<dyn std::error::Error>>;
#[derive(Debug)]
struct Owner;
impl Frontend for Owner {
    fn password(&self, _: &AccountName) -> Result<Password, Error> {
        Password::parse("correct horse battery staple")
    }
}

#[allow(clippy::print_stdout)]
#[tokio::main(flavor = "current_thread")]
async fn main() -> Done<()> {
    let arguments: Vec<String> = std::env::args().collect();
    let [_, url, pin, folder] = arguments.as_slice() else {
        return Err("give URL, PIN and FOLDER".into());
    };
    println!("{}", Box::pin(run(url, pin, folder.as_ref())).await?);
    Ok(())
}

pub(crate) async fn run(url: &str, pin: &str, folder: &Path) -> Done<String> {
    let server = Server::pinned(url, pin, Duration::from_secs(20))?;
    let device = Device::new(Home::new("default", Some(folder))?, Arc::new(Owner));
    let name = AccountName::parse("alice")?;
    let mut account = Account::new(server, device, Some(name));
    Box::pin(account.register(&RecoveryCode::random())).await?;

    let vault = account.vault().await?;
    let change = Change::Put {
        secret: SecretId::random(),
        metadata: Metadata::named(SecretName::parse("first")?),
        value: SecretBytes::from(&b"the first secret"[..]),
    };
    let planned = vault.commit(|_| Ok::<_, Error>(vec![change.clone()]));
    planned.await?;
    let secret = vault.index().find(&SecretName::parse("first")?);
    let secret = secret.ok_or("it is not there")?;
    let newest = *secret.newest().ok_or("it has no version")?;
    let value = vault.fetch_one(secret.id, &newest).await?;
    let (records, leaves) = (&|_: &_| true, false);
    let audited = vault.audit_log(AuditQuery { records, leaves }).await?;
    let text = String::from_utf8_lossy(value.expose()).into_owned();
    Ok(format!("{text}; {} audit records", audited.records.len()))
}
