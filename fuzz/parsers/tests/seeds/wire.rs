//! An instance of each wire message.

use parsers::server::{name, registration_messages, server_identity};
use parsers::world::{ACCOUNT, DEVICE, SECRET, SERVER, SESSION_KEY};
use serde::Serialize;
use serde_bytes::ByteBuf;
use shared::channel::{Sealed, session_id};
use shared::codec;
use shared::ids::{Digest, PendingId, RequestTag, Seq, Version};
use shared::opaque::{SUITE, Slot};
use shared::vault_log::{Head, SignedEntry};
use shared::wire::call::{
    Answer, Append, AuditAnswer, AuditRange, Call, Fetch, NewEntry, Request, Sync, SyncAnswer,
    ValueRef,
};
use shared::wire::error::Refusal;
use shared::wire::login::{LoginFinish, LoginResponse, LoginStart, Welcome};
use shared::wire::register::{RegisterResponse, WrappedKey};
use shared::wire::{Hello, Registration};

use crate::bytes;
use crate::chunk;
use crate::seed;
use crate::vectors;

const HEAD: Head = Head {
    seq: Seq(3),
    hash: Digest::new([0xaa; 32]),
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
            protocol: 1,
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
    let entry = encode(&finish.genesis.decode_unverified().unwrap());
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
        ("device", Slot::Device(DEVICE)),
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

fn refusals() -> [(&'static str, Refusal); 4] {
    [
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
        head: HEAD,
        idle_seconds: 900,
        lifetime_seconds: 43_200,
    };
    inside("welcome", 1, &welcome);
    let entry = entry();
    let value = Some(ByteBuf::from(bytes(&recorded["recorded"]["sealed_value"])));
    let calls = [
        (
            "sync",
            Call::Sync(Sync {
                after: Seq(3),
                audit_size: 300,
            }),
        ),
        (
            "append",
            Call::Append(Append(vec![
                NewEntry {
                    entry: entry.clone(),
                    value,
                },
                NewEntry { entry, value: None },
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
        ("logout", Call::Logout),
    ];
    for (name, call) in calls {
        let tags = vec![RequestTag::new([0xdd; 32]); call.operations().len()];
        let request = Request {
            device: DEVICE,
            tags,
            call,
        };
        inside(&format!("request-{name}"), 2, &request);
    }
    inside("sealed-last", 0, &last());
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
                entries: vec![entry()],
                head: HEAD,
                checkpoint: checkpoint.into(),
                consistency: vec![digest; 2],
            }),
        ),
        ("append", Answer::Append(HEAD)),
        (
            "fetch",
            Answer::Fetch(vec![
                None,
                Some(ByteBuf::from(bytes(&recorded["recorded"]["sealed_value"]))),
            ]),
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
