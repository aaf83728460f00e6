//! The OPAQUE handshake, client and server apart, each beside the bare opaque-ke calls as its floor.
//!
//! The key stretching (Argon2id) is a row of its own, and the client's rows use a slot without it: else it would hide
//! everything else.
#![allow(missing_docs, clippy::unwrap_used)]

use std::hint::black_box;

use benches::{World, is_proven, registration, server_registration};
use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use opaque_ke::generic_array::GenericArray;
use opaque_ke::ksf::Ksf as _;
use opaque_ke::{
    ClientLogin, ClientLoginFinishParameters, ClientRegistration,
    ClientRegistrationFinishParameters, CredentialFinalization, CredentialRequest,
    CredentialResponse, RegistrationRequest, RegistrationResponse, ServerLogin,
    ServerLoginParameters, ServerRegistration,
};
use rand::rngs::OsRng;
use shared::opaque::{self, Slot, Stretching, Suite};
use shared::wire::login::LoginStart;

fn stretching(c: &mut Criterion) {
    c.bench_function("opaque/key stretching (Argon2id, 64 MiB)", |b| {
        let input: GenericArray<u8, _> = GenericArray::from([7u8; 64]);
        b.iter(|| Stretching::default().hash(black_box(input)).unwrap());
    });
}

fn server_login(c: &mut Criterion) {
    let world = World::new();
    let mut group = c.benchmark_group("opaque/server login");
    group.bench_function("keyserver", |b| {
        b.iter_batched(
            || {
                // KE3 is of another run, as the right one needs the KE2 that is made while the clock runs; the server
                // does all its work before it finds out.
                let (_, message) = world.attempt(world.device);
                let (_, ke3) = world.proven(world.device);
                (message, ke3)
            },
            |(message, ke3)| {
                let (pending, response) = world.answer(message);
                black_box(response);
                black_box(is_proven(&pending.finish(&ke3)))
            },
            BatchSize::SmallInput,
        );
    });
    group.bench_function("bare opaque-ke", |b| {
        let slot = world.device;
        let (context, credential) = (
            opaque::context(&slot),
            opaque::credential_identifier(&world.name, &slot),
        );
        let stored = &world.account.slots.last().unwrap().credential;
        b.iter_batched(
            || {
                let (_, message) = world.attempt(slot);
                let (_, ke3) = world.proven(slot);
                (message, ke3)
            },
            |(message, ke3)| {
                let parameters = || ServerLoginParameters {
                    context: Some(&context),
                    identifiers: opaque::identifiers(&world.name, &world.identity.server),
                };
                let request = CredentialRequest::<Suite>::deserialize(&message.ke1).unwrap();
                let record = ServerRegistration::deserialize(&stored.record).unwrap();
                let started = ServerLogin::start(
                    &mut OsRng,
                    &world.setup,
                    Some(record),
                    request,
                    &credential,
                    parameters(),
                )
                .unwrap();
                black_box(started.message.serialize());
                let ke3 = CredentialFinalization::deserialize(&ke3).unwrap();
                black_box(started.state.finish(ke3, parameters()).is_ok())
            },
            BatchSize::SmallInput,
        );
    });
    group.finish();
}

fn client_login(c: &mut Criterion) {
    let world = World::new();
    let mut group = c.benchmark_group("opaque/client login without stretching");
    group.bench_function("keyshell", |b| {
        b.iter(|| {
            let (attempt, message) = world.attempt(world.device);
            let (_, response) = world.answer(message);
            black_box(attempt.finish(world.pins(), &response.ke2).unwrap().ke3)
        });
    });
    group.bench_function("bare opaque-ke", |b| {
        let slot = world.device;
        let context = opaque::context(&slot);
        let stretching = Stretching::of(&slot, &world.name, &world.identity.server);
        b.iter(|| {
            let started =
                ClientLogin::<Suite>::start(&mut OsRng, world.credential.expose()).unwrap();
            let message = LoginStart {
                suite: opaque::SUITE,
                account: world.name.clone(),
                slot,
                ke1: serde_bytes::ByteBuf::from(started.message.serialize().to_vec()),
            };
            let (_, response) = world.answer(message);
            let ke2 = CredentialResponse::deserialize(&response.ke2).unwrap();
            let parameters = ClientLoginFinishParameters::new(
                Some(&context),
                opaque::identifiers(&world.name, &world.identity.server),
                Some(&stretching),
            );
            let finished = started
                .state
                .finish(&mut OsRng, world.credential.expose(), ke2, parameters)
                .unwrap();
            black_box(finished.message.serialize())
        });
    });
    group.finish();
}

