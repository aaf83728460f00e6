//! Sealing and opening of values: key derivation, padding and AES-256-GCM-SIV together; account keys in slot keys.
#![allow(missing_docs, clippy::unwrap_used)]

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use keyshell_client::device::identity::DeviceIdentity;
use keyshell_client::keys::account::AccountKeys;
use keyshell_client::keys::seal::SecretContext;
use keyshell_client::keys::slot::SlotContext;
use shared::ids::{AccountId, SecretId, Version};
use shared::opaque::Slot;
use shared::secret::{Key, SecretBytes};
use shared::vault_log::FIRST_EPOCH;

fn values(c: &mut Criterion) {
    let account = AccountId::random();
    let keys = AccountKeys::first(account, Key::random());
    let place = SecretContext {
        secret: SecretId::random(),
        version: Version(1),
    };
    let mut group = c.benchmark_group("value");
    for size in [32, 1024, 64 * 1024] {
        let value = SecretBytes::random(size);
        let sealed = place.seal_value(&keys, &value).unwrap();
        group.throughput(Throughput::Bytes(u64::try_from(size).unwrap()));
        group.bench_with_input(BenchmarkId::new("seal", size), &value, |b, value| {
            b.iter(|| black_box(place.seal_value(&keys, value).unwrap()));
        });
        group.bench_with_input(BenchmarkId::new("open", size), &sealed, |b, sealed| {
            b.iter(|| black_box(place.open_value(&keys, FIRST_EPOCH, sealed).unwrap()));
        });
    }
    group.finish();
}

/// An account key on its way to the other credentials of a new key epoch.
fn slot_keys(c: &mut Criterion) {
    let context = SlotContext {
        account: AccountId::random(),
        slot: Slot::Recovery,
        generation: 1,
    };
    let (key, device) = (Key::random(), DeviceIdentity::random());
    let keys = || context.keys_of(&[7; 64], &key, &device);
    let kem = keys().public(&[]).kem;
    let sealed = context.encapsulate(&kem, 2, &key).unwrap();
    let mut group = c.benchmark_group("slot key (X-Wing)");
    group.bench_function("derive", |b| b.iter(|| black_box(keys())));
    group.bench_function("encapsulate", |b| {
        b.iter(|| black_box(context.encapsulate(&kem, 2, &key).unwrap()));
    });
    let own = keys();
    group.bench_function("open", |b| b.iter(|| black_box(own.open(&sealed).unwrap())));
    group.finish();
}

criterion_group!(benches, values, slot_keys);
criterion_main!(benches);
