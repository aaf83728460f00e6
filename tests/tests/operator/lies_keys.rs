//! An operator who lies about keys, credentials and identities. The map of attacks is in `docs/threat-model.md`.
#![allow(missing_docs, clippy::unwrap_used, clippy::indexing_slicing)]

use std::sync::mpsc;

use keyshell_client::device::identity::DeviceIdentity;
use keyshell_client::device::pins::ServerPins;
use keyshell_client::error::Error;
use keyshell_client::keys::slot::SlotContext;
use keyshell_client::keys::wrap::WrapContext;
use keyshell_client::opaque::login;
use keyshell_client::transport::api::Api;
use keyshell_client::transport::http::Endpoint;
use keyshell_client::transport::tls::{Pin, Trust};
use opaque_ke::{
    ClientRegistration, ClientRegistrationFinishParameters, RegistrationResponse,
    ServerRegistration,
};
use rand::rngs::OsRng;
use serde_bytes::ByteBuf;
use shared::ids::{PublicKey, ServerId};
use shared::names::AccountName;
use shared::opaque::{self, Slot, Stretching, Suite};
use shared::secret::{Key, SecretBytes};
use shared::wire::register::{SlotRecord, WrappedKey};
use storage::api::{Account, StoredSlot};
use tests::device::Device;
use tests::operator::lie::Lie;
use tests::operator::{Operator, caught};

fn account() -> (Operator, Device) {
    let operator = Operator::start();
    let device = operator.registered("alice");
    device.put("k", b"value");
    (operator, device)
}

/// What the database holds of an account, by way of a login.
fn stored(operator: &Operator, device: &Device) -> Account {
    let (sender, receiver) = mpsc::channel();
    operator.lie(Lie::Account(Box::new(move |account| {
        // Only the first login's is waited for.
        let _ = sender.send(account.clone());
    })));
    device.run(&["ls"]).ok();
    operator.be_honest();
    receiver.recv().unwrap().unwrap()
}

fn wrapped(account: &Account, slot: Slot) -> WrappedKey {
    let mut credentials = account.slots.iter().map(|stored| &stored.credential);
    let found = credentials.find(|credential| credential.slot == slot);
    found.unwrap().wrapped.clone()
}

fn welcome(wrapped: WrappedKey) -> Lie {
    Lie::Welcome(Box::new(move |welcome| welcome.wrapped = wrapped.clone()))
}

const DOES_NOT_OPEN: &str = "wrapped account key does not open";

#[test]
fn the_wrapped_account_key_cannot_be_replaced() {
    let (operator, device) = account();
    let bob = operator.registered("bob");
    let own = stored(&operator, &device);
    let bobs = stored(&operator, &bob);
    let made_up = WrappedKey {
        blob: ByteBuf::from(vec![7; 92]),
        ..wrapped(&own, Slot::Password)
    };
    let cases = [
        wrapped(&own, Slot::Recovery),
        wrapped(&bobs, Slot::Password),
        made_up,
    ];
    for case in cases {
        operator.attack(&device, "get k", welcome(case), 7, DOES_NOT_OPEN);
    }
}

#[test]
fn no_byte_of_the_wrapped_account_key_can_be_changed() {
    let (operator, device) = account();
    let own = wrapped(&stored(&operator, &device), Slot::Password);
    // Its commitment (32), nonce (12), ciphertext (32) and tag (16), each at both ends and beyond.
    for place in [0, 31, 32, 43, 44, 75, 76, 91] {
        let mut changed = own.clone();
        changed.blob[place] ^= 1;
        operator.attack(&device, "get k", welcome(changed), 7, DOES_NOT_OPEN);
    }
    for len in [0, 31, 91] {
        let mut short = own.clone();
        short.blob.truncate(len);
        operator.attack(&device, "get k", welcome(short), 7, DOES_NOT_OPEN);
    }
}

