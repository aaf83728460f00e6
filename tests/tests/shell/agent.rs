//! The agent: one-shots without a password, for as long as it is unlocked.
#![allow(missing_docs, clippy::unwrap_used, clippy::indexing_slicing)]

use std::io::{Read as _, Write as _};
use std::net::Shutdown;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use keyshell_client::account::Renewal;
use keyshell_client::agent::Agent;
use keyshell_client::device::home::Home;
use keyshell_client::device::pins::ServerPins;
use keyshell_client::error::Error;
use keyshell_client::opaque::login::{LoginCredential, login};
use keyshell_client::transport::api::Api;
use keyshell_client::transport::http::Endpoint;
use keyshell_client::transport::tls::{Pin, Trust};
use rustix::process::Uid;
use rustix::thread::{set_thread_groups, set_thread_res_uid};
use shared::names::AccountName;
use shared::opaque::Slot;
use shared::secret::SecretBytes;
use tests::client::Client;
use tests::device::{Device, Run, run};
use tests::foreign::is_root;
use tests::server::Server;

const PASSWORD: &str = "agents of copper wire";
/// Nothing takes longer than this.
const PATIENCE: Duration = Duration::from_mins(1);

fn account() -> (Server, Device) {
    let server = Server::start();
    let device = Device::registered(&server, "alice", PASSWORD);
    device.put("k", b"value");
    (server, device)
}

/// Runs a command without any way to get the password.
fn without(device: &Device, words: &[&str]) -> Run {
    let mut command = device.command_without_password();
    command.args(words);
    run(command, b"")
}

struct Unlocked<'a> {
    device: &'a Device,
    pid: u32,
}

impl<'a> Unlocked<'a> {
    fn new(device: &'a Device, line: &str) -> Self {
        let run = device.run_with(&["--json"], &[line], b"").ok();
        let pid = run.json()[0]["pid"].as_u64().unwrap();
        Self {
            device,
            pid: u32::try_from(pid).unwrap(),
        }
    }

    fn is_alive(&self) -> bool {
        let status = std::fs::read_to_string(format!("/proc/{}/stat", self.pid));
        // A zombie has ended.
        status.is_ok_and(|stat| !stat.contains(") Z "))
    }

    fn wait_until_gone(&self) {
        let started = Instant::now();
        while self.is_alive() {
            assert!(started.elapsed() < PATIENCE, "the agent stays");
            std::thread::yield_now();
        }
    }
}

/// No test leaves a process behind.
impl Drop for Unlocked<'_> {
    fn drop(&mut self) {
        without(self.device, &["lock"]);
        self.wait_until_gone();
    }
}

fn socket(device: &Device) -> PathBuf {
    device.home().join("state/default/agent")
}

#[test]
fn one_shots_need_no_password_while_it_is_unlocked() {
    let (_server, device) = account();
    without(&device, &["get", "k"]).expect(2);
    let agent = Unlocked::new(&device, "unlock");
    assert_eq!(without(&device, &["get", "k"]).ok().stdout, b"value");
    // Everything else goes by the device's own credential.
    without(&device, &["gen", "new"]).ok();
    let listed = without(&device, &["ls"]).ok().text();
    assert!(listed.contains("new"), "{listed}");
    assert_eq!(without(&device, &["get", "nothing"]).status, 3);
    without(&device, &["audit"]).ok();
    let status = without(&device, &["status"]).ok().text();
    assert!(status.contains("unlocked"), "{status}");
    // What only the owner may do still takes the password.
    without(&device, &["recovery", "off", "--yes"]).expect(2);
    let run = without(&device, &["lock"]).ok();
    assert!(run.stderr.contains("the agent is locked"), "{run:?}");
    agent.wait_until_gone();
    assert!(!socket(&device).exists());
    without(&device, &["get", "k"]).expect(2);
}

/// Through the agent and without it.
#[test]
fn what_is_not_there_is_said_in_the_same_words() {
    let (_server, device) = account();
    device.put("prod/database", b"value");
    let _agent = Unlocked::new(&device, "unlock");
    for (words, said) in [
        (
            &["get", "k", "--version", "7"][..],
            "`k` has no version 7; the newest is 1",
        ),
        (&["get", "prod/databse"], "did you mean `prod/database`?"),
        (&["get", "nothing"], "`ls` lists the names"),
        (
            &["run", "--env", "X=prod/databse", "--", "true"],
            "no secret is named `prod/databse`; `ls`",
        ),
    ] {
        let by_agent = without(&device, words).expect(3);
        assert!(by_agent.stderr.contains(said), "{by_agent:?}");
        assert_eq!(
            device.run_words(words, b"").expect(3).stderr,
            by_agent.stderr
        );
        let words = [&["--json"], words].concat();
        let json = without(&device, &words).expect(3).json();
        assert_eq!(json[0]["error"]["kind"], "no_such_secret", "{json:?}");
        assert_eq!(device.run_words(&words, b"").expect(3).json(), json);
    }
}

