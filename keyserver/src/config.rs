//! Options, by precedence: arguments, environment, file, default.
//!
//! All of them are merged in one TOML table, so that an option is declared once, as a field of [`Config`].

use std::ffi::OsString;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use etcetera::BaseStrategy as _;
use serde::{Deserialize, Serialize};
use shared::wire::Registration;
use storage::StorageError;
use storage::engine::Engine;
use storage::throttle::Policies;
use storage_lmdb::Lmdb;
use toml::{Table, Value};

use crate::files;
use crate::keyfile::KeyFilePath;
use crate::sessions::Limits;
use crate::sessions::session::SessionLimits;

const PREFIX: &str = "KEYSERVER_";
/// Variables that are no options: path of the file, and log filter.
const NO_OPTIONS: [&str; 2] = ["KEYSERVER_CONFIG", "KEYSERVER_LOG"];

/// Format of logs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum LogFormat {
    /// Text for people.
    #[default]
    Text,
    /// One JSON object per line.
    Json,
}

/// All options.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Database, certificate and invites.
    pub data_dir: PathBuf,
    /// The key file. Unset: systemd's credential if there is one, else beside `data_dir`.
    pub key_file: Option<PathBuf>,
    /// Addresses to listen on.
    pub listen: Vec<SocketAddr>,
    /// Certificate chain (PEM); without it a self-signed one is created.
    pub tls_cert: Option<PathBuf>,
    /// Private key (PEM) of `tls_cert`.
    pub tls_key: Option<PathBuf>,
    /// Who may create an account. Unset: everyone if all addresses are loopback, else by invite.
    pub registration: Option<Registration>,
    /// Format of logs.
    pub log_format: LogFormat,

    /// Threads that serve HTTP.
    pub workers: usize,
    /// Most connections of one worker.
    pub connections: usize,
    /// Most connections from one address (IPv6: from one /64); further ones are closed at once.
    pub connections_per_address: usize,
    /// How long an idle connection is kept.
    #[serde(with = "span")]
    pub keep_alive: Duration,
    /// How long a request may take to arrive, head and body each.
    #[serde(with = "span")]
    pub request_timeout: Duration,
    /// How long current requests may take at shutdown.
    #[serde(with = "span")]
    pub shutdown_timeout: Duration,
    /// Longest body of a request in a session, in bytes.
    pub body_limit: usize,
    /// Longest body of a request before login, in bytes.
    pub open_body_limit: usize,

    /// Most registrations, and most logins, that are started and not finished.
    pub pending: usize,
    /// How long they may take.
    #[serde(with = "span")]
    pub pending_timeout: Duration,
    /// Most sessions.
    pub sessions: usize,
    /// Most sessions of one account; the least recently used one is evicted.
    pub sessions_per_account: usize,
    /// Most bytes of sealed answers that are kept for repeated requests.
    pub kept_answers: usize,
    /// A session ends after this time without a request.
    #[serde(with = "span")]
    pub session_idle: Duration,
    /// A session ends after this time in any case.
    #[serde(with = "span")]
    pub session_lifetime: Duration,
    /// How long after a login with password or recovery code the session may change credentials, or delete the
    /// account.
    #[serde(with = "span")]
    pub session_proof: Duration,
    /// How long a repeated request waits for the answer of the first one.
    #[serde(with = "span")]
    pub repeat_wait: Duration,

    /// Size of a new database's map, in bytes; it grows by itself.
    pub map_size_initial: usize,
    /// Largest map, in bytes.
    pub map_size_max: usize,
    /// Free bytes on the disk below which the server refuses writes.
    pub min_free_bytes: u64,
    /// Most bytes of one account's sealed values, metadata and notes.
    pub quota_bytes: u64,
    /// Longest lease of a device's credential: it opens no session any more when it was not used for this long.
    #[serde(with = "span")]
    pub device_lease: Duration,
    /// Most audit records that the sessions of one account cause, about half a kilobyte each; refilled within 30 days.
    pub record_quota: u64,
    /// Audit records per second that an account may cause in the long run; 64 KiB of requests and answers count as one.
    pub record_rate: u32,
    /// Audit records that an account may cause at once.
    pub record_burst: u32,
    /// Most writes that wait for the disk.
    pub write_queue: usize,
    /// Most bytes in writes that wait for the disk.
    pub write_queue_bytes: usize,
    /// Most rows of login throttles: names, addresses, and pairs of both.
    pub guess_rows: u64,
    /// Whether the whole database is checked at the start, and not only its structure.
    pub check_at_start: bool,
    /// Whether audit heads in entries are compared with the audit log. No option; tests of a server that shows two
    /// logs set it.
    #[serde(skip)]
    pub check_seen: bool,

    /// Delays of login attempts.
    pub throttle: Policies,
}

