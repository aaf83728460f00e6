//! `docs/vectors/formats.json`: what a second client must be able to derive, open and verify.
#![allow(missing_docs, clippy::unwrap_used, clippy::indexing_slicing)]

use std::path::PathBuf;

use data_encoding::HEXLOWER;
use ed25519_dalek::{Signer as _, SigningKey};
use keyshell_base::names::SecretName;
use keyshell_client::device::identity::DeviceIdentity;
use keyshell_client::device::pins::{Pins, ServerPins};
use keyshell_client::index::metadata::Metadata;
use keyshell_client::keys::account::AccountKeys;
use keyshell_client::keys::anchor::Anchor;
use keyshell_client::keys::device_key::DeviceKey;
use keyshell_client::keys::password::Password;
use keyshell_client::keys::seal::SecretContext;
use keyshell_client::keys::slot::{SlotContext, SlotKeys};
use keyshell_client::keys::wrap::WrapContext;
use serde_bytes::ByteBuf;
use serde_json::{Value, json};
use shared::audit_record::{AuditedOperation, Outcome, RECORD_FORMAT, Record};
use shared::channel::{ClientIdle, ServerChannel, session_id};
use shared::checkpoint::{self, TreeHead};
use shared::codec;
use shared::ids::{
    AccountId, Digest, PublicKey, SecretId, Seq, ServerId, SessionId, Signature, Version,
};
use shared::kdf::{derive, length_prefixed};
use shared::opaque::Slot;
use shared::request::{Opening, SignedOperation};
use shared::secret::{Key, SecretBytes};
use shared::vault_log::{
    Acknowledge, Credential, ENTRY_FORMAT, Entry, FIRST_EPOCH, Head, Op, Rekey, Sealed,
    SecretVersion, SignedEntry,
};
use shared::wire::call::{Call, Fetch, Request, ValueRef};
use shared::wire::slots::{Install, NewEpoch, SLOT_KEY_LEN, SlotKey};

const ACCOUNT: AccountId = AccountId::new([0x11; 16]);
const SECRET: SecretId = SecretId::new([0x22; 16]);
const DEVICE_SEED: [u8; 32] = [0x33; 32];
const SESSION: SessionId = SessionId::new([0x44; 16]);
const SERVER: ServerId = ServerId::new([0x55; 16]);
const ACCOUNT_KEY: [u8; 32] = [0x66; 32];
const NEXT_ACCOUNT_KEY: [u8; 32] = [0x9e; 32];
const EXPORT_KEY: [u8; 64] = [0x77; 64];
const SESSION_KEY: [u8; 64] = [0x88; 64];
const CHECKPOINT_SEED: [u8; 32] = [0x99; 32];
const DEVICE_KEY: [u8; 16] = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15];
const PASSWORD: &str = "a password";
const GENERATION: u64 = 1;
const SEQ: Seq = Seq(4);
const PREVIOUS: Digest = Digest::new([0xaa; 32]);
const WRAPPED: &[u8] = b"the blob of a wrapped key";

fn path() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../docs/vectors/formats.json")
}

fn hex(bytes: impl AsRef<[u8]>) -> String {
    HEXLOWER.encode(bytes.as_ref())
}

fn encoded(message: &impl serde::Serialize) -> String {
    hex(codec::encode(message).unwrap())
}

fn keys() -> AccountKeys {
    AccountKeys::first(ACCOUNT, Key::new(ACCOUNT_KEY))
}

/// The keys after the next key epoch has begun.
fn next() -> AccountKeys {
    keys().with_next(Key::new(NEXT_ACCOUNT_KEY))
}

fn device_key() -> DeviceKey {
    DeviceKey::from_bytes(DEVICE_KEY)
}

fn device() -> DeviceIdentity {
    DeviceIdentity::new(Key::new(DEVICE_SEED))
}

