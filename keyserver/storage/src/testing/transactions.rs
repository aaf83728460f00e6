//! The interface of engines: ordered ranges, isolation, rollback, retries.

use std::ops::{Bound, ControlFlow};
use std::sync::Arc;

use super::{Fresh, Place};
use crate::engine::{CommitOutcome, Engine, KeyRange, Prefix, Snapshot, Transaction};
use crate::error::StorageError;
use crate::tables::Table;

const TABLE: Table = Table::Values;
const ALL: KeyRange<'static> = (Bound::Unbounded, Bound::Unbounded);

fn commit(
    engine: &dyn Engine,
    mut work: impl FnMut(&mut dyn Transaction) -> Result<(), StorageError>,
) {
    let outcome = engine.write(&mut work);
    assert!(matches!(outcome, CommitOutcome::Committed), "{outcome:?}");
}

/// An engine with these keys in [`TABLE`], each its own value; and where it is.
fn with_keys(fresh: Fresh, keys: &[&[u8]]) -> (Box<dyn Place>, Arc<dyn Engine>) {
    let place = fresh();
    let engine = place.engine();
    commit(&*engine, |transaction| {
        keys.iter()
            .try_for_each(|key| transaction.put(TABLE, key, key))
    });
    (place, engine)
}

fn keys(snapshot: &dyn Snapshot, range: KeyRange<'_>) -> Vec<Vec<u8>> {
    let mut found = Vec::new();
    let visited = snapshot.range(TABLE, range, &mut |key, value| {
        assert_eq!(key, value);
        found.push(key.to_vec());
        Ok(ControlFlow::Continue(()))
    });
    visited.unwrap();
    found
}

fn committed(engine: &dyn Engine, range: KeyRange<'_>) -> Vec<Vec<u8>> {
    engine
        .snapshot(|snapshot| Ok(keys(snapshot, range)))
        .unwrap()
}

pub(super) fn rows_are_put_replaced_deleted_and_kept_apart_by_table(fresh: Fresh) {
    let place = fresh();
    let engine = place.engine();
    commit(&*engine, |transaction| {
        for table in Table::ALL {
            transaction.put(table, b"key", table.name().as_bytes())?;
        }
        transaction.put(TABLE, b"key", b"")?;
        transaction.put(TABLE, b"long", &vec![7; 1 << 20])?;
        transaction.put(TABLE, &[255; 511], b"longest key")?;
        assert!(!transaction.delete(TABLE, b"ke")?);
        assert!(transaction.delete(Table::Meta, b"key")?);
        // A transaction reads what it wrote.
        assert_eq!(transaction.get(TABLE, b"key")?.as_deref(), Some(&b""[..]));
        assert_eq!(transaction.get(Table::Meta, b"key")?, None);
        Ok(())
    });
    drop(engine);
    let engine = place.engine();
    let read = engine.snapshot(|snapshot| {
        for table in Table::ALL {
            let expected = match table {
                Table::Meta => None,
                TABLE => Some(&b""[..]),
                other => Some(other.name().as_bytes()),
            };
            assert_eq!(snapshot.get(table, b"key")?.as_deref(), expected);
        }
        let long = snapshot.get(TABLE, b"long")?;
        assert_eq!(long.as_deref(), Some(vec![7; 1 << 20].as_slice()));
        let longest = snapshot.get(TABLE, &[255; 511])?;
        assert_eq!(longest.as_deref(), Some(&b"longest key"[..]));
        Ok(())
    });
    read.unwrap();
}

