//! A data folder that is damaged while the server is stopped: an honest error at the start, or everything as it was;
//! never a crash, never something else than what was stored, and never a silent repair. (Two servers on one folder:
//! `faults.rs`.)
#![allow(missing_docs, clippy::unwrap_used, clippy::indexing_slicing)]

use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};

use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use shared::audit_record::Record;
use shared::ids::SecretId;
use shared::merkle::Frontier;
use shared::wire::call::{Answer, AuditRange, Call, LoggedEntry};
use tests::owner::{Owner, Session};
use tests::server::{Server, copy_folder};

const PASSWORD: &str = "damage of copper wire";
const DATABASE: &str = "db/data.mdb";

/// A stopped server's data, and what its owner must find in them.
struct World {
    server: Server,
    owner: Owner,
    values: Vec<(SecretId, Vec<u8>)>,
    entries: Vec<LoggedEntry>,
    records: Vec<Vec<u8>>,
    database: Vec<u8>,
}

impl World {
    /// Small values, values on pages of their own, and pages that were freed.
    fn new() -> Self {
        let mut server = Server::start();
        let owner = Owner::register(&server, "alice", PASSWORD);
        let mut session = owner.log_in(&server);
        let lens = (0..40).map(|number| [40, 700, 3000, 9000, 70_000][number % 5] + number);
        let values = lens
            .map(|len| {
                let value: Vec<u8> = (0..=u8::MAX).cycle().take(len).collect();
                (session.put(&value), value)
            })
            .collect();
        let entries = entries(&mut session);
        let records = records(&mut session);
        server.stop();
        let database = std::fs::read(server.data().join(DATABASE)).unwrap();
        Self {
            server,
            owner,
            values,
            entries,
            records,
            database,
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.server.data().join(name)
    }

    fn run(&self, arguments: &[&str]) -> Output {
        self.server.command(arguments).output().unwrap()
    }

    /// `check` with the database in this state: whether it is whole. The file stays as it is.
    fn is_whole(&self, database: &[u8]) -> bool {
        std::fs::write(self.path(DATABASE), database).unwrap();
        let output = self.run(&["check"]);
        let left = std::fs::read(self.path(DATABASE)).unwrap();
        assert!(left == database, "the file was changed: {output:?}");
        if output.status.success() {
            let text = String::from_utf8(output.stdout).unwrap();
            assert!(text.ends_with("\nwhole\n"), "{text}");
            return true;
        }
        is_one_line(&output);
        false
    }

    /// The same for a start, which must be refused; returns what it says.
    #[track_caller]
    fn start_is_refused(&self) -> String {
        let before = contents(&self.server.data());
        let mut command = self.server.command(&["run", "--listen", "127.0.0.1:0"]);
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        let mut said = String::new();
        // Nothing but the end, else it would serve for ever.
        if stdout.read_line(&mut said).unwrap() > 0 {
            child.kill().unwrap();
        }
        let text = is_one_line(&child.wait_with_output().unwrap());
        let after = contents(&self.server.data());
        assert!(before == after, "files were changed: {text}");
        text
    }

    /// A server on these data serves, and its owner finds everything.
    fn serves_everything(&self) {
        let server = Server::under(&[], &self.server.data(), &[]);
        let mut session = self.owner.log_in(&server);
        assert_eq!(entries(&mut session), self.entries);
        for (secret, value) in &self.values {
            let Answer::Fetch(found) = session.fetch(*secret).unwrap() else {
                panic!("no value");
            };
            assert!(found[0].as_ref().unwrap() == value);
        }
        let records = records(&mut session);
        assert_eq!(records[..self.records.len()], self.records);
    }
}

/// Refused by one clear line and status 1, not ended by a signal.
#[track_caller]
fn is_one_line(output: &Output) -> String {
    assert_eq!(output.status.signal(), None, "{output:?}");
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let text = String::from_utf8(output.stderr.clone()).unwrap();
    assert!(text.starts_with("keyserver: "), "{text}");
    assert_eq!(text.lines().count(), 1, "{text}");
    text
}

/// Names and contents of all files, without what the lock of LMDB holds of readers.
fn contents(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(contents(&path));
        } else if path.file_name().unwrap() != "lock.mdb" {
            let bytes = std::fs::read(&path).unwrap();
            files.push((path, bytes));
        }
    }
    files.sort();
    files
}

