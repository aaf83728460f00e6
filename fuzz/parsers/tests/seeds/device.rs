//! What a device keeps, and what people type.

use data_encoding::HEXLOWER;
use keyshell_base::names::SecretName;
use keyshell_client::device::home::Profile;
use keyshell_client::device::local::{LocalSecret, Origin};
use keyshell_client::device::pins::{Pins, ServerPins};
use keyshell_client::index::Index;
use keyshell_client::index::metadata::Metadata;
use keyshell_client::keys::anchor::{Anchor, ON_SHEET};
use keyshell_client::keys::seal::SecretContext;
use parsers::local::{sealed, whole};
use parsers::world::{ACCOUNT, DEVICE, SECRET, identity, keys};
use serde_bytes::ByteBuf;
use shared::checkpoint::TreeHead;
use shared::codec;
use shared::ids::{Digest, SecretId, Seq, Version};
use shared::secret::SecretBytes;
use shared::vault_log::{
    ENTRY_FORMAT, Entry, FIRST_EPOCH, Head, Op, Sealed, SecretVersion, SignedEntry,
};
use shared::wire::call::LoggedEntry;

use crate::plain;
use crate::seed;

pub fn write() {
    local_store();
    index();
    pins_and_profile();
    lines();
    texts();
}

fn local_store() {
    let secret = |name: &str, origin| LocalSecret {
        name: name.into(),
        tags: vec!["t".into()],
        note: "n".into(),
        content_type: Some("text/plain".into()),
        origin,
        version: Version(1),
        changed_ms: 7,
        value: SecretBytes::from(b"value".as_slice()),
    };
    let secrets = [
        secret("a", Origin::Local),
        secret("b", Origin::Saved(SECRET, Version(3))),
    ];
    let content = codec::encode(&secrets.as_slice()).unwrap();
    let len = u32::try_from(content.len()).unwrap().to_be_bytes();
    let padded = [len.as_slice(), &content, &[0; 9]].concat();
    seed("local_store", "file", 0, sealed(&padded));
    seed("local_store", "empty", 0, sealed(&[0, 0, 0, 1, 0x90]));
    seed("local_store", "damaged", 0, whole(b"KSLOCAL1".to_vec()));
    seed("local_store", "content", 1, padded);
    let weak = [8u32, 3, 4].map(u32::to_be_bytes).concat();
    seed("local_store", "weak", 2, [weak, vec![0; 200]].concat());
    let strong = [65_536u32, 3, 4].map(u32::to_be_bytes).concat();
    let strong = [strong, vec![0; 200]].concat();
    seed("local_store", "keyring", 3, strong);
}

fn index() {
    let keys = keys();
    let mut index = Index::new();
    let mut push = |(op, metadata): (Op, Option<Vec<u8>>)| {
        let head = index.head();
        let entry = Entry {
            format: ENTRY_FORMAT,
            account: ACCOUNT,
            seq: head.seq.next(),
            previous: head.hash,
            device: DEVICE.id(),
            time_ms: 7,
            seen: None,
            op,
            authorisation: None,
        };
        let logged = LoggedEntry {
            entry: SignedEntry::sign(&entry, &keys.signing()).unwrap(),
            metadata: metadata.map(ByteBuf::from),
        };
        index.replay(&keys, &logged).unwrap();
    };
    let put = |secret: SecretId, version: u64, name: &str| {
        let place = SecretContext {
            secret,
            version: Version(version),
        };
        let metadata = Metadata::named(SecretName::parse(name).unwrap());
        let encoded = metadata.encode().unwrap();
        let sealed = place.seal_metadata(&keys, encoded.expose()).unwrap();
        let op = Op::Put(Sealed {
            secret,
            version: place.version,
            epoch: FIRST_EPOCH,
            value: Digest::new([9; 32]),
            metadata: Digest::of(&sealed),
        });
        (op, Some(sealed))
    };
    push((Op::Genesis(identity()), None));
    push(put(SECRET, 1, "one"));
    push(put(SECRET, 2, "two"));
    let gone = SecretId::new([7; 16]);
    push(put(gone, 1, "gone"));
    let remove = SecretVersion {
        secret: gone,
        version: Version(1),
    };
    push((Op::Remove(remove), None));
    let withheld = SecretId::new([8; 16]);
    push((put(withheld, 1, "withheld").0, None));
    // Random nonces of the metadata, and the time of the removal, would make other bytes each time.
    let mut fixed = index.encode().unwrap().expose().to_vec();
    for (number, (hash, _)) in (1..).zip(index.entries()) {
        replace(&mut fixed, hash.as_bytes(), &[number; 32]);
    }
    let [removed] = index.removed()[..] else {
        panic!("one removed secret");
    };
    let seen_ms = codec::encode(&removed.seen_ms).unwrap();
    let seven = [&[0xcf][..], &(7_u64 << 40).to_be_bytes()].concat();
    replace(&mut fixed, &seen_ms, &seven);
    seed("device_files", "index", 0, fixed);
    let empty = Index::new().encode().unwrap();
    seed("device_files", "index-empty", 0, empty.expose());
}

