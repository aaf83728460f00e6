//! What is LMDB's own: map growth, the lock.
#![allow(clippy::unwrap_used)]

use std::path::Path;

use storage::StorageError;
use storage::engine::{CommitOutcome, Engine};
use storage::tables::Table;
use storage_lmdb::{Lmdb, Options};

const MIB: usize = 1 << 20;

fn open(folder: &Path) -> Result<Lmdb, StorageError> {
    Lmdb::open(Options {
        data_dir: folder.to_owned(),
        map_size_initial: MIB,
        map_size_max: 16 * MIB,
    })
}

#[test]
fn the_map_grows_and_stops_at_its_bound() {
    let folder = tempfile::tempdir().unwrap();
    let engine = open(folder.path()).unwrap();
    let mut stored = 0u64;
    let refused = loop {
        let outcome = engine.write(&mut |transaction| {
            transaction.put(Table::Heads, b"newest", &stored.to_be_bytes())?;
            transaction.put(Table::Values, &stored.to_be_bytes(), &vec![5; MIB])
        });
        match outcome {
            CommitOutcome::Committed => stored += 1,
            CommitOutcome::NotCommitted(error) => break error,
            CommitOutcome::Unknown(reason) => panic!("{reason}"),
        }
    };
    let full = storage::DISK_FULL.refusal();
    assert_eq!(refused.refusal(), full);
    assert!(stored >= 10, "only {stored} MiB fit");
    let engine: &dyn Engine = &engine;
    let newest = engine.snapshot(|snapshot| {
        let newest = snapshot.get(Table::Heads, b"newest")?.unwrap().to_vec();
        let value = snapshot.get(Table::Values, &newest)?;
        assert_eq!(value.map(|value| value.len()), Some(MIB));
        Ok(newest)
    });
    assert_eq!(newest.unwrap(), (stored - 1).to_be_bytes());
}

#[test]
fn a_second_server_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let first = open(folder.path()).unwrap();
    let error = open(folder.path()).unwrap_err();
    assert!(error.to_string().contains("another keyserver"), "{error}");
    drop(first);
    open(folder.path()).unwrap();
}

#[test]
fn a_database_that_is_gone_is_not_made_anew() {
    let folder = tempfile::tempdir().unwrap();
    drop(open(folder.path()).unwrap());
    std::fs::remove_file(folder.path().join("db").join("data.mdb")).unwrap();
    let error = open(folder.path()).unwrap_err();
    assert!(error.to_string().contains("is gone"), "{error}");
}