pub(super) fn ranges_are_ordered_bytewise_and_keep_their_bounds(fresh: Fresh) {
    let ordered: [&[u8]; 8] = [
        &[0],
        &[0, 0],
        &[1],
        &[1, 0],
        &[1, 255],
        &[2],
        &[127],
        &[255, 255],
    ];
    let mut shuffled = ordered;
    shuffled.reverse();
    shuffled.swap(1, 4);
    let (_place, engine) = with_keys(fresh, &shuffled);
    let bounds = [0u8, 1, 2, 3, 255].map(|byte| vec![byte]);
    for start in &bounds {
        for end in &bounds {
            for range in [
                ALL,
                (Bound::Included(start.as_slice()), Bound::Unbounded),
                (Bound::Excluded(start.as_slice()), Bound::Unbounded),
                (Bound::Unbounded, Bound::Included(end.as_slice())),
                (Bound::Unbounded, Bound::Excluded(end.as_slice())),
                (
                    Bound::Included(start.as_slice()),
                    Bound::Included(end.as_slice()),
                ),
                (
                    Bound::Included(start.as_slice()),
                    Bound::Excluded(end.as_slice()),
                ),
                (
                    Bound::Excluded(start.as_slice()),
                    Bound::Included(end.as_slice()),
                ),
                (
                    Bound::Excluded(start.as_slice()),
                    Bound::Excluded(end.as_slice()),
                ),
            ] {
                let is_in = |key: &&[u8]| {
                    (match range.0 {
                        Bound::Included(start) => *key >= start,
                        Bound::Excluded(start) => *key > start,
                        Bound::Unbounded => true,
                    }) && (match range.1 {
                        Bound::Included(end) => *key <= end,
                        Bound::Excluded(end) => *key < end,
                        Bound::Unbounded => true,
                    })
                };
                let expected: Vec<_> = ordered.into_iter().filter(is_in).collect();
                assert_eq!(committed(&*engine, range), expected, "{range:?}");
            }
        }
    }
}

pub(super) fn visits_end_where_they_break_or_fail(fresh: Fresh) {
    let (_place, engine) = with_keys(fresh, &[b"a", b"b", b"c"]);
    let mut seen = 0;
    let read = engine.read(&mut |snapshot| {
        snapshot.range(TABLE, ALL, &mut |_, _| {
            seen += 1;
            Ok(if seen == 2 {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            })
        })
    });
    read.unwrap();
    assert_eq!(seen, 2);
    let read = engine.read(&mut |snapshot| {
        snapshot.range(TABLE, ALL, &mut |_, _| {
            seen += 1;
            Err(StorageError::failed("by the visitor"))
        })
    });
    assert!(read.unwrap_err().to_string().contains("by the visitor"));
    assert_eq!(seen, 3);
}

pub(super) fn prefixes_hold_exactly_the_keys_that_begin_with_them(fresh: Fresh) {
    let inside: [&[u8]; 4] = [&[7, 255], &[7, 255, 0], &[7, 255, 255], &[7, 255, 255, 1]];
    let outside: [&[u8]; 4] = [&[7], &[7, 254, 255], &[8], &[255, 255]];
    let (_place, engine) = with_keys(fresh, &[&inside[..], &outside].concat());
    let prefix = Prefix::new(&[7, 255]);
    assert_eq!(committed(&*engine, prefix.range()), inside);
    // The same range is deleted, and nothing else.
    commit(&*engine, |transaction| {
        transaction.delete_range(TABLE, prefix.range())?;
        assert_eq!(keys(transaction, prefix.range()).len(), 0);
        Ok(())
    });
    assert_eq!(committed(&*engine, ALL), outside);
    let last = Prefix::new(&[255]);
    assert_eq!(committed(&*engine, last.range()), [&[255, 255]]);
    commit(&*engine, |transaction| transaction.delete_range(TABLE, ALL));
    assert_eq!(committed(&*engine, ALL).len(), 0);
}

pub(super) fn thousands_of_rows_are_visited_and_deleted(fresh: Fresh) {
    let all: Vec<Vec<u8>> = (0..5000u32)
        .map(|number| number.to_be_bytes().to_vec())
        .collect();
    let borrowed: Vec<&[u8]> = all.iter().map(Vec::as_slice).collect();
    let (_place, engine) = with_keys(fresh, &borrowed);
    assert_eq!(committed(&*engine, ALL), all);
    let (start, end) = (1000u32.to_be_bytes(), 4000u32.to_be_bytes());
    let range = (Bound::Included(&start[..]), Bound::Excluded(&end[..]));
    assert_eq!(committed(&*engine, range), all[1000..4000]);
    commit(&*engine, |transaction| {
        transaction.delete_range(TABLE, range)
    });
    let left = [&all[..1000], &all[4000..]].concat();
    assert_eq!(committed(&*engine, ALL), left);
}

