//! The server's state machines, without actors, network or clock; and the client's half of a login against a lying one.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use keyserver::sessions::enrolment::Holder;
use keyserver::sessions::login::{Finished, PendingLogin, check};
use keyserver::sessions::registration::{PendingRegistration, ServerIdentity};
use keyserver::sessions::session::{OpenSessions, Opened, SessionLimits};
use keyshell_client::device::pins::ServerPins;
use keyshell_client::opaque::login::StartedLogin;
use opaque_ke::{
    ClientRegistration, ClientRegistrationFinishParameters, ServerRegistration, ServerSetup,
};
use rand::SeedableRng as _;
use rand::rngs::StdRng;
use serde_bytes::ByteBuf;
use shared::channel::{ClientIdle, Sealed, session_id};
use shared::codec;
use shared::ids::{AccountId, PendingId, PublicKey, Seq, SessionId};
use shared::names::AccountName;
use shared::opaque::{self, Slot, Stretching, Suite};
use shared::secret::SecretBytes;
use shared::vault_log::{
    Credential, Due, ENTRY_FORMAT, Entry, FIRST_EPOCH, Head, Identity, MAX_ENTRY_LEN, Op,
    SignedEntry, Signer,
};
use shared::wire::limits::{MAX_OPEN_BODY_LEN, MAX_SLOTS};
use shared::wire::login::{LoginResponse, LoginStart};
use shared::wire::register::{RegisterFinish, RegisterStart, SlotRecord, WrappedKey};
use storage::api::{Account, StoredSlot};

use crate::cursor::Cursor;
use crate::world::{
    ACCOUNT, DEVICE, GENERATION, SERVER, checkpoint_public, device_slot, identity, keys, slot_keys,
};

/// Where sessions come from.
pub(crate) const ADDRESS: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
/// A slot without key stretching: fuzzing must not pay for Argon2id.
static SLOT: LazyLock<Slot> = LazyLock::new(device_slot);
const CREDENTIAL: &[u8] = &[0xee; 32];

/// The server's long-lived keys, the same in every run.
pub static SETUP: LazyLock<ServerSetup<Suite>> =
    LazyLock::new(|| ServerSetup::new(&mut StdRng::seed_from_u64(1)));

/// An account whose only credential is a device's.
static KNOWN: LazyLock<Account> = LazyLock::new(|| {
    let rng = &mut StdRng::seed_from_u64(2);
    let name = name();
    let started = ClientRegistration::<Suite>::start(rng, CREDENTIAL).unwrap();
    let identifier = opaque::credential_identifier(&name, &SLOT);
    let response = ServerRegistration::start(&SETUP, started.message, &identifier).unwrap();
    let stretching = Stretching::of(&SLOT, &name, &SERVER);
    let parameters = ClientRegistrationFinishParameters::new(
        opaque::identifiers(&name, &SERVER),
        Some(&stretching),
    );
    let finished = started
        .state
        .finish(rng, CREDENTIAL, response.message, parameters)
        .unwrap();
    let credential = SlotRecord {
        slot: *SLOT,
        record: ByteBuf::from(finished.message.serialize().to_vec()),
        wrapped: WRAPPED.clone(),
        lease: None,
    };
    Account {
        id: ACCOUNT,
        name,
        signer: Signer {
            epoch: FIRST_EPOCH,
            log_key: keys().log_key(),
            due: Due::Nothing,
        },
        slots: vec![StoredSlot::new(credential, DEVICE.public())],
        created_ms: 0,
    }
});

/// The wrapped key of every credential, which the server cannot open.
static WRAPPED: LazyLock<WrappedKey> = LazyLock::new(|| WrappedKey {
    generation: GENERATION,
    epoch: FIRST_EPOCH,
    blob: ByteBuf::from(vec![0; 92]),
});

/// The account's name.
pub fn name() -> AccountName {
    AccountName::parse("aléna").unwrap()
}

/// Who genesis entries must name.
pub fn server_identity() -> ServerIdentity {
    ServerIdentity {
        server: SERVER,
        opaque_key: PublicKey::new(SETUP.keypair().public().serialize().into()),
        checkpoint_key: checkpoint_public(),
    }
}