#[test]
fn a_secret_that_is_used_twice_is_fetched_once() {
    let (_server, device) = account();
    let _agent = Unlocked::new(&device, "unlock");
    let reads = || {
        let run = without(&device, &["--json", "audit", "k", "--op", "get"]);
        let json = run.ok().json();
        json[0]["records"].as_array().unwrap().len()
    };
    let before = reads();
    let mut command = device.command_without_password();
    command.args(["inject", "-i", "-"]);
    let filled = run(command, b"{{ k }}, {{ k }}").ok();
    assert_eq!(filled.text(), "value, value");
    assert_eq!(reads() - before, 1);
}

/// Of the same profile, but somebody else's.
#[test]
fn it_answers_for_its_own_account_and_server_only() {
    let (server, device) = account();
    let _agent = Unlocked::new(&device, "unlock");
    let mut command = tests::device::bare_command(&device.home());
    command.args(["--server", &server.url, "--pin", &server.pin]);
    command.args(["--profile", "other", "--account", "bob"]);
    command.arg("--password-file").arg(device.path("password"));
    command.args(["-c", "register", "-c", "gen k"]);
    run(command, b"").ok();
    // The profile of Alice's agent, and Bob's account.
    let mut command = tests::device::bare_command(&device.home());
    command.args(["--server", &server.url, "--pin", &server.pin]);
    command.args(["--account", "bob", "get", "k"]);
    let refused = run(command, b"").expect(2);
    assert!(refused.stdout.is_empty(), "{refused:?}");
    assert_eq!(without(&device, &["get", "k"]).ok().stdout, b"value");
}

#[test]
fn it_locks_itself_and_asking_how_it_is_does_not_keep_it() {
    let (_server, device) = account();
    let agent = Unlocked::new(&device, "unlock --for 2s");
    let started = Instant::now();
    while agent.is_alive() {
        without(&device, &["status"]).ok();
        assert!(started.elapsed() < PATIENCE, "the agent stays");
    }
    assert!(started.elapsed() < Duration::from_secs(20));
    without(&device, &["get", "k"]).expect(2);
}

#[test]
fn it_survives_a_restart_of_the_server() {
    let (mut server, device) = account();
    let _agent = Unlocked::new(&device, "unlock");
    server.stop();
    without(&device, &["get", "k"]).expect(5);
    server.start_again();
    assert_eq!(without(&device, &["get", "k"]).ok().stdout, b"value");
}

#[test]
fn values_can_be_used_without_being_shown() {
    let (_server, device) = account();
    let _agent = Unlocked::new(&device, "unlock --no-reveal --reason 'the deploy script'");
    let run = device.run(&["unlock --no-reveal"]).ok();
    assert!(run.stderr.contains("unlocked for `run`"), "{run:?}");
    let _agent = Unlocked::new(&device, "unlock --no-reveal --reason 'the deploy script'");
    let template = device.path("template");
    std::fs::write(&template, "password={{ k }}").unwrap();
    let (template, filled) = (template.to_str().unwrap(), device.path("filled"));
    for line in [
        &["get", "k"][..],
        &["export", "k"],
        &["ls"],
        &["get", "k", "--out", "x"],
        &["inject", "--in", template],
        &["run", "--no-mask", "--env", "K=k", "--", "printenv", "K"],
    ] {
        let run = without(&device, line);
        assert_eq!(run.status, 2, "{run:?}");
        assert!(run.stdout.is_empty());
        assert!(run.stderr.contains("--no-reveal"), "{run:?}");
    }
    let shown = ["run", "--env", "K=k", "--", "sh", "-c", "echo $K ${#K}"];
    let run = without(&device, &shown).ok();
    assert_eq!(run.text(), "[masked] 5\n");
    let into = [
        "inject",
        "--in",
        template,
        "--out",
        filled.to_str().unwrap(),
    ];
    without(&device, &into).ok();
    assert_eq!(std::fs::read(&filled).unwrap(), b"password=value");
    // The reason is in the owner's log, sealed, and the audit log says when.
    let run = device
        .run_with(&["--json"], &["audit --op append"], b"")
        .ok();
    let json = run.json();
    let records = json[0]["records"].as_array().unwrap();
    assert!(
        records
            .iter()
            .any(|record| record["note"] == "unlock --no-reveal: the deploy script"),
        "{json:?}"
    );
    let status = without(&device, &["status"]).ok().text();
    assert!(
        status.contains("reveals nothing: the deploy script"),
        "{status}"
    );
}

