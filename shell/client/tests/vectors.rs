//! `docs/vectors/formats.json`: what a second client must be able to derive, open and verify.
#![allow(missing_docs, clippy::unwrap_used, clippy::indexing_slicing)]

use std::path::PathBuf;

use data_encoding::HEXLOWER;
use ed25519_dalek::SigningKey;
use keyshell_base::names::SecretName;
use keyshell_client::index::metadata::Metadata;
use keyshell_client::keys::account::AccountKeys;
use keyshell_client::keys::device_key::DeviceKey;
use keyshell_client::keys::password::Password;
use keyshell_client::keys::seal::{FormerKeysContext, SecretContext};
use keyshell_client::keys::wrap::WrapContext;
use serde_bytes::ByteBuf;
use serde_json::{Value, json};
use shared::audit_record::{AuditedOperation, Outcome, RECORD_FORMAT, Record, TagInput};
use shared::channel::{ClientIdle, ServerChannel, session_id};
use shared::checkpoint::{self, TreeHead};
use shared::codec;
use shared::ids::{
    AccountId, DeviceId, Digest, PublicKey, SecretId, Seq, ServerId, SessionId, Version,
};
use shared::opaque::Slot;
use shared::secret::{Key, SecretBytes};
use shared::vault_log::{ENTRY_FORMAT, Entry, FIRST_EPOCH, Head, Op, Put, SignedEntry};

const ACCOUNT: AccountId = AccountId::new([0x11; 16]);
const SECRET: SecretId = SecretId::new([0x22; 16]);
const DEVICE: DeviceId = DeviceId::new([0x33; 16]);
const SESSION: SessionId = SessionId::new([0x44; 16]);
const SERVER: ServerId = ServerId::new([0x55; 16]);
const ACCOUNT_KEY: [u8; 32] = [0x66; 32];
const NEXT_ACCOUNT_KEY: [u8; 32] = [0x9e; 32];
const EXPORT_KEY: [u8; 64] = [0x77; 64];
const SESSION_KEY: [u8; 64] = [0x88; 64];
const CHECKPOINT_SEED: [u8; 32] = [0x99; 32];
const DEVICE_KEY: [u8; 16] = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15];
const PASSWORD: &str = "a password";
const SEQ: Seq = Seq(2);

fn path() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../docs/vectors/formats.json")
}

fn hex(bytes: impl AsRef<[u8]>) -> String {
    HEXLOWER.encode(bytes.as_ref())
}

fn keys() -> AccountKeys {
    AccountKeys::new(ACCOUNT, FIRST_EPOCH, Key::new(ACCOUNT_KEY))
}

fn device_key() -> DeviceKey {
    DeviceKey::from_bytes(DEVICE_KEY)
}

/// The account key after this one.
fn next() -> AccountKeys {
    AccountKeys::new(ACCOUNT, FIRST_EPOCH + 1, Key::new(NEXT_ACCOUNT_KEY))
}

fn former_keys_place() -> FormerKeysContext {
    FormerKeysContext {
        begun: FIRST_EPOCH + 1,
        seq: SEQ,
    }
}

fn place() -> SecretContext {
    SecretContext {
        secret: SECRET,
        version: Version(1),
    }
}

fn wrap_context(slot: &Slot) -> WrapContext<'_> {
    WrapContext {
        account: &ACCOUNT,
        slot,
        generation: 1,
        epoch: FIRST_EPOCH,
    }
}

fn value() -> SecretBytes {
    SecretBytes::from(b"a value".as_slice())
}

fn metadata() -> Metadata {
    let mut metadata = Metadata::named(SecretName::parse("a name").unwrap());
    metadata.set_tags(vec!["one".into(), "two".into()]);
    metadata.note = "a note".into();
    metadata
}

