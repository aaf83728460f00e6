//! The client's own files, while the real program is killed at every step of writing them: each is what it was or
//! what it was to become, the next run works, and what was acknowledged is there.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::print_stdout
)]

use std::cell::Cell;
use std::path::{Path, PathBuf};
use std::process::Command;

use data_encoding::HEXLOWER;
use keyshell_client::device::home::Home;
use keyshell_client::device::identity::DeviceIdentity;
use keyshell_client::device::local::{LocalStore, Owner};
use keyshell_client::device::pins::{Pins, PinsFile};
use keyshell_client::index::Index;
use rexpect::process::{Signal, WaitStatus};
use rexpect::session::{PtySession, spawn_command};
use rustix::fs::inotify::ReadFlags;
use shared::aead;
use shared::ids::DeviceId;
use shared::kdf::length_prefixed;
use shared::names::AccountName;
use shared::opaque::SUITE;
use shared::secret::Key;
use tests::client::Client;
use tests::device::{Device, bare_command};
use tests::killer::{End, Watch, kill_at, unfinished};
use tests::server::Server;

const KILLS: usize = 50;
/// Of what is written by the same code as the rest, and takes longer.
const FEWER_KILLS: usize = 15;
const PASSWORD: &str = "client files of copper wire";
/// So often in a row a run may end before it is killed.
const IN_VAIN: usize = 20;
/// For one step at the terminal, on a busy machine.
const PATIENCE_MS: u64 = 60_000;

/// An account with one acknowledged value, and what the test needs to look into its files.
struct Subject {
    /// Lets the logins through that are cut off.
    server: Server,
    device: Device,
    home: Home,
    account: AccountName,
    /// Holds the account's keys.
    client: Client,
}

impl Subject {
    fn new() -> Self {
        let server = Server::patient();
        let device = Device::registered(&server, "alice", PASSWORD);
        device.put("acked", b"acknowledged");
        let mut client = Client::new(&server.url, &server.pin, "alice", PASSWORD);
        client.sync().unwrap();
        Self {
            home: Home::new("default", Some(&device.home())).unwrap(),
            account: AccountName::parse("alice").unwrap(),
            server,
            device,
            client,
        }
    }

    fn command(&self, line: &str) -> Command {
        let mut command = self.device.command();
        command.args(["-c", line]);
        command
    }

    fn id(&self) -> DeviceId {
        self.home.device().unwrap().id()
    }

    fn pins(&self) -> Pins {
        let file = PinsFile::new(&self.home.pins(&self.account));
        file.load().unwrap().unwrap()
    }

    fn index(&self) -> Option<Index> {
        let vault = self.client.vault();
        let account = vault.session().keys().account();
        let key = vault
            .session()
            .keys()
            .device_caches(&self.id())
            .next()
            .unwrap();
        let aad = length_prefixed(&[
            b"keyshell/2 device cache",
            &[SUITE],
            account.as_bytes(),
            self.id().as_bytes(),
        ]);
        let sealed = std::fs::read(self.home.index(&self.account)).unwrap();
        let content = aead::open_random(&key, &aad, &sealed).ok()?;
        Index::decode(content.expose())
    }

    fn local_names(&self) -> Vec<String> {
        let keys = self.client.vault().session().keys();
        let owner = Owner {
            account: keys.account(),
            device: self.id(),
        };
        let path = self.home.local_store(&self.account);
        let store = LocalStore::open_with_key(&path, owner, &keys.local_store()).unwrap();
        let names = store.secrets().iter().map(|secret| secret.name.clone());
        names.collect()
    }

    fn still_works(&self) {
        assert_eq!(self.device.get("acked"), b"acknowledged");
    }
}

/// What the kills of one file came upon.
#[derive(Debug, Default)]
struct Tally {
    kills: usize,
    at_creation: usize,
    at_writing: usize,
    at_renaming: usize,
    /// Kills that left an unfinished file: between its creation and its renaming.
    unfinished: usize,
}

