//! The state machines without actors, network or waiting: time is a value.
#![allow(clippy::unwrap_used)]

use std::net::{IpAddr, Ipv4Addr};
use std::time::{Duration, Instant};

use ed25519_dalek::SigningKey;
use opaque_ke::errors::ProtocolError;
use opaque_ke::{
    ClientLogin, ClientLoginFinishParameters, ClientRegistration,
    ClientRegistrationFinishParameters, CredentialResponse, RegistrationResponse, ServerSetup,
};
use rand::RngCore as _;
use rand::rngs::OsRng;
use serde_bytes::ByteBuf;
use shared::channel::{ClientIdle, SESSION_KEY_LEN};
use shared::ids::{AccountId, DeviceId, PublicKey, Seq, ServerId, SessionId};
use shared::names::AccountName;
use shared::opaque::{self, SUITE, Slot, Stretching, Suite};
use shared::vault_log::{ENTRY_FORMAT, Entry, Head, Identity, Op, SignedEntry};
use shared::wire::error::Refusal;
use shared::wire::login::LoginStart;
use shared::wire::register::{RegisterStart, SlotRecord, SlotRequest, WrappedKey};

use super::enrolment::{self, Holder};
use super::login::{Finished, PendingLogin};
use super::registration::{PendingRegistration, Registered, ServerIdentity};
use super::session::{OpenSessions, Opened, SessionLimits};
use storage::api::Account;

const PASSWORD: &[u8] = b"password";
/// The slots that every registration has.
const SLOTS: [Slot; 2] = [Slot::Password, Slot::Recovery];

struct World {
    setup: ServerSetup<Suite>,
    server: ServerIdentity,
    name: AccountName,
    key: SigningKey,
    id: AccountId,
}

impl World {
    fn new() -> Self {
        let setup = ServerSetup::<Suite>::new(&mut OsRng);
        let public = setup.keypair().public().serialize();
        Self {
            server: ServerIdentity {
                server: ServerId::random(),
                opaque_key: PublicKey::from_slice(&public).unwrap(),
                checkpoint_key: PublicKey::new([1; 32]),
            },
            setup,
            name: AccountName::parse("alice").unwrap(),
            key: SigningKey::from_bytes(&[2; 32]),
            id: AccountId::random(),
        }
    }

    fn genesis(&self, change: impl FnOnce(&mut Entry)) -> SignedEntry {
        let mut entry = Entry {
            format: ENTRY_FORMAT,
            account: self.id,
            seq: Seq(1),
            previous: Head::EMPTY.hash,
            device: DeviceId::random(),
            time_ms: 0,
            seen: None,
            op: Op::Genesis(Identity {
                server: self.server.server,
                opaque_key: self.server.opaque_key,
                checkpoint_key: self.server.checkpoint_key,
                log_key: PublicKey::new(self.key.verifying_key().to_bytes()),
                suite: SUITE,
            }),
            former: Vec::new(),
        };
        change(&mut entry);
        SignedEntry::sign(&entry, &self.key).unwrap()
    }

    /// Both halves of a registration with this genesis entry.
    fn register(&self, genesis: SignedEntry) -> Result<Registered, Refusal> {
        let mut states = Vec::new();
        let mut requests = Vec::new();
        for slot in SLOTS {
            let started = ClientRegistration::<Suite>::start(&mut OsRng, PASSWORD).unwrap();
            requests.push(SlotRequest {
                slot,
                request: ByteBuf::from(started.message.serialize().to_vec()),
            });
            states.push((slot, started.state));
        }
        let (pending, responses) =
            PendingRegistration::start(&self.setup, self.message(requests), None)?;
        let records = states
            .into_iter()
            .zip(responses)
            .map(|((slot, state), response)| {
                let stretching = Stretching::of(&slot, &self.name, &self.server.server);
                let parameters = ClientRegistrationFinishParameters::new(
                    opaque::identifiers(&self.name, &self.server.server),
                    Some(&stretching),
                );
                let response = RegistrationResponse::deserialize(&response).unwrap();
                let finished = state
                    .finish(&mut OsRng, PASSWORD, response, parameters)
                    .unwrap();
                SlotRecord {
                    slot,
                    record: ByteBuf::from(finished.message.serialize().to_vec()),
                    wrapped: WrappedKey {
                        generation: 1,
                        epoch: 1,
                        blob: ByteBuf::from(vec![0; 92]),
                    },
                }
            });
        pending.finish(&self.server, records.collect(), genesis, 0)
    }

    fn message(&self, slots: Vec<SlotRequest>) -> RegisterStart {
        RegisterStart {
            suite: SUITE,
            account: self.name.clone(),
            invite: None,
            slots,
        }
    }