fn record() -> Record {
    let tag = TagInput {
        session: &SESSION,
        counter: 3,
        position: 0,
        device: &DEVICE,
        operation: AuditedOperation::Put,
        secret: Some(&SECRET),
    };
    Record {
        format: RECORD_FORMAT,
        index: 0,
        time_ms: 1_800_000_000_000,
        operation: AuditedOperation::Put,
        secret: Some(SECRET),
        outcome: Outcome::Done,
        session: Some(SESSION),
        counter: 3,
        position: 0,
        device: Some(DEVICE),
        remote: "192.0.2.1".into(),
        tag: Some(tag.tag(&keys().request_tag())),
        count: 1,
    }
}

/// Everything that follows from the inputs without randomness.
fn derived() -> Value {
    let keys = keys();
    let record = record().encode().unwrap();
    let leaf = Record::leaf_hash(&record);
    let head = TreeHead {
        size: 1,
        root: leaf,
    };
    let checkpoint_key = SigningKey::from_bytes(&CHECKPOINT_SEED);
    json!({
        "inputs": {
            "account": ACCOUNT, "secret": SECRET, "device": DEVICE, "session": SESSION,
            "server": SERVER, "version": 1, "epoch": FIRST_EPOCH, "generation": 1, "seq": SEQ,
            "account_key": hex(ACCOUNT_KEY), "next_account_key": hex(NEXT_ACCOUNT_KEY), "export_key": hex(EXPORT_KEY),
            "session_key": hex(SESSION_KEY), "checkpoint_seed": hex(CHECKPOINT_SEED),
            "value": hex(value().expose()),
            "metadata": hex(metadata().encode().unwrap().expose()),
        },
        "keys": {
            "log_signing_seed": hex(keys.signing().to_bytes()),
            "log_public_key": keys.log_key(),
            "metadata": hex(keys.metadata().expose()),
            "value": hex(keys.value(&SECRET, Version(1)).expose()),
            "request_tag": hex(keys.request_tag().expose()),
            "local_store": hex(keys.local_store().expose()),
            "device_cache": hex(keys.device_cache(&DEVICE).expose()),
        },
        "password_and_key": {
            "key": hex(DEVICE_KEY), "text": device_key().text().as_str(), "password": PASSWORD,
            "credential": hex(Password::parse(PASSWORD).unwrap().with_key(Some(&device_key())).as_secret().expose()),
        },
        "channel": channel(),
        "audit": {
            "record": hex(&record),
            "leaf_hash": leaf,
            "checkpoint_key": PublicKey::new(checkpoint_key.verifying_key().to_bytes()),
            "checkpoint": checkpoint::sign(&checkpoint_key, &SERVER, &ACCOUNT, &head),
        },
    })
}

/// Welcome, request and answer: nonces are counters, so that these are determined as well.
fn channel() -> Value {
    let mut server = ServerChannel::new(&SESSION_KEY);
    let welcome = server.welcome(b"welcome");
    let (client, _) = ClientIdle::start(&SESSION_KEY, &welcome).unwrap();
    let waiting = client.request(b"request");
    server.receive(waiting.sealed()).unwrap();
    let answer = server.answer(b"answer").unwrap();
    let bytes = |sealed| hex(codec::encode(sealed).unwrap());
    json!({
        "session_id": session_id(&SESSION_KEY),
        "welcome": bytes(&welcome),
        "request": bytes(waiting.sealed()),
        "answer": bytes(&answer),
    })
}

/// Ciphertexts with random nonces: recorded once, opened by every run.
fn recorded() -> Value {
    let keys = keys();
    let sealed_value = place().seal_value(&keys, &value());
    let encoded = metadata().encode().unwrap();
    let sealed_metadata = place().seal_metadata(&keys, SEQ, encoded.expose());
    let entry = Entry {
        format: ENTRY_FORMAT,
        account: ACCOUNT,
        seq: SEQ,
        previous: Digest::new([0xaa; 32]),
        device: DEVICE,
        time_ms: 1_800_000_000_000,
        seen: Some(TreeHead {
            size: 5,
            root: Digest::new([0xbb; 32]),
        }),
        op: Op::Put(Put {
            secret: SECRET,
            version: Version(1),
            epoch: FIRST_EPOCH,
            value_hash: Digest::of(&sealed_value),
            metadata: ByteBuf::from(sealed_metadata.clone()),
        }),
        former: Vec::new(),
    };
    let signed = SignedEntry::sign(&entry, &keys.signing()).unwrap();
    let wrapped = wrap_context(&Slot::Password).wrap(&EXPORT_KEY, keys.root());
    json!({
        "wrapped_account_key": hex(&wrapped.blob),
        "sealed_value": hex(&sealed_value),
        "sealed_metadata": hex(&sealed_metadata),
        "signed_entry": hex(codec::encode(&signed).unwrap()),
        "sealed_former_keys": hex(former_keys_place().seal(&next(), &keys.former())),
        "entry_hash": signed.hash(),
    })
}