pub(super) fn a_snapshot_does_not_see_later_writes(fresh: Fresh) {
    let (_place, engine) = with_keys(fresh, &[b"a", b"b"]);
    let read = engine.snapshot(|snapshot| {
        commit(&*engine, |transaction| {
            transaction.put(TABLE, b"a", b"changed")?;
            transaction.put(TABLE, b"c", b"c")?;
            transaction.delete(TABLE, b"b").map(drop)
        });
        assert_eq!(snapshot.get(TABLE, b"a")?.as_deref(), Some(&b"a"[..]));
        assert_eq!(keys(snapshot, ALL), [b"a", b"b"]);
        Ok(())
    });
    read.unwrap();
    let changed = engine.snapshot(|snapshot| {
        let value = snapshot.get(TABLE, b"a")?;
        Ok((
            value.map(|value| value.to_vec()),
            snapshot.get(TABLE, b"b")?.is_none(),
        ))
    });
    assert_eq!(changed.unwrap(), (Some(b"changed".to_vec()), true));
}

pub(super) fn work_that_fails_leaves_nothing_behind(fresh: Fresh) {
    let (place, engine) = with_keys(fresh, &[b"a", b"b"]);
    let outcome = engine.write(&mut |transaction| {
        transaction.put(TABLE, b"c", b"c")?;
        transaction.delete(TABLE, b"a")?;
        transaction.delete_range(TABLE, ALL)?;
        Err(StorageError::failed("on purpose"))
    });
    let CommitOutcome::NotCommitted(error) = outcome else {
        panic!("{outcome:?}");
    };
    assert!(error.to_string().contains("on purpose"));
    assert_eq!(committed(&*engine, ALL), [b"a", b"b"]);
    // The engine goes on.
    commit(&*engine, |transaction| transaction.put(TABLE, b"c", b"c"));
    drop(engine);
    assert_eq!(committed(&*place.engine(), ALL), [b"a", b"b", b"c"]);
}

/// Each run of the work begins with what is committed, and the last run is what is written.
pub(super) fn retried_work_is_carried_out_once(fresh: Fresh) {
    let (_place, engine) = with_keys(fresh, &[]);
    let (mut runs, mut seen) = (0u32, None);
    let mut work = |transaction: &mut dyn Transaction| {
        runs += 1;
        let count = transaction.get(TABLE, b"count")?;
        let count = count.map_or(0, |count| count[0]) + 1;
        transaction.put(TABLE, b"count", &[count])?;
        transaction.put(TABLE, &[b"run", &runs.to_be_bytes()[..]].concat(), b"")?;
        seen = Some(count);
        Ok(())
    };
    for expected in 1..=3 {
        assert!(matches!(engine.write(&mut work), CommitOutcome::Committed));
        let count = engine.snapshot(|snapshot| {
            let count = snapshot.get(TABLE, b"count")?;
            Ok(count.map(|count| count[0]))
        });
        assert_eq!(count.unwrap(), Some(expected));
    }
    assert_eq!(seen, Some(3));
    // One row per write, whatever the number of runs.
    let rows = engine.snapshot(|snapshot| {
        let mut rows = 0;
        snapshot.range(TABLE, Prefix::new(b"run").range(), &mut |_, _| {
            rows += 1;
            Ok(ControlFlow::Continue(()))
        })?;
        Ok(rows)
    });
    assert_eq!(rows.unwrap(), 3);
}

/// Writers that read, then write, lose no update.
pub(super) fn writers_at_once_are_serialized(fresh: Fresh) {
    let (_place, engine) = with_keys(fresh, &[]);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..25 {
                    commit(&*engine, |transaction| {
                        let count = transaction.get(TABLE, b"count")?;
                        let count = count.map_or(0, |count| count[0]) + 1;
                        transaction.put(TABLE, b"count", &[count])
                    });
                }
            });
        }
    });
    let count = engine.snapshot(|snapshot| Ok(snapshot.get(TABLE, b"count")?.map(|row| row[0])));
    assert_eq!(count.unwrap(), Some(100));
}
