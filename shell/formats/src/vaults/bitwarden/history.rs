//! Earlier passwords of a login: a file states until when each was in use; versions of items have the time since when.

use keyshell_base::time::{from_iso, iso};
use shared::secret::SecretBytes;

use super::foreign;
use super::schema::{Entry, Former};
use crate::model::item::{Item, ItemVersion};
use crate::model::record::{Record, field};
use crate::round_trip::BITWARDEN;

/// Passwords that a file has.
pub struct Incoming {
    /// The time since when each was in use, and the password; oldest first.
    pub versions: Vec<(Option<u64>, String)>,
    /// The time until which the last was in use, as in the file.
    pub until: Option<String>,
}

impl Incoming {
    /// A file says until when each was in use: each begins where the one before ended, the first with the item.
    pub fn of(history: Vec<Former>, created: Option<u64>) -> Self {
        let formers = history.into_iter().rev().filter_map(|former| {
            let end = former.last_used_date.as_deref().and_then(from_iso);
            Some((end, former.last_used_date, former.password?))
        });
        let mut formers: Vec<_> = formers.collect();
        formers.sort_by_key(|(end, _, _)| *end);
        let (mut begin, mut until) = (created, None);
        let versions = formers.into_iter().map(|(end, text, password)| {
            until = text;
            (std::mem::replace(&mut begin, end), password)
        });
        let versions = versions.collect();
        Self { versions, until }
    }
}

/// The newest version with the password of an earlier one.
pub fn with_password(newest: &Record, password: &str) -> SecretBytes {
    let mut record = newest.clone();
    record.set(field::PASSWORD, password.to_owned());
    record.encode()
}

/// Earlier versions of a login, as far as Bitwarden has a place for them: passwords, oldest first.
pub struct Outgoing {
    passwords: Vec<Password>,
    /// Versions that the file cannot carry.
    pub losses: Vec<String>,
}

struct Password {
    text: String,
    /// The time since when the password was in use.
    from: Option<u64>,
    /// The time until which the password was in use.
    until: Option<String>,
}

impl Outgoing {
    /// The passwords of an item that is written as this kind.
    pub fn of(item: &Item, kind: u32) -> Self {
        let mut past = Self {
            passwords: Vec::new(),
            losses: Vec::new(),
        };
        let formers = item.versions.len().saturating_sub(1);
        if kind != Entry::LOGIN {
            if formers > 0 {
                past.losses.push(format!("{formers} earlier versions"));
            }
            return past;
        }
        let newest = item.as_record();
        let mut differing = 0;
        for pair in item.versions.windows(2) {
            let [version, next] = pair else { continue };
            let (text, is_all) = password_of(version, newest.as_ref());
            differing += usize::from(!is_all);
            past.passwords.extend(text.map(|text| Password {
                text,
                from: version.created_ms,
                until: until(version, next),
            }));
        }
        if differing > 0 {
            let but = match newest {
                Some(_) => "but for their passwords",
                None => "which are binary",
            };
            past.losses
                .push(format!("{differing} earlier versions, {but}"));
        }
        past
    }

    /// The times since when each password was in use; the newest is the last.
    pub fn times(&self, item: &Item) -> Vec<Option<u64>> {
        let formers = self.passwords.iter().map(|password| password.from);
        let newest = item.newest().and_then(|newest| newest.created_ms);
        formers.chain([newest]).collect()
    }

    /// The passwords for the file, newest first.
    pub fn written(self) -> Option<Vec<Former>> {
        let formers = self.passwords.into_iter().rev().map(|password| Former {
            last_used_date: password.until,
            password: Some(password.text),
        });
        let formers: Vec<_> = formers.collect();
        (!formers.is_empty()).then_some(formers)
    }
}

/// The password of an earlier version, and whether that is all that was different then.
fn password_of(version: &ItemVersion, newest: Option<&Record>) -> (Option<String>, bool) {
    let bytes = version.value.expose();
    let Some(newest) = newest else {
        let text = std::str::from_utf8(bytes).ok();
        return (text.map(str::to_owned), text.is_some());
    };
    let record = Record::decode(bytes).ok();
    let password = record
        .as_ref()
        .and_then(|record| record.get(field::PASSWORD));
    let is_all = password.is_some_and(|password| {
        let mut same = newest.clone();
        same.set(field::PASSWORD, password.to_owned());
        Some(same) == record
    });
    (password.map(str::to_owned), is_all)
}

/// Until when a version's password was in use: the next version was made then, unless it came from Bitwarden, where
/// something else was changed after the password.
fn until(version: &ItemVersion, next: &ItemVersion) -> Option<String> {
    let kept = || {
        let record = Record::decode(next.value.expose()).ok()?;
        let text = record
            .kept(BITWARDEN)
            .get(foreign::UNTIL)?
            .as_str()?
            .to_owned();
        let (from, at) = (version.created_ms?, from_iso(&text)?);
        (from <= at && at <= next.created_ms?).then_some(text)
    };
    kept().or_else(|| next.created_ms.map(iso))
}
