//! An instance of each wire message.

use parsers::server::{name, registration_messages, server_identity};
use parsers::world::{ACCOUNT, DEVICE, GENERATION, SECRET, SERVER, SESSION_KEY, device_slot};
use serde::Serialize;
use serde_bytes::ByteBuf;
use shared::PROTOCOL_VERSION;
use shared::channel::{Sealed, session_id};
use shared::codec;
use shared::ids::{Digest, PendingId, Seq, Signature, Version};
use shared::opaque::{SUITE, Slot};
use shared::request::Opening;
use shared::vault_log::{Head, SignedEntry};
use shared::wire::call::{
    Answer, Append, AuditAnswer, AuditRange, Call, Delete, Fetch, LoggedEntry, Logout, NewEntry,
    Request, Sync, SyncAnswer, ValueRef,
};
use shared::wire::error::Refusal;
use shared::wire::login::{LoginFinish, LoginResponse, LoginStart, Welcome};
use shared::wire::register::{Lease, RegisterResponse, WrappedKey};
use shared::wire::slots::{Enrol, Install, SessionInfo, SlotInfo, SlotKey, SlotsAnswer, Stage};
use shared::wire::{Hello, Registration};

use crate::bytes;
use crate::chunk;
use crate::seed;
use crate::vectors;

const HEAD: Head = Head {
    seq: Seq(3),
    hash: Digest::new([0xaa; 32]),
};
const SYNC: Sync = Sync {
    after: Seq(3),
    audit_size: 300,
};
const PENDING: PendingId = PendingId::new([0xbb; 16]);

pub fn write() {
    register();
    login();
    session();
    answers();
}

fn encode(message: &impl Serialize) -> Vec<u8> {
    codec::encode(message).unwrap()
}

fn open(name: &str, choice: u8, message: &impl Serialize) {
    seed("wire_before_login", name, choice, encode(message));
}

fn inside(name: &str, choice: u8, message: &impl Serialize) {
    seed("wire_session", name, choice, encode(message));
}

fn register() {
    let server = server_identity();
    for (name, registration) in [
        ("hello-open", Registration::Open),
        ("hello-invite", Registration::Invite),
        ("hello-closed", Registration::Closed),
    ] {
        let hello = Hello {
            protocol: PROTOCOL_VERSION,
            server: SERVER,
            opaque_key: server.opaque_key,
            checkpoint_key: server.checkpoint_key,
            registration,
        };
        open(name, 0, &hello);
    }
    let (start, finish) = registration_messages();
    open("register-start", 1, &start);
    let response = RegisterResponse {
        pending: PENDING,
        responses: opaque("registration_response"),
    };
    open("register-response", 2, &response);
    open("register-finish", 3, &finish);
    let script = [chunk(encode(&start)), encode(&finish)].concat();
    seed("server_session", "registration", 0, script);
    let entry = encode(&finish.entries[0].decode_unverified().unwrap());
    seed("server_session", "genesis", 1, entry);
}

/// What the three logins of the vectors have under this name.
fn opaque(name: &str) -> Vec<ByteBuf> {
    let vectors = vectors("opaque");
    let logins = vectors.as_array().unwrap().iter();
    logins
        .map(|login| ByteBuf::from(bytes(&login["outputs"][name])))
        .collect()
}

fn login() {
    let slots = [
        ("password", Slot::Password),
        ("recovery", Slot::Recovery),
        ("device", device_slot()),
    ];
    let ke3s = opaque("ke3");
    for (((label, slot), ke1), ke3) in slots.into_iter().zip(opaque("ke1")).zip(&ke3s) {
        let start = LoginStart {
            suite: SUITE,
            account: name(),
            slot,
            ke1,
        };
        open(&format!("login-start-{label}"), 4, &start);
        let script = [&[1], chunk(ke3).as_slice(), &encode(&start)].concat();
        seed("server_session", &format!("login-{label}"), 2, script);
    }
    for (number, ke2) in opaque("ke2").into_iter().enumerate() {
        seed("server_session", &format!("lying-{number}"), 4, &ke2);
        let response = LoginResponse {
            pending: PENDING,
            ke2,
        };
        open(&format!("login-response-{number}"), 5, &response);
    }
    let finish = LoginFinish {
        pending: PENDING,
        ke3: ke3s[0].clone(),
    };
    open("login-finish", 6, &finish);
    for (name, refusal) in refusals() {
        open(name, 7, &refusal);
    }
}

fn slots() -> SlotsAnswer {
    SlotsAnswer {
        slots: vec![SlotInfo {
            slot: device_slot(),
            generation: 3,
            wrapped: Digest::new([1; 32]),
            is_over: true,
        }],
        sessions: vec![SessionInfo {
            slot: Slot::Password,
            device: Some(DEVICE.id()),
            remote: "2001:db8::1".into(),
            age_seconds: 70_000,
            idle_seconds: 3,
            own: true,
        }],
    }
}

