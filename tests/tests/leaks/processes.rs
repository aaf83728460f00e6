//! What other processes, and core files, see of the ones that handle secrets.

use std::collections::BTreeSet;
use std::net::TcpListener;
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::process::{Pid, Signal, kill_process};
use tests::binary;
use tests::device::{Device, run};
use tests::foreign::{has, is_root};
use tests::server::Server;

use crate::{ACCOUNT, NAME, PASSWORD, contains, value};

/// Arguments and environment of everything that runs now.
fn running() -> Vec<(u32, Vec<u8>, Vec<u8>)> {
    let processes = std::fs::read_dir("/proc").unwrap();
    let ids = processes.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    let read = |id: u32, what: &str| std::fs::read(format!("/proc/{id}/{what}"));
    let open = ids.filter_map(|id: u32| {
        // One that has just ended has none any more.
        let arguments = read(id, "cmdline").ok()?;
        Some((id, arguments, read(id, "environ").unwrap_or_default()))
    });
    open.collect()
}

/// The process that has this path among its arguments.
pub fn process_with(path: &Path) -> u32 {
    let needle = path.to_str().unwrap().as_bytes();
    let running = running().into_iter();
    let mut ids = running.filter(|(_, arguments, _)| contains(arguments, needle));
    ids.next().unwrap().0
}

/// What was seen while something ran.
#[derive(Default)]
struct Seen {
    arguments: BTreeSet<Vec<u8>>,
    environments: BTreeSet<Vec<u8>>,
}

impl Seen {
    fn while_running<T>(work: impl FnOnce() -> T + Send) -> (Self, T)
    where
        T: Send,
    {
        let done = AtomicBool::new(false);
        std::thread::scope(|scope| {
            let worker = scope.spawn(|| {
                let result = work();
                done.store(true, Ordering::SeqCst);
                result
            });
            let mut seen = Self::default();
            while !done.load(Ordering::SeqCst) && !worker.is_finished() {
                for (_, arguments, environment) in running() {
                    seen.arguments.insert(arguments);
                    seen.environments.insert(environment);
                }
            }
            (seen, worker.join().unwrap())
        })
    }

    fn holds(&self, needle: &[u8]) -> bool {
        let all = self.arguments.iter().chain(&self.environments);
        all.into_iter().any(|bytes| contains(bytes, needle))
    }
}

#[test]
fn no_process_shows_a_secret() {
    let server = Server::start();
    let device = Device::registered(&server, ACCOUNT, PASSWORD);
    // A display that takes connections and never answers: the clipboard's holder waits for it, with the value.
    let display = std::iter::repeat_with(|| TcpListener::bind("127.0.0.1:0").unwrap())
        .find(|listener| listener.local_addr().unwrap().port() > 6000)
        .unwrap();
    let number = display.local_addr().unwrap().port() - 6000;
    let password = format!("cat {}", device.path("password").display());
    let mut command = device.command_without_password();
    command.args(["--password-command", &password, "--keep-going"]);
    command
        .env("DISPLAY", format!("127.0.0.1:{number}"))
        .env_remove("WAYLAND_DISPLAY");
    let lines = [
        format!("put {NAME}"),
        format!("get {NAME}"),
        format!("get {NAME} --save"),
        format!("get {NAME} --clip"),
    ];
    for line in &lines {
        command.args(["-c", line]);
    }
    let (seen, run) = Seen::while_running(|| run(command, value().as_bytes()));
    let run = run.expect(1);
    assert_eq!(run.stdout, value().as_bytes());
    for part in [
        "keyshell\0",
        "__hold-clipboard",
        NAME,
        &password,
        "DISPLAY=",
    ] {
        assert!(seen.holds(part.as_bytes()), "{part} was not seen");
    }
    for secret in [PASSWORD, "planted-value"] {
        assert!(!seen.holds(secret.as_bytes()), "{secret}");
    }
}

/// Ends a process with a signal that makes core files, and says how it ended.
fn abort(child: &mut Child, signal: Signal) -> ExitStatus {
    let id = Pid::from_raw(i32::try_from(child.id()).unwrap()).unwrap();
    kill_process(id, signal).unwrap();
    child.wait().unwrap()
}