/// A blob whose AEAD part opens under the right key, with a commitment to another: what a partitioning oracle needs.
#[test]
fn a_wrap_that_commits_to_another_key_is_refused() {
    let export_key = [3; 64];
    let keys = (Key::random(), shared::ids::AccountId::random());
    let context = WrapContext {
        account: &keys.1,
        slot: &Slot::Password,
        generation: 1,
        epoch: 1,
    };
    let right = context.wrap(&export_key, &keys.0).blob;
    let other = context.wrap(&[4; 64], &keys.0).blob;
    assert!(context.unwrap(&export_key, &right).is_ok());
    for (commitment, sealed) in [(&other, &right), (&right, &other)] {
        let mixed = [&commitment[..32], &sealed[32..]].concat();
        assert!(context.unwrap(&export_key, &mixed).is_err());
    }
}

#[test]
fn generation_epoch_and_account_of_the_wrap_are_bound_to_it() {
    let (operator, device) = account();
    let own = wrapped(&stored(&operator, &device), Slot::Password);
    let generation = WrappedKey {
        generation: own.generation + 1,
        ..own.clone()
    };
    operator.attack(&device, "get k", welcome(generation), 7, DOES_NOT_OPEN);
    let epoch = WrappedKey {
        epoch: own.epoch + 1,
        ..own
    };
    operator.attack(
        &device,
        "get k",
        welcome(epoch),
        7,
        "does not open with this login",
    );
    let other = Lie::Welcome(Box::new(|welcome| {
        welcome.account = shared::ids::AccountId::new([7; 16]);
    }));
    operator.attack(&device, "get k", other, 7, DOES_NOT_OPEN);
}

#[test]
fn a_credential_of_an_older_generation_is_refused() {
    let (_operator, device) = account();
    // As a device knows it that was there when the password was changed for the first time.
    let pins = device.pins();
    let text = std::fs::read_to_string(&pins).unwrap();
    let mut newer: serde_json::Value = serde_json::from_str(&text).unwrap();
    newer["credentials"]["password"]["generation"] = 2.into();
    std::fs::write(&pins, newer.to_string()).unwrap();
    caught(&device, &["get k"], 7, "rolled back from generation 2 to 1");
    std::fs::write(&pins, text).unwrap();
    device.run(&["get k"]).ok();
}

#[test]
fn records_of_others_let_nobody_in() {
    let (operator, device) = account();
    let bob = operator.registered("bob");
    let bobs = stored(&operator, &bob);
    let own = stored(&operator, &device);
    // Bob's registration record under Alice's name, and her recovery record in the place of her password's.
    for other in [&bobs.slots[0], &own.slots[1]] {
        let record = other.credential.record.clone();
        let lie = Lie::Account(Box::new(move |account| {
            if let Some(account) = account {
                account.slots[0].credential.record.clone_from(&record);
            }
        }));
        operator.attack(&device, "get k", lie, 4, "login refused");
    }
    let nobody = Lie::Account(Box::new(|account| *account = None));
    operator.attack(&device, "get k", nobody, 4, "login refused");
}

#[test]
fn no_byte_of_ke2_can_be_changed() {
    let (operator, _device) = account();
    let mut client = operator.client("alice");
    for place in (0..320).step_by(16) {
        client.close();
        operator.lie(Lie::Login(Box::new(move |answer| answer.ke2[place] ^= 1)));
        let error = client.sync().unwrap_err();
        assert_eq!(operator.told(), 1);
        let is_noticed = error == Error::LoginRefused || error.verification().is_some();
        assert!(is_noticed, "byte {place}: {error}");
    }
    operator.be_honest();
    client.sync().unwrap();
}

