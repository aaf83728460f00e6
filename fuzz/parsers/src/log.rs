//! Single entries of the vault log.

use shared::ids::{AccountId, Digest};
use shared::opaque::Slot;
use shared::vault_log::{
    ENTRY_FORMAT, Entry, Head, LAST_OF_REGISTRATION, MAX_ENTRY_LEN, Op, SignedEntry, apply,
    next_generation,
};

use crate::cursor::Cursor;
use crate::wire::canonical;
use crate::world::{ACCOUNT, DEVICE, device_slot, keys, next_keys};

/// Entries as they travel, and entries whose signature is good whatever is in them.
pub(crate) fn log_entry(data: &[u8]) {
    let mut script = Cursor::new(data);
    let kind = script.choice(2);
    let bytes = script.rest();
    if kind == 0 {
        if let Some(signed) = canonical::<SignedEntry>(bytes, MAX_ENTRY_LEN) {
            check(&signed);
        }
    } else if let Some(entry) = canonical::<Entry>(bytes, MAX_ENTRY_LEN) {
        let signed = SignedEntry::sign(&entry, &keys().signing()).unwrap();
        assert_eq!(signed.decode_unverified().as_ref(), Ok(&entry));
        let belongs = entry.account == ACCOUNT && entry.format == ENTRY_FORMAT;
        assert_eq!(check(&signed).is_some(), belongs);
    }
}

/// What verifies is, to the byte, what the account's key signs, and verifies for nobody else.
fn check(signed: &SignedEntry) -> Option<Entry> {
    let key = keys().log_key();
    let entry = signed.verify(&ACCOUNT, &key).ok()?;
    assert_eq!(signed.decode_unverified().as_ref(), Ok(&entry));
    let again = SignedEntry::sign(&entry, &keys().signing()).unwrap();
    assert_eq!(again, *signed);
    assert_eq!(again.hash(), signed.hash());
    assert!(signed.verify(&AccountId::new([1; 16]), &key).is_err());
    assert!(signed.verify(&ACCOUNT, &next_keys().log_key()).is_err());
    check_place(signed, &entry);
    check_authorisation(&entry);
    Some(entry)
}

/// What outlives a session takes a credential: password and recovery code authorise all of it, a device the next
/// generation of its own credential, each of them at one position.
fn check_authorisation(entry: &Entry) {
    let is_needed = entry.seq > LAST_OF_REGISTRATION && entry.op.needs_authorisation();
    let bare = entry.verify_authorisation(|_| None);
    assert_eq!(bare.is_ok(), !is_needed && entry.authorisation.is_none());
    let key = DEVICE.signing();
    for slot in [Slot::Password, device_slot()] {
        let by = |asked: &Slot| (*asked == slot).then(|| DEVICE.public());
        let mut own = entry.clone();
        own.authorise(slot, &key).unwrap();
        let is_own = match &entry.op {
            Op::Credential(new) => new.slot == slot && new.keys.is_some(),
            _ => false,
        };
        let is_allowed = slot == Slot::Password || is_own;
        assert_eq!(
            own.verify_authorisation(by).is_ok(),
            is_needed && is_allowed
        );
        own.previous = Digest::of(own.previous.as_bytes());
        assert!(own.verify_authorisation(by).is_err());
    }
}

/// It follows the one head that it names, and no other.
fn check_place(signed: &SignedEntry, entry: &Entry) {
    let before = Head {
        seq: shared::ids::Seq(entry.seq.0.wrapping_sub(1)),
        hash: entry.previous,
    };
    if entry.seq.0 > 0 {
        let after = signed.verify_next(entry, &before).unwrap();
        assert_eq!((after.seq, after.hash), (entry.seq, signed.hash()));
        // The one position that saturates is out of any log's reach.
        assert!(entry.seq.0 == u64::MAX || signed.verify_next(entry, &after).is_err());
    }
    let elsewhere = Head {
        hash: signed.hash(),
        ..before
    };
    assert!(signed.verify_next(entry, &elsewhere).is_err());
    // With nothing before it, only the beginning of a log and of secrets is allowed.
    let _ = apply(None, entry);
    if let Op::Credential(credential) = &entry.op {
        let is_first = next_generation(None, credential).is_ok();
        assert!(!is_first || credential.generation == 1);
    }
}