/// Kills `run` at its steps 0, 1, 2... and from 0 again when it got to its end, and checks after every kill.
fn torment(
    folder: &Path,
    kills: usize,
    mut run: impl FnMut(usize) -> End,
    mut check: impl FnMut(),
) {
    let mut tally = Tally::default();
    let (mut step, mut in_vain) = (0, 0);
    while tally.kills < kills {
        let End::Killed(event) = run(step) else {
            // On a busy machine the signal may come when all is done, even for the first step.
            in_vain = if step == 0 { in_vain + 1 } else { 0 };
            assert!(in_vain < IN_VAIN, "it writes nothing");
            step = 0;
            continue;
        };
        in_vain = 0;
        step += 1;
        tally.kills += 1;
        tally.at_creation += usize::from(event.contains(ReadFlags::CREATE));
        tally.at_writing += usize::from(event.contains(ReadFlags::MODIFY));
        tally.at_renaming +=
            usize::from(event.intersects(ReadFlags::MOVED_FROM | ReadFlags::MOVED_TO));
        let left = unfinished(folder);
        tally.unfinished += left;
        assert!(left <= 1, "unfinished files pile up");
        check();
    }
    println!("{}: {tally:?}", folder.display());
    let kinds = [tally.at_creation, tally.at_writing, tally.at_renaming];
    assert!(kinds.iter().all(|kills| *kills > 0), "{tally:?}");
}

/// Size of the audit log that is pinned.
fn seen(pins: &Pins) -> u64 {
    pins.audit.map_or(0, |head| head.size)
}

fn parts(path: &Path) -> (PathBuf, String) {
    let name = path.file_name().unwrap().to_str().unwrap().to_owned();
    (path.parent().unwrap().to_owned(), name)
}

#[test]
fn pins_are_old_or_new() {
    let subject = Subject::new();
    let (folder, name) = parts(&subject.home.pins(&subject.account));
    let mut before = subject.pins();
    let mut number = 0;
    let run = |step| {
        number += 1;
        kill_at(
            subject.command(&format!("gen k{number}")),
            &folder,
            &name,
            step,
        )
    };
    torment(&folder, KILLS, run, || {
        let after = subject.pins();
        assert!(after.head.seq >= before.head.seq);
        assert!(seen(&after) >= seen(&before));
        subject.still_works();
        assert_eq!(unfinished(&folder), 0);
        before = subject.pins();
    });
}

#[test]
fn the_index_cache_is_old_or_new() {
    let subject = Subject::new();
    let (folder, name) = parts(&subject.home.index(&subject.account));
    let mut before = subject.index().unwrap().head();
    let mut number = 0;
    let run = |step| {
        number += 1;
        kill_at(
            subject.command(&format!("gen k{number}")),
            &folder,
            &name,
            step,
        )
    };
    torment(&folder, KILLS, run, || {
        let after = subject.index().expect("the cache does not open").head();
        assert!(after.seq >= before.seq);
        subject.still_works();
        before = subject.index().unwrap().head();
    });
    subject.device.run(&["gen last"]).ok();
    assert_eq!(unfinished(&folder), 0);
}

#[test]
fn the_local_store_is_old_or_new() {
    let subject = Subject::new();
    subject
        .device
        .run_with(&[], &["put acked --local"], b"acknowledged")
        .ok();
    let (folder, name) = parts(&subject.home.local_store(&subject.account));
    let mut before = subject.local_names();
    let mut number = 0;
    let run = |step| {
        number += 1;
        let command = subject.command(&format!("gen k{number:03} --local"));
        kill_at(command, &folder, &name, step)
    };
    torment(&folder, KILLS, run, || {
        let after = subject.local_names();
        assert!(after.starts_with(&before), "lost: {before:?} {after:?}");
        let run = subject.device.run(&["get acked --local"]).ok();
        assert_eq!(run.stdout, b"acknowledged");
        before = after;
    });
    subject.device.run(&["gen last --local"]).ok();
    assert_eq!(unfinished(&folder), 0);
}

#[test]
fn what_is_written_out_is_whole_or_not_there() {
    let subject = Subject::new();
    let value = vec![7; 1024 * 1024];
    subject.device.put("large", &value);
    let out = tempfile::tempdir().unwrap();
    let (file, other) = (out.path().join("file"), out.path().join("other"));
    let write_to = |path: &Path| format!("get large --out {}", path.display());
    let run = |step| kill_at(subject.command(&write_to(&file)), out.path(), "file", step);
    let remove = |path: &Path| match std::fs::read(path) {
        Ok(content) => {
            assert!(content == value, "{} is not whole", path.display());
            std::fs::remove_file(path).unwrap();
        }
        Err(error) => assert_eq!(error.kind(), std::io::ErrorKind::NotFound),
    };
    let run = |step| {
        let end = run(step);
        if end == End::Finished {
            remove(&file);
        }
        end
    };
    torment(out.path(), FEWER_KILLS, run, || {
        remove(&file);
        // Half a secret under another name does not stay either.
        subject.device.run(&[&write_to(&other)]).ok();
        remove(&other);
        assert_eq!(unfinished(out.path()), 0);
    });
}

