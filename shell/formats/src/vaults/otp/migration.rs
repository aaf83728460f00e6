//! The URIs in the QR codes of Google Authenticator's export: a message of protocol buffers
//! (<https://protobuf.dev/programming-guides/encoding/>) in base64, with some of the accounts.

use std::collections::{BTreeMap, BTreeSet};

use data_encoding::{BASE32_NOPAD, BASE64};
use zeroize::Zeroizing;

use super::account::Account;
use crate::format::{FormatError, Item, Loss};

/// What stands before the parameters.
pub const SCHEME: &str = "otpauth-migration://offline?";
/// Most parts that an export may say that it has.
const MAX_PARTS: u64 = 1000;
/// Most bytes of a varint.
const MAX_VARINT: usize = 10;

/// The parts of exports that were read, by the number of the export: how many there are, and which were read.
#[derive(Default)]
pub struct Parts(BTreeMap<u64, (u64, BTreeSet<u64>)>);

impl Parts {
    /// The accounts of a URI's parameters; a loss for each that has no codes.
    ///
    /// # Errors
    /// [`FormatError`] for data that are no such message.
    pub fn read(&mut self, query: &str) -> Result<Vec<Result<Item, Loss>>, FormatError> {
        let damaged =
            || FormatError::malformed("the data of the otpauth-migration URI are damaged");
        let mut parameters = form_urlencoded::parse(query.as_bytes());
        let (_, data) = parameters
            .find(|(key, _)| key == "data")
            .ok_or_else(damaged)?;
        // A `+` that is not encoded is read as a space.
        let data = Zeroizing::new(data.trim_end_matches('=').replace(' ', "+"));
        let padding = "=".repeat((4 - data.len() % 4) % 4);
        let padded = Zeroizing::new(format!("{}{padding}", *data));
        let message = BASE64.decode(padded.as_bytes()).map_err(|_| damaged())?;
        let message = Zeroizing::new(message);
        let (mut accounts, mut size, mut index, mut id) = (Vec::new(), 1, 0, 0);
        for field in fields(&message) {
            match field.ok_or_else(damaged)? {
                (1, Value::Bytes(bytes)) => accounts.push(account(bytes).ok_or_else(damaged)?),
                (3, Value::Number(number)) => size = number,
                (4, Value::Number(number)) => index = number,
                (5, Value::Number(number)) => id = number,
                _ => {}
            }
        }
        if size <= MAX_PARTS {
            let part = self.0.entry(id).or_insert((size, BTreeSet::new()));
            part.1.insert(index);
        }
        Ok(accounts)
    }

    /// The parts of exports that were not read, each in a phrase.
    pub fn missing(&self) -> impl Iterator<Item = String> {
        self.0.values().flat_map(|(size, read)| {
            let missing = (0..*size).filter(|part| !read.contains(part));
            missing.map(move |part| {
                format!(
                    "part {} of {size} of the export: import its QR code as well",
                    part + 1
                )
            })
        })
    }
}

/// An account; `None` for a damaged message.
fn account(message: &[u8]) -> Option<Result<Item, Loss>> {
    let mut account = Account::default();
    let mut unknown = Vec::new();
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).ok();
    for field in fields(message) {
        match field? {
            (1, Value::Bytes(secret)) => {
                account.secret = Zeroizing::new(BASE32_NOPAD.encode(secret));
            }
            (2, Value::Bytes(name)) => account.name = text(name)?,
            (3, Value::Bytes(issuer)) => account.issuer = text(issuer)?,
            (4, Value::Number(number)) => {
                let known = ["SHA1", "SHA1", "SHA256", "SHA512", "MD5"];
                let known = usize::try_from(number).ok().and_then(|at| known.get(at));
                let name = known.map_or_else(|| number.to_string(), |name| (*name).to_owned());
                account.algorithm = Some(name);
            }
            (5, Value::Number(number)) => account.digits = Some(if number == 2 { 8 } else { 6 }),
            (6, Value::Number(1)) => account.kind = "hotp".into(),
            (6, Value::Number(0 | 2)) => account.kind = "totp".into(),
            (6, Value::Number(other)) => account.kind = other.to_string(),
            (7, Value::Number(number)) => account.counter = Some(number),
            // The id of the account in the app.
            (8, _) => {}
            (other, _) => {
                unknown.push(format!("member {other} of the account, which is not known"));
            }
        }
    }
    Some(account.item("", None).map(|mut item| {
        item.losses = unknown;
        item
    }))
}

/// The value of a field.
enum Value<'a> {
    Number(u64),
    Bytes(&'a [u8]),
}

/// The fields of a message, each with its number; `None` for a message that is damaged or has another type of values.
fn fields(message: &[u8]) -> impl Iterator<Item = Option<(u64, Value<'_>)>> {
    let mut rest = message;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let field = field(&mut rest);
        if field.is_none() {
            rest = &[];
        }
        Some(field)
    })
}

fn field<'a>(rest: &mut &'a [u8]) -> Option<(u64, Value<'a>)> {
    let tag = varint(rest)?;
    let value = match tag & 7 {
        0 => Value::Number(varint(rest)?),
        2 => {
            let len = usize::try_from(varint(rest)?).ok()?;
            let (bytes, behind) = rest.split_at_checked(len)?;
            *rest = behind;
            Value::Bytes(bytes)
        }
        _ => return None,
    };
    Some((tag >> 3, value))
}

fn varint(rest: &mut &[u8]) -> Option<u64> {
    let mut number = 0_u64;
    for place in 0..MAX_VARINT {
        let (byte, behind) = rest.split_first()?;
        *rest = behind;
        number |= u64::from(byte & 0x7f).checked_shl(u32::try_from(7 * place).ok()?)?;
        if byte & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}
