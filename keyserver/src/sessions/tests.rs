//! The state machines without actors, network or waiting: time is a value.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

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
use shared::ids::{AccountId, DeviceId, Digest, PublicKey, Seq, ServerId, Signature};
use shared::names::AccountName;
use shared::opaque::{self, SUITE, Slot, Stretching, Suite};
use shared::request::Opening;
use shared::vault_log::{
    Credential, CredentialKeys, ENTRY_FORMAT, Entry, Head, Identity, KEM_KEY_LEN, Op, SignedEntry,
};
use shared::wire::error::Refusal;
use shared::wire::login::LoginStart;
use shared::wire::register::{Lease, RegisterStart, SlotRecord, SlotRequest, WrappedKey};

use super::enrolment::{self, Holder};
use super::login::{Finished, PendingLogin};
use super::registration::{PendingRegistration, Registered, ServerIdentity};
use super::session::{OpenSessions, Opened, SessionLimits};
use storage::api::Account;

const PASSWORD: &[u8] = b"password";
/// The slots that every registration has.
const SLOTS: [Slot; 2] = [Slot::Password, Slot::Recovery];

fn public(key: &SigningKey) -> PublicKey {
    PublicKey::new(key.verifying_key().to_bytes())
}

/// The signing key of a slot.
fn signing(slot: Slot) -> SigningKey {
    SigningKey::from_bytes(&match slot {
        Slot::Password => [11; 32],
        Slot::Recovery => [12; 32],
        Slot::Device(_) => [13; 32],
    })
}

/// The slot of the device whose key is its signing key.
fn own_slot() -> Slot {
    let any = Slot::Device(DeviceId::new([0; 16]));
    Slot::Device(DeviceId::of(&public(&signing(any))))
}

fn lease(slot: Slot) -> Option<Lease> {
    matches!(slot, Slot::Device(_)).then_some(Lease {
        seconds: 60,
        renewed: true,
    })
}

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
            device: DeviceId::new([1; 16]),
            time_ms: 0,
            seen: None,
            op: Op::Genesis(Identity {
                server: self.server.server,
                opaque_key: self.server.opaque_key,
                checkpoint_key: self.server.checkpoint_key,
                log_key: PublicKey::new(self.key.verifying_key().to_bytes()),
                suite: SUITE,
            }),
            authorisation: None,
        };
        change(&mut entry);
        SignedEntry::sign(&entry, &self.key).unwrap()
    }

    /// Both halves of a registration with this genesis entry.
    fn register(&self, genesis: SignedEntry) -> Result<Registered, Refusal> {
        self.register_with(genesis, |_| ())
    }

    /// Both halves of a registration with this genesis entry; `change` may alter the entries of the credentials before they
    /// are signed.
    fn register_with(
        &self,
        genesis: SignedEntry,
        change: impl Fn(&mut Entry),
    ) -> Result<Registered, Refusal> {
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
                    lease: lease(slot),
                }
            });
        let records: Vec<SlotRecord> = records.collect();
        let mut head = Head::EMPTY.with(&genesis);
        let mut entries = vec![genesis];
        for record in &records {
            let mut entry = self.credential(head, record);
            change(&mut entry);
            let signed = SignedEntry::sign(&entry, &self.key).unwrap();
            head = head.with(&signed);
            entries.push(signed);
        }
        pending.finish(&self.server, records, entries, 0)
    }

    /// The entry that names a registered credential.
    fn credential(&self, head: Head, record: &SlotRecord) -> Entry {
        Entry {
            format: ENTRY_FORMAT,
            account: self.id,
            seq: head.seq.next(),
            previous: head.hash,
            device: DeviceId::new([1; 16]),
            time_ms: 0,
            seen: None,
            op: Op::Credential(Credential {
                slot: record.slot,
                generation: 1,
                keys: Some(CredentialKeys {
                    wrapped: Digest::of(&record.wrapped.blob),
                    kem: ByteBuf::from(vec![0; KEM_KEY_LEN]),
                    signing: public(&signing(record.slot)),
                }),
                name: None,
            }),
            authorisation: None,
        }
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
    let device = Slot::Device(DeviceId::new([7; 16]));
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
    let refused: [fn(&mut Entry); 6] = [
        |entry| entry.seq = Seq(2),
        |entry| entry.account = AccountId::new([0; 16]),
        |entry| entry.previous = Digest::new([1; 32]),
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
        |entry| {
            entry.seen = Some(shared::checkpoint::TreeHead {
                size: 0,
                root: Digest::of(b""),
            });
        },
    ];
    for change in refused {
        let registered = world.register(world.genesis(change));
        assert_eq!(registered.unwrap_err(), Refusal::BadEntry);
    }
}