/// Most records of one request.
const MAX_BATCH: u32 = 256;
const MIB: usize = 1024 * 1024;

impl Default for Config {
    fn default() -> Self {
        Self {
            data_dir: default_data_dir(),
            key_file: None,
            listen: vec![SocketAddr::from((Ipv4Addr::LOCALHOST, 7443))],
            tls_cert: None,
            tls_key: None,
            registration: None,
            log_format: LogFormat::Text,
            workers: 2,
            connections: 2048,
            connections_per_address: 256,
            keep_alive: Duration::from_secs(75),
            request_timeout: Duration::from_secs(30),
            shutdown_timeout: Duration::from_secs(5),
            body_limit: shared::wire::limits::MAX_BODY_LEN,
            open_body_limit: shared::wire::limits::MAX_OPEN_BODY_LEN,
            pending: 4096,
            pending_timeout: Duration::from_mins(1),
            sessions: 10_000,
            sessions_per_account: 64,
            kept_answers: 256 * MIB,
            session_idle: Duration::from_mins(15),
            session_lifetime: Duration::from_hours(12),
            session_proof: Duration::from_mins(5),
            repeat_wait: Duration::from_secs(20),
            map_size_initial: 64 * MIB,
            map_size_max: 64 * 1024 * MIB,
            min_free_bytes: 64 * MIB as u64,
            quota_bytes: 1024 * MIB as u64,
            device_lease: Duration::from_hours(24),
            record_quota: 2_000_000,
            record_rate: 200,
            record_burst: 30_000,
            write_queue: 1024,
            write_queue_bytes: 64 * MIB,
            guess_rows: 1_000_000,
            check_at_start: true,
            check_seen: true,
            throttle: Policies::default(),
        }
    }
}

/// The options are invalid.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("{path}: {error}")]
    Read {
        /// Which file.
        path: PathBuf,
        /// What went wrong.
        error: std::io::Error,
    },
    /// The file is no TOML.
    #[error("{path}: {error}")]
    Toml {
        /// Which file.
        path: PathBuf,
        /// What is wrong, and where.
        error: Box<toml::de::Error>,
    },
    /// A key is unknown, or a value has the wrong type.
    #[error("configuration: {0}")]
    Option(Box<toml::de::Error>),
    /// An environment variable is not UTF-8, or has the wrong type.
    #[error("environment variable {0}: not a value for this option")]
    Variable(String),
    /// Values contradict each other.
    #[error("configuration: {0}")]
    Contradiction(&'static str),
}

impl Config {
    /// Where the key file is.
    pub fn key_file(&self) -> KeyFilePath {
        let credentials = std::env::var_os("CREDENTIALS_DIRECTORY").map(PathBuf::from);
        KeyFilePath::find(
            self.key_file.as_deref(),
            credentials.as_deref(),
            &self.data_dir,
        )
    }

    /// The options of the sessions actor.
    pub fn sessions(&self) -> Limits {
        Limits {
            pending: self.pending,
            pending_timeout: self.pending_timeout,
            sessions: SessionLimits {
                total: self.sessions,
                per_account: self.sessions_per_account,
                kept_answers: self.kept_answers,
                idle: self.session_idle,
                lifetime: self.session_lifetime,
                proof: self.session_proof,
            },
            record_rate: self.record_rate,
            record_burst: self.record_burst,
        }
    }

