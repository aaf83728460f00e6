//! A device of an owner: a home folder, a password file, and `keyshell` runs with them.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;
use tempfile::TempDir;

use crate::binary;
use crate::keyring::BUS;
use crate::server::Server;

/// What a run left behind.
#[derive(Clone)]
pub struct Run {
    /// Exit status.
    pub status: i32,
    /// Standard output.
    pub stdout: Vec<u8>,
    /// Standard error.
    pub stderr: String,
}

impl std::fmt::Debug for Run {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let stdout = String::from_utf8_lossy(&self.stdout);
        write!(
            f,
            "status {}\nout: {stdout}\nerr: {}",
            self.status, self.stderr
        )
    }
}

impl Run {
    /// Standard output as text.
    pub fn text(&self) -> String {
        String::from_utf8(self.stdout.clone()).unwrap()
    }

    /// The lines of standard output as JSON.
    pub fn json(&self) -> Vec<Value> {
        let text = self.text();
        let lines = text.lines();
        lines
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }

    /// Fails unless the exit status is this one.
    #[track_caller]
    pub fn expect(self, status: i32) -> Self {
        assert_eq!(self.status, status, "{self:#?}");
        self
    }

    /// Fails unless everything was done.
    #[track_caller]
    pub fn ok(self) -> Self {
        self.expect(0)
    }
}

/// A device.
#[derive(Debug)]
pub struct Device {
    folder: TempDir,
    options: Vec<String>,
}

impl Device {
    /// A device that knows nothing yet but the server's address and pin, the account and the password.
    pub fn new(server: &Server, account: &str, password: &str) -> Self {
        Self::at(&server.url, &server.pin, account, password)
    }

    /// The same for any address.
    pub fn at(url: &str, pin: &str, account: &str, password: &str) -> Self {
        let options = ["--server", url, "--pin", pin, "--account", account];
        Self::with(&options, password)
    }

    /// A device whose server runs inside the shell.
    pub fn embedded(password: &str) -> Self {
        Self::with(&["--embedded"], password)
    }

    fn with(options: &[&str], password: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("password"), format!("{password}\n")).unwrap();
        Self {
            folder,
            options: options.iter().map(ToString::to_string).collect(),
        }
    }

    /// A device with an account that it just registered.
    pub fn registered(server: &Server, account: &str, password: &str) -> Self {
        let device = Self::new(server, account, password);
        device.run(&["register"]).ok();
        device
    }

    /// A second device of the same account.
    pub fn another(&self, password: &str) -> Self {
        let options: Vec<&str> = self.options.iter().map(String::as_str).collect();
        Self::with(&options, password)
    }

    /// A folder for the test's files.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The shell's home.
    pub fn home(&self) -> PathBuf {
        self.path("home")
    }

    /// What it has pinned of its account.
    pub fn pins(&self) -> PathBuf {
        let state = std::fs::read_dir(self.path("home/state/default")).unwrap();
        let mut files = state.map(|file| file.unwrap().path());
        let is_pins = |path: &PathBuf| path.to_string_lossy().ends_with(".pins.json");
        files.find(is_pins).unwrap()
    }

    /// Has the owner decide to go on after a verification that failed, without asking the server.
    pub fn forgive(&self) {
        let state = std::fs::read_dir(self.path("home/state/default"));
        for file in state.into_iter().flatten() {
            let path = file.unwrap().path();
            if path.extension().is_some_and(|kind| kind == "distrust") {
                std::fs::remove_file(path).unwrap();
            }
        }
    }

    /// The prompt of an open session, as far as its sign.
    pub fn prompt(&self) -> String {
        let option = |wanted: &str| {
            let mut pairs = self.options.chunks_exact(2);
            pairs.find(|pair| pair[0] == wanted).unwrap()[1].as_str()
        };
        let server = option("--server").trim_start_matches("https://");
        format!("{}@{server}>", option("--account"))
    }

    /// Replaces the password that runs give.
    pub fn set_password(&self, password: &str) {
        std::fs::write(self.path("password"), format!("{password}\n")).unwrap();
    }

    /// Sends all runs to another address.
    pub fn set_server(&mut self, url: &str) {
        for pair in self.options.chunks_exact_mut(2) {
            if let [name, value] = pair
                && name == "--server"
            {
                url.clone_into(value);
            }
        }
    }

    /// The shell's program with this device's options.
    pub fn command(&self) -> Command {
        let mut command = self.command_without_password();
        command.arg("--password-file").arg(self.path("password"));
        command
    }

    /// The same for those who type the password.
    pub fn command_without_password(&self) -> Command {
        let mut command = bare_command(&self.home());
        command.args(&self.options);
        command
    }

    /// Runs lines.
    pub fn run(&self, lines: &[&str]) -> Run {
        self.run_with(&[], lines, b"")
    }

    /// Runs lines with more options and with bytes on standard input.
    pub fn run_with(&self, options: &[&str], lines: &[&str], input: &[u8]) -> Run {
        let mut command = self.command();
        command.args(options);
        for line in lines {
            command.args(["-c", line]);
        }
        run(command, input)
    }

    /// Runs one command that is given as the program's arguments.
    pub fn run_words(&self, words: &[&str], input: &[u8]) -> Run {
        let mut command = self.command();
        command.args(words);
        run(command, input)
    }

    /// The bytes of a secret.
    #[track_caller]
    pub fn get(&self, name: &str) -> Vec<u8> {
        self.run(&[&format!("get '{name}'")]).ok().stdout
    }

    /// Stores bytes from standard input.
    #[track_caller]
    pub fn put(&self, name: &str, value: &[u8]) {
        self.run_with(&[], &[&format!("put '{name}'")], value).ok();
    }
}

/// The shell's program with a home and nothing else, not even this process's environment for it.
pub fn bare_command(home: &Path) -> Command {
    let mut command = Command::new(binary("keyshell"));
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("KEYSHELL_") {
            command.env_remove(name);
        }
    }
    // Colours and hints would stand between the words that tests wait for.
    command.env("NO_COLOR", "1");
    // The keyring of whoever runs the tests is not theirs.
    command.env(BUS, "disabled:");
    command.arg("--home").arg(home);
    command
}

/// Runs a command to its end.
pub fn run(mut command: Command, input: &[u8]) -> Run {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let input = input.to_vec();
    // Beside reading the output, so that neither side waits for the other; a program that reads nothing breaks the pipe.
    let writer = std::thread::spawn(move || drop(stdin.write_all(&input)));
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap();
    Run {
        status: output.status.code().unwrap_or(-1),
        stdout: output.stdout,
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}