#[test]
fn there_is_one_agent_a_profile_and_dead_sockets_do_not_matter() {
    let (_server, device) = account();
    let first = Unlocked::new(&device, "unlock");
    let second = Unlocked::new(&device, "unlock --for 1h");
    first.wait_until_gone();
    assert!(second.is_alive());
    // Killed, it leaves its socket behind.
    let pid = rustix::process::Pid::from_raw(i32::try_from(second.pid).unwrap()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
    second.wait_until_gone();
    assert!(socket(&device).exists());
    without(&device, &["get", "k"]).expect(2);
    let third = Unlocked::new(&device, "unlock");
    assert_eq!(without(&device, &["get", "k"]).ok().stdout, b"value");
    drop(third);
}

/// A laptop that wakes without a network: whoever locks it must not be told that there was nothing to lock.
#[test]
fn it_is_locked_while_the_server_is_silent() {
    let (server, device) = account();
    let home = Home::new("default", Some(&device.home())).unwrap();
    for is_busy in [true, false] {
        let agent = Unlocked::new(&device, "unlock");
        server.freeze();
        let asking = is_busy.then(|| {
            let mut command = device.command_without_password();
            command.args(["get", "k"]);
            let asking = command.stdout(Stdio::piped()).spawn().unwrap();
            // It has its question in once nobody else gets an answer.
            let soon = Duration::from_millis(200);
            let answers = || Agent::find(&home)?.within(soon)?.status();
            while answers().is_some() {}
            asking
        });
        let run = without(&device, &["lock"]).ok();
        assert!(run.stderr.contains("the agent is locked"), "{run:?}");
        agent.wait_until_gone();
        server.thaw();
        if let Some(asking) = asking {
            let output = asking.wait_with_output().unwrap();
            assert!(!output.status.success(), "{output:?}");
        }
        without(&device, &["get", "k"]).expect(2);
    }
}

/// A caller that sends a byte now and then delays no other one, and neither does a crowd of them.
#[test]
fn slow_callers_delay_nothing() {
    let (_server, device) = account();
    let agent = Unlocked::new(&device, "unlock");
    let home = Home::new("default", Some(&device.home())).unwrap();
    let slow = (0..32).map(|_| {
        let mut stream = UnixStream::connect(home.agent_socket()).unwrap();
        // The beginning of a length.
        stream.write_all(&[0]).unwrap();
        stream
    });
    let mut slow: Vec<UnixStream> = slow.collect();
    let started = Instant::now();
    for _ in 0..3 {
        assert_eq!(without(&device, &["get", "k"]).ok().stdout, b"value");
        for stream in &mut slow {
            // The agent may have given up on it.
            let _ = stream.write_all(&[0]);
        }
    }
    without(&device, &["lock"]).ok();
    agent.wait_until_gone();
    assert!(started.elapsed() < PATIENCE);
}

#[test]
fn a_lock_without_a_server_says_what_it_leaves() {
    let (mut server, device) = account();
    let agent = Unlocked::new(&device, "unlock");
    server.stop();
    let run = without(&device, &["lock"]).ok();
    assert!(run.stderr.contains("was not reached"), "{run:?}");
    agent.wait_until_gone();
    server.start_again();
    let agent = Unlocked::new(&device, "unlock");
    let run = without(&device, &["lock"]).ok();
    assert!(!run.stderr.contains("was not reached"), "{run:?}");
    agent.wait_until_gone();
}

/// Whether a secret of the device's credential opens a session.
fn opens(server: &Server, home: &Home, secret: &SecretBytes) -> bool {
    let identity = home.device().unwrap();
    let name = AccountName::parse("alice").unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let trust = Trust::Pin(Pin::parse(&server.pin).unwrap());
    let mut api = Api::new(Endpoint::parse(&server.url).unwrap(), trust, PATIENCE).unwrap();
    let by = LoginCredential {
        slot: Slot::Device(identity.id()),
        secret,
    };
    let opened = runtime.block_on(async {
        let hello = api.hello().await.unwrap();
        login(&mut api, &name, by, ServerPins::from(&hello), &identity).await
    });
    match opened {
        Ok(_) => true,
        Err(Error::LoginRefused) => false,
        Err(error) => panic!("{error}"),
    }
}

/// An agent that was killed cannot end its credential; the next command that reaches the server does.
#[test]
fn the_credential_of_a_killed_agent_is_named_and_ended_at_the_next_contact() {
    let (mut server, device) = account();
    let home = Home::new("default", Some(&device.home())).unwrap();
    let credential = || Agent::find(&home).unwrap().credential().unwrap().unwrap();
    let lock = |is_valid: bool| {
        let run = without(&device, &["--json", "lock"]).ok();
        assert_eq!(run.json()[0]["credential_valid"], is_valid, "{run:?}");
        run.stderr
    };
    assert!(lock(false).contains("nothing to lock"));
    let agent = Unlocked::new(&device, "unlock");
    let first = credential();
    let pid = rustix::process::Pid::from_raw(i32::try_from(agent.pid).unwrap()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
    agent.wait_until_gone();
    let said = lock(true);
    assert!(said.contains("ended without locking"), "{said}");
    assert!(opens(&server, &home, &first));
    let run = device.run(&["sync"]).ok();
    assert!(run.stderr.contains("opens no session any more"), "{run:?}");
    assert!(!opens(&server, &home, &first));
    assert!(lock(false).contains("nothing to lock"));
    // The same after a lock that did not reach the server.
    let agent = Unlocked::new(&device, "unlock");
    let second = credential();
    server.stop();
    lock(true);
    agent.wait_until_gone();
    lock(true);
    server.start_again();
    device.run(&["sync"]).ok();
    assert!(!opens(&server, &home, &second));
    lock(false);
}

/// A program that has the credential can replace its secret, which ends the agent's session: locking says that a secret
/// holds, and the next contact ends it.
#[test]
fn a_secret_that_another_program_put_in_its_place_is_said_and_ended() {
    let (server, device) = account();
    let agent = Unlocked::new(&device, "unlock");
    let home = Home::new("default", Some(&device.home())).unwrap();
    let mut thief = Client::new(&server.url, &server.pin, "alice", PASSWORD);
    thief.set_device(home.device().unwrap());
    let replaced = thief.change(async |vault| {
        vault.enrol_device(Renewal::default().lease).await?;
        Ok(vault.device_secret().cloned().unwrap())
    });
    let secret = replaced.unwrap();
    assert!(opens(&server, &home, &secret));
    let run = without(&device, &["--json", "lock"]).ok();
    assert_eq!(run.json()[0]["credential_valid"], true, "{run:?}");
    agent.wait_until_gone();
    assert!(opens(&server, &home, &secret));
    device.run(&["sync"]).ok();
    assert!(!opens(&server, &home, &secret));
}

/// The key epoch that began without this device gives it another credential.
#[test]
fn a_device_that_was_locked_while_the_password_changed_unlocks_again() {
    const NEXT: &str = "seven velvet otters hum";
    let (_server, device) = account();
    drop(Unlocked::new(&device, "unlock"));
    std::fs::write(device.path("next"), format!("{NEXT}\n")).unwrap();
    let passwd = format!(
        "passwd --new-password-file {}",
        device.path("next").display()
    );
    device.run(&[&passwd]).ok();
    device.set_password(NEXT);
    for _ in 0..2 {
        let _agent = Unlocked::new(&device, "unlock");
        assert_eq!(without(&device, &["get", "k"]).ok().stdout, b"value");
    }
}

/// A program that asked while it was unlocked has nothing of it afterwards.
#[test]
fn the_credential_that_it_gave_away_ends_with_it() {
    let (server, device) = account();
    let home = Home::new("default", Some(&device.home())).unwrap();
    let opens = |secret: &SecretBytes| opens(&server, &home, secret);
    let agent = Unlocked::new(&device, "unlock");
    let first = Agent::find(&home).unwrap().credential().unwrap().unwrap();
    assert!(opens(&first));
    without(&device, &["lock"]).ok();
    agent.wait_until_gone();
    assert!(!opens(&first));
    // The next one's is another, and one that ends late does not take it away.
    let agent = Unlocked::new(&device, "unlock");
    let second = Agent::find(&home).unwrap().credential().unwrap().unwrap();
    assert!(opens(&second) && !opens(&first));
    let again = Unlocked::new(&device, "unlock");
    agent.wait_until_gone();
    let third = Agent::find(&home).unwrap().credential().unwrap().unwrap();
    assert!(opens(&third) && !opens(&second));
    assert_eq!(without(&device, &["get", "k"]).ok().stdout, b"value");
    without(&device, &["lock"]).ok();
    again.wait_until_gone();
    assert!(!opens(&third));
}

#[test]
fn nobody_else_gets_anything_from_it() {
    let (_server, device) = account();
    let agent = Unlocked::new(&device, "unlock");
    let path = socket(&device);
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&path), 0o600);
    // Neither core files nor a look into its memory by its own user.
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", agent.pid)).unwrap();
    let core = limits
        .lines()
        .find(|line| line.starts_with("Max core file size"))
        .unwrap();
    assert!(core.contains(" 0 "), "{core}");
    let arguments = std::fs::read(format!("/proc/{}/cmdline", agent.pid)).unwrap();
    let arguments = String::from_utf8_lossy(&arguments).into_owned();
    assert!(!arguments.contains(PASSWORD), "{arguments}");
    if !is_root("asking the agent as another user") {
        return;
    }
    // Another user is refused, even where the files' modes would let them in.
    for (path, open) in [(device.home(), 0o755), (path.clone(), 0o666)] {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(open)).unwrap();
    }
    let mut folder = path.parent();
    while let Some(path) = folder.filter(|path| *path != Path::new("/tmp")) {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).unwrap();
        folder = path.parent();
    }
    let asked_by = |user| std::thread::scope(|scope| scope.spawn(|| ask(&path, user)).join());
    assert!(
        asked_by(0).unwrap() > 4,
        "the agent does not answer its user"
    );
    assert_eq!(asked_by(65_534).unwrap(), 0);
    assert!(agent.is_alive());
}

