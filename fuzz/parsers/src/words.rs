//! Words, shares of words and keystores: formats of one secret that carry few lengths, or take long to open.

use keyshell_formats::shares::share::{Scheme, Share};
use keyshell_formats::{Choices, named};
use serde_json::Value;
use zeroize::Zeroizing;

use crate::cursor::Cursor;
use crate::imports::Answers;

/// Largest parameter of a made-up keystore that is worked with.
const MAX_WORK: u64 = 32;

/// Any text, and any share.
pub(crate) fn words(data: &[u8]) {
    let mut script = Cursor::new(data);
    match script.choice(4) {
        0 => share(&mut script),
        1 => mnemonic(script.rest()),
        2 => keystore(script.rest()),
        _ => text(script.rest()),
    }
}

/// A share comes back from its words, and not from others.
fn share(script: &mut Cursor<'_>) {
    let threshold = script.choice(16) + 1;
    let share = Share {
        scheme: Scheme {
            identifier: u16::from_be_bytes(script.array()) >> 1,
            extendable: script.choice(2) == 1,
            exponent: script.choice(16),
            group_threshold: threshold,
            groups: (threshold + script.choice(16)).min(16),
        },
        group: script.choice(16),
        member: script.choice(16),
        threshold: script.choice(16) + 1,
        value: Zeroizing::new(
            script.array::<64>()[..16 + 2 * usize::from(script.choice(25))].to_vec(),
        ),
    };
    let words = share.words();
    assert_eq!(Share::parse(&words).unwrap(), share);
    let mut others: Vec<&str> = words.split(' ').collect();
    let place = usize::from(script.byte()) % others.len();
    let by = if others[place] == "academic" {
        "zero"
    } else {
        "academic"
    };
    others[place] = by;
    assert!(Share::parse(&others.join(" ")).is_err());
}

/// What is read as a share is written as the same words.
fn text(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    if let Ok(share) = Share::parse(&text) {
        assert_eq!(Share::parse(&share.words()).unwrap(), share);
    }
}

/// What is read as a mnemonic is written as the same words.
fn mnemonic(bytes: &[u8]) {
    let answers = Answers(Choices::default());
    let format = named("bip39").unwrap();
    let Ok(secret) = format.decode(bytes, &answers) else {
        return;
    };
    let words = format.encode(&secret, &answers).unwrap();
    // They are English ones, whatever the language was.
    let again = format.decode(words.expose(), &answers).unwrap();
    assert_eq!(again.value, secret.value);
}

/// Any file, unless it asks for more work than a fuzzer has time for.
fn keystore(bytes: &[u8]) {
    let document: Value = serde_json::from_slice(bytes).unwrap_or_default();
    let params = ["/crypto/kdfparams", "/Crypto/kdfparams"];
    let params = params
        .iter()
        .filter_map(|at| document.pointer(at)?.as_object());
    let mut numbers = params.flat_map(|params| params.values().filter_map(Value::as_u64));
    if numbers.any(|number| number > MAX_WORK) {
        return;
    }
    let format = named("eth-keystore").unwrap();
    if let Ok(secret) = format.decode(bytes, &Answers(Choices::default())) {
        assert!((format.recognises)(bytes));
        assert_eq!(secret.value.len(), 32);
    }
}