    /// Opens the database's engine.
    pub fn engine(&self) -> Result<Arc<dyn Engine>, StorageError> {
        let engine = Lmdb::open(storage_lmdb::Options {
            data_dir: self.data_dir.clone(),
            map_size_initial: self.map_size_initial,
            map_size_max: self.map_size_max,
        })?;
        Ok(Arc::new(engine))
    }

    /// The limits and options of storage.
    pub fn storage(&self) -> storage::Config {
        storage::Config {
            min_free_bytes: self.min_free_bytes,
            quota_bytes: self.quota_bytes,
            record_quota: self.record_quota,
            device_lease_seconds: u32::try_from(self.device_lease.as_secs()).unwrap_or(u32::MAX),
            max_queue: self.write_queue,
            max_queue_bytes: self.write_queue_bytes,
            throttle_rows: self.guess_rows,
            check_at_start: self.check_at_start,
            check_seen: self.check_seen,
            throttle: self.throttle,
        }
    }

    /// Merges file, environment and arguments of the command line.
    pub fn load(
        file: Option<&Path>,
        environment: impl IntoIterator<Item = (OsString, OsString)>,
        arguments: Table,
    ) -> Result<Self, ConfigError> {
        let mut options = file.map(read).transpose()?.unwrap_or_default();
        options.extend(variables(environment)?);
        options.extend(arguments);
        let config: Self = options
            .try_into()
            .map_err(|error| ConfigError::Option(Box::new(error)))?;
        config.check()?;
        Ok(config)
    }

    /// Checks that the values do not contradict each other.
    pub fn check(&self) -> Result<(), ConfigError> {
        let counts = [
            self.workers,
            self.connections,
            self.connections_per_address,
            self.pending,
            self.sessions,
            self.sessions_per_account,
            self.write_queue,
        ];
        let problem = if self.listen.is_empty() {
            "`listen` names no address"
        } else if self.tls_cert.is_some() != self.tls_key.is_some() {
            "`tls_cert` and `tls_key` go together"
        } else if counts.contains(&0) {
            "a count must not be 0"
        } else if self.record_rate == 0 || self.record_burst < MAX_BATCH {
            "`record_rate` must not be 0, nor `record_burst` below what one request may ask for"
        } else if self.map_size_initial > self.map_size_max {
            "`map_size_initial` is larger than `map_size_max`"
        } else {
            return Ok(());
        };
        Err(ConfigError::Contradiction(problem))
    }

    /// Who may create an account.
    pub fn registration(&self) -> Registration {
        let only_local = self.listen.iter().all(|address| address.ip().is_loopback());
        self.registration.unwrap_or(if only_local {
            Registration::Open
        } else {
            Registration::Invite
        })
    }
}

fn read(path: &Path) -> Result<Table, ConfigError> {
    let contents = files::read_bounded(path).map_err(|error| ConfigError::Read {
        path: path.to_owned(),
        error,
    })?;
    String::from_utf8_lossy(&contents)
        .parse()
        .map_err(|error| ConfigError::Toml {
            path: path.to_owned(),
            error: Box::new(error),
        })
}

/// `KEYSERVER_<OPTION>` as options; lists are separated by commas.
fn variables(
    environment: impl IntoIterator<Item = (OsString, OsString)>,
) -> Result<Table, ConfigError> {
    let defaults = Table::try_from(Config::default()).unwrap_or_default();
    let mut options = Table::new();
    for (name, value) in environment {
        let Some(name) = name.to_str().filter(|name| name.starts_with(PREFIX)) else {
            continue;
        };
        if NO_OPTIONS.contains(&name) {
            continue;
        }
        let wrong = || ConfigError::Variable(name.to_owned());
        let text = value.into_string().map_err(|_| wrong())?;
        let key = name.trim_start_matches(PREFIX).to_lowercase();
        let value = match defaults.get(&key) {
            Some(Value::Integer(_)) => Value::Integer(text.parse().map_err(|_| wrong())?),
            Some(Value::Array(_)) => {
                Value::Array(text.split(',').map(str::trim).map(Value::from).collect())
            }
            _ => Value::String(text),
        };
        options.insert(key, value);
    }
    Ok(options)
}