/// Replaces bytes wherever they occur, by as many others.
fn replace(within: &mut [u8], old: &[u8], new: &[u8]) {
    assert_eq!(old.len(), new.len());
    let places = 0..=within.len() - old.len();
    for place in places {
        let found = &mut within[place..place + old.len()];
        if found == old {
            found.copy_from_slice(new);
        }
    }
}

fn pins_and_profile() {
    let mut pins = Pins::new(ServerPins::from(&identity()), ACCOUNT, FIRST_EPOCH);
    let first = serde_json::to_string_pretty(&pins).unwrap();
    seed("device_files", "pins-first", 1, first);
    pins.head = Head {
        seq: Seq(3),
        hash: Digest::new([1; 32]),
    };
    pins.audit = Some(TreeHead {
        size: 5,
        root: Digest::new([2; 32]),
    });
    pins.note_generation("password", 2).unwrap();
    let pins = serde_json::to_string_pretty(&pins).unwrap();
    seed("device_files", "pins", 1, pins);
    let profile = Profile {
        server: Some("https://host:7443".into()),
        account: Some("me".into()),
        pin: Some("sha256:AAAA".into()),
        ca_file: Some("/ca.pem".into()),
        ..Profile::default()
    };
    seed(
        "device_files",
        "profile",
        2,
        toml::to_string(&profile).unwrap(),
    );
    let seed_line = format!("{}\n", HEXLOWER.encode(DEVICE.seed().expose()));
    seed("device_files", "device", 3, seed_line);
}

fn lines() {
    let lines = [
        "register --invite CODE",
        "login",
        "logout",
        "status",
        "gen \"my key\" --password 30 --charset 'custom:ab c' --force",
        "gen k --passphrase=5 --clip",
        "gen k --bits 512 --local --show",
        "put name --file /tmp/x --tag a --tag b --note 'it''s'",
        "get name --version 2 --out f --format base64",
        "ls 'a*' --tag t --local",
        "info name",
        "history name",
        "mv old new",
        "rm a\\ b --yes",
        "edit name --tag x --note \"\"",
        "import a b --format hex --on-conflict rename --dry-run",
        "export --all --out f --plaintext --yes",
        "export name --out f --format len32",
        "audit name --since 2h --until 2026-11-24 --op get --op put",
        "audit --verify file",
        "help gen",
        "get --help",
        "quit",
        "# only a comment",
        "ls # and a comment",
        "put 'unclosed",
        "put \"a\\\"b\" \\",
        "unknown --flag",
        "--",
        "'' ''",
    ];
    for (number, line) in lines.iter().enumerate() {
        plain("repl_line", &format!("{number:02}"), line);
    }
}

fn texts() {
    let texts = [
        (0, "sha256:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="),
        (0, "sha256:AAE=AgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f"),
        (1, "https://Example.org:8443/"),
        (1, "[::1]:7443"),
        (1, "127.0.0.1"),
        (1, "e[::1]:7443"),
        (2, "ale\u{301}na"),
        (3, "a name / with e\u{301}"),
        (4, "0000-0000-0000-0000-0000-0000-0000-0000-P3RG"),
        (5, "2h 5min"),
        (5, "2026-11-24 12:00"),
        (5, "2026-11-24"),
        (5, "2026-11-24T12:00:00.5+01:00"),
        (6, "printable"),
        (6, "custom:abcä"),
        (7, "work-1"),
        (
            8,
            "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f",
        ),
        (9, "pa\u{df}wo\u{308}rd"),
        (10, "a\u{1b}[31m\u{202e}b\tc\n"),
    ];
    for (number, (choice, text)) in texts.into_iter().enumerate() {
        seed("small_text", &format!("{number:02}"), choice, text);
    }
    let pins = Pins::new(ServerPins::from(&identity()), ACCOUNT, FIRST_EPOCH);
    let code = Anchor::of(&pins).text();
    seed("small_text", "state-code", 11, &code);
    seed(
        "small_text",
        "state-code-sheet",
        11,
        format!("{ON_SHEET} {code}"),
    );
}
