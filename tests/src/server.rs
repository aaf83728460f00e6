//! A running `keyserver`.

use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::binary;

/// A server that clients connect to.
pub trait Host {
    /// Its URL.
    fn url(&self) -> &str;

    /// The pin of its certificate.
    fn pin(&self) -> &str;
}

impl Host for Server {
    fn url(&self) -> &str {
        &self.url
    }

    fn pin(&self) -> &str {
        &self.pin
    }
}

/// A server process; killed when dropped.
#[derive(Debug)]
pub struct Server {
    /// What clients connect to.
    pub url: String,
    /// What clients pin.
    pub pin: String,
    folder: TempDir,
    data: PathBuf,
    wrapper: Vec<String>,
    options: Vec<(String, String)>,
    child: Option<Child>,
}

impl Server {
    /// Starts a server with a fresh database.
    pub fn start() -> Self {
        Self::with(&[])
    }

    /// Starts a server with options from the environment, such as `("REGISTRATION", "invite")`.
    pub fn with(options: &[(&str, &str)]) -> Self {
        let mut server = Self::unstarted(options);
        server.launch("127.0.0.1:0");
        server
    }

    fn unstarted(options: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        Self {
            url: String::new(),
            pin: String::new(),
            data: folder.path().join("data"),
            folder,
            wrapper: Vec::new(),
            options: options
                .iter()
                .map(|(name, value)| (format!("KEYSERVER_{name}"), (*value).to_owned()))
                .collect(),
            child: None,
        }
    }

    /// Starts a server that lets wrong and unfinished logins, and requests, through as fast as they come.
    pub fn patient() -> Self {
        let policies = ["pair", "account", "address"].map(|kind| {
            format!(
                "[throttle.{kind}]\nfree = 1000000\nfirst_ms = 1000\nlongest_ms = 1000\nhalf_life_ms = 1000\n"
            )
        });
        Self::configured(&format!("record_rate = 1000000\n{}", policies.concat()))
    }

    /// Starts a server with a configuration file of this content.
    pub fn configured(toml: &str) -> Self {
        let mut server = Self::unstarted(&[]);
        let file = server.folder.path().join("config.toml");
        std::fs::write(&file, toml).unwrap();
        server.set("CONFIG", file.to_str().unwrap());
        server.launch("127.0.0.1:0");
        server
    }

    /// Starts a server whose data are in this folder, by this program with these arguments before the server's own.
    pub fn under(wrapper: &[&str], data: &Path, options: &[(&str, &str)]) -> Self {
        let mut server = Self::unstarted(options);
        data.clone_into(&mut server.data);
        server.wrapper = wrapper.iter().map(ToString::to_string).collect();
        server.launch("127.0.0.1:0");
        server
    }

    /// Changes what the server is started by from the next start on.
    pub fn set_wrapper(&mut self, wrapper: &[&str]) {
        self.wrapper = wrapper.iter().map(ToString::to_string).collect();
    }

    fn log_file(&self) -> File {
        let mut options = File::options();
        options.create(true).append(true);
        options.open(self.log()).unwrap()
    }

    /// The file that the server logs to.
    pub fn log(&self) -> PathBuf {
        self.folder.path().join("log")
    }

    /// Changes an option for the next start.
    pub fn set(&mut self, name: &str, value: &str) {
        self.options
            .push((format!("KEYSERVER_{name}"), value.to_owned()));
    }

    fn launch(&mut self, listen: &str) {
        let mut child = self
            .command(&["run", "--listen", listen])
            .envs(self.options.iter().cloned())
            .stdout(Stdio::piped())
            .stderr(self.log_file())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut line = |prefix: &str| {
            let line = lines.next().expect("the server says nothing").unwrap();
            let rest = line.strip_prefix(prefix);
            rest.unwrap_or_else(|| panic!("unexpected: {line}"))
                .to_owned()
        };
        self.url = line("listening ");
        self.pin = line("pin ");
        self.child = Some(child);
    }

    /// The server's program on this database, with these arguments.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = match self.wrapper.split_first() {
            Some((program, arguments)) => {
                let mut command = Command::new(program);
                command.args(arguments).arg(binary("keyserver"));
                command
            }
            None => Command::new(binary("keyserver")),
        };
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("KEYSERVER_") {
                command.env_remove(name);
            }
        }
        command.args(arguments).arg("--data-dir").arg(self.data());
        command
    }

    /// The data folder.
    pub fn data(&self) -> PathBuf {
        self.data.clone()
    }

    /// The key file, which is beside the data folder.
    pub fn key_file(&self) -> PathBuf {
        self.data.with_extension("keys")
    }

    /// Address and port without the scheme.
    pub fn address(&self) -> &str {
        self.url.strip_prefix("https://").unwrap()
    }

    /// Asks the server to stop, and waits until it has.
    pub fn stop(&mut self) -> ExitStatus {
        let mut child = self.child.take().unwrap();
        let id = i32::try_from(child.id()).unwrap();
        kill_process(Pid::from_raw(id).unwrap(), Signal::TERM).unwrap();
        child.wait().unwrap()
    }

    /// Kills the server at once, as a power cut would.
    pub fn kill(&mut self) {
        let mut child = self.child.take().unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
    }

    /// Keeps it from doing anything for a while; connections stay.
    pub fn freeze(&self) {
        self.signal(Signal::STOP);
    }

    /// Lets it go on.
    pub fn thaw(&self) {
        self.signal(Signal::CONT);
    }

    fn signal(&self, signal: Signal) {
        let id = i32::try_from(self.id()).unwrap();
        kill_process(Pid::from_raw(id).unwrap(), signal).unwrap();
    }

    /// Starts a stopped server again on the same address.
    pub fn start_again(&mut self) {
        let address = self.address().to_owned();
        self.launch(&address);
    }

    /// Processor time that the server's threads have taken, in nanoseconds: what other programs do does not count.
    pub fn busy_nanos(&self) -> u64 {
        let id = self.id();
        let threads = std::fs::read_dir(format!("/proc/{id}/task")).unwrap();
        let nanos = threads.filter_map(|thread| {
            // A thread may have ended meanwhile.
            let stat = std::fs::read_to_string(thread.ok()?.path().join("schedstat")).ok()?;
            stat.split_whitespace().next()?.parse::<u64>().ok()
        });
        nanos.sum()
    }

    /// The id of its process.
    pub fn id(&self) -> u32 {
        self.child.as_ref().unwrap().id()
    }

    /// How many files and sockets the server has open.
    pub fn open_files(&self) -> usize {
        let id = self.id();
        std::fs::read_dir(format!("/proc/{id}/fd")).unwrap().count()
    }

    /// Memory that the server uses, in KiB.
    pub fn resident_kib(&self) -> u64 {
        let id = self.id();
        let status = std::fs::read_to_string(format!("/proc/{id}/status")).unwrap();
        let line = status
            .lines()
            .find(|line| line.starts_with("VmRSS:"))
            .unwrap();
        let number = line.split_whitespace().nth(1).unwrap();
        number.parse().unwrap()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if self.child.is_some() {
            self.kill();
        }
    }
}

/// Copies a folder with everything in it.
pub fn copy_folder(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_folder(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}
