//! Scripts of targets that make up their own messages.

use shared::channel::Sealed;
use shared::codec;

use crate::bytes;
use crate::chunk;
use crate::seed;
use crate::vectors;

pub fn write() {
    channel();
    replay();
    proofs();
    logins();
    metadata();
    audit_files();
}

fn channel() {
    let recorded = bytes(&vectors("formats")["channel"]["welcome"]);
    let _: Sealed = codec::decode(&recorded, recorded.len()).unwrap();
    seed("channel", "welcome", 0, recorded);
    // Request, deliver, answer, deliver once more, take the answer in; all of that twice.
    let turn = [
        &[0],
        chunk("request").as_slice(),
        &[2, 2, 3],
        &chunk("answer"),
        &[2, 4],
    ]
    .concat();
    seed("channel", "turns", 1, turn.repeat(2));
    let altered = [&turn[..10], &[5, 2, 0, 1], &[6, 0], &[7, 2, 0, 1]].concat();
    seed("channel", "altered", 1, altered);
}

/// One entry of a script for `log_replay`: kind, secret, nothing wrong, by which authorisation and with which content,
/// what the kind needs, the time.
fn step(kind: u8, secret: u8, by: u8, content: &[u8]) -> Vec<u8> {
    [&[kind, secret, 0, by], content, &[0; 8]].concat()
}

/// With the right content, and no authorisation.
const SHOWN: u8 = 0x40;
/// Without content.
const WITHHELD: u8 = 0;
const BY_PASSWORD: u8 = 2;
const BY_DEVICE: u8 = 2 | 2 << 2;

/// The next generation of a slot's credential, by what is left of the number over three; the device's with a name, and
/// the recovery code's as a revocation.
const PASSWORD: u8 = 0x15;
const RECOVERY: u8 = 0x16;
const DEVICE: u8 = 0x35;
const REVOKED: u8 = 0x04;

fn credential(by: u8, which: u8) -> Vec<u8> {
    step(7, 0, by, &[which, 0])
}

fn replay() {
    let registered = || {
        [
            step(0, 0, WITHHELD, &[]),
            credential(WITHHELD, PASSWORD),
            credential(WITHHELD, RECOVERY),
        ]
        .concat()
    };
    let put = |secret, how: u8| step(9, secret, SHOWN, &[how, 9]);
    let log = [
        registered(),
        put(0, 1),
        put(0, 65),
        step(8, 0, SHOWN, &[17]),
        put(1, 129),
        step(3, 0, WITHHELD, &[]),
        step(4, 0, WITHHELD, &[]),
        step(6, 0, SHOWN, &[]),
        step(5, 0, BY_PASSWORD, &[2, 9]),
        step(3, 1, WITHHELD, &[]),
        step(5, 1, WITHHELD, &[0]),
        step(5, 0, BY_PASSWORD, &[1, 2]),
    ];
    seed_plain("log", &log.concat());
    let acknowledged = [&[0; 8][..], &[1; 32]].concat();
    let epochs = [
        registered(),
        put(0, 1),
        credential(BY_PASSWORD, DEVICE),
        credential(BY_DEVICE, DEVICE),
        step(2, 0, BY_PASSWORD, &acknowledged),
        step(1, 0, BY_PASSWORD, &[2]),
        credential(BY_PASSWORD, PASSWORD),
        credential(BY_PASSWORD, REVOKED),
        step(10, 0, SHOWN | BY_PASSWORD, &[1, 65, 9]),
        put(0, 1),
    ];
    seed_plain("epochs", &epochs.concat());
    // By the device, which may not, and by a key that is no credential's.
    for (name, by) in [("by-device", BY_DEVICE), ("by-thief", 1)] {
        let refused = [
            registered(),
            credential(BY_PASSWORD, DEVICE),
            step(1, 0, by, &[0]),
            credential(by, PASSWORD),
            step(5, 0, by, &[2, 1]),
        ];
        seed_plain(&format!("refused-{name}"), &refused.concat());
    }
    // Content that the server withholds, until it is destroyed or sealed again.
    let withheld = [
        registered(),
        step(9, 0, WITHHELD, &[1, 9]),
        step(9, 1, WITHHELD, &[1, 9]),
        step(6, 0, WITHHELD, &[]),
        step(10, 0, SHOWN | BY_PASSWORD, &[1, 65, 9]),
        step(5, 0, BY_PASSWORD, &[2, 6]),
        step(3, 1, WITHHELD, &[]),
        step(5, 1, WITHHELD, &[0]),
        step(9, 2, 0x20, &[1, 9]),
    ];
    seed_plain("withheld", &withheld.concat());
    // Two secrets of one name, and one of them goes.
    let twice = [
        registered(),
        put(0, 1),
        put(1, 1),
        step(3, 1, WITHHELD, &[]),
    ];
    seed_plain("one-name-twice", &twice.concat());
    let own = [
        &[0],
        chunk(bytes(&vectors("formats")["inputs"]["metadata"])).as_slice(),
        &[9],
    ]
    .concat();
    let metadata = [registered(), step(9, 2, SHOWN, &own)];
    seed_plain("metadata", &metadata.concat());
}