/// Feeds messages to registration, login and sessions.
pub(crate) fn server_session(data: &[u8]) {
    let mut script = Cursor::new(data);
    match script.choice(6) {
        0 => registration(&mut script),
        1 => genesis(&mut script),
        2 => made_up_login(&mut script),
        3 => altered_login(&mut script),
        4 => lying_server(&mut script),
        _ => sessions(&mut script),
    }
}

/// Both messages of a registration from the script.
fn registration(script: &mut Cursor<'_>) {
    let Ok(start) = codec::decode::<RegisterStart>(script.chunk(), MAX_OPEN_BODY_LEN) else {
        return;
    };
    let finish = codec::decode::<RegisterFinish>(script.rest(), MAX_OPEN_BODY_LEN);
    let slots: Vec<Slot> = start.slots.iter().map(|request| request.slot).collect();
    let name = start.account.clone();
    let Ok((pending, responses)) = PendingRegistration::start(&SETUP, start, None) else {
        return;
    };
    assert!(slots.len() <= MAX_SLOTS);
    assert!(slots.contains(&Slot::Password) && slots.contains(&Slot::Recovery));
    assert_eq!(responses.len(), slots.len());
    assert!(responses.iter().all(|response| response.len() == 64));
    let Ok(finish) = finish else { return };
    let entries = finish.entries.clone();
    let Ok(registered) = pending.finish(&server_identity(), finish.slots, entries, 7) else {
        return;
    };
    let account = registered.account;
    assert_eq!(account.name, name);
    assert_eq!(account.slots.len(), slots.len());
    assert_eq!(registered.entries.len(), 1 + slots.len());
    let mut head = Head::EMPTY;
    let credentials = slots.iter().zip(&account.slots);
    let mut credentials = credentials.map(|(slot, stored)| {
        assert_eq!(stored.credential.record.len(), 192);
        assert_eq!(stored.named(), (*slot, 1));
        stored.signing
    });
    for signed in &registered.entries {
        let entry = signed.verify(&account.id, &account.signer.log_key).unwrap();
        head = signed.verify_next(&entry, &head).unwrap();
        match &entry.op {
            Op::Credential(new) => {
                let keys = new.keys.as_ref().unwrap();
                assert_eq!(Some(keys.signing), credentials.next());
            }
            _ => assert!(head.seq == Seq(1) && is_own_genesis(&entry, account.signer.log_key)),
        }
    }
}

/// A registration whose genesis entry is signed well, whatever is in it.
fn genesis(script: &mut Cursor<'_>) {
    let Ok(entry) = codec::decode::<Entry>(script.rest(), MAX_ENTRY_LEN) else {
        return;
    };
    let start = RegisterStart {
        suite: opaque::SUITE,
        account: name(),
        invite: None,
        slots: Vec::new(),
    };
    // Without slots nothing starts; the genesis entry is looked at only after that.
    assert!(PendingRegistration::start(&SETUP, start, None).is_err());
    let (pending, slots) = started();
    let entries = with_credentials(&entry);
    let registered = pending.finish(&server_identity(), slots, entries, 7);
    assert_eq!(registered.is_ok(), is_own_genesis(&entry, keys().log_key()));
}

fn is_own_genesis(entry: &Entry, log_key: PublicKey) -> bool {
    let server = server_identity();
    let Op::Genesis(identity) = &entry.op else {
        return false;
    };
    let expected = Identity {
        server: server.server,
        opaque_key: server.opaque_key,
        checkpoint_key: server.checkpoint_key,
        log_key,
        suite: opaque::SUITE,
    };
    entry.format == ENTRY_FORMAT
        && entry.seq == Seq(1)
        && entry.previous == Head::EMPTY.hash
        && entry.account != AccountId::new([0; 16])
        && entry.seen.is_none()
        && entry.authorisation.is_none()
        && *identity == expected
}

/// A registration of both slots up to the last message.
fn started() -> (PendingRegistration, Vec<SlotRecord>) {
    let (start, finish) = registration_messages();
    let (pending, _) = PendingRegistration::start(&SETUP, start, None).unwrap();
    (pending, finish.slots)
}

