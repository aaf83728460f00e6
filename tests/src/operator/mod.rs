//! A malicious operator: the real server's actors behind a front of its own, which owns database and keys and lies at a
//! chosen moment, before an answer is sealed or after.
//!
//! Nothing of this is in the product. A lie counts only when it changed what the client was sent.

pub mod front;
pub mod ledger;
pub mod lie;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;

use actix::System;
use keyserver::config::Config;
use keyserver::keyfile::{KeyFile, KeyFilePath};
use shared::ids::AccountId;
use shared::wire::Registration;
use shared::wire::call::{Call, NewEntry};
use storage::throttle::Policies;
use tempfile::TempDir;
use tokio::sync::oneshot;

use crate::client::Client;
use crate::device::{Device, Run};
use crate::server::{Host, copy_folder};
use front::Front;
use lie::Lie;

/// The password of every account here.
pub const PASSWORD: &str = "correct horse battery staple";

/// An operator with a database of their own.
pub struct Operator {
    /// What clients connect to.
    pub url: String,
    /// What clients pin.
    pub pin: String,
    folder: TempDir,
    front: Arc<Front>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Host for Operator {
    fn url(&self) -> &str {
        &self.url
    }

    fn pin(&self) -> &str {
        &self.pin
    }
}

impl Operator {
    /// An honest one, so far.
    pub fn start() -> Self {
        Self::on(tempfile::tempdir().unwrap(), "127.0.0.1:0")
    }

    fn on(folder: TempDir, listen: &str) -> Self {
        let config = Config {
            data_dir: folder.path().join("data"),
            listen: vec![listen.parse().unwrap()],
            registration: Some(Registration::Open),
            throttle: patient(),
            // Who shows two audit logs takes the word of devices for either.
            check_seen: false,
            ..Config::default()
        };
        let front = Arc::new(Front::default());
        let (ready, is_ready) = mpsc::channel();
        let (stop, stopped) = oneshot::channel();
        let shared = Arc::clone(&front);
        let thread = std::thread::spawn(move || {
            System::new().block_on(front::serve(&config, shared, &ready, stopped));
        });
        let (address, pin): (SocketAddr, String) = is_ready.recv().unwrap();
        Self {
            url: format!("https://{address}"),
            pin,
            folder,
            front,
            stop: Some(stop),
            thread: Some(thread),
        }
    }

    /// Stops; the database is at rest then.
    pub fn stop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            thread.join().unwrap();
        }
    }

    /// A second operator with a copy of database and keys as they are now, on an address of its own.
    pub fn fork(&mut self) -> Self {
        let folder = self.copy();
        Self::on(folder, "127.0.0.1:0")
    }

    /// A copy of database and keys as they are now.
    pub fn copy(&mut self) -> TempDir {
        self.stop();
        let folder = tempfile::tempdir().unwrap();
        copy_folder(self.folder.path(), folder.path());
        self.start_again();
        folder
    }

    /// Puts an older copy of database and keys back.
    pub fn roll_back(&mut self, copy: TempDir) {
        self.stop();
        self.folder = copy;
        self.start_again();
    }

    fn start_again(&mut self) {
        let address = self.url.strip_prefix("https://").unwrap().to_owned();
        let folder = std::mem::replace(&mut self.folder, tempfile::tempdir().unwrap());
        *self = Self::on(folder, &address);
    }

    /// The keys, as an operator has them.
    pub fn keys(&self) -> KeyFile {
        KeyFile::open(&KeyFilePath::find(None, None, &self.data()), &self.data()).unwrap()
    }

    /// The data folder.
    pub fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// A device that registers an account here.
    pub fn registered(&self, account: &str) -> Device {
        let device = self.device(account);
        device.run(&["register"]).ok();
        device
    }

    /// A device that knows nothing yet.
    pub fn device(&self, account: &str) -> Device {
        Device::at(&self.url, &self.pin, account, PASSWORD)
    }

    /// The shell's vault in this process, for an account that exists.
    pub fn client(&self, account: &str) -> Client {
        Client::new(&self.url, &self.pin, account, PASSWORD)
    }

    /// Everything that devices appended here, in order, with the account that did.
    pub fn appended(&self) -> Vec<(AccountId, NewEntry)> {
        self.front.appended()
    }

    /// Everything that devices asked for here, in order: the operator keeps it all.
    pub fn calls(&self) -> Vec<Call> {
        self.front.calls()
    }

    /// The id of a device's account, as the device has pinned it.
    pub fn account(&self, device: &Device) -> AccountId {
        let pins = std::fs::read_to_string(device.pins()).unwrap();
        let pins: serde_json::Value = serde_json::from_str(&pins).unwrap();
        AccountId::from_hex(pins["account"].as_str().unwrap()).unwrap()
    }

    /// The sealed values among them, in order.
    pub fn values(&self) -> Vec<Vec<u8>> {
        let entries = self.appended().into_iter();
        entries
            .filter_map(|(_, new)| Some(new.value?.into_vec()))
            .collect()
    }

    /// Lies from now on.
    pub fn lie(&self, told: Lie) {
        self.front.lie(Some(told));
    }

    /// Tells the truth again.
    pub fn be_honest(&self) {
        self.front.lie(None);
    }

    /// How many answers were changed by the lie.
    pub fn told(&self) -> usize {
        self.front.told()
    }

    /// How often a device tried to write after it was lied to.
    pub fn writes_after(&self) -> usize {
        self.front.writes_after()
    }

    /// One attack: the same line without the lie succeeds; with it the lie reaches the client, which ends with
    /// `status`, says `words`, shows nothing and writes nothing.
    #[track_caller]
    pub fn attack(&self, device: &Device, line: &str, told: Lie, status: i32, words: &str) {
        self.be_honest();
        device.run(&[line]).ok();
        self.deceive(device, &[line], told, status, words);
    }

    /// The part of [`Self::attack`] with the lie.
    #[track_caller]
    pub fn deceive(&self, device: &Device, lines: &[&str], told: Lie, status: i32, words: &str) {
        self.lie(told);
        let run = device.run(lines);
        device.forgive();
        let (told, written) = (self.told(), self.writes_after());
        self.be_honest();
        assert!(told > 0, "the lie did not reach the client: {run:#?}");
        assert_caught(&run, status, words);
        assert_eq!(written, 0, "the client wrote after it was lied to");
    }
}

/// Lets wrong logins through as fast as the tests make them.
fn patient() -> Policies {
    let mut policies = Policies::default();
    policies.pair.free = u32::MAX;
    policies.account.free = u32::MAX;
    policies.address.free = u32::MAX;
    policies
}

/// Runs lines that end as [`assert_caught`] says, after which the owner decides to go on.
#[track_caller]
pub fn caught(device: &Device, lines: &[&str], status: i32, words: &str) {
    let run = device.run(lines);
    device.forgive();
    assert_caught(&run, status, words);
}

/// The client's answer to a lie: this status, these words in one line, and no output.
#[track_caller]
pub fn assert_caught(run: &Run, status: i32, words: &str) {
    assert_eq!(run.status, status, "{run:#?}");
    let last = run.stderr.lines().last().unwrap_or_default();
    assert!(last.contains(words), "`{words}` is not in {run:#?}");
    assert_eq!(
        last.contains("VERIFICATION FAILED"),
        status == 7,
        "{run:#?}"
    );
    assert_eq!(run.stdout, b"", "{run:#?}");
}

impl Drop for Operator {
    fn drop(&mut self) {
        self.stop();
    }
}
