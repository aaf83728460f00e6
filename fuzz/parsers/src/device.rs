//! What a device keeps beside the local store: cached index, pins, profile, device seed.

use std::fs;

use data_encoding::HEXLOWER;
use keyshell_client::device::home::Home;
use keyshell_client::device::pins::{Pins, PinsFile};
use keyshell_client::index::Index;
use shared::names::AccountName;

use crate::cursor::Cursor;
use crate::world::folder;

/// What is read and written again is the same.
pub(crate) fn device_files(data: &[u8]) {
    let mut script = Cursor::new(data);
    match script.choice(4) {
        0 => index(script.rest()),
        1 => pins(script.rest()),
        2 => profile(script.rest()),
        _ => device(script.rest()),
    }
}

fn home() -> Home {
    Home::new("default", Some(&folder())).unwrap()
}

fn index(bytes: &[u8]) {
    let Some(index) = Index::decode(bytes) else {
        return;
    };
    let names = index.secrets().len();
    let Some(encoded) = index.encode() else {
        return;
    };
    let again = Index::decode(encoded.expose()).unwrap();
    assert_eq!(again.head(), index.head());
    assert_eq!(again.secrets().len(), names);
    assert_eq!(again.encode().unwrap(), encoded);
}

fn pins(bytes: &[u8]) {
    let account = AccountName::parse("account").unwrap();
    let path = home().pins(&account);
    keyshell_client::device::home::write(&path, bytes).unwrap();
    let file = PinsFile::new(&path);
    // A file that is there is never taken for a missing one: that would forget every check.
    let Some(pins) = file.load().ok().map(|pins| pins.expect("it is there")) else {
        return;
    };
    let kept = saved(&file, &pins);
    assert_eq!((kept.head, kept.audit), (pins.head, pins.audit));
    assert_eq!(kept.credentials, pins.credentials);
    assert_eq!(saved(&file, &kept), kept);
    check_order(&kept);
}

fn saved(file: &PinsFile, pins: &Pins) -> Pins {
    file.hold().unwrap().save(pins).unwrap();
    file.load().unwrap().expect("it was just written")
}

/// What another run has seen is taken over, and nothing is forgotten.
fn check_order(pins: &Pins) {
    let mut same = pins.clone();
    same.keep_newer(pins.clone()).unwrap();
    assert_eq!(same, *pins);
    let mut newer = pins.clone();
    newer.head.seq = newer.head.seq.next();
    let mut taken_over = pins.clone();
    taken_over.keep_newer(newer.clone()).unwrap();
    assert_eq!(taken_over.head, newer.head);
    for (slot, credential) in &pins.credentials {
        let generation = credential.generation;
        assert!(same.note_generation(slot, generation).is_ok());
        if let Some(older) = generation.checked_sub(1) {
            assert!(same.note_generation(slot, older).is_err());
        }
    }
}

fn profile(bytes: &[u8]) {
    let home = home();
    let path = folder().join("config/profiles/default.toml");
    keyshell_client::device::home::write(&path, bytes).unwrap();
    if let Ok(profile) = home.load_profile() {
        home.save_profile(&profile).unwrap();
        assert_eq!(home.load_profile().unwrap(), profile);
    }
}

fn device(bytes: &[u8]) {
    let path = folder().join("state/default/device");
    keyshell_client::device::home::write(&path, bytes).unwrap();
    if let Ok(device) = home().device() {
        let text = String::from_utf8(fs::read(&path).unwrap()).unwrap();
        assert_eq!(text.trim(), HEXLOWER.encode(device.seed().expose()));
    }
}