fn refusals() -> [(&'static str, Refusal); 5] {
    [
        ("refused-signature", Refusal::BadSignature),
        ("refused-malformed", Refusal::Malformed),
        ("refused-throttled", Refusal::Throttled(1500)),
        ("refused-conflict", Refusal::Conflict(HEAD)),
        ("refused-disk-full", Refusal::DiskFull),
    ]
}

fn session() {
    let recorded = vectors("formats");
    for name in ["welcome", "request", "answer"] {
        let sealed: Sealed = decode(&bytes(&recorded["channel"][name]));
        inside(&format!("sealed-{name}"), 0, &sealed);
    }
    let wrapped = WrappedKey {
        generation: 1,
        epoch: 1,
        blob: ByteBuf::from(bytes(&recorded["recorded"]["wrapped_account_key"])),
    };
    let welcome = Welcome {
        account: ACCOUNT,
        wrapped,
        slot_key: None,
        history: None,
        head: HEAD,
        idle_seconds: 900,
        lifetime_seconds: 43_200,
    };
    inside("welcome", 1, &welcome);
    let later = Welcome {
        slot_key: Some(slot_key()),
        history: Some(recorded_bytes("key_history")),
        ..welcome
    };
    inside("welcome-later-epoch", 1, &later);
    let entry = entry();
    let value = Some(recorded_bytes("sealed_value"));
    let metadata = Some(recorded_bytes("sealed_metadata"));
    let calls = [
        ("sync", Call::Sync(SYNC)),
        (
            "append",
            Call::Append(Append(vec![
                NewEntry {
                    entry: entry.clone(),
                    value,
                    metadata,
                },
                NewEntry {
                    entry,
                    value: None,
                    metadata: None,
                },
            ])),
        ),
        (
            "fetch",
            Call::Fetch(Fetch(vec![
                ValueRef {
                    secret: SECRET,
                    version: Version(1),
                };
                2
            ])),
        ),
        (
            "audit",
            Call::Audit(AuditRange {
                from: 7,
                limit: 1000,
                size: Some(70_000),
                verified_size: 5,
                proofs: true,
            }),
        ),
        ("logout", Call::Logout(Logout { retire: true })),
        ("slots", Call::Slots),
        ("delete", Call::Delete(Delete(5))),
    ];
    for (name, call) in calls {
        request(name, None, call);
    }
    request("first", Some(opening()), Call::Sync(SYNC));
    credentials();
    inside("sealed-last", 0, &last());
}

/// A request whose signatures are of no device.
fn request(name: &str, opening: Option<Opening>, call: Call) {
    let request = Request {
        opening,
        signatures: vec![Signature::new([0xdd; 64]); call.operations().len()],
        call,
    };
    inside(&format!("request-{name}"), 2, &request);
}

fn opening() -> Opening {
    let session = session_id(&SESSION_KEY);
    let by = (Slot::Password, GENERATION);
    Opening::sign(&ACCOUNT, &session, by, DEVICE.public(), &DEVICE.signing())
}

/// The calls that make new credentials and begin a key epoch.
fn credentials() {
    let (start, finish) = registration_messages();
    request("enrol", None, Call::Enrol(Enrol(start.slots)));
    let mut slots = finish.slots;
    slots[1].slot = device_slot();
    slots[1].lease = Some(Lease {
        seconds: 86_400,
        renewed: true,
    });
    let stage = Stage {
        slots,
        ke1: opaque("ke1"),
    };
    request("stage", None, Call::Stage(stage));
    let recorded = recorded_bytes("install");
    request("install", None, decode(&recorded));
    let renewal = Install {
        ke3: opaque("ke3"),
        entries: Vec::new(),
        epoch: None,
    };
    request("install-renewal", None, Call::Install(renewal));
}

fn slot_key() -> SlotKey {
    let blob = bytes(&vectors("formats")["recorded"]["slot_keys"]["password"]);
    SlotKey {
        slot: Slot::Password,
        generation: GENERATION,
        epoch: 2,
        blob: ByteBuf::from(blob),
    }
}

fn recorded_bytes(name: &str) -> ByteBuf {
    ByteBuf::from(bytes(&vectors("formats")["recorded"][name]))
}

fn last() -> Sealed {
    Sealed {
        session: session_id(&SESSION_KEY),
        counter: u64::MAX,
        body: ByteBuf::from(vec![0; 17]),
    }
}

fn decode<T: Serialize + serde::de::DeserializeOwned>(bytes: &[u8]) -> T {
    codec::decode(bytes, bytes.len()).unwrap()
}

fn entry() -> SignedEntry {
    decode(&bytes(&vectors("formats")["recorded"]["signed_entry"]))
}

fn answers() {
    let recorded = vectors("formats");
    let checkpoint = recorded["audit"]["checkpoint"].as_str().unwrap();
    let digest = Digest::new([0xee; 32]);
    let answers = [
        (
            "sync",
            Answer::Sync(SyncAnswer {
                entries: vec![
                    LoggedEntry {
                        entry: entry(),
                        metadata: Some(recorded_bytes("sealed_metadata")),
                    },
                    LoggedEntry {
                        entry: entry(),
                        metadata: None,
                    },
                ],
                head: HEAD,
                checkpoint: checkpoint.into(),
                consistency: vec![digest; 2],
                seen: vec![vec![digest; 3], Vec::new()],
            }),
        ),
        ("append", Answer::Append(HEAD)),
        ("install", Answer::Install(HEAD)),
        ("enrol", Answer::Enrol(opaque("registration_response"))),
        ("stage", Answer::Stage(opaque("ke2"))),
        ("slots", Answer::Slots(slots())),
        (
            "fetch",
            Answer::Fetch(vec![None, Some(recorded_bytes("sealed_value"))]),
        ),
        (
            "audit",
            Answer::Audit(AuditAnswer {
                records: vec![ByteBuf::from(bytes(&recorded["audit"]["record"]))],
                checkpoint: checkpoint.into(),
                consistency: vec![],
                inclusion: vec![vec![digest]],
            }),
        ),
        ("logout", Answer::Logout),
    ];
    for (name, answer) in answers {
        inside(&format!("answer-{name}"), 3, &answer);
    }
    for (name, refusal) in refusals() {
        inside(name, 3, &Answer::Refused(refusal));
    }
}
