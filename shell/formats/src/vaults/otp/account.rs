//! One account of an app, and the parts of its JSON.

use std::collections::BTreeSet;

use data_encoding::BASE32_NOPAD;
use serde_json::{Map, Value};
use zeroize::Zeroizing;

use crate::format::{FormatError, Incoming, Item, Loss, Sink};
use crate::model::record::{Record, field};
use crate::names;
use crate::otpauth::{self, encoded};
use crate::round_trip;
use crate::vaults::members::is_blank;

/// Longest file, in bytes: it is taken in as a whole.
pub const MAX_FILE: u64 = 16 * 1024 * 1024;

/// An account.
#[derive(Default)]
pub struct Account {
    /// The service.
    pub issuer: String,
    /// The name of the user there.
    pub name: String,
    /// The seed in base32.
    pub secret: Zeroizing<String>,
    /// The kind: `totp`, `hotp` or `steam`, in any case.
    pub kind: String,
    /// The hash function.
    pub algorithm: Option<String>,
    /// Digits of a code.
    pub digits: Option<u64>,
    /// Seconds for which a code is valid.
    pub period: Option<u64>,
    /// The next counter.
    pub counter: Option<u64>,
}

impl Account {
    /// The name of the account's item.
    pub fn title(&self) -> String {
        match (self.issuer.as_str(), self.name.as_str()) {
            ("", name) => name.to_owned(),
            (issuer, "") => issuer.to_owned(),
            (issuer, name) if name.starts_with(&format!("{issuer}:")) => name.to_owned(),
            (issuer, name) => format!("{issuer}:{name}"),
        }
    }

    /// The URI of the account's codes.
    ///
    /// # Errors
    /// The reason why there is none.
    pub fn uri(&self) -> Result<String, String> {
        let letters = self
            .secret
            .chars()
            .filter(|c| !matches!(c, ' ' | '-' | '='));
        let secret = Zeroizing::new(letters.collect::<String>().to_ascii_uppercase());
        let seed = BASE32_NOPAD.decode(secret.as_bytes()).map(Zeroizing::new);
        if !seed.is_ok_and(|seed| !seed.is_empty()) {
            return Err("its secret is not base32".into());
        }
        let number = |number: Option<u64>| number.as_ref().map(ToString::to_string);
        let mut parameters = Vec::new();
        let mut state = |name: &'static str, value: Option<String>| {
            parameters.extend(value.map(|value| (name, encoded(&value))));
        };
        let issuer = Some(self.issuer.clone()).filter(|issuer| !issuer.is_empty());
        state("issuer", issuer);
        let kind = self.kind.to_ascii_lowercase();
        let kind = match kind.as_str() {
            "" | otpauth::TOTP => otpauth::TOTP,
            "steam" => {
                for (name, value) in otpauth::STEAM {
                    state(name, Some(value.into()));
                }
                otpauth::TOTP
            }
            otpauth::HOTP => {
                state("counter", number(Some(self.counter.unwrap_or_default())));
                otpauth::HOTP
            }
            other => {
                let short: String = other.chars().take(40).collect();
                return Err(format!(
                    "codes of the kind `{}` are not known",
                    short.escape_debug()
                ));
            }
        };
        if !self.kind.eq_ignore_ascii_case("steam") {
            state("algorithm", self.algorithm.clone());
            state("digits", number(self.digits));
        }
        if kind == otpauth::TOTP {
            state("period", number(self.period));
        }
        Ok(otpauth::uri(
            kind,
            &encoded(&self.title()),
            &secret,
            parameters,
        ))
    }

    /// The account as an item.
    ///
    /// # Errors
    /// The loss of an account without a URI.
    pub fn item(&self, note: &str, created_ms: Option<u64>) -> Result<Item, Loss> {
        let title = self.title();
        let uri = self.uri().map_err(|why| Loss::new(&title, why))?;
        Ok(item(&title, &uri, note, created_ms))
    }
}

/// The item of a URI.
pub fn item(title: &str, uri: &str, note: &str, created_ms: Option<u64>) -> Item {
    let mut record = Record::new("totp");
    record.push(field::TOTP, uri);
    record.push(field::NOTE, note);
    Item::record(names::joined("", title), &record, created_ms)
}

/// An object of an app's export: its members are taken out one by one, and what is left is lost.
pub struct Members(Map<String, Value>);

impl Members {
    pub fn new(value: Value) -> Self {
        Self(round_trip::object(Some(value)))
    }

    pub fn take(&mut self, name: &str) -> Option<Value> {
        self.0.remove(name).filter(|value| !value.is_null())
    }

    pub fn text(&mut self, name: &str) -> String {
        let text = self.take(name).and_then(round_trip::text);
        text.unwrap_or_default()
    }

    pub fn number(&mut self, name: &str) -> Option<u64> {
        let value = self.take(name)?;
        value.as_u64().or_else(|| value.as_str()?.parse().ok())
    }

    pub fn inner(&mut self, name: &str) -> Self {
        Self::new(self.take(name).unwrap_or_default())
    }

    /// The names of members that were not taken and say something.
    fn left(&self) -> impl Iterator<Item = &str> {
        let left = self.0.iter().filter(|(_, value)| !is_blank(value));
        left.map(|(name, _)| name.as_str())
    }
}

/// Passes accounts on, and collects what is lost of all of them.
pub struct Accounts<'a, 'b> {
    sink: &'a mut Sink<'b>,
    /// Members that an app writes for itself.
    own: &'static [&'static str],
    lost: BTreeSet<String>,
}

impl<'a, 'b> Accounts<'a, 'b> {
    pub fn new(sink: &'a mut Sink<'b>, own: &'static [&'static str]) -> Self {
        Self {
            sink,
            own,
            lost: BTreeSet::new(),
        }
    }

    /// Passes an item on, or its loss; `left` has the members that were not taken.
    ///
    /// # Errors
    /// Those of the sink.
    pub fn pass(&mut self, item: Result<Item, Loss>, left: &[&Members]) -> Result<(), FormatError> {
        let mut item = match item {
            Ok(item) => item,
            Err(loss) => return (self.sink)(Incoming::Lost(loss)),
        };
        for name in left.iter().flat_map(|members| members.left()) {
            let short: String = name.chars().take(40).collect();
            if self.own.contains(&name) {
                self.lost.insert(short);
            } else {
                item.losses
                    .push(format!("member `{}`", short.escape_debug()));
            }
        }
        (self.sink)(Incoming::Item(Box::new(item)))
    }

    /// Lists what is lost of all accounts, and what is left of the file.
    ///
    /// # Errors
    /// Those of the sink.
    pub fn finish(self, file: &Members) -> Result<(), FormatError> {
        let left = file.left().filter(|name| !self.own.contains(name));
        let lost = self.lost.iter().map(String::as_str).chain(left);
        let lost: Vec<_> = lost
            .map(|name| format!("`{}`", name.escape_debug()))
            .collect();
        if lost.is_empty() {
            return Ok(());
        }
        let what = format!("members {} of the app's own", lost.join(", "));
        (self.sink)(Incoming::Lost(Loss::new("the file", what)))
    }
}

/// The tags that ids of groups stand for.
pub fn groups(list: Option<Value>, id: &str) -> Map<String, Value> {
    let groups = round_trip::list(list).into_iter();
    let pair = |group: Value| {
        let mut group = Members::new(group);
        let name = group.take("name")?;
        Some((group.text(id), name))
    };
    groups.filter_map(pair).collect()
}