#[test]
fn two_sessions_keep_each_others_local_secrets() {
    let subject = Subject::new();
    let mut session = repl(&subject);
    let mut step = |line: &str, answer: &str| {
        session.send_line(line).unwrap();
        session.exp_string(answer).unwrap();
        session.exp_string("(local only)>").unwrap();
    };
    step("gen one --local", "version 1");
    subject.device.run(&["gen two --local"]).ok();
    step("gen three --local", "version 1");
    step("gen two --local", "exists already");
    subject.device.run(&["rm one --local --yes"]).ok();
    step("get one --local", "no secret");
    assert_eq!(subject.local_names(), ["three", "two"]);
}

#[test]
fn the_profile_is_old_or_new() {
    let subject = Subject::new();
    let (_, port) = subject.server.address().rsplit_once(':').unwrap();
    let urls = ["localhost", "127.0.0.1"].map(|host| format!("https://{host}:{port}"));
    let folder = subject.device.home().join("config/profiles");
    let run = |step| {
        let now = subject.home.load_profile().unwrap().server;
        let other = urls.iter().find(|url| now.as_ref() != Some(url)).unwrap();
        let mut command = bare_command(&subject.device.home());
        command.args(["--server", other, "--pin", &subject.server.pin]);
        command
            .arg("--password-file")
            .arg(subject.device.path("password"));
        command.args(["-c", "login"]);
        kill_at(command, &folder, "default.toml", step)
    };
    torment(&folder, KILLS, run, || {
        let profile = subject.home.load_profile().unwrap();
        assert!(urls.contains(&profile.server.unwrap()));
        assert_eq!(profile.account.as_deref(), Some("alice"));
        assert_eq!(profile.pin.as_ref(), Some(&subject.server.pin));
        // Nothing runs without reading it.
        subject.device.run(&["help"]).ok();
    });
    subject.still_works();
}

#[test]
fn a_device_has_no_id_or_one_for_good() {
    let subject = Subject::new();
    let folder = subject.device.home().join("state/default");
    let file = folder.join("device");
    let mut checks = 0;
    let run = |step| {
        std::fs::remove_file(&file).unwrap();
        kill_at(subject.command("ls"), &folder, "device", step)
    };
    torment(&folder, KILLS, run, || {
        let known = std::fs::read_to_string(&file).ok();
        let known = known.map(|text| {
            let seed = HEXLOWER.decode(text.trim().as_bytes()).unwrap();
            DeviceIdentity::new(Key::new(seed.try_into().unwrap())).id()
        });
        let now = subject.id();
        assert!(known.is_none_or(|known| known == now));
        checks += 1;
        if checks % 5 == 0 {
            subject.still_works();
            assert_eq!(unfinished(&folder), 0);
        }
        assert_eq!(subject.id(), now);
    });
}

#[test]
fn the_history_is_old_or_new() {
    let subject = Subject::new();
    let (folder, name) = parts(&subject.home.history());
    let file = subject.home.history();
    let typed = Cell::new(0);
    let run = |step| {
        // One is made, written, renamed from and to, and closed.
        if step == 5 {
            return End::Finished;
        }
        let mut session = repl(&subject);
        typed.set(typed.get() + 1);
        let (acked, killed) = lines(typed.get());
        session.send_line(&acked).unwrap();
        session.exp_string("audit log").unwrap();
        // What is typed before the prompt is thrown away.
        session.exp_string("(locked)>").unwrap();
        let watch = Watch::new(&folder, &name);
        session.send_line(&killed).unwrap();
        let event = watch.wait_for(step).unwrap();
        session.process_mut().kill(Signal::SIGKILL).unwrap();
        End::Killed(event)
    };
    let mut expected = String::from("#V2\n");
    torment(&folder, KILLS, run, || {
        let (acked, killed) = lines(typed.get());
        let old = format!("{expected}{acked}\n");
        let new = format!("{old}{killed}\n");
        let found = std::fs::read_to_string(&file).unwrap();
        assert!(found == old || found == new, "{found}");
        let mut session = repl(&subject);
        session.send_line("exit").unwrap();
        session.exp_eof().unwrap();
        let status = session.process().wait().unwrap();
        assert!(matches!(status, WaitStatus::Exited(_, 0)), "{status:?}");
        assert_eq!(unfinished(&folder), 0);
        expected = std::fs::read_to_string(&file).unwrap();
        assert_eq!(expected, format!("{found}exit\n"));
    });
}

fn lines(number: usize) -> (String, String) {
    (
        format!("status # acked{number}"),
        format!("status # killed{number}"),
    )
}

fn repl(subject: &Subject) -> PtySession {
    let mut session = spawn_command(subject.device.command(), Some(PATIENCE_MS)).unwrap();
    session.exp_string("(locked)>").unwrap();
    session
}