fn slots() -> [(&'static str, Slot); 3] {
    [
        ("password", Slot::Password),
        ("recovery", Slot::Recovery),
        ("device", Slot::Device(device().id())),
    ]
}

fn slot_context(slot: Slot) -> SlotContext {
    SlotContext {
        account: ACCOUNT,
        slot,
        generation: GENERATION,
    }
}

fn slot_keys(slot: Slot) -> SlotKeys {
    slot_context(slot).keys_of(&EXPORT_KEY, &Key::new(ACCOUNT_KEY), &device())
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
        generation: GENERATION,
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

fn public(key: &SigningKey) -> PublicKey {
    PublicKey::new(key.verifying_key().to_bytes())
}

/// An entry at [`SEQ`], authorised by a slot where its operation needs that.
fn entry(op: Op, by: Option<Slot>) -> Entry {
    let mut entry = Entry {
        format: ENTRY_FORMAT,
        account: ACCOUNT,
        seq: SEQ,
        previous: PREVIOUS,
        device: device().id(),
        time_ms: 1_800_000_000_000,
        seen: Some(TreeHead {
            size: 5,
            root: Digest::new([0xbb; 32]),
        }),
        op,
        authorisation: None,
    };
    if let Some(slot) = by {
        entry.authorise(slot, &slot_keys(slot).signing()).unwrap();
    }
    entry
}

fn sign(entry: &Entry) -> SignedEntry {
    SignedEntry::sign(entry, &keys().signing()).unwrap()
}

/// Begins the next key epoch with [`credential`] of the password.
fn rekey() -> Op {
    Op::Rekey(Rekey {
        epoch: next().epoch(),
        log_key: next().log_key(),
        credentials: 1,
    })
}

fn credential(slot: Slot) -> Op {
    Op::Credential(Credential {
        slot,
        generation: GENERATION + 1,
        keys: Some(slot_keys(slot).public(WRAPPED)),
        name: None,
    })
}

/// Each operation whose entry carries no sealed content, and by which credential it is authorised.
fn entries() -> Vec<(&'static str, Op, Option<Slot>)> {
    let device = Slot::Device(device().id());
    let named = SecretVersion {
        secret: SECRET,
        version: Version(1),
    };
    let head = Head {
        seq: Seq(9),
        hash: Digest::new([0xcc; 32]),
    };
    let lost = Acknowledge::message(&ACCOUNT, &head, &PREVIOUS);
    let lost = Acknowledge {
        lost_seq: head.seq,
        lost_hash: head.hash,
        signature: Some(Signature::new(keys().signing().sign(&lost).to_bytes())),
    };
    let revoked = Credential {
        slot: Slot::Recovery,
        generation: GENERATION + 1,
        keys: None,
        name: None,
    };
    vec![
        ("rekey", rekey(), Some(Slot::Password)),
        (
            "credential",
            credential(Slot::Password),
            Some(Slot::Recovery),
        ),
        ("credential_of_device", credential(device), Some(device)),
        ("revocation", Op::Credential(revoked), Some(Slot::Password)),
        ("acknowledge", Op::Acknowledge(lost), Some(Slot::Password)),
        ("remove", Op::Remove(named.clone()), None),
        ("restore", Op::Restore(named), None),
    ]
}

fn operation() -> SignedOperation<'static> {
    SignedOperation {
        account: &ACCOUNT,
        session: &SESSION,
        counter: 3,
        position: 0,
        operation: AuditedOperation::Put,
        secret: Some(&SECRET),
        entry: Some(&PREVIOUS),
    }
}

fn opening() -> Opening {
    let signing = slot_keys(Slot::Password).signing();
    let by = (Slot::Password, GENERATION);
    Opening::sign(&ACCOUNT, &SESSION, by, device().public(), &signing)
}

fn record() -> Record {
    let operation = operation();
    Record {
        format: RECORD_FORMAT,
        index: 0,
        time_ms: 1_800_000_000_000,
        operation: operation.operation,
        secret: operation.secret.copied(),
        outcome: Outcome::Done,
        session: Some(SESSION),
        counter: operation.counter,
        position: operation.position,
        device: Some(device().id()),
        remote: "192.0.2.1".into(),
        signature: Some(operation.sign(&device().signing())),
        entry: operation.entry.copied(),
        opening: Some(opening()),
        count: 1,
    }
}

/// Everything that follows from the inputs without randomness.
fn derived() -> Value {
    let keys = keys();
    let encoded_record = record().encode().unwrap();
    let leaf = Record::leaf_hash(&encoded_record);
    let head = TreeHead {
        size: 1,
        root: leaf,
    };
    let checkpoint_key = SigningKey::from_bytes(&CHECKPOINT_SEED);
    let device_cache = keys.device_caches(&device().id()).next().unwrap();
    json!({
        "inputs": {
            "account": ACCOUNT, "secret": SECRET, "device_seed": hex(DEVICE_SEED), "session": SESSION,
            "server": SERVER, "version": 1, "epoch": FIRST_EPOCH, "generation": GENERATION, "seq": SEQ,
            "previous": PREVIOUS, "wrapped": hex(WRAPPED),
            "account_key": hex(ACCOUNT_KEY), "next_account_key": hex(NEXT_ACCOUNT_KEY), "export_key": hex(EXPORT_KEY),
            "session_key": hex(SESSION_KEY), "checkpoint_seed": hex(CHECKPOINT_SEED),
            "value": hex(value().expose()),
            "metadata": hex(metadata().encode().unwrap().expose()),
        },
        "keys": {
            "log_signing_seed": hex(keys.signing().to_bytes()),
            "log_public_key": keys.log_key(),
            "next_log_public_key": next().log_key(),
            "metadata": hex(keys.metadata(FIRST_EPOCH).unwrap().expose()),
            "value": hex(keys.value(&SECRET, Version(1), FIRST_EPOCH).unwrap().expose()),
            "local_store": hex(keys.local_store().expose()),
            "device_cache": hex(device_cache.expose()),
        },
        "device": {
            "signing_seed": hex(device().signing().to_bytes()),
            "public_key": device().public(),
            "id": device().id(),
        },
        "slots": slots().map(|(name, slot)| (name.to_owned(), slot_vector(slot))).into_iter().collect::<Value>(),
        "entries": entries().into_iter().map(|(name, op, by)| (name.to_owned(), entry_vector(op, by))).collect::<Value>(),
        "request": request(),
        "state_code": state_code(),
        "password_and_key": {
            "key": hex(DEVICE_KEY), "text": device_key().text().as_str(), "password": PASSWORD,
            "credential": hex(Password::parse(PASSWORD).unwrap().with_key(Some(&device_key())).as_secret().expose()),
        },
        "channel": channel(),
        "audit": {
            "record": hex(&encoded_record),
            "leaf_hash": leaf,
            "checkpoint_key": PublicKey::new(checkpoint_key.verifying_key().to_bytes()),
            "checkpoint": checkpoint::sign(&checkpoint_key, &SERVER, &ACCOUNT, &head),
        },
    })
}

/// The key pairs of a credential. The seeds are derived here once more, by the formulas of the specification.
fn slot_vector(slot: Slot) -> Value {
    let label = slot.label();
    let fields: [&[u8]; 3] = [ACCOUNT.as_bytes(), &label, &GENERATION.to_be_bytes()];
    let of_device = length_prefixed(&[&ACCOUNT_KEY, &DEVICE_SEED]);
    let (kem_seed, signing_seed) = if let Slot::Device(_) = slot {
        (
            derive::<32>(&of_device, "keyshell/2 slot kem", &fields),
            derive::<32>(&DEVICE_SEED, "keyshell/2 device signing", &[]),
        )
    } else {
        (
            derive::<32>(&EXPORT_KEY, "keyshell/2 slot kem", &fields),
            derive::<32>(&EXPORT_KEY, "keyshell/2 slot signing", &fields),
        )
    };
    let keys = slot_keys(slot);
    assert_eq!(keys.signing().to_bytes(), *signing_seed);
    let named = keys.public(WRAPPED);
    json!({
        "label": hex(label),
        "kem_seed": hex(&kem_seed[..]),
        "signing_seed": hex(&signing_seed[..]),
        "kem_public_key": hex(&named.kem),
        "signing_public_key": named.signing,
    })
}

fn entry_vector(op: Op, by: Option<Slot>) -> Value {
    let entry = entry(op, by);
    let signed = sign(&entry);
    let authorised = by.map(|_| Digest::of(&entry.authorised_message().unwrap()));
    json!({
        "authorised_message_sha256": authorised,
        "authorisation": entry.authorisation.map(|by| by.signature),
        "signed_entry": encoded(&signed),
        "hash": signed.hash(),
    })
}

/// The first request of a session.
fn request() -> Value {
    let call = Call::Fetch(Fetch(vec![ValueRef {
        secret: SECRET,
        version: Version(1),
    }]));
    let fetch = SignedOperation {
        operation: AuditedOperation::Get,
        entry: None,
        ..operation()
    };
    let signature = fetch.sign(&device().signing());
    let request = Request {
        opening: Some(opening()),
        signatures: vec![signature],
        call,
    };
    json!({
        "opening": encoded(&opening()),
        "certificate": opening().certificate,
        "put": {
            "message": hex(operation().message()),
            "signature": operation().sign(&device().signing()),
        },
        "get": {"message": hex(fetch.message()), "signature": signature},
        "plaintext": encoded(&request),
    })
}

/// What a device has verified, as the code that another device is given.
fn state_code() -> Value {
    let server = ServerPins {
        server: SERVER,
        opaque_key: PublicKey::new([0xdd; 32]),
        checkpoint_key: public(&SigningKey::from_bytes(&CHECKPOINT_SEED)),
    };
    let mut pins = Pins::new(server, ACCOUNT, FIRST_EPOCH);
    pins.head = Head {
        seq: SEQ,
        hash: PREVIOUS,
    };
    pins.audit = Some(TreeHead {
        size: 5,
        root: Digest::new([0xbb; 32]),
    });
    let text = Anchor::of(&pins).text();
    assert_eq!(Anchor::parse(&text).unwrap(), Anchor::of(&pins));
    json!({"opaque_key": server.opaque_key, "head": PREVIOUS, "audit": pins.audit, "text": text})
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

/// Ciphertexts with random nonces and encapsulations: recorded once, opened by every run.
fn recorded() -> Value {
    let keys = keys();
    let sealed_value = place().seal_value(&keys, &value()).unwrap();
    let metadata = metadata().encode().unwrap();
    let sealed_metadata = place().seal_metadata(&keys, metadata.expose()).unwrap();
    let put = Op::Put(Sealed {
        secret: SECRET,
        version: Version(1),
        epoch: FIRST_EPOCH,
        value: Digest::of(&sealed_value),
        metadata: Digest::of(&sealed_metadata),
    });
    let signed = sign(&entry(put, None));
    let wrapped = wrap_context(&Slot::Password).wrap(&EXPORT_KEY, keys.current());
    let slot_keys = slots().map(|(name, slot)| (name.to_owned(), hex(slot_key(slot).blob)));
    let history = ByteBuf::from(next().seal_history());
    let install = Call::Install(Install {
        ke3: Vec::new(),
        entries: vec![sign(&entry(rekey(), Some(Slot::Password)))],
        epoch: Some(NewEpoch {
            slot_keys: vec![slot_key(Slot::Recovery)],
            history: history.clone(),
        }),
    });
    json!({
        "wrapped_account_key": hex(&wrapped.blob),
        "sealed_value": hex(&sealed_value),
        "sealed_metadata": hex(&sealed_metadata),
        "signed_entry": encoded(&signed),
        "entry_hash": signed.hash(),
        "slot_keys": slot_keys.into_iter().collect::<Value>(),
        "key_history": hex(&history),
        "install": encoded(&install),
    })
}

/// The account key of the next epoch, encapsulated to a credential.
fn slot_key(slot: Slot) -> SlotKey {
    let kem = slot_keys(slot).public(WRAPPED).kem;
    let next = next();
    let sealed = slot_context(slot).encapsulate(&kem, next.epoch(), next.current());
    sealed.unwrap()
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

    let unhex = |text: &Value| HEXLOWER.decode(text.as_str().unwrap().as_bytes()).unwrap();
    let bytes = |name: &str| unhex(&recorded[name]);
    let keys = keys();
    let wrapped = bytes("wrapped_account_key");
    assert_eq!(wrapped.len(), 92);
    let context = wrap_context(&Slot::Password);
    let unwrapped = context.unwrap(&EXPORT_KEY, &wrapped).unwrap();
    assert_eq!(unwrapped, *keys.current());
    let sealed_value = bytes("sealed_value");
    let opened = place().open_value(&keys, FIRST_EPOCH, &sealed_value);
    assert_eq!(opened.unwrap(), value());
    let sealed_metadata = bytes("sealed_metadata");
    let opened = place()
        .open_metadata(&keys, FIRST_EPOCH, &sealed_metadata)
        .unwrap();
    assert_eq!(Metadata::decode(opened.expose()).unwrap(), metadata());
    let entry = bytes("signed_entry");
    let signed: SignedEntry = codec::decode(&entry, entry.len()).unwrap();
    let verified = signed.verify(&ACCOUNT, &keys.log_key()).unwrap();
    assert_eq!(verified.seq, SEQ);
    assert_eq!(verified.op.value(), Some(Digest::of(&sealed_value)));
    assert_eq!(verified.op.metadata(), Some(Digest::of(&sealed_metadata)));
    assert_eq!(recorded["entry_hash"], json!(signed.hash()));
    let before = Head {
        seq: Seq(SEQ.0 - 1),
        hash: PREVIOUS,
    };
    assert!(signed.verify_next(&verified, &before).is_ok());

    // The keys of the next epoch, by each credential.
    let history = bytes("key_history");
    for (name, slot) in slots() {
        let sealed = SlotKey {
            slot,
            generation: GENERATION,
            epoch: FIRST_EPOCH + 1,
            blob: ByteBuf::from(unhex(&recorded["slot_keys"][name])),
        };
        assert_eq!(sealed.blob.len(), SLOT_KEY_LEN);
        let opened = slot_keys(slot).open(&sealed).unwrap();
        assert_eq!(opened, Key::new(NEXT_ACCOUNT_KEY));
        let opened = AccountKeys::open(ACCOUNT, sealed.epoch, opened, Some(&history)).unwrap();
        assert_eq!(opened.of_epoch(FIRST_EPOCH), Some(keys.current()));
        assert_eq!(opened.log_key(), next().log_key());
    }
    let install = bytes("install");
    let Call::Install(install) = codec::decode(&install, install.len()).unwrap() else {
        panic!("no install");
    };
    let [rekeyed] = &install.entries[..] else {
        panic!("one entry");
    };
    assert_eq!(
        rekeyed.verify(&ACCOUNT, &keys.log_key()).unwrap().op,
        rekey()
    );
    let epoch = install.epoch.unwrap();
    assert_eq!(epoch.history, history);
    let [sealed] = &epoch.slot_keys[..] else {
        panic!("one slot key");
    };
    let opened = slot_keys(Slot::Recovery).open(sealed);
    assert_eq!(opened, Ok(Key::new(NEXT_ACCOUNT_KEY)));
}

/// Each authorisation verifies by the credential that the vector names, and by no other.
#[test]
fn authorisations_are_of_one_credential() {
    for (name, op, by) in entries() {
        let entry = entry(op, by);
        let by_own = |slot: &Slot| Some(public(&slot_keys(*slot).signing()));
        assert_eq!(entry.verify_authorisation(by_own), Ok(()), "{name}");
        let by_other = |_: &Slot| Some(public(&SigningKey::from_bytes(&[1; 32])));
        let refused = entry.verify_authorisation(by_other).is_err();
        assert_eq!(refused, by.is_some(), "{name}");
    }
}

#[test]
fn nothing_opens_in_another_place() {
    let keys = keys();
    let sealed = place().seal_value(&keys, &value()).unwrap();
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
        let opened = other.open_value(&keys, FIRST_EPOCH, &sealed);
        assert!(opened.is_err(), "{other:?}");
    }
    let opens = |keys: &AccountKeys, epoch| place().open_value(keys, epoch, &sealed).is_ok();
    assert!(opens(&keys, FIRST_EPOCH) && opens(&next(), FIRST_EPOCH));
    assert!(!opens(&keys, FIRST_EPOCH + 1) && !opens(&next(), FIRST_EPOCH + 1));
    // The same account key in another epoch, and of another account.
    let twice = keys.with_next(Key::new(ACCOUNT_KEY));
    assert!(!opens(&twice, FIRST_EPOCH + 1));
    let other = AccountKeys::first(AccountId::new([1; 16]), Key::new(ACCOUNT_KEY));
    assert!(!opens(&other, FIRST_EPOCH));
    for position in 0..sealed.len() {
        let mut flipped = sealed.clone();
        flipped[position] ^= 1;
        let opened = place().open_value(&keys, FIRST_EPOCH, &flipped);
        assert!(opened.is_err(), "{position}");
    }
    let wrapped = wrap_context(&Slot::Password).wrap(&EXPORT_KEY, keys.current());
    let recovery = wrap_context(&Slot::Recovery);
    assert!(recovery.unwrap(&EXPORT_KEY, &wrapped.blob).is_err());
    let others = [
        WrapContext {
            generation: 2,
            ..wrap_context(&Slot::Password)
        },
        WrapContext {
            epoch: FIRST_EPOCH + 1,
            ..wrap_context(&Slot::Password)
        },
    ];
    for other in others {
        assert!(other.unwrap(&EXPORT_KEY, &wrapped.blob).is_err());
    }
}

/// A slot key is of one account, slot, generation and epoch, and opens with one credential.
#[test]
fn a_slot_key_opens_for_its_credential() {
    let slot = Slot::Device(device().id());
    let sealed = slot_key(slot);
    let keys = slot_keys(slot);
    assert_eq!(sealed.blob.len(), SLOT_KEY_LEN);
    assert_eq!(keys.open(&sealed), Ok(Key::new(NEXT_ACCOUNT_KEY)));
    let altered: [fn(&mut SlotKey); 7] = [
        |sealed| sealed.slot = Slot::Password,
        |sealed| sealed.generation += 1,
        |sealed| sealed.epoch += 1,
        |sealed| sealed.blob[0] ^= 1,
        |sealed| sealed.blob[1119] ^= 1,
        |sealed| sealed.blob[1167] ^= 1,
        |sealed| sealed.blob.truncate(SLOT_KEY_LEN - 1),
    ];
    for (number, alter) in altered.into_iter().enumerate() {
        let mut sealed = sealed.clone();
        alter(&mut sealed);
        assert!(keys.open(&sealed).is_err(), "{number}");
    }
    let other = SlotContext {
        account: AccountId::new([1; 16]),
        ..slot_context(slot)
    };
    // The device on another disk, the disk without the account key, and another account.
    let others = [
        slot_context(slot).keys_of(
            &EXPORT_KEY,
            &Key::new(ACCOUNT_KEY),
            &DeviceIdentity::random(),
        ),
        slot_context(slot).keys_of(&EXPORT_KEY, &Key::random(), &device()),
        other.keys_of(&EXPORT_KEY, &Key::new(ACCOUNT_KEY), &device()),
    ];
    for (number, other) in others.into_iter().enumerate() {
        assert!(other.open(&sealed).is_err(), "{number}");
    }
    // The export key of a device, whose secret lives in memory only, has no part in it.
    let renewed = slot_context(slot).keys_of(&[1; 64], &Key::new(ACCOUNT_KEY), &device());
    assert!(renewed.open(&sealed).is_ok());
    let kem = slot_keys(slot).public(WRAPPED).kem;
    let short = slot_context(slot).encapsulate(&kem[1..], 2, next().current());
    assert!(short.is_err());
}

/// The history holds one key per former epoch; the server cannot put a key of its own into one.
#[test]
fn a_key_history_is_of_one_epoch() {
    let history = next().seal_history();
    let open = |account, epoch, key: [u8; 32], history| {
        AccountKeys::open(account, epoch, Key::new(key), history)
    };
    let epoch = FIRST_EPOCH + 1;
    let opened = open(ACCOUNT, epoch, NEXT_ACCOUNT_KEY, Some(&history[..])).unwrap();
    assert_eq!(opened.epoch(), epoch);
    assert_eq!(opened.of_epoch(FIRST_EPOCH), Some(&Key::new(ACCOUNT_KEY)));
    assert_eq!(opened.of_epoch(epoch), Some(&Key::new(NEXT_ACCOUNT_KEY)));
    assert_eq!(opened.of_epoch(0), None);
    assert_eq!(opened.of_epoch(epoch + 1), None);
    let other = AccountId::new([1; 16]);
    let (_, short) = history.split_last().unwrap();
    let refused = [
        open(other, epoch, NEXT_ACCOUNT_KEY, Some(&history[..])),
        open(ACCOUNT, epoch + 1, NEXT_ACCOUNT_KEY, Some(&history[..])),
        open(ACCOUNT, FIRST_EPOCH, NEXT_ACCOUNT_KEY, Some(&history[..])),
        open(ACCOUNT, epoch, ACCOUNT_KEY, Some(&history[..])),
        open(ACCOUNT, epoch, NEXT_ACCOUNT_KEY, Some(short)),
        open(ACCOUNT, epoch, NEXT_ACCOUNT_KEY, None),
        open(ACCOUNT, 0, NEXT_ACCOUNT_KEY, None),
        open(ACCOUNT, 1001, NEXT_ACCOUNT_KEY, None),
    ];
    for (number, result) in refused.into_iter().enumerate() {
        assert!(result.is_err(), "{number}");
    }
    // A history that lacks a key, or has one too many, does not reach the epoch that it is for.
    let third = next().with_next(Key::new([1; 32]));
    let lacking = third.seal_history();
    assert!(open(ACCOUNT, 3, [1; 32], Some(&lacking[..])).is_ok());
    assert!(open(ACCOUNT, 2, [1; 32], Some(&lacking[..])).is_err());
}
