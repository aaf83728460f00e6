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

/// One entry of a script for `log_replay`: kind, secret, nothing wrong, then what the kind needs.
fn step(kind: u8, secret: u8, metadata: &[u8]) -> Vec<u8> {
    let value = if kind == 5 { &[9][..] } else { &[] };
    [&[kind, secret, 0], metadata, value, &[0; 8]].concat()
}

fn replay() {
    let acknowledge = [&[2, 0, 0][..], &[0; 8], &[1; 32], &[0; 8]].concat();
    let log = [
        step(0, 0, &[]),
        step(5, 0, &[1]),
        step(5, 0, &[65]),
        step(4, 0, &[17]),
        step(5, 1, &[129]),
        step(3, 0, &[]),
        step(1, 0, &[]),
        acknowledge,
        step(5, 0, &[1]),
    ];
    let all = log.concat();
    seed_plain("log", &all);
    let own = [
        &[0],
        chunk(bytes(&vectors("formats")["inputs"]["metadata"])).as_slice(),
    ]
    .concat();
    // Two secrets of one name, and one of them goes.
    let twice = [
        step(0, 0, &[]),
        step(5, 0, &[1]),
        step(5, 1, &[1]),
        step(3, 1, &[]),
    ];
    seed_plain("one-name-twice", &twice.concat());
    seed_plain("metadata", &[step(0, 0, &[]), step(5, 2, &own)].concat());
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
    seed("sealed", "own-metadata", 4, script.concat());
    // What no device could read again: a known key with another kind of value, and values that nest too deep.
    let deep = [&[0x91; 6][..], &[0xa1, b'v']].concat();
    for (name, key, value) in [("reserved", "tags", vec![5]), ("deep", "key", deep)] {
        let head = [chunk("name").as_slice(), &[0], &chunk(""), &[0, 0, 1]].concat();
        let script = [head, chunk(key), chunk(value)].concat();
        seed("sealed", &format!("own-metadata-{name}"), 4, script);
    }
}

fn audit_files() {
    let record = [
        &[0x1f][..],
        &[0; 8],
        &[1; 16],
        &[2; 16],
        &[3],
        &[4; 16],
        &[5; 32],
        &[1],
    ]
    .concat();
    let log = [&[2], record.repeat(3).as_slice(), &[0; 9], &[1]].concat();
    seed("audit_file", "made-up", 1, log);
    // Registered, logged in, synced, stored, and the same mark once more.
    let session = [
        &[0, 0][..],
        &[1, 0],
        &[5, 0, 1, 0],
        &[3, 0, 2, 0],
        &[3, 0, 2, 0],
    ]
    .concat();
    seed("audit_marks", "session", 2, &session);
    let forged = [
        session.as_slice(),
        &[0, 16],
        &[0; 8],
        &[3, 32, 3, 0],
        &[65, 0],
    ]
    .concat();
    seed("audit_marks", "forged", 0, forged);
}
