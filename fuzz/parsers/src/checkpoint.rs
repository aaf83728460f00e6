//! Signed tree heads.

use data_encoding::BASE64;
use ed25519_dalek::Signer as _;
use shared::checkpoint::{self, MAX_LEN, TreeHead};
use shared::ids::{AccountId, Digest, PublicKey, ServerId};

use crate::cursor::Cursor;
use crate::world::{ACCOUNT, SERVER, checkpoint_key, checkpoint_public};

/// A checkpoint that verifies is, to the byte, the one that the key makes of its tree head; for another log or key it
/// is nothing.
pub(crate) fn checkpoint(data: &[u8]) {
    let mut script = Cursor::new(data);
    match script.choice(3) {
        0 => {
            if let Ok(note) = std::str::from_utf8(script.rest()) {
                check(note);
            }
        }
        1 => {
            if let Ok(text) = std::str::from_utf8(script.rest()) {
                check(&signed(text));
            }
        }
        _ => {
            let head = TreeHead {
                size: script.number(),
                root: Digest::new(script.array()),
            };
            let note = checkpoint::sign(&checkpoint_key(), &SERVER, &ACCOUNT, &head);
            assert_eq!(check(&note), Some(head));
            let mut altered = note.clone().into_bytes();
            let position = usize::from(script.byte()) % altered.len();
            altered[position] ^= script.byte();
            if let Ok(altered) = String::from_utf8(altered)
                && altered != note
            {
                assert_eq!(check(&altered), None);
            }
        }
    }
}

fn check(note: &str) -> Option<TreeHead> {
    let key = checkpoint_public();
    let head = checkpoint::verify(note, &key, &SERVER, &ACCOUNT).ok()?;
    assert!(note.len() <= MAX_LEN);
    let again = checkpoint::sign(&checkpoint_key(), &SERVER, &ACCOUNT, &head);
    assert_eq!(again, note);
    let (server, account) = (ServerId::new([1; 16]), AccountId::new([1; 16]));
    assert!(checkpoint::verify(note, &key, &server, &ACCOUNT).is_err());
    assert!(checkpoint::verify(note, &key, &SERVER, &account).is_err());
    assert!(checkpoint::verify(note, &PublicKey::new([1; 32]), &SERVER, &ACCOUNT).is_err());
    Some(head)
}

/// Any text as the body of a note with a good signature: what a server could do that signs anything.
fn signed(text: &str) -> String {
    let note = checkpoint::sign(
        &checkpoint_key(),
        &SERVER,
        &ACCOUNT,
        &TreeHead {
            size: 0,
            root: Digest::new([0; 32]),
        },
    );
    let (_, line) = note.split_once("\n\n").unwrap();
    let (before, signature) = line.trim_end().rsplit_once(' ').unwrap();
    let id = &BASE64.decode(signature.as_bytes()).unwrap()[..4];
    let signature = checkpoint_key().sign(text.as_bytes()).to_bytes();
    let signature = BASE64.encode(&[id, &signature].concat());
    format!("{text}\n{before} {signature}\n")
}