    fn start(&self, password: &[u8], slot: Slot) -> (ClientLogin<Suite>, LoginStart) {
        let started = ClientLogin::<Suite>::start(&mut OsRng, password).unwrap();
        let message = LoginStart {
            suite: SUITE,
            account: self.name.clone(),
            slot,
            ke1: ByteBuf::from(started.message.serialize().to_vec()),
        };
        (started.state, message)
    }

    /// The client's way from KE2 to KE3.
    fn ke3(
        &self,
        state: ClientLogin<Suite>,
        password: &[u8],
        slot: Slot,
        ke2: &[u8],
    ) -> Result<Vec<u8>, ProtocolError> {
        let context = opaque::context(&slot);
        let stretching = Stretching::of(&slot, &self.name, &self.server.server);
        let parameters = ClientLoginFinishParameters::new(
            Some(&context),
            opaque::identifiers(&self.name, &self.server.server),
            Some(&stretching),
        );
        let ke2 = CredentialResponse::deserialize(ke2).unwrap();
        let finished = state.finish(&mut OsRng, password, ke2, parameters)?;
        Ok(finished.message.serialize().to_vec())
    }

    fn login(&self, account: Option<&Account>, password: &[u8], slot: Slot) -> (Finished, usize) {
        let (state, message) = self.start(password, slot);
        let server = self.server.server;
        let (pending, ke2) =
            PendingLogin::start(&self.setup, server, message, account.cloned()).unwrap();
        let ke3 = self
            .ke3(state, password, slot, &ke2)
            .unwrap_or_else(|_| vec![0; 64]);
        (pending.finish(&ke3), ke2.len())
    }
}

#[test]
fn registrations_and_logins_take_only_what_they_must() {
    let world = World::new();
    let account = world.register(world.genesis(|_| ())).unwrap().account;
    let (finished, known_len) = world.login(Some(&account), PASSWORD, Slot::Password);
    assert!(matches!(finished, Finished::Proven(proven) if proven.account == world.id));

    let wrong = |finished| {
        assert!(matches!(finished, Finished::Wrong(name) if name == world.name));
    };
    wrong(world.login(Some(&account), b"wrong", Slot::Password).0);
    let device = Slot::Device(DeviceId::random());
    wrong(world.login(Some(&account), PASSWORD, device).0);
    let (unknown, unknown_len) = world.login(None, PASSWORD, Slot::Password);
    wrong(unknown);
    assert_eq!(known_len, unknown_len);

    // Another session's proof is no proof.
    let server = world.server.server;
    let start = || {
        let (state, message) = world.start(PASSWORD, Slot::Password);
        let (pending, ke2) =
            PendingLogin::start(&world.setup, server, message, Some(account.clone())).unwrap();
        (state, pending, ke2)
    };
    let (state, _, ke2) = start();
    let ke3 = world.ke3(state, PASSWORD, Slot::Password, &ke2).unwrap();
    wrong(start().1.finish(&ke3));
    for malformed in [&[][..], &[0; 63], &[0; 65], &[0xff; 64]] {
        wrong(start().1.finish(malformed));
    }
}

#[test]
fn a_genesis_entry_must_name_this_server_and_begin_a_log() {
    let world = World::new();
    let refused: [fn(&mut Entry); 5] = [
        |entry| entry.seq = Seq(2),
        |entry| entry.account = AccountId::new([0; 16]),
        |entry| entry.previous = shared::ids::Digest::new([1; 32]),
        |entry| {
            if let Op::Genesis(identity) = &mut entry.op {
                identity.checkpoint_key = PublicKey::new([9; 32]);
            }
        },
        |entry| {
            if let Op::Genesis(identity) = &mut entry.op {
                identity.suite = SUITE - 1;
            }
        },
    ];
    for change in refused {
        let registered = world.register(world.genesis(change));
        assert_eq!(registered.unwrap_err(), Refusal::BadEntry);
    }
}

#[test]
fn both_slots_are_required_each_once() {
    let world = World::new();
    let request = |slot| {
        let started = ClientRegistration::<Suite>::start(&mut OsRng, PASSWORD).unwrap();
        SlotRequest {
            slot,
            request: ByteBuf::from(started.message.serialize().to_vec()),
        }
    };
    for slots in [
        vec![],
        vec![Slot::Password],
        vec![Slot::Password, Slot::Recovery, Slot::Password],
    ] {
        let requests = slots.into_iter().map(request).collect();
        let started = PendingRegistration::start(&world.setup, world.message(requests), None);
        assert_eq!(started.err(), Some(Refusal::Malformed));
    }
    let mut other = world.message(SLOTS.map(request).to_vec());
    other.suite = SUITE + 1;
    let started = PendingRegistration::start(&world.setup, other, None);
    assert_eq!(started.err(), Some(Refusal::Unsupported));
}

const ALICE: AccountId = AccountId::new([1; 16]);

