//! Signed checkpoints: one text per tree head, one signature, one key.
#![allow(clippy::unwrap_used)]

use data_encoding::BASE64;
use ed25519_dalek::{Signer as _, SigningKey};
use shared::checkpoint::{self, CheckpointError, MAX_LEN, TreeHead};
use shared::ids::{AccountId, Digest, PublicKey, ServerId};

const SERVER: ServerId = ServerId::new([1; 16]);
const ACCOUNT: AccountId = AccountId::new([2; 16]);
const HEAD: TreeHead = TreeHead {
    size: 12,
    root: Digest::new([3; 32]),
};

fn key(seed: u8) -> (SigningKey, PublicKey) {
    let key = SigningKey::from_bytes(&[seed; 32]);
    let public = PublicKey::new(key.verifying_key().to_bytes());
    (key, public)
}

#[test]
fn a_checkpoint_verifies_under_its_key_and_for_its_log_only() {
    let (signing, public) = key(4);
    let note = checkpoint::sign(&signing, &SERVER, &ACCOUNT, &HEAD);
    let verify = |note: &str, key, server, account| checkpoint::verify(note, key, server, account);
    assert_eq!(verify(&note, &public, &SERVER, &ACCOUNT), Ok(HEAD));
    let other_key = key(5).1;
    let unsigned = Err(CheckpointError::BadSignature);
    assert_eq!(verify(&note, &other_key, &SERVER, &ACCOUNT), unsigned);
    let malformed = Err(CheckpointError::Malformed);
    let (server, account) = (ServerId::new([9; 16]), AccountId::new([9; 16]));
    assert_eq!(verify(&note, &public, &server, &ACCOUNT), malformed);
    assert_eq!(verify(&note, &public, &SERVER, &account), malformed);
}

#[test]
fn nothing_can_be_altered_added_or_left_out() {
    let (signing, public) = key(4);
    let note = checkpoint::sign(&signing, &SERVER, &ACCOUNT, &HEAD);
    let is_refused = |note: &str| checkpoint::verify(note, &public, &SERVER, &ACCOUNT).is_err();
    for (position, old) in note.char_indices() {
        let (before, rest) = note.split_at(position);
        let rest = rest.strip_prefix(old).unwrap();
        for new in ["", "0", "A", " ", "\n", "="] {
            let altered = format!("{before}{new}{rest}");
            assert!(altered == note || is_refused(&altered), "{altered:?}");
        }
    }
    let (text, signature) = note.split_once("\n\n").unwrap();
    let others = [
        format!("{note}{signature}"),
        format!("{text}\nextension\n\n{signature}"),
        format!("{text}\n\n"),
        format!("{note}{}", " ".repeat(MAX_LEN)),
        String::new(),
    ];
    for other in others {
        assert!(is_refused(&other), "{other:?}");
    }
}

/// Key id and signature are checked each: the id of the pinned key on the signature of another one, and the reverse.
#[test]
fn key_id_and_signature_must_both_be_of_the_pinned_key() {
    let (pinned, public) = key(4);
    let (other, _) = key(5);
    let note = checkpoint::sign(&pinned, &SERVER, &ACCOUNT, &HEAD);
    let (text, _) = note.split_once("\n\n").unwrap();
    let origin = checkpoint::origin(&SERVER, &ACCOUNT);
    let id_of = |key: &SigningKey| {
        let note = checkpoint::sign(key, &SERVER, &ACCOUNT, &HEAD);
        let line = note.trim_end().rsplit(' ').next().unwrap();
        let bytes = BASE64.decode(line.as_bytes()).unwrap();
        *bytes.first_chunk::<4>().unwrap()
    };
    let with = |id: &SigningKey, signer: &SigningKey| {
        let signature = signer.sign(format!("{text}\n").as_bytes()).to_bytes();
        let line = BASE64.encode(&[id_of(id).as_slice(), &signature].concat());
        let note = format!("{text}\n\n\u{2014} {origin} {line}\n");
        checkpoint::verify(&note, &public, &SERVER, &ACCOUNT)
    };
    assert_eq!(with(&pinned, &pinned), Ok(HEAD));
    assert_eq!(with(&pinned, &other), Err(CheckpointError::BadSignature));
    assert_eq!(with(&other, &pinned), Err(CheckpointError::BadSignature));
}