fn change_named(entry: &mut Entry, change: fn(&mut Credential)) {
    if let Op::Credential(credential) = &mut entry.op {
        change(credential);
    }
}

#[test]
fn a_registration_names_each_of_its_credentials() {
    let world = World::new();
    let register = |change: fn(&mut Entry)| {
        let genesis = world.genesis(|_| ());
        world.register_with(genesis, change)
    };
    let registered = register(|_| ()).unwrap();
    assert_eq!(registered.entries.len(), 3);
    let stored = registered.account.slots.iter();
    let named: Vec<_> = stored
        .map(|stored| (stored.named(), stored.signing))
        .collect();
    let expected = SLOTS.map(|slot| ((slot, 1), public(&signing(slot))));
    assert_eq!(named, expected);
    let refused: [fn(&mut Entry); 9] = [
        |entry| change_named(entry, |named| named.generation = 2),
        |entry| change_named(entry, |named| named.keys = None),
        |entry| change_named(entry, |named| named.slot = Slot::Password),
        |entry| {
            change_named(entry, |named| {
                named.keys.as_mut().unwrap().wrapped = Digest::of(b"");
            });
        },
        |entry| change_named(entry, |named| named.keys.as_mut().unwrap().kem.truncate(9)),
        |entry| entry.op = Op::Note(Digest::of(b"")),
        |entry| entry.seq = Seq(2),
        // There is no credential yet that could authorise them.
        |entry| {
            entry
                .authorise(Slot::Password, &signing(Slot::Password))
                .unwrap();
        },
        |entry| {
            entry.seen = Some(shared::checkpoint::TreeHead {
                size: 0,
                root: Digest::of(b""),
            });
        },
    ];
    for (number, change) in refused.into_iter().enumerate() {
        assert_eq!(register(change).unwrap_err(), Refusal::BadEntry, "{number}");
    }
    let mut entries = registered.entries;
    entries.pop();
    let requests = |slot: Slot| {
        let started = ClientRegistration::<Suite>::start(&mut OsRng, PASSWORD).unwrap();
        SlotRequest {
            slot,
            request: ByteBuf::from(started.message.serialize().to_vec()),
        }
    };
    let message = world.message(SLOTS.map(requests).to_vec());
    let (pending, _) = PendingRegistration::start(&world.setup, message, None).unwrap();
    let stored = registered.account.slots.into_iter();
    let mut records: Vec<SlotRecord> = stored.map(|stored| stored.credential).collect();
    let missing = pending.finish(&world.server, records.clone(), entries.clone(), 0);
    assert_eq!(missing.unwrap_err(), Refusal::BadEntry);
    // Only a device has a lease.
    let message = world.message(SLOTS.map(requests).to_vec());
    let (pending, _) = PendingRegistration::start(&world.setup, message, None).unwrap();
    records[1].lease = lease(own_slot());
    let refused = pending.finish(&world.server, records, entries, 0);
    assert_eq!(refused.unwrap_err(), Refusal::Malformed);
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
        vec![Slot::Password, Slot::Password],
        vec![Slot::Password, Slot::Recovery, Slot::Password],
        vec![Slot::Password, Slot::Recovery, own_slot()],
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
        signing: public(&signing(slot)),
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
    let answer = sessions.seal(&id, b"answer", true, false, now).unwrap();
    let repeated = sessions.open(waiting.sealed(), now).unwrap();
    assert!(matches!(repeated, Opened::Repeated(sealed) if sealed == answer));
    assert_eq!(
        sessions
            .seal(&id, b"another", true, false, now)
            .unwrap_err(),
        Refusal::OutOfOrder
    );
    let old = waiting.sealed().clone();
    let (client, _) = waiting.answer(&answer).unwrap();
    let next = client.request(b"next");
    assert!(sessions.open(next.sealed(), now).is_ok());
    sessions.seal(&id, b"done", true, false, now).unwrap();
    assert_eq!(sessions.open(&old, now).unwrap_err(), Refusal::OutOfOrder);
}

