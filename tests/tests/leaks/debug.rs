//! What types print of themselves to whoever logs or panics with them.

use keyserver::keyfile::{KeyFile, KeyFilePath};
use keyshell::password_source::PasswordSource;
use keyshell::prompt::Prompt;
use keyshell_client::device::identity::DeviceIdentity;
use keyshell_client::device::local::{LocalSecret, LocalStore, Origin, Owner};
use keyshell_client::keys::account::AccountKeys;
use keyshell_client::keys::device_key::DeviceKey;
use keyshell_client::keys::password::Password;
use keyshell_client::keys::recovery::RecoveryCode;
use keyshell_client::keys::slot::SlotContext;
use keyshell_formats::Portable;
use keyshell_formats::native::{Base64Value, VersionDocument};
use shared::channel::ServerChannel;
use shared::ids::{AccountId, DeviceId, Version};
use shared::opaque::Slot;
use shared::secret::{Key, SecretBytes, SecretWriter};
use tests::client::Client;
use tests::device::Device;
use tests::server::Server;

use crate::ACCOUNT;
use crate::NAME;
use crate::PASSWORD;
use crate::value;

const KEY: [u8; 32] = *b"planted-key-planted-key-planted-";

/// Neither the text nor its bytes in any of the forms in which they are printed.
#[track_caller]
fn assert_hidden(printed: &str, secret: &[u8]) {
    let text = String::from_utf8_lossy(secret).into_owned();
    let list = format!("{secret:?}");
    let list = list.trim_matches(['[', ']']);
    let hex = data_encoding::HEXLOWER.encode(secret);
    let base64 = data_encoding::BASE64.encode(secret);
    let base64 = base64.trim_end_matches('=');
    for form in [&text, list, &hex, &hex.to_uppercase(), base64] {
        assert!(!printed.contains(form), "{printed}");
    }
}

#[test]
fn containers_of_secrets_do_not_print_them() {
    let value = value();
    let secret = SecretBytes::from(value.as_bytes());
    let password = Password::parse(PASSWORD).unwrap();
    let local = LocalSecret {
        name: NAME.into(),
        tags: Vec::new(),
        note: String::new(),
        content_type: None,
        origin: Origin::Local,
        version: Version(1),
        changed_ms: 0,
        value: secret.clone(),
    };
    let mut writer = SecretWriter::default();
    std::io::Write::write_all(&mut writer, value.as_bytes()).unwrap();
    let document = VersionDocument {
        version: 1,
        created_ms: 0,
        value: Base64Value(secret.clone()),
    };
    let printed = [
        format!("{secret:?} {password:?} {writer:?} {document:?} {local:#?}"),
        format!("{:?}", Portable::bare(secret)),
        format!(
            "{:?}",
            PasswordSource::Prompt(Prompt {
                is_interactive: false
            })
        ),
    ]
    .concat();
    assert!(printed.contains("[redacted]") && printed.contains(NAME));
    assert_hidden(&printed, value.as_bytes());
    assert_hidden(&printed, PASSWORD.as_bytes());
    let key = DeviceKey::from_bytes([7; 16]);
    let printed = format!("{key:?} {:?}", password.with_key(Some(&key)));
    assert_hidden(&printed, &[7; 16]);
    assert_hidden(&printed, key.text().as_bytes());
    let code = RecoveryCode::random();
    assert_hidden(&format!("{code:?}"), code.as_secret().expose());
}

#[test]
fn holders_of_keys_do_not_print_them() {
    let former = Key::random();
    let keys = AccountKeys::first(AccountId::new([1; 16]), former.clone());
    let keys = keys.with_next(Key::new(KEY));
    let seed = keys.signing().to_bytes();
    let printed = format!("{keys:#?} {:?}", Key::new(KEY));
    assert_hidden(&printed, &KEY);
    assert_hidden(&printed, former.expose());
    assert_hidden(&printed, &seed);

    // The private keys of a device and of a credential.
    let device = DeviceIdentity::random();
    assert_hidden(&format!("{device:?}"), device.seed().expose());
    let context = SlotContext {
        account: AccountId::new([1; 16]),
        slot: Slot::Password,
        generation: 1,
    };
    let slot_keys = context.keys_of(&[7; 64], &former, &device);
    assert_hidden(&format!("{slot_keys:?}"), &slot_keys.signing().to_bytes());

    let session_key: [u8; 64] = [KEY, KEY].concat().try_into().unwrap();
    let server = ServerChannel::new(&session_key);
    let printed = format!("{server:#?}");
    assert_hidden(&printed, &KEY);

    let folder = tempfile::tempdir().unwrap();
    let owner = Owner {
        account: AccountId::new([1; 16]),
        device: DeviceId::new([2; 16]),
    };
    let password = SecretBytes::from(PASSWORD.as_bytes());
    let path = folder.path().join("store");
    let store = LocalStore::create(&path, owner, &password, &Key::new(KEY)).unwrap();
    assert_hidden(&format!("{store:#?}"), &KEY);

    let file = KeyFile::open(
        &KeyFilePath::Named(folder.path().join("keys")),
        folder.path(),
    )
    .unwrap();
    let printed = format!("{file:#?}");
    assert_hidden(&printed, file.at_rest.expose());
    assert_hidden(&printed, &file.checkpoint.to_bytes());
    assert_hidden(&printed, &file.opaque.serialize());
}

#[test]
fn an_open_vault_prints_neither_keys_nor_password() {
    let server = Server::start();
    Device::registered(&server, ACCOUNT, PASSWORD);
    let mut client = Client::new(&server.url, &server.pin, ACCOUNT, PASSWORD);
    client.put(NAME, value().as_bytes()).unwrap();
    client.get(NAME).unwrap();
    let vault = client.vault();
    let printed = format!("{vault:#?} {vault:?}");
    assert!(printed.contains("[redacted]"));
    let keys = vault.session().keys();
    let derived = [keys.local_store(), keys.metadata(1).unwrap()];
    let device = vault.session().device_identity();
    for key in derived.iter().chain([keys.current(), device.seed()]) {
        assert_hidden(&printed, key.expose());
    }
    for key in [keys.signing(), device.signing()] {
        assert_hidden(&printed, &key.to_bytes());
    }
    assert_hidden(&printed, PASSWORD.as_bytes());
    assert_hidden(&printed, value().as_bytes());
}
