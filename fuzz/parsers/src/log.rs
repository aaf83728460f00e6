//! Single entries of the vault log.

use shared::ids::{AccountId, PublicKey};
use shared::vault_log::{ENTRY_FORMAT, Entry, Head, MAX_ENTRY_LEN, SignedEntry, apply};

use crate::cursor::Cursor;
use crate::wire::canonical;
use crate::world::{ACCOUNT, keys};

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
    let other = PublicKey::new(keys().device_cache(&entry.device).expose().to_owned());
    assert!(signed.verify(&ACCOUNT, &other).is_err());
    check_place(signed, &entry);
    Some(entry)
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
}
