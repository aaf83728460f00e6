//! Sealing and opening of values: key derivation, padding and AES-256-GCM-SIV together.
#![allow(missing_docs, clippy::unwrap_used)]

use shared::vault_log::FIRST_EPOCH;
use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use keyshell_client::keys::account::AccountKeys;
use keyshell_client::keys::seal::SecretContext;
use shared::ids::{AccountId, SecretId, Version};
use shared::secret::{Key, SecretBytes};

fn values(c: &mut Criterion) {
    let account = AccountId::random();
    let keys = AccountKeys::new(account, FIRST_EPOCH, Key::random());
    let place = SecretContext {
        secret: SecretId::random(),
        version: Version(1),
    };
    let mut group = c.benchmark_group("value");
    for size in [32, 1024, 64 * 1024] {
        let value = SecretBytes::random(size);
        let sealed = place.seal_value(&keys, &value);
        group.throughput(Throughput::Bytes(u64::try_from(size).unwrap()));
        group.bench_with_input(BenchmarkId::new("seal", size), &value, |b, value| {
            b.iter(|| black_box(place.seal_value(&keys, value)));
        });
        group.bench_with_input(BenchmarkId::new("open", size), &sealed, |b, sealed| {
            b.iter(|| black_box(place.open_value(&keys, sealed).unwrap()));
        });
    }
    group.finish();
}

criterion_group!(benches, values);
criterion_main!(benches);
