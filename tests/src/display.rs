//! Display servers without a screen, each test its own: X11 (Xvfb) and Wayland (sway).

use std::io::Read as _;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::os::unix::net::UnixStream;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// How long a server may take to start on a busy machine.
const PATIENCE: Duration = Duration::from_mins(1);
/// Sway does not run as root.
const NOBODY: u32 = 65_534;

/// A display server that ends with the test.
#[derive(Debug)]
pub struct Display {
    server: Child,
    folder: TempDir,
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    X11(String),
    Wayland(String),
}

impl Display {
    /// An X server.
    pub fn x11() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut server = Command::new("Xvfb")
            .args(["-displayfd", "1", "-screen", "0", "640x480x8"])
            .args(["-nolisten", "tcp"])
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut stdout = server.stdout.take().unwrap();
        let mut number = String::new();
        let mut byte = [0];
        while stdout.read(&mut byte).unwrap() > 0 && byte != *b"\n" {
            number.push(byte[0].into());
        }
        assert!(!number.is_empty(), "Xvfb did not start");
        Self {
            server,
            folder,
            kind: Kind::X11(format!(":{number}")),
        }
    }

    /// A Wayland compositor.
    pub fn wayland() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let config = folder.path().join("config");
        std::fs::write(&config, "xwayland disable\n").unwrap();
        std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o700)).unwrap();
        let mut command = if rustix::process::geteuid().is_root() {
            chown(folder.path(), Some(NOBODY), Some(NOBODY)).unwrap();
            let mut command = Command::new("setpriv");
            let user = NOBODY.to_string();
            command.args(["--reuid", &user, "--regid", &user, "--clear-groups", "sway"]);
            command
        } else {
            Command::new("sway")
        };
        let server = command
            .arg("-c")
            .arg(&config)
            .env_remove("DISPLAY")
            .env_remove("WAYLAND_DISPLAY")
            .env("XDG_RUNTIME_DIR", folder.path())
            .env("XDG_CACHE_HOME", folder.path())
            .env("WLR_BACKENDS", "headless")
            .env("WLR_LIBINPUT_NO_DEVICES", "1")
            .env("WLR_RENDERER", "pixman")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut display = Self {
            server,
            folder,
            kind: Kind::Wayland(String::new()),
        };
        display.kind = Kind::Wayland(display.socket());
        display
    }

    fn socket(&mut self) -> String {
        let started = Instant::now();
        loop {
            for entry in std::fs::read_dir(self.folder.path()).unwrap() {
                let path = entry.unwrap().path();
                let name = path.file_name().unwrap().to_str().unwrap().to_owned();
                if name.starts_with("wayland-")
                    && !name.contains('.')
                    && UnixStream::connect(&path).is_ok()
                {
                    return name;
                }
            }
            assert!(self.server.try_wait().unwrap().is_none(), "sway ended");
            assert!(started.elapsed() < PATIENCE, "sway does not start");
            std::thread::yield_now();
        }
    }

    /// Has a command use this display and no other.
    pub fn give(&self, command: &mut Command) {
        command.env("XDG_RUNTIME_DIR", self.folder.path());
        match &self.kind {
            Kind::X11(name) => command.env("DISPLAY", name).env_remove("WAYLAND_DISPLAY"),
            Kind::Wayland(name) => command.env("WAYLAND_DISPLAY", name).env_remove("DISPLAY"),
        };
    }

    /// What a foreign program pastes; nothing where the clipboard is empty.
    pub fn pasted(&self) -> String {
        self.pasted_as(None)
    }

    /// What a foreign program pastes of another type than text.
    pub fn pasted_as(&self, kind: Option<&str>) -> String {
        let mut command = match &self.kind {
            Kind::X11(_) => {
                let mut command = Command::new("xclip");
                command.args(["-selection", "clipboard", "-out"]);
                command.args(kind.into_iter().flat_map(|kind| ["-target", kind]));
                command
            }
            Kind::Wayland(_) => {
                let mut command = Command::new("wl-paste");
                command.arg("--no-newline");
                command.args(kind.into_iter().flat_map(|kind| ["--type", kind]));
                command
            }
        };
        self.give(&mut command);
        String::from_utf8(command.output().unwrap().stdout).unwrap()
    }

    /// A foreign program copies a text. It stays in the background until another takes its place.
    pub fn copy(&self, text: &str) {
        let mut command = match &self.kind {
            Kind::X11(_) => {
                let mut command = Command::new("xclip");
                command.args(["-selection", "clipboard", "-in", "-loops", "0"]);
                command
            }
            Kind::Wayland(_) => Command::new("wl-copy"),
        };
        self.give(&mut command);
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut stdin = child.stdin.take().unwrap();
        std::io::Write::write_all(&mut stdin, text.as_bytes()).unwrap();
        drop(stdin);
        assert!(child.wait().unwrap().success());
    }
}

impl Drop for Display {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}