/// How many bytes the agent answers to a status question of this user. The calling thread becomes that user.
fn ask(socket: &Path, user: u32) -> usize {
    let user = Uid::from_raw(user);
    set_thread_groups(&[]).unwrap();
    set_thread_res_uid(user, user, user).unwrap();
    let mut stream = UnixStream::connect(socket).unwrap();
    stream
        .set_read_timeout(Some(Duration::from_secs(5)))
        .unwrap();
    // `"status"` as MessagePack, with its length. The agent may have closed the connection already.
    let _ = stream.write_all(b"\0\0\0\x07\xa6status");
    let _ = stream.shutdown(Shutdown::Write);
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    answer.len()
}

/// A program that cron or sudo starts has another runtime folder, or none.
#[test]
fn there_is_one_agent_whatever_the_runtime_folder() {
    let server = Server::start();
    let folder = tempfile::tempdir().unwrap();
    let (runtime, password) = (folder.path().join("run"), folder.path().join("password"));
    std::fs::create_dir(&runtime).unwrap();
    std::fs::write(&password, PASSWORD).unwrap();
    let shell = |runtime: Option<&Path>, words: &[&str]| {
        let mut command = Command::new(tests::binary("keyshell"));
        command.env_clear().env("HOME", folder.path());
        if let Some(runtime) = runtime {
            command.env("XDG_RUNTIME_DIR", runtime);
        }
        command.args([
            "--server",
            &server.url,
            "--pin",
            &server.pin,
            "--account",
            "alice",
        ]);
        command.args(words);
        run(command, b"")
    };
    let with = ["--password-file", password.to_str().unwrap()];
    shell(None, &[&with[..], &["register"]].concat()).ok();
    shell(None, &[&with[..], &["gen", "k"]].concat()).ok();
    let unlock = [&with[..], &["--json", "unlock"]].concat();
    let first = shell(Some(&runtime), &unlock).ok();
    let second = shell(None, &unlock).ok();
    assert_ne!(first.json()[0]["pid"], second.json()[0]["pid"]);
    // Both ways lead to the one that is left.
    for runtime in [Some(runtime.as_path()), None] {
        let status = shell(runtime, &["--json", "status"]).ok();
        assert_eq!(status.json()[0]["agent"]["pid"], second.json()[0]["pid"]);
        shell(runtime, &["get", "k", "--format", "hex"]).ok();
    }
    shell(Some(&runtime), &["lock"]).ok();
    for runtime in [Some(runtime.as_path()), None] {
        shell(runtime, &["get", "k", "--format", "hex"]).expect(2);
    }
}