#[test]
#[ignore = "writes docs/vectors; run it only where the protocol itself changes"]
fn generate() {
    let mut all = derived();
    all["recorded"] = recorded();
    let text = serde_json::to_string_pretty(&all).unwrap();
    std::fs::write(path(), text + "\n").unwrap();
}

#[test]
fn everything_recorded_still_derives_opens_and_verifies() {
    let text = std::fs::read_to_string(path()).unwrap();
    let mut stored: Value = serde_json::from_str(&text).unwrap();
    let recorded = stored.as_object_mut().unwrap().remove("recorded").unwrap();
    assert_eq!(stored, derived());

    let bytes = |name: &str| {
        let text = recorded[name].as_str().unwrap();
        HEXLOWER.decode(text.as_bytes()).unwrap()
    };
    let keys = keys();
    let wrapped = bytes("wrapped_account_key");
    assert_eq!(wrapped.len(), 92);
    let context = wrap_context(&Slot::Password);
    assert_eq!(context.unwrap(&EXPORT_KEY, &wrapped).unwrap(), *keys.root());
    let opened = place().open_value(&keys, &bytes("sealed_value")).unwrap();
    assert_eq!(opened, value());
    let opened = place()
        .open_metadata(&keys, SEQ, &bytes("sealed_metadata"))
        .unwrap();
    assert_eq!(Metadata::decode(opened.expose()).unwrap(), metadata());
    let opened = former_keys_place().open(&next(), &bytes("sealed_former_keys"));
    assert_eq!(opened.unwrap(), keys.former());
    let entry = bytes("signed_entry");
    let signed: SignedEntry = codec::decode(&entry, entry.len()).unwrap();
    let verified = signed.verify(&ACCOUNT, &keys.log_key()).unwrap();
    assert_eq!(verified.seq, SEQ);
    assert_eq!(recorded["entry_hash"], json!(signed.hash()));
    let before = Head {
        seq: Seq(1),
        hash: Digest::new([0xaa; 32]),
    };
    assert!(signed.verify_next(&verified, &before).is_ok());
}

#[test]
fn nothing_opens_in_another_place() {
    let keys = keys();
    let sealed = place().seal_value(&keys, &value());
    let others = [
        SecretContext {
            secret: SecretId::new([1; 16]),
            ..place()
        },
        SecretContext {
            version: Version(2),
            ..place()
        },
    ];
    for other in others {
        assert!(other.open_value(&keys, &sealed).is_err(), "{other:?}");
    }
    let root = || Key::new(ACCOUNT_KEY);
    let others = [
        AccountKeys::new(ACCOUNT, FIRST_EPOCH + 1, root()),
        AccountKeys::new(AccountId::new([1; 16]), FIRST_EPOCH, root()),
    ];
    for other in others {
        assert!(place().open_value(&other, &sealed).is_err(), "{other:?}");
    }
    for position in 0..sealed.len() {
        let mut flipped = sealed.clone();
        flipped[position] ^= 1;
        assert!(place().open_value(&keys, &flipped).is_err(), "{position}");
    }
    let wrapped = wrap_context(&Slot::Password).wrap(&EXPORT_KEY, keys.root());
    let recovery = wrap_context(&Slot::Recovery);
    assert!(recovery.unwrap(&EXPORT_KEY, &wrapped.blob).is_err());
    let older = WrapContext {
        generation: 2,
        ..wrap_context(&Slot::Password)
    };
    assert!(older.unwrap(&EXPORT_KEY, &wrapped.blob).is_err());
}