/// What a request of this session may do, and which credentials it may change.
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
    let answer = sessions.seal(&id, b"answer", true, false, now).unwrap();
    let (client, _) = waiting.answer(&answer).unwrap();
    (client, (context.is_person, context.is_proven), changed)
}

/// Whoever finds a session open cannot make it their own: a login that is some minutes old proves nobody.
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

/// Requests carry the opening until one was answered without a refusal; the first one stays.
#[test]
fn a_session_is_bound_to_its_first_opening() {
    let now = Instant::now();
    let mut sessions = sessions();
    let mut client = begin(&mut sessions, ALICE, now);
    let id = client.session();
    let opening = |byte| Opening {
        slot: Slot::Password,
        generation: 1,
        device: PublicKey::new([byte; 32]),
        certificate: Signature::new([byte; 64]),
    };
    let mut states = Vec::new();
    for (bound, is_done) in [(5, false), (6, false), (7, true), (8, false)] {
        let waiting = client.request(b"request");
        let Ok(Opened::New(context, _)) = sessions.open(waiting.sealed(), now) else {
            panic!("not new");
        };
        assert_eq!(context.signing, public(&signing(Slot::Password)));
        states.push((
            context.opening.map(|bound| bound.device),
            context.is_confirmed,
        ));
        sessions.bind(&id, opening(bound));
        let answer = sessions.seal(&id, b"", is_done, false, now).unwrap();
        client = waiting.answer(&answer).unwrap().0;
    }
    let first = Some(PublicKey::new([5; 32]));
    let expected = [(None, false), (first, false), (first, false), (first, true)];
    assert_eq!(states, expected);
    let listed = sessions.list(&ALICE, &id, now);
    assert_eq!(listed[0].device, first.as_ref().map(DeviceId::of));
}

#[test]
fn sessions_of_one_credential_or_of_all_are_ended() {
    let now = Instant::now();
    let own = own_slot();
    let is_known = |by| {
        let mut sessions = sessions();
        let kept = begin_by(&mut sessions, ALICE, Slot::Password, now).session();
        let ended = begin_by(&mut sessions, ALICE, own, now).session();
        let others = begin_by(&mut sessions, AccountId::new([2; 16]), own, now).session();
        sessions.end(&ALICE, &kept, by);
        [kept, ended, others].map(|id| sessions.knows(&id))
    };
    assert_eq!(is_known(Some(own)), [true, false, true]);
    assert_eq!(is_known(None), [true, false, true]);
    assert_eq!(is_known(Some(Slot::Recovery)), [true, true, true]);
}

/// The session that replaces its own credential, or begins an epoch, goes on under it.
#[test]
fn a_session_goes_on_under_what_it_installed() {
    let now = Instant::now();
    let mut sessions = sessions();
    let mut client = begin(&mut sessions, ALICE, now);
    let id = client.session();
    let record = |slot, generation| SlotRecord {
        slot,
        record: ByteBuf::new(),
        wrapped: WrappedKey {
            generation,
            epoch: 1,
            blob: ByteBuf::new(),
        },
        lease: None,
    };
    let installs = [
        (Vec::new(), true),
        (vec![record(own_slot(), 8), record(Slot::Password, 2)], true),
        (vec![record(own_slot(), 9)], false),
    ];
    let mut states = Vec::new();
    for (slots, begins_epoch) in installs {
        sessions.installed(&id, &slots, begins_epoch);
        let waiting = client.request(b"request");
        let Ok(Opened::New(context, _)) = sessions.open(waiting.sealed(), now) else {
            panic!("not new");
        };
        states.push((context.by, context.epoch));
        let answer = sessions.seal(&id, b"", true, false, now).unwrap();
        client = waiting.answer(&answer).unwrap().0;
    }
    let by = |generation| (Slot::Password, generation);
    assert_eq!(states, [(by(1), 2), (by(2), 3), (by(2), 3)]);
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
        let answer = sessions.seal(&id, b"", true, false, now).unwrap();
        client = waiting.answer(&answer).unwrap().0;
    }
    assert!(now >= start + Duration::from_mins(10));

    let client = begin(&mut sessions, ALICE, now);
    let id = client.session();
    let waiting = client.request(b"logout");
    sessions.open(waiting.sealed(), now).unwrap();
    let answer = sessions.seal(&id, b"bye", true, true, now).unwrap();
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
fn whoever_has_most_sessions_makes_room() {
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
