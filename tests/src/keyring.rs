//! A desktop's keyring, each test its own: a session bus that starts nothing by itself, and GNOME's keyring on it.

use std::fs::{self, Permissions};
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::foreign::has;

/// How long a program may take to start on a busy machine.
const PATIENCE: Duration = Duration::from_mins(1);
/// What unlocks the keyring.
const PASSWORD: &[u8] = b"keyring of copper wire";
const COLLECTION: &str = "/org/freedesktop/secrets/collection/login";

/// Names the session bus to programs.
pub const BUS: &str = "DBUS_SESSION_BUS_ADDRESS";

/// A desktop with a keyring that is unlocked, and ends with the test.
#[derive(Debug)]
pub struct Desktop {
    folder: TempDir,
    bus: Child,
    keyring: Child,
}

impl Desktop {
    /// `None` where the programs are not installed.
    pub fn start() -> Option<Self> {
        let programs = [
            "dbus-daemon",
            "dbus-send",
            "gnome-keyring-daemon",
            "secret-tool",
        ];
        if !has(&programs) {
            return None;
        }
        let folder = tempfile::tempdir().unwrap();
        fs::set_permissions(folder.path(), Permissions::from_mode(0o700)).unwrap();
        let config = folder.path().join("bus.conf");
        fs::write(
            &config,
            format!(
                "<busconfig><type>session</type><listen>unix:path={}</listen><auth>EXTERNAL</auth>\
                 <policy context='default'><allow send_destination='*'/><allow receive_sender='*'/><allow own='*'/>\
                 </policy></busconfig>",
                folder.path().join("bus").display()
            ),
        )
        .unwrap();
        let bus = Command::new("dbus-daemon")
            .arg("--config-file")
            .arg(&config)
            .arg("--nofork")
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let started = Instant::now();
        while !folder.path().join("bus").exists() {
            assert!(started.elapsed() < PATIENCE, "the bus does not start");
            std::thread::yield_now();
        }
        let keyring = start_keyring(&folder);
        let mut desktop = Self {
            folder,
            bus,
            keyring,
        };
        desktop.wait_until_unlocked();
        Some(desktop)
    }

    /// Where its session bus is.
    pub fn address(&self) -> String {
        let path = self.folder.path().join("bus");
        format!("unix:path={}", path.display())
    }

    /// What a foreign program finds in the keyring: of each item label, secret and attributes, one a line.
    pub fn items(&self) -> String {
        let found = self.tool(&["search", "--all", "application", "keyshell"]);
        let text = [found.stdout, found.stderr].concat();
        String::from_utf8_lossy(&text).into_owned()
    }

    /// How many items there are of this kind.
    pub fn count(&self, kind: &str) -> usize {
        let line = format!("attribute.kind = {kind}");
        self.items().lines().filter(|item| **item == line).count()
    }

    /// A foreign program removes all items.
    pub fn clear(&self) {
        let cleared = self.tool(&["clear", "application", "keyshell"]);
        assert!(cleared.status.success(), "{cleared:?}");
    }

    /// A foreign program puts another secret in the place of the only item of this kind.
    pub fn replace(&self, kind: &str) {
        let items = self.items();
        let mut ids = items
            .lines()
            .filter_map(|line| line.strip_prefix("attribute.item = "));
        let id = ids.next().unwrap();
        self.clear();
        let attributes = ["application", "keyshell", "kind", kind, "item", id];
        let mut child = Command::new("secret-tool")
            .args(["store", "--label=other"])
            .args(attributes)
            .env(BUS, self.address())
            .stdin(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stdin = child.stdin.take().unwrap();
        stdin
            .write_all(b"another secret of 32 bytes or so")
            .unwrap();
        drop(stdin);
        assert!(child.wait().unwrap().success());
    }

    /// Locks the keyring; nobody is there to unlock it.
    pub fn lock(&self) {
        let locked = self.send(&[
            "/org/freedesktop/secrets",
            "org.freedesktop.Secret.Service.Lock",
            &format!("array:objpath:{COLLECTION}"),
        ]);
        assert!(locked.contains(COLLECTION), "{locked}");
    }

    /// Starts the keyring again: it is unlocked, and holds what it held.
    pub fn unlock(&mut self) {
        self.stop_keyring();
        self.keyring = start_keyring(&self.folder);
        self.wait_until_unlocked();
    }

    /// The bus goes on without a keyring.
    pub fn stop_keyring(&mut self) {
        self.keyring.kill().unwrap();
        self.keyring.wait().unwrap();
    }

    fn wait_until_unlocked(&mut self) {
        let started = Instant::now();
        let property = [
            COLLECTION,
            "org.freedesktop.DBus.Properties.Get",
            "string:org.freedesktop.Secret.Collection",
            "string:Locked",
        ];
        while !self.send(&property).contains("boolean false") {
            assert!(
                self.keyring.try_wait().unwrap().is_none(),
                "the keyring ended"
            );
            assert!(started.elapsed() < PATIENCE, "the keyring does not start");
            std::thread::yield_now();
        }
    }

    /// What the keyring answers; nothing where it does not.
    fn send(&self, call: &[&str]) -> String {
        let answer = Command::new("dbus-send")
            .args(["--session", "--print-reply", "--reply-timeout=10000"])
            .arg("--dest=org.freedesktop.secrets")
            .args(call)
            .env(BUS, self.address())
            .output()
            .unwrap();
        String::from_utf8(answer.stdout).unwrap()
    }

    fn tool(&self, arguments: &[&str]) -> Output {
        Command::new("secret-tool")
            .args(arguments)
            .env(BUS, self.address())
            .output()
            .unwrap()
    }
}

fn start_keyring(folder: &TempDir) -> Child {
    let password: PathBuf = folder.path().join("password");
    fs::write(&password, PASSWORD).unwrap();
    let data = folder.path().join("data");
    fs::create_dir_all(&data).unwrap();
    Command::new("gnome-keyring-daemon")
        .args(["--foreground", "--unlock", "--components=secrets"])
        .env(
            BUS,
            format!("unix:path={}", folder.path().join("bus").display()),
        )
        .env("HOME", folder.path())
        .env("XDG_DATA_HOME", &data)
        .env("XDG_RUNTIME_DIR", folder.path())
        .env_remove("DISPLAY")
        .env_remove("WAYLAND_DISPLAY")
        .stdin(fs::File::open(&password).unwrap())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

impl Drop for Desktop {
    fn drop(&mut self) {
        for child in [&mut self.keyring, &mut self.bus] {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}