fn entries(session: &mut Session) -> Vec<LoggedEntry> {
    match session.sync(0).unwrap() {
        Answer::Sync(sync) => sync.entries,
        other => panic!("{other:?}"),
    }
}

/// The audit log, proven by its head.
fn records(session: &mut Session) -> Vec<Vec<u8>> {
    let range = AuditRange {
        from: 0,
        limit: 1000,
        size: None,
        verified_size: 0,
        proofs: false,
    };
    let Answer::Audit(audit) = session.call(Call::Audit(range)).unwrap() else {
        panic!("no audit log");
    };
    let mut tree = Frontier::new();
    for record in &audit.records {
        tree.push(Record::leaf_hash(record));
    }
    let head = session.checkpoint(&audit.checkpoint);
    assert_eq!((tree.size(), tree.root()), (head.size, head.root));
    let records = audit.records.into_iter();
    records.map(serde_bytes::ByteBuf::into_vec).collect()
}

/// Flips in every page, at its head, among its nodes and at its end, and at random places all over the file.
fn flips(database: &[u8]) -> Vec<(usize, u8)> {
    let mut random = StdRng::seed_from_u64(20_261_124);
    let page = 4096;
    let mut flips = Vec::new();
    for start in (0..database.len()).step_by(page) {
        let places = [
            random.gen_range(0..16),
            random.gen_range(16..64),
            random.gen_range(64..page),
            page - 1 - random.gen_range(0..64),
        ];
        flips.extend(places.map(|place| (start + place, 1 << random.gen_range(0..8))));
    }
    flips.extend((0..200).map(|_| {
        let place = random.gen_range(0..database.len());
        (place, random.gen_range(1..=255))
    }));
    flips
}

#[test]
fn a_damaged_page_is_refused_or_does_not_matter() {
    let world = World::new();
    assert!(world.is_whole(&world.database));
    let (mut refused, mut harmless) = (Vec::new(), Vec::new());
    for (place, bits) in flips(&world.database) {
        let mut damaged = world.database.clone();
        damaged[place] ^= bits;
        if world.is_whole(&damaged) {
            harmless.push((place, bits));
        } else {
            refused.push((place, bits));
        }
    }
    let counts = (refused.len(), harmless.len());
    assert!(counts.0 >= 100 && counts.1 >= 20, "{counts:?}");
    // Starts are slower than checks: every so many of both.
    for (place, bits) in refused.iter().step_by(refused.len() / 10) {
        let mut damaged = world.database.clone();
        damaged[*place] ^= bits;
        std::fs::write(world.path(DATABASE), &damaged).unwrap();
        let text = world.start_is_refused();
        assert!(text.contains("database"), "{text}");
    }
    for (place, bits) in harmless.iter().step_by(harmless.len().div_ceil(40)) {
        let mut damaged = world.database.clone();
        damaged[*place] ^= bits;
        std::fs::write(world.path(DATABASE), &damaged).unwrap();
        world.serves_everything();
    }
}

/// A flag of a node that no table has: LMDB itself does not survive it.
#[test]
fn a_node_with_duplicates_is_refused() {
    const LEAF: u16 = 0x02;
    const DUPLICATES: u8 = 0x04;
    let world = World::new();
    let number = |at: usize| {
        let bytes = &world.database[at..at + 2];
        u16::from_le_bytes(bytes.try_into().unwrap())
    };
    let pages = (0..world.database.len()).step_by(4096);
    let leaves = pages.filter(|start| number(start + 10) == LEAF && number(start + 12) > 16);
    let mut refused = 0;
    for start in leaves {
        let mut damaged = world.database.clone();
        damaged[start + usize::from(number(start + 16)) + 4] ^= DUPLICATES;
        // Pages that are free do not matter.
        refused += usize::from(!world.is_whole(&damaged));
    }
    assert!(refused > 5, "{refused}");
}