/// The operator makes a recovery slot with a code that they know: it lets them log in, and shows them nothing.
#[test]
fn an_injected_recovery_slot_opens_nothing() {
    let (operator, device) = account();
    let own = stored(&operator, &device);
    let keys = operator.keys();
    let name = AccountName::parse("alice").unwrap();
    let code = SecretBytes::from(&b"the operator's own recovery code"[..]);
    let injected = inject(&keys, &name, &own, &code);
    operator.lie(Lie::Account(Box::new(move |account| {
        if let Some(account) = account {
            account
                .slots
                .retain(|stored| stored.credential.slot != Slot::Recovery);
            account.slots.push(injected.clone());
        }
    })));
    let server = ServerPins {
        server: keys.server_id,
        opaque_key: keys.opaque_key(),
        checkpoint_key: keys.checkpoint_key(),
    };
    let trust = Trust::Pin(Pin::parse(&operator.pin).unwrap());
    let endpoint = Endpoint::parse(&operator.url).unwrap();
    let mut api = Api::new(endpoint, trust, tests::client::TIMEOUT).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let by = login::LoginCredential {
        slot: Slot::Recovery,
        secret: &code,
    };
    let opened = runtime
        .block_on(login::login(
            &mut api,
            &name,
            by,
            server,
            &DeviceIdentity::random(),
        ))
        .unwrap();
    // They are in, with keys of their own making: none that signed or sealed anything of Alice's.
    assert_eq!(opened.keys.account(), own.id);
    assert_ne!(opened.keys.log_key(), own.signer.log_key);
    operator.be_honest();
    assert_eq!(device.get("k"), b"value");
}

fn inject(
    keys: &keyserver::keyfile::KeyFile,
    name: &AccountName,
    victim: &Account,
    code: &SecretBytes,
) -> StoredSlot {
    let slot = Slot::Recovery;
    let started = ClientRegistration::<Suite>::start(&mut OsRng, code.expose()).unwrap();
    let credential = opaque::credential_identifier(name, &slot);
    let answered = ServerRegistration::<Suite>::start(&keys.opaque, started.message, &credential);
    let stretching = Stretching::of(&slot, name, &keys.server_id);
    let parameters = ClientRegistrationFinishParameters::new(
        opaque::identifiers(name, &keys.server_id),
        Some(&stretching),
    );
    let response: RegistrationResponse<Suite> = answered.unwrap().message;
    let finished = started
        .state
        .finish(&mut OsRng, code.expose(), response, parameters)
        .unwrap();
    let context = WrapContext {
        account: &victim.id,
        slot: &slot,
        generation: 1,
        epoch: 1,
    };
    let made_up = Key::random();
    let signing = SlotContext {
        account: victim.id,
        slot,
        generation: 1,
    }
    .keys_of(&finished.export_key, &made_up, &DeviceIdentity::random())
    .signing();
    let record = SlotRecord {
        slot,
        record: ByteBuf::from(finished.message.serialize().to_vec()),
        wrapped: context.wrap(&finished.export_key, &made_up),
        lease: None,
    };
    StoredSlot::new(record, PublicKey::new(signing.verifying_key().to_bytes()))
}

type Change = fn(&mut Vec<ByteBuf>);

#[test]
fn an_answer_to_a_registration_has_no_room_for_more() {
    let operator = Operator::start();
    let cases: [(Change, &str); 4] = [
        (|r| r.push(r[0].clone()), "lacks a slot"),
        (|r| r.truncate(1), "lacks a slot"),
        (
            |r| r[0] = ByteBuf::from(vec![0; 64]),
            "OPAQUE message is invalid",
        ),
        // The evaluated element twice: a public key that is not the server's.
        (|r| r[0].copy_within(0..32, 32), "another OPAQUE key"),
    ];
    for (number, (change, words)) in cases.into_iter().enumerate() {
        let device = operator.device(&format!("account-{number}"));
        let lie = Lie::Register(Box::new(move |answer| change(&mut answer.responses)));
        operator.deceive(&device, &["register"], lie, 7, words);
        operator.be_honest();
        device.run(&["register"]).ok();
    }
}

fn hello(change: impl Fn(&mut shared::wire::Hello) + Send + 'static) -> Lie {
    Lie::Hello(Box::new(change))
}