/// `STATE_DIRECTORY` of systemd, else the data folder of the XDG base directories.
fn default_data_dir() -> PathBuf {
    if let Some(folders) = std::env::var_os("STATE_DIRECTORY")
        && let Some(first) = std::env::split_paths(&folders).next()
        && first.is_absolute()
    {
        return first;
    }
    etcetera::choose_base_strategy().map_or_else(
        |_| PathBuf::from("/var/lib/keyserver"),
        |base| base.data_dir().join("keyserver"),
    )
}

/// Durations as people write them: `15m`, `12h`.
mod span {
    use std::time::Duration;

    use serde::{Deserialize as _, Deserializer, Serializer, de};

    pub(super) fn serialize<S: Serializer>(span: &Duration, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(&humantime::format_duration(*span))
    }

    /// Longest duration that can be added to the clock safely.
    const LONGEST: Duration = Duration::from_hours(100 * 365 * 24);

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
        let text = String::deserialize(from)?;
        let span = humantime::parse_duration(&text).map_err(de::Error::custom)?;
        if span > LONGEST {
            return Err(de::Error::custom("longer than 100 years"));
        }
        Ok(span)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn environment(pairs: &[(&str, &str)]) -> Vec<(OsString, OsString)> {
        pairs.iter().map(|(k, v)| (k.into(), v.into())).collect()
    }

    fn file(contents: &str) -> tempfile::NamedTempFile {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), contents).unwrap();
        file
    }

    #[test]
    fn arguments_win_over_environment_over_file_over_default() {
        let file = file("workers = 3\nsession_idle = \"1m\"\npending = 7\nconnections = 9\n");
        let environment = environment(&[
            ("KEYSERVER_WORKERS", "4"),
            ("KEYSERVER_SESSION_IDLE", "2m"),
            ("KEYSERVER_LISTEN", "127.0.0.1:1, [::1]:2"),
            ("KEYSERVER_LOG", "debug"),
            ("HOME", "/root"),
        ]);
        let arguments = "workers = 5".parse().unwrap();
        let config = Config::load(Some(file.path()), environment, arguments).unwrap();
        assert_eq!(config.workers, 5);
        assert_eq!(config.session_idle, Duration::from_mins(2));
        assert_eq!(config.listen.len(), 2);
        assert_eq!((config.pending, config.connections), (7, 9));
        assert_eq!(config.sessions, 10_000);
    }

    #[test]
    fn unknown_keys_are_errors_that_name_the_key() {
        let file = file("wrokers = 3\n");
        let error = Config::load(Some(file.path()), [], Table::new()).unwrap_err();
        assert!(error.to_string().contains("wrokers"), "{error}");
        let environment = environment(&[("KEYSERVER_WROKERS", "4")]);
        let error = Config::load(None, environment, Table::new()).unwrap_err();
        assert!(error.to_string().contains("wrokers"), "{error}");
    }

    #[test]
    fn absurd_times_are_refused() {
        let environment = environment(&[("KEYSERVER_SESSION_IDLE", "500000000000y")]);
        let error = Config::load(None, environment, Table::new()).unwrap_err();
        assert!(error.to_string().contains("100 years"), "{error}");
    }

    #[test]
    fn registration_is_open_only_where_nobody_else_can_connect() {
        let with = |listen: &str| Config {
            listen: vec![listen.parse().unwrap()],
            ..Config::default()
        };
        assert_eq!(with("127.0.0.1:0").registration(), Registration::Open);
        assert_eq!(with("0.0.0.0:0").registration(), Registration::Invite);
    }
}