#[test]
fn a_truncated_database_is_refused() {
    let world = World::new();
    let len = world.database.len();
    // What is missing at the end may have been free.
    for (left, may_be_whole) in [
        (0, false),
        (100, false),
        (4096, false),
        (8192, false),
        (len / 2, false),
        (len - 4096, true),
        (len - 1, true),
    ] {
        let is_whole = world.is_whole(&world.database[..left]);
        assert!(may_be_whole || !is_whole, "{left}");
        if is_whole {
            world.serves_everything();
        } else {
            let text = world.start_is_refused();
            assert!(text.contains("nothing was changed"), "{left}: {text}");
        }
    }
    std::fs::write(world.path(DATABASE), &world.database).unwrap();
    world.serves_everything();
}

#[test]
fn a_missing_database_is_not_made_anew() {
    let world = World::new();
    std::fs::remove_file(world.path(DATABASE)).unwrap();
    let text = world.start_is_refused();
    assert!(text.contains("is gone"), "{text}");
    is_one_line(&world.run(&["check"]));
    std::fs::remove_dir_all(world.path("db")).unwrap();
    assert!(world.start_is_refused().contains("is gone"));
}

#[test]
fn a_key_file_that_is_missing_damaged_or_of_another_server_is_refused() {
    let world = World::new();
    let whole = std::fs::read(world.server.key_file()).unwrap();
    let set = |bytes: &[u8]| std::fs::write(world.server.key_file(), bytes).unwrap();
    std::fs::remove_file(world.server.key_file()).unwrap();
    let text = world.start_is_refused();
    assert!(text.contains("no key file"), "{text}");
    is_one_line(&world.run(&["check"]));

    let other = Server::start();
    std::fs::copy(other.key_file(), world.server.key_file()).unwrap();
    let text = world.start_is_refused();
    assert!(text.contains("key file"), "{text}");
    assert!(!world.is_whole(&world.database));

    for place in (0..whole.len() - 1).step_by(7) {
        let mut damaged = whole.clone();
        damaged[place] ^= 1;
        set(&damaged);
        is_one_line(&world.run(&["check"]));
    }
    for len in [0, 10, whole.len() / 2] {
        set(&whole[..len]);
        let text = world.start_is_refused();
        assert!(text.contains("damaged"), "{text}");
    }
    set(&whole);
    std::fs::set_permissions(
        world.server.key_file(),
        std::fs::Permissions::from_mode(0o600),
    )
    .unwrap();
    world.serves_everything();
}

#[test]
fn another_servers_database_is_refused() {
    let world = World::new();
    let mut other = Server::start();
    Owner::register(&other, "alice", PASSWORD);
    other.stop();
    std::fs::remove_dir_all(world.path("db")).unwrap();
    copy_folder(&other.data().join("db"), &world.path("db"));
    let text = world.start_is_refused();
    assert!(text.contains("key file"), "{text}");
}

#[test]
fn a_newer_schema_is_refused() {
    let world = World::new();
    // The row as it stands in its page: the key, then the number.
    let row = b"schema\0\0\0\x03";
    let mut newer = world.database.clone();
    let places: Vec<usize> = (0..newer.len() - row.len())
        .filter(|place| newer[*place..].starts_with(row))
        .collect();
    for place in places {
        newer[place + row.len() - 1] = 4;
    }
    std::fs::write(world.path(DATABASE), &newer).unwrap();
    let text = world.start_is_refused();
    assert!(text.contains("schema 4"), "{text}");
    assert!(!world.is_whole(&newer));
}
