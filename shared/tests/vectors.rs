//! `docs/vectors/formats.json`, as far as the formats of this crate go.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, missing_docs)]

mod common;

use common::{hex, unhex, vector_path};
use ed25519_dalek::SigningKey;
use serde_json::{Value, json};
use shared::aead;
use shared::audit_record::{AuditedOperation, MAX_RECORD_LEN, Record};
use shared::channel::{ClientIdle, Received, ServerChannel, session_id};
use shared::checkpoint::{self, TreeHead};
use shared::codec;
use shared::ids::{AccountId, PublicKey, ServerId};
use shared::request::{SignedOperation, verify};
use shared::secret::Key;
use shared::vault_log::{MAX_ENTRY_LEN, SignedEntry};

fn vectors() -> Value {
    let text = std::fs::read_to_string(vector_path("formats")).unwrap();
    serde_json::from_str(&text).unwrap()
}

fn bytes(value: &Value) -> Vec<u8> {
    unhex(value.as_str().unwrap())
}

#[test]
fn the_sealed_channel() {
    let vectors = vectors();
    let session_key = bytes(&vectors["inputs"]["session_key"]).try_into().unwrap();
    let expected = &vectors["channel"];
    let encoded = |sealed| json!(hex(codec::encode(sealed).unwrap()));
    assert_eq!(json!(session_id(&session_key)), expected["session_id"]);
    let mut server = ServerChannel::new(&session_key);
    let welcome = server.welcome(b"welcome");
    assert_eq!(encoded(&welcome), expected["welcome"]);
    let (client, opened) = ClientIdle::start(&session_key, &welcome).unwrap();
    assert_eq!(opened.expose(), b"welcome");
    let waiting = client.request(b"request");
    assert_eq!(encoded(waiting.sealed()), expected["request"]);
    let received = server.receive(waiting.sealed()).unwrap();
    assert!(matches!(received, Received::New(opened) if opened.expose() == b"request"));
    let answer = server.answer(b"answer").unwrap();
    assert_eq!(encoded(&answer), expected["answer"]);
    let (_, opened) = waiting.answer(&answer).unwrap();
    assert_eq!(opened.expose(), b"answer");
}

#[test]
fn an_audit_record_with_signature_leaf_and_checkpoint() {
    let vectors = vectors();
    let (inputs, audit) = (&vectors["inputs"], &vectors["audit"]);
    let encoded = bytes(&audit["record"]);
    let record: Record = codec::decode(&encoded, MAX_RECORD_LEN).unwrap();
    assert_eq!(record.encode().unwrap(), encoded);
    assert_eq!(record.operation, AuditedOperation::Put);
    let account = AccountId::from_slice(&bytes(&inputs["account"])).unwrap();
    let opening = record.opening.as_ref().unwrap();
    let signed = SignedOperation::of(&account, &record).unwrap().message();
    assert!(verify(&opening.device, &signed, &record.signature.unwrap()));

    let root = Record::leaf_hash(&encoded);
    assert_eq!(json!(root), audit["leaf_hash"]);
    let server = ServerId::from_slice(&bytes(&inputs["server"])).unwrap();
    let seed = bytes(&inputs["checkpoint_seed"]).try_into().unwrap();
    let head = TreeHead { size: 1, root };
    let note = checkpoint::sign(&SigningKey::from_bytes(&seed), &server, &account, &head);
    assert_eq!(json!(note), audit["checkpoint"]);
    let key = PublicKey::from_slice(&bytes(&audit["checkpoint_key"])).unwrap();
    assert_eq!(checkpoint::verify(&note, &key, &server, &account), Ok(head));
}

#[test]
fn a_signed_entry() {
    let vectors = vectors();
    let encoded = bytes(&vectors["recorded"]["signed_entry"]);
    let signed: SignedEntry = codec::decode(&encoded, MAX_ENTRY_LEN).unwrap();
    let account = AccountId::from_slice(&bytes(&vectors["inputs"]["account"])).unwrap();
    let key = PublicKey::from_slice(&bytes(&vectors["keys"]["log_public_key"])).unwrap();
    let entry = signed.verify(&account, &key).unwrap();
    assert_eq!(json!(entry.seq), vectors["inputs"]["seq"]);
    assert_eq!(json!(signed.hash()), vectors["recorded"]["entry_hash"]);
    let seed = bytes(&vectors["keys"]["log_signing_seed"]);
    let again = SignedEntry::sign(&entry, &SigningKey::from_bytes(&seed.try_into().unwrap()));
    assert_eq!(again.unwrap(), signed);
}

#[test]
fn a_random_nonce_precedes_the_ciphertext() {
    let key = Key::random();
    let [first, second] = [(); 2].map(|()| aead::seal_random(&key, b"aad", b"plaintext"));
    assert_eq!(first.len(), aead::NONCE_LEN + 9 + aead::TAG_LEN);
    assert_ne!(first, second);
    let (nonce, ciphertext) = first.split_first_chunk().unwrap();
    assert_eq!(aead::seal(&key, nonce, b"aad", b"plaintext"), ciphertext);
    let opened = aead::open_random(&key, b"aad", &first).unwrap();
    assert_eq!(opened.expose(), b"plaintext");
    let refused = [
        aead::open_random(&key, b"AAD", &first),
        aead::open_random(&Key::random(), b"aad", &first),
        aead::open_random(&key, b"aad", &first[1..]),
        aead::open_random(&key, b"aad", &first[..aead::NONCE_LEN - 1]),
    ];
    assert_eq!(refused, [const { Err(aead::OpenError) }; 4]);
}