fn sessions() -> OpenSessions {
    OpenSessions::new(SessionLimits {
        total: 3,
        per_account: 2,
        kept_answers: 1000,
        idle: Duration::from_mins(1),
        lifetime: Duration::from_mins(10),
        proof: Duration::from_mins(5),
    })
}

fn begin(sessions: &mut OpenSessions, account: AccountId, now: Instant) -> ClientIdle {
    begin_by(sessions, account, Slot::Password, now)
}

fn begin_by(
    sessions: &mut OpenSessions,
    account: AccountId,
    slot: Slot,
    now: Instant,
) -> ClientIdle {
    let mut key = [0; SESSION_KEY_LEN];
    OsRng.fill_bytes(&mut key);
    let holder = Holder {
        account,
        name: AccountName::parse("alice").unwrap(),
        slot,
        generation: 1,
        epoch: 1,
    };
    let here = IpAddr::V4(Ipv4Addr::LOCALHOST);
    let welcome = sessions.begin(holder, here, &key, b"welcome", now);
    ClientIdle::start(&key, &welcome).unwrap().0
}

#[test]
fn a_request_is_worked_on_once_and_its_answer_repeated() {
    let now = Instant::now();
    let mut sessions = sessions();
    let client = begin(&mut sessions, ALICE, now);
    let id = client.session();
    let waiting = client.request(b"request");
    let opened = sessions.open(waiting.sealed(), now).unwrap();
    let Opened::New(context, plaintext) = opened else {
        panic!("not new");
    };
    assert_eq!((context.account, context.counter), (ALICE, 1));
    assert_eq!(plaintext.expose(), b"request");
    let again = sessions.open(waiting.sealed(), now).unwrap();
    assert!(matches!(again, Opened::Busy(_)));
    let answer = sessions.seal(&id, b"answer", false, now).unwrap();
    let repeated = sessions.open(waiting.sealed(), now).unwrap();
    assert!(matches!(repeated, Opened::Repeated(sealed) if sealed == answer));
    assert_eq!(
        sessions.seal(&id, b"another", false, now).unwrap_err(),
        Refusal::OutOfOrder
    );
    let old = waiting.sealed().clone();
    let (client, _) = waiting.answer(&answer).unwrap();
    let next = client.request(b"next");
    assert!(sessions.open(next.sealed(), now).is_ok());
    sessions.seal(&id, b"done", false, now).unwrap();
    assert_eq!(sessions.open(&old, now).unwrap_err(), Refusal::OutOfOrder);
}

/// The context of a request of this session, and the credentials that it may change.
fn may(
    world: &World,
    sessions: &mut OpenSessions,
    client: ClientIdle,
    now: Instant,
) -> (ClientIdle, (bool, bool), Vec<Slot>) {
    let id = client.session();
    let waiting = client.request(b"request");
    let Ok(Opened::New(context, _)) = sessions.open(waiting.sealed(), now) else {
        panic!("not new");
    };
    let started = ClientRegistration::<Suite>::start(&mut OsRng, PASSWORD).unwrap();
    let request = ByteBuf::from(started.message.serialize().to_vec());
    let [own, other] = [DeviceId::new([5; 16]), DeviceId::new([6; 16])].map(Slot::Device);
    let all = [Slot::Password, Slot::Recovery, own, other];
    let changed = all.into_iter().filter(|slot| {
        let asker = sessions.asker(&id, now).unwrap();
        let request = SlotRequest {
            slot: *slot,
            request: request.clone(),
        };
        match enrolment::enrol(&world.setup, asker, &[request]) {
            Ok(_) => true,
            Err(refusal) => {
                assert_eq!(refusal, Refusal::NeedsPassword);
                false
            }
        }
    });
    let changed = changed.collect();
    let answer = sessions.seal(&id, b"answer", false, now).unwrap();
    let (client, _) = waiting.answer(&answer).unwrap();
    (client, (context.is_person, context.is_proven), changed)
}

/// A person who finds a session open cannot take it over: a login that is some minutes old proves nothing about the
/// person at the terminal.
#[test]
fn credentials_are_changed_only_right_after_a_login() {
    let world = World::new();
    let mut sessions = sessions();
    let start = Instant::now();
    let after = |seconds| start + Duration::from_secs(seconds);
    for slot in SLOTS {
        let client = begin_by(&mut sessions, ALICE, slot, start);
        let (mut client, is, changed) = may(&world, &mut sessions, client, after(50));
        assert_eq!((is, changed.len()), ((true, true), 4));
        for seconds in [100, 150, 200, 250, 299] {
            let (next, is, changed) = may(&world, &mut sessions, client, after(seconds));
            assert_eq!((is, changed.len()), ((true, true), 4));
            client = next;
        }
        // Not by going on without a pause either.
        let (_, is, changed) = may(&world, &mut sessions, client, after(300));
        assert_eq!((is, changed), ((true, false), Vec::new()));
    }
    // A device may always replace its own, which opens no more than it has.
    let own = Slot::Device(DeviceId::new([5; 16]));
    let client = begin_by(&mut sessions, ALICE, own, start);
    let (client, is, changed) = may(&world, &mut sessions, client, after(1));
    assert_eq!((is, changed), ((false, false), vec![own]));
    let (_, is, changed) = may(&world, &mut sessions, client, after(50));
    assert_eq!((is, changed), ((false, false), vec![own]));
}

