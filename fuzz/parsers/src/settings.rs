//! The server's configuration and key file.

use std::ffi::OsString;
use std::fs;
use std::os::unix::ffi::OsStringExt as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use data_encoding::BASE64;
use keyserver::config::Config;
use keyserver::keyfile::{KeyFile, KeyFilePath, NAME};
use keyserver::sessions::session::{OpenSessions, SessionLimits};
use shared::ids::Digest;
use toml::Table;

use crate::cursor::Cursor;
use crate::server::{ADDRESS, holder};
use crate::world::{ACCOUNT, SESSION_KEY, folder};

/// Options from a file and from the environment; key files, whole and with any body under a good checksum.
pub(crate) fn server_config(data: &[u8]) {
    let mut script = Cursor::new(data);
    match script.choice(4) {
        0 => {
            let path = file("config.toml", script.rest());
            check(Config::load(Some(&path), [], Table::new()).ok());
        }
        1 => {
            let lines = script.rest().split(|byte| *byte == b'\n');
            let variables = lines.filter_map(variable);
            check(Config::load(None, variables, Table::new()).ok());
        }
        2 => key_file(script.rest()),
        _ => key_file(whole(script.rest()).as_bytes()),
    }
}

/// The text of a key file with this body and a good checksum.
pub fn whole(body: &[u8]) -> String {
    let checksum = Digest::of(body);
    let body = BASE64.encode(&[body, checksum.as_bytes()].concat());
    format!("keyserver keys 1\n{body}\n")
}

fn file(name: &str, content: &[u8]) -> PathBuf {
    let path = folder().join(name);
    fs::write(&path, content).unwrap();
    path
}

fn variable(line: &[u8]) -> Option<(OsString, OsString)> {
    let equals = line.iter().position(|byte| *byte == b'=')?;
    let (name, value) = line.split_at(equals);
    let text = |bytes: &[u8]| OsString::from_vec(bytes.to_vec());
    Some((text(name), text(&value[1..])))
}

/// Options that are accepted make sense, and are the same once written as TOML.
fn check(config: Option<Config>) {
    let Some(config) = config else { return };
    config.check().unwrap();
    assert!(!config.listen.is_empty() && config.workers > 0);
    let _ = config.registration();
    // Numbers beyond TOML's own can only come from outside of it.
    if let Ok(table) = Table::try_from(&config) {
        let again = Config::load(None, [], table).unwrap();
        assert_eq!(format!("{again:?}"), format!("{config:?}"));
    }
    check_times(&config);
}

/// A server with these times can begin a session.
fn check_times(config: &Config) {
    let mut sessions = OpenSessions::new(SessionLimits {
        total: config.sessions,
        per_account: config.sessions_per_account,
        kept_answers: config.kept_answers,
        idle: config.session_idle,
        lifetime: config.session_lifetime,
        proof: config.session_proof,
    });
    let now = Instant::now();
    sessions.begin(holder(ACCOUNT), ADDRESS, &SESSION_KEY, b"welcome", now);
    sessions.sweep(now + Duration::from_secs(1));
}

/// A key file that is accepted is the same the next time, and yields keys that are keys.
fn key_file(content: &[u8]) {
    let path = file(NAME, content);
    let open = || KeyFile::open(&KeyFilePath::Named(path.clone()), &folder()).ok();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
    assert!(
        open().is_none(),
        "a key file that others can read was taken"
    );
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    let Some(keys) = open() else { return };
    let again = open().unwrap();
    assert_eq!(again.server_id, keys.server_id);
    assert_eq!(again.opaque_key(), keys.opaque_key());
    assert_eq!(again.checkpoint_key(), keys.checkpoint_key());
    assert_eq!(format!("{keys:?}"), "KeyFile([redacted])");
}