fn seed_plain(name: &str, content: &[u8]) {
    crate::plain("log_replay", name, content);
}

fn proofs() {
    let sizes = |a: u64, b: u64| [a.to_be_bytes(), b.to_be_bytes()].concat();
    for (name, size) in [("small", 7), ("large", 1 << 40), ("largest", u64::MAX)] {
        let path = vec![3; 64];
        let inclusion = [sizes(size / 3, size), vec![1], path.clone()].concat();
        seed("proofs", &format!("inclusion-{name}"), 0, inclusion);
        let consistency = [sizes(size / 2, size), vec![1, 2], path].concat();
        seed("proofs", &format!("consistency-{name}"), 1, consistency);
    }
    for size in [0, 1, 6, 7, 12, 39] {
        let script = [size, size / 2, 1, 0, 0, 0, 0, 0, 0, 0, 3, 0, 0, 5, 1];
        seed("proofs", &format!("tree-{size}"), 2, script);
        let script = [size, size / 2, 1, 0, 0, 5, 1];
        seed("proofs", &format!("trees-{size}"), 3, script);
    }
}

fn logins() {
    seed("server_session", "honest", 3, [3, 3, 3]);
    seed("server_session", "altered-ke1", 3, [0, 40, 1]);
    seed("server_session", "altered-ke2", 3, [3, 0, 90, 1]);
    seed("server_session", "altered-ke3", 3, [3, 3, 0, 9, 1]);
    let begin = [&[0, 0, 0], chunk("request").as_slice()].concat();
    let turn = [
        &begin,
        &[0, 2][..],
        &[0, 3],
        &chunk("answer"),
        &[0],
        &[0, 2],
    ]
    .concat();
    seed(
        "server_session",
        "sessions",
        5,
        [turn.as_slice(), &[0, 1, 61], &turn].concat(),
    );
    let welcome = bytes(&vectors("formats")["channel"]["request"]);
    let made_up = [&begin, &[0, 4][..], &chunk(welcome)].concat();
    seed("server_session", "made-up", 5, made_up);
}

fn metadata() {
    let value = chunk([0x93, 1, 2, 3]);
    let script = [
        chunk("name"),
        vec![2],
        chunk("tag"),
        chunk("other tag"),
        chunk("note"),
        vec![1],
        chunk("text/plain"),
        vec![1],
        vec![0; 8],
        vec![1],
        chunk("key"),
        value,
    ];
    seed("sealed", "own-metadata", 8, script.concat());
    // What no device could read again: a known key with another kind of value, and values that nest too deep.
    let deep = [&[0x91; 6][..], &[0xa1, b'v']].concat();
    for (name, key, value) in [("reserved", "tags", vec![5]), ("deep", "key", deep)] {
        let head = [chunk("name").as_slice(), &[0], &chunk(""), &[0, 0, 1]].concat();
        let script = [head, chunk(key), chunk(value)].concat();
        seed("sealed", &format!("own-metadata-{name}"), 8, script);
    }
}

fn audit_files() {
    let record = [
        &[0x7f][..],
        &[0; 8],
        &[1; 16],
        &[2; 16],
        &[3],
        &[4; 16],
        &[5; 64],
        &[6; 32],
        &[7; 8 + 32 + 64],
        &[1],
    ]
    .concat();
    let log = [&[2], record.repeat(3).as_slice(), &[0; 9], &[1]].concat();
    seed("audit_file", "made-up", 1, log);
    // Registered, logged in, synced with an opening, stored, and the same signature once more.
    let session = [
        &[0, 0][..],
        &[1, 0],
        &[5, 0, 1, 0, 0],
        &[3, 128, 2, 0],
        &[3, 128, 2, 0],
    ]
    .concat();
    seed("audit_marks", "session", 2, &session);
    let forged = [
        session.as_slice(),
        &[0, 16],
        &[0; 8],
        &[3, 128 | 32, 3, 0],
        &[65, 0],
        // A certificate of another generation, of another credential, and none at all.
        &[69, 0, 1, 0, 1],
        &[69, 0, 2, 0, 2],
        &[69, 0, 3, 0, 4],
        &[70, 128, 4, 0],
    ]
    .concat();
    seed("audit_marks", "forged", 0, forged);
}