/// An honest registration, for the seeds as well. The records need not fit the responses: the server cannot tell.
pub fn registration_messages() -> (RegisterStart, RegisterFinish) {
    let rng = &mut StdRng::seed_from_u64(3);
    let request = ClientRegistration::<Suite>::start(rng, CREDENTIAL).unwrap();
    let request = ByteBuf::from(request.message.serialize().to_vec());
    let slots = PERSONS;
    let start = RegisterStart {
        suite: opaque::SUITE,
        account: name(),
        invite: Some("code".into()),
        slots: slots
            .map(|slot| shared::wire::register::SlotRequest {
                slot,
                request: request.clone(),
            })
            .to_vec(),
    };
    let known = &KNOWN.slots[0].credential;
    let finish = RegisterFinish {
        pending: PendingId::new([0xbb; 16]),
        slots: slots
            .map(|slot| SlotRecord {
                slot,
                ..known.clone()
            })
            .to_vec(),
        entries: registration_entries(),
    };
    (start, finish)
}

const PERSONS: [Slot; 2] = [Slot::Password, Slot::Recovery];

/// The first entries of the vault log.
pub fn registration_entries() -> Vec<SignedEntry> {
    with_credentials(&Entry {
        format: ENTRY_FORMAT,
        account: ACCOUNT,
        seq: Seq(1),
        previous: Head::EMPTY.hash,
        device: DEVICE.id(),
        time_ms: 7,
        seen: None,
        op: Op::Genesis(Identity {
            opaque_key: server_identity().opaque_key,
            ..identity()
        }),
        authorisation: None,
    })
}

/// The first entry, signed, and those of the credentials after it.
fn with_credentials(first: &Entry) -> Vec<SignedEntry> {
    static NAMED: LazyLock<[Credential; 2]> = LazyLock::new(|| {
        PERSONS.map(|slot| Credential {
            slot,
            generation: GENERATION,
            keys: Some(slot_keys(slot).public(&WRAPPED.blob)),
            name: None,
        })
    });
    let sign = |entry: &Entry| SignedEntry::sign(entry, &keys().signing()).unwrap();
    let mut entries = vec![sign(first)];
    let mut head = Head::EMPTY.with(&entries[0]);
    for credential in NAMED.iter() {
        let signed = sign(&Entry {
            seq: head.seq.next(),
            previous: head.hash,
            op: Op::Credential(credential.clone()),
            format: ENTRY_FORMAT,
            seen: None,
            authorisation: None,
            ..first.clone()
        });
        head = head.with(&signed);
        entries.push(signed);
    }
    entries
}

/// Made-up messages of a login never prove anything.
fn made_up_login(script: &mut Cursor<'_>) {
    let is_known = script.choice(2) == 1;
    let ke3 = script.chunk();
    let Ok(start) = codec::decode::<LoginStart>(script.rest(), MAX_OPEN_BODY_LEN) else {
        return;
    };
    let checked = check(&start);
    let account = is_known.then(|| KNOWN.clone());
    let begun = PendingLogin::start(&SETUP, SERVER, start, account);
    assert!(checked.is_ok() || begun.is_err());
    if let Ok((pending, ke2)) = begun {
        assert_eq!(ke2.len(), 320);
        assert!(matches!(pending.finish(ke3), Finished::Wrong { .. }));
    }
}

/// An honest login with bytes altered on the way: it is proven only if none was.
fn altered_login(script: &mut Cursor<'_>) {
    let credential = SecretBytes::from(CREDENTIAL);
    let name = name();
    let (attempt, mut start) = StartedLogin::start(&name, *SLOT, &credential).unwrap();
    let mut is_altered = alter(&mut start.ke1, script);
    let Ok((pending, mut ke2)) = PendingLogin::start(&SETUP, SERVER, start, Some(KNOWN.clone()))
    else {
        assert!(is_altered);
        return;
    };
    is_altered |= alter(&mut ke2, script);
    let response = LoginResponse {
        pending: PendingId::new([1; 16]),
        ke2,
    };
    let proven = attempt.finish(pins(), &response.ke2);
    assert_eq!(proven.is_ok(), !is_altered);
    let Ok(proven) = proven else { return };
    let mut ke3 = proven.ke3.clone();
    let is_altered = alter(&mut ke3, script);
    match pending.finish(&ke3) {
        Finished::Proven(server) => {
            assert!(!is_altered);
            assert_eq!(*server.session_key, *proven.session_key());
        }
        Finished::Wrong { .. } => assert!(is_altered),
    }
}