/// A program in a folder of its own, which may make core files of any size.
fn start(folder: &Path, program: &Path, arguments: &[&str]) -> Child {
    Command::new("sh")
        .args(["-c", "ulimit -c unlimited && exec \"$0\" \"$@\""])
        .arg(program)
        .args(arguments)
        .current_dir(folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

fn limit(child: &Child) -> String {
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", child.id())).unwrap();
    let line = limits
        .lines()
        .find(|line| line.starts_with("Max core file size"));
    let words: Vec<&str> = line.unwrap().split_whitespace().collect();
    words[4..6].join(" ")
}

/// Waits until a program has called `main`'s first lines: it reads, or says that it listens.
fn wait_until_hardened(child: &Child) {
    while limit(child) != "0 0" {
        std::thread::yield_now();
    }
}

#[test]
fn no_core_file_is_ever_made() {
    if !is_root("raising the limit on core files") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let home = folder.path().join("home");
    let home = home.to_str().unwrap();
    let shell = [
        "--home",
        home,
        "--embedded",
        "--password-file",
        "/dev/stdin",
        "-c",
        "register",
    ];
    let data = folder.path().join("data");
    let server = [
        "run",
        "--listen",
        "127.0.0.1:0",
        "--data-dir",
        data.to_str().unwrap(),
    ];
    let cores = tempfile::tempdir().unwrap();
    // QUIT may be ignored where the tests themselves run in the background.
    for signal in [Signal::ABORT, Signal::TRAP] {
        for (name, arguments) in [("keyshell", &shell[..]), ("keyserver", &server)] {
            let mut child = start(cores.path(), &binary(name), arguments);
            wait_until_hardened(&child);
            let status = abort(&mut child, signal);
            assert_eq!(status.signal(), Some(signal.as_raw()), "{name}");
            assert!(!status.core_dumped(), "{name}");
        }
        assert_eq!(std::fs::read_dir(cores.path()).unwrap().count(), 0);
    }
    // Without that, this machine does make them.
    let mut control = start(cores.path(), Path::new("sleep"), &["1000"]);
    while limit(&control) != "unlimited unlimited" {
        std::thread::yield_now();
    }
    assert!(abort(&mut control, Signal::ABORT).core_dumped());
}

#[test]
fn other_programs_of_the_same_user_cannot_look_in() {
    use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
    const NOBODY: u32 = 65_534;
    if !is_root("becoming another user") || !has(&["setpriv"]) {
        return;
    }
    // A copy, because the user may not go where the program is.
    let folder = tempfile::tempdir().unwrap();
    let everybody = std::fs::Permissions::from_mode(0o777);
    std::fs::set_permissions(folder.path(), everybody).unwrap();
    let program = folder.path().join("keyshell");
    std::fs::copy(binary("keyshell"), &program).unwrap();
    let home = folder.path().join("home");
    let home = home.to_str().unwrap();
    let wrapped = |program: &str, arguments: &[&str]| {
        let user = NOBODY.to_string();
        let mut all = vec!["--reuid", &user, "--clear-groups", program];
        all.extend(arguments);
        start(folder.path(), Path::new("setpriv"), &all)
    };
    let owner = |child: &Child| {
        let path = format!("/proc/{}/mem", child.id());
        std::fs::metadata(path).unwrap().uid()
    };
    let arguments = [
        "--home",
        home,
        "--embedded",
        "--password-file",
        "/dev/stdin",
        "-c",
        "register",
    ];
    let mut shell = wrapped(program.to_str().unwrap(), &arguments);
    wait_until_hardened(&shell);
    let mut control = wrapped("sleep", &["1000"]);
    while owner(&control) != NOBODY {
        std::thread::yield_now();
    }
    // The memory of what must not be looked into belongs to root.
    while owner(&shell) != 0 {
        assert!(shell.try_wait().unwrap().is_none());
        std::thread::yield_now();
    }
    for child in [&mut shell, &mut control] {
        child.kill().unwrap();
        child.wait().unwrap();
    }
}