#[test]
fn a_session_is_of_one_device() {
    let now = Instant::now();
    let mut sessions = sessions();
    let [own, other] = [DeviceId::new([5; 16]), DeviceId::new([6; 16])];
    let mut is_of = |slot, device| {
        let client = begin_by(&mut sessions, ALICE, slot, now);
        let id = client.session();
        let first = sessions.bind(&id, device);
        let again = sessions.bind(&id, other);
        sessions.end(&ALICE, &SessionId::new([0; 16]), Some(own));
        (first, again, sessions.knows(&id))
    };
    let refused = Err(Refusal::Malformed);
    // It cannot leave the device that is shut out.
    assert_eq!(is_of(Slot::Password, own), (Ok(()), refused.clone(), false));
    assert_eq!(is_of(Slot::Password, other), (Ok(()), Ok(()), true));
    let by_device = Slot::Device(own);
    assert_eq!(is_of(by_device, own), (Ok(()), refused.clone(), false));
    assert_eq!(is_of(by_device, other), (refused.clone(), refused, false));
}

#[test]
fn sessions_end_idle_old_closed_or_pushed_out() {
    let start = Instant::now();
    let mut sessions = sessions();
    let idle = begin(&mut sessions, ALICE, start).request(b"");
    let late = start + Duration::from_mins(1);
    assert_eq!(
        sessions.open(idle.sealed(), late).unwrap_err(),
        Refusal::NoSession
    );

    let mut client = begin(&mut sessions, ALICE, start);
    let mut now = start;
    loop {
        now += Duration::from_secs(50);
        let id = client.session();
        let waiting = client.request(b"");
        match sessions.open(waiting.sealed(), now) {
            Ok(_) => {}
            Err(refusal) => {
                assert_eq!(refusal, Refusal::NoSession);
                break;
            }
        }
        let answer = sessions.seal(&id, b"", false, now).unwrap();
        client = waiting.answer(&answer).unwrap().0;
    }
    assert!(now >= start + Duration::from_mins(10));

    let client = begin(&mut sessions, ALICE, now);
    let id = client.session();
    let waiting = client.request(b"logout");
    sessions.open(waiting.sealed(), now).unwrap();
    let answer = sessions.seal(&id, b"bye", true, now).unwrap();
    let repeated = sessions.open(waiting.sealed(), now).unwrap();
    assert!(matches!(repeated, Opened::Repeated(_)));
    let (client, _) = waiting.answer(&answer).unwrap();
    let more = client.request(b"more");
    assert_eq!(
        sessions.open(more.sealed(), now).unwrap_err(),
        Refusal::NoSession
    );

    let first = begin(&mut sessions, ALICE, now).request(b"");
    let second = begin(&mut sessions, ALICE, now + Duration::from_secs(1)).request(b"");
    let third = begin(&mut sessions, ALICE, now + Duration::from_secs(2)).request(b"");
    let now = now + Duration::from_secs(3);
    assert_eq!(
        sessions.open(first.sealed(), now).unwrap_err(),
        Refusal::NoSession
    );
    assert!(sessions.open(second.sealed(), now).is_ok());
    assert!(sessions.open(third.sealed(), now).is_ok());
}

#[test]
fn the_account_with_most_sessions_makes_room() {
    let start = Instant::now();
    let after = |seconds| start + Duration::from_secs(seconds);
    let mut sessions = sessions();
    let [bob, carol, dora] = [2, 3, 4].map(|byte| AccountId::new([byte; 16]));
    let patient = begin(&mut sessions, bob, start).request(b"");
    let oldest = begin(&mut sessions, ALICE, after(1)).request(b"");
    let newest = begin(&mut sessions, ALICE, after(2)).request(b"");
    // Full: the crowded account makes room, although another's session is older.
    let carols = begin(&mut sessions, carol, after(3)).request(b"");
    let all = [&patient, &oldest, &newest, &carols];
    let known = all.map(|waiting| sessions.knows(&waiting.sealed().session));
    assert_eq!(known, [true, false, true, true]);
    // Among equals it is the account that was used last the longest ago.
    let doras = begin(&mut sessions, dora, after(5));
    assert!(!sessions.knows(&patient.sealed().session));
    assert!(sessions.knows(&doras.session()));
}