fn pins() -> ServerPins {
    ServerPins {
        opaque_key: server_identity().opaque_key,
        ..ServerPins::from(&identity())
    }
}

/// A server that answers a login with anything is not believed.
fn lying_server(script: &mut Cursor<'_>) {
    let credential = SecretBytes::from(CREDENTIAL);
    let name = name();
    let (attempt, _) = StartedLogin::start(&name, *SLOT, &credential).unwrap();
    let response = LoginResponse {
        pending: PendingId::new([1; 16]),
        ke2: ByteBuf::from(script.rest().to_vec()),
    };
    assert!(attempt.finish(pins(), &response.ke2).is_err());
}

/// Whether anything was changed.
fn alter(bytes: &mut Vec<u8>, script: &mut Cursor<'_>) -> bool {
    let before = bytes.clone();
    match script.choice(4) {
        0 => {
            let place = usize::from(script.byte()) * 2 % bytes.len();
            bytes[place] ^= script.byte();
        }
        1 if script.choice(2) == 1 => bytes.truncate(usize::from(script.byte())),
        2 if script.choice(2) == 1 => bytes.extend_from_slice(script.chunk()),
        _ => {}
    }
    *bytes != before
}

/// Several sessions and a clock: each request is taken once, in its own session, while that lasts.
fn sessions(script: &mut Cursor<'_>) {
    let limits = SessionLimits {
        total: 3,
        per_account: 2,
        kept_answers: 300,
        idle: Duration::from_mins(1),
        lifetime: Duration::from_mins(10),
        proof: Duration::from_mins(5),
    };
    let mut sessions = OpenSessions::new(limits);
    let mut now = Instant::now();
    let mut waiting: Vec<(SessionId, Option<Sealed>)> = Vec::new();
    while !script.is_empty() {
        let which = usize::from(script.byte());
        match script.choice(5) {
            0 => {
                let key = [u8::try_from(waiting.len() % 256).unwrap(); 64];
                let id = session_id(&key);
                let account = AccountId::new([script.choice(2); 16]);
                let welcome = sessions.begin(holder(account), ADDRESS, &key, b"welcome", now);
                let (client, _) = ClientIdle::start(&key, &welcome).unwrap();
                let request = client.request(script.chunk()).sealed().clone();
                waiting.retain(|(known, _)| *known != id);
                waiting.push((id, Some(request)));
            }
            1 => now += Duration::from_secs(u64::from(script.byte())),
            2 if !waiting.is_empty() => {
                let place = which % waiting.len();
                deliver(&mut sessions, &mut waiting[place], now);
            }
            3 if !waiting.is_empty() => {
                let id = waiting[which % waiting.len()].0;
                let (answer, is_last) = (script.chunk(), script.choice(2) == 1);
                let _ = sessions.seal(&id, answer, !is_last, is_last, now);
            }
            _ => {
                if let Ok(sealed) = codec::decode::<Sealed>(script.chunk(), usize::MAX)
                    && waiting
                        .iter()
                        .all(|(_, known)| known.as_ref() != Some(&sealed))
                {
                    let opened = sessions.open(&sealed, now);
                    assert!(!matches!(opened, Ok(Opened::New(..))));
                }
                sessions.sweep(now);
            }
        }
    }
}

fn deliver(sessions: &mut OpenSessions, waiting: &mut (SessionId, Option<Sealed>), now: Instant) {
    let (id, request) = waiting;
    let Some(sealed) = request.clone() else {
        return;
    };
    if let Ok(Opened::New(context, _)) = sessions.open(&sealed, now) {
        assert_eq!((context.session, context.counter), (*id, 1));
        // Taken: what comes once more is a repetition for as long as the session lasts.
        let again = sessions.open(&sealed, now);
        assert!(!matches!(again, Ok(Opened::New(..))));
    }
}

/// A session of this account, opened with the password.
pub(crate) fn holder(account: AccountId) -> Holder {
    Holder {
        account,
        name: AccountName::parse("alice").unwrap(),
        slot: Slot::Password,
        generation: GENERATION,
        epoch: FIRST_EPOCH,
        signing: DEVICE.public(),
    }
}