#[test]
fn the_servers_identity_is_pinned() {
    let (operator, device) = account();
    let other = PublicKey::new([7; 32]);
    let id = || hello(|hello| hello.server = ServerId::new([7; 16]));
    let opaque = move || hello(move |hello| hello.opaque_key = other);
    let checkpoint = move || hello(move |hello| hello.checkpoint_key = other);
    operator.attack(&device, "get k", id(), 7, "the server's id is not");
    operator.attack(&device, "get k", opaque(), 7, "OPAQUE key is not");
    operator.attack(&device, "get k", checkpoint(), 7, "checkpoint key is not");
    // A device that knows nothing yet learns it from OPAQUE and from the owner's genesis entry.
    let fresh = || operator.device("alice");
    operator.deceive(&fresh(), &["get k"], id(), 4, "login refused");
    let words = "not the one that the account was registered with";
    operator.deceive(&fresh(), &["get k"], opaque(), 7, words);
    operator.deceive(&fresh(), &["get k"], checkpoint(), 7, "VERIFICATION FAILED");
}

#[test]
fn protocol_versions_do_not_go_down() {
    let (operator, device) = account();
    let old = || hello(|hello| hello.protocol = 0);
    operator.attack(&device, "get k", old(), 7, "older protocol");
    operator.deceive(
        &operator.device("bob"),
        &["register"],
        old(),
        7,
        "older protocol",
    );
}

/// Suite and key stretching are the client's constants: there is no field in which a server could name weaker ones, and
/// a message with one field more is no message.
#[test]
fn key_stretching_cannot_be_negotiated() {
    let (operator, device) = account();
    let fields = |bytes: &mut Vec<u8>| {
        bytes[0] += 1;
        bytes.push(1);
    };
    let mut hello = shared::codec::encode(&shared::wire::Hello {
        protocol: 1,
        server: ServerId::new([0; 16]),
        opaque_key: PublicKey::new([0; 32]),
        checkpoint_key: PublicKey::new([0; 32]),
        registration: shared::wire::Registration::Open,
    })
    .unwrap();
    fields(&mut hello);
    let lie = || Lie::Http(shared::wire::path::HELLO, 200, hello.clone());
    operator.attack(&device, "get k", lie(), 7, "malformed");
    let stranger = operator.device("carol");
    operator.deceive(&stranger, &["register"], lie(), 7, "malformed");
    let mut register = shared::codec::encode(&shared::wire::register::RegisterResponse {
        pending: shared::ids::PendingId::random(),
        responses: vec![ByteBuf::from(vec![0; 64]); 2],
    })
    .unwrap();
    fields(&mut register);
    let lie = Lie::Http(shared::wire::path::REGISTER_START, 200, register);
    operator.deceive(&stranger, &["register"], lie, 7, "malformed");
    let mut login = shared::codec::encode(&shared::wire::login::LoginResponse {
        pending: shared::ids::PendingId::random(),
        ke2: ByteBuf::from(vec![0; 320]),
    })
    .unwrap();
    fields(&mut login);
    let lie = Lie::Http(shared::wire::path::LOGIN_START, 200, login);
    operator.attack(&device, "get k", lie, 7, "malformed");
}

#[test]
fn another_server_is_not_taken_for_this_one() {
    let (operator, mut device) = account();
    let other = Operator::start();
    other.registered("alice").put("k", b"another");
    device.set_server(&other.url);
    caught(&device, &["get k"], 5, "not the pinned");
    device.set_server(&operator.url);
    assert_eq!(device.get("k"), b"value");
}

/// Whatever a server says at the end of a registration, the account may exist: its recovery code stays.
#[test]
fn a_registration_that_is_refused_at_its_end_keeps_the_recovery_code() {
    let (operator, _) = account();
    let refused = shared::codec::encode(&shared::wire::error::Refusal::Exists).unwrap();
    let malformed = b"no".to_vec();
    for (number, status, body) in [(1, 6, refused), (2, 7, malformed)] {
        let device = operator.device(&format!("carol{number}"));
        let code = device.path("code");
        let http = if status == 6 { 409 } else { 200 };
        operator.lie(Lie::Http(shared::wire::path::REGISTER_FINISH, http, body));
        let line = format!("register --recovery-file {}", code.display());
        let run = device.run(&[&line]).expect(status);
        assert!(
            run.stderr
                .contains("it is unknown whether the account was created"),
            "{run:?}"
        );
        assert!(std::fs::read_to_string(&code).unwrap().len() > 40);
        operator.be_honest();
    }
}