fn server_registrations(c: &mut Criterion) {
    let world = World::new();
    let slots = [
        (Slot::Password, &world.credential),
        (Slot::Recovery, &world.credential),
    ];
    let client = registration(&world.identity, &world.owner, &world.name, &slots);
    let (_, start) = client.start().unwrap();
    let mut group = c.benchmark_group("opaque/server registration, first half, two slots");
    group.bench_function("keyserver", |b| {
        b.iter(|| black_box(server_registration(&world.setup, start.clone()).1));
    });
    group.bench_function("bare opaque-ke", |b| {
        b.iter(|| {
            for request in &start.slots {
                let message = RegistrationRequest::<Suite>::deserialize(&request.request).unwrap();
                let credential = opaque::credential_identifier(&world.name, &request.slot);
                let started =
                    ServerRegistration::start(&world.setup, message, &credential).unwrap();
                black_box(started.message.serialize());
            }
        });
    });
    group.finish();
}

fn client_registrations(c: &mut Criterion) {
    let world = World::new();
    let slots = [
        (world.device, &world.credential),
        (world.device, &world.credential),
    ];
    let client = registration(&world.identity, &world.owner, &world.name, &slots);
    let answer = |requests: Vec<Vec<u8>>| {
        let responses = requests.into_iter().map(|request| {
            let message = RegistrationRequest::<Suite>::deserialize(&request).unwrap();
            let credential = opaque::credential_identifier(&world.name, &world.device);
            let started = ServerRegistration::start(&world.setup, message, &credential).unwrap();
            serde_bytes::ByteBuf::from(started.message.serialize().to_vec())
        });
        shared::wire::register::RegisterResponse {
            pending: shared::ids::PendingId::new([0; 16]),
            responses: responses.collect(),
        }
    };
    let mut group = c.benchmark_group("opaque/client registration without stretching, two slots");
    group.bench_function("keyshell (with keys, wrapping and first entries)", |b| {
        b.iter(|| {
            let (states, start) = client.start().unwrap();
            let requests = start.slots.into_iter().map(|slot| slot.request.into_vec());
            black_box(
                client
                    .finish(states, &answer(requests.collect()))
                    .unwrap()
                    .1,
            )
        });
    });
    group.bench_function("bare opaque-ke", |b| {
        let stretching = Stretching::of(&world.device, &world.name, &world.identity.server);
        b.iter(|| {
            for _ in 0..2 {
                let password = world.credential.expose();
                let started = ClientRegistration::<Suite>::start(&mut OsRng, password).unwrap();
                let response = answer(vec![started.message.serialize().to_vec()]);
                let response =
                    RegistrationResponse::deserialize(response.responses.first().unwrap()).unwrap();
                let parameters = ClientRegistrationFinishParameters::new(
                    opaque::identifiers(&world.name, &world.identity.server),
                    Some(&stretching),
                );
                let finished = started
                    .state
                    .finish(&mut OsRng, password, response, parameters)
                    .unwrap();
                black_box(finished.message.serialize());
            }
        });
    });
    group.finish();
}

criterion_group!(
    benches,
    stretching,
    server_login,
    client_login,
    server_registrations,
    client_registrations
);
criterion_main!(benches);
