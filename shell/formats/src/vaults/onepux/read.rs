//! All items of an export, one at a time.

use serde::de::{Error as _, IgnoredAny, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::Value;

use super::item::{self, Place, Wanted};
use super::{ATTRIBUTES, DATA, FILES};
use crate::format::{FormatError, Incoming, Sink, Source};
use crate::input::archive::{Archive, Data, Found, MAX_ITEM};
use crate::model::item::{Item, Loss};
use crate::names;

/// The separator of the id and the name of a file; some versions write one more underscore.
const BEHIND_ID: &str = "__";
/// Most vaults, and most accounts.
const MAX_VAULTS: usize = 10_000;

/// The members of an account that are read before its items.
#[derive(Deserialize)]
struct Account {
    attrs: Option<Attributes>,
    vaults: Option<Few<Vault>>,
}

#[derive(Deserialize)]
struct Vault {
    attrs: Option<Attributes>,
    /// The items, of which only the number is read.
    items: Option<Vec<IgnoredAny>>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct Attributes {
    name: Option<String>,
    account_name: Option<String>,
    email: Option<String>,
    desc: Option<String>,
}

impl Attributes {
    fn name(self, otherwise: &str) -> String {
        let mut names = [self.name, self.account_name, self.email]
            .into_iter()
            .flatten();
        let name = names.find(|name| !name.trim().is_empty());
        name.unwrap_or_else(|| otherwise.to_owned())
    }
}

/// A list of at most [`MAX_VAULTS`] elements.
struct Few<T>(Vec<T>);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Few<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Elements<T>(Vec<T>);

        impl<'de, T: Deserialize<'de>> Visitor<'de> for Elements<T> {
            type Value = Few<T>;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a list")
            }

            fn visit_seq<A: SeqAccess<'de>>(mut self, mut list: A) -> Result<Few<T>, A::Error> {
                while let Some(element) = list.next_element()? {
                    self.0.push(element);
                    if self.0.len() > MAX_VAULTS {
                        return Err(A::Error::custom("the export has too many vaults"));
                    }
                }
                Ok(Few(self.0))
            }
        }
        deserializer.deserialize_seq(Elements(Vec::new()))
    }
}

/// Reads all items.
///
/// # Errors
/// [`FormatError`]: no such zip, another shape, too much inside; those of `sink`.
pub fn all(source: &Source, sink: &mut Sink<'_>) -> Result<(), FormatError> {
    let mut files = Archive::open(source)?;
    let data = files.data(DATA)?;
    files.skip(ATTRIBUTES);
    let mut folders = folders(&data, sink)?.into_iter();
    let mut folder = (String::new(), 0);
    let path = ["accounts", "*", "vaults", "*", "items", "*"];
    data.each(&path, MAX_ITEM, &mut |given: Value| {
        while folder.1 == 0 {
            let next = folders.next();
            folder = next.ok_or_else(|| {
                FormatError::malformed("the vaults of the export do not match its items")
            })?;
        }
        folder.1 -= 1;
        let Value::Object(given) = given else {
            let loss = Loss::new(&folder.0, "an item that is none");
            return sink(Incoming::Lost(loss));
        };
        match item::item(&folder.0, given) {
            Err(loss) => sink(Incoming::Lost(loss)),
            Ok((mut item, wanted)) => {
                attach(&mut item, wanted, &mut files)?;
                sink(Incoming::Item(Box::new(item)))
            }
        }
    })?;
    for name in files.left() {
        let loss = Loss::new(name, "a file of no item that comes in");
        sink(Incoming::Lost(loss))?;
    }
    Ok(())
}

/// The folders of all vaults in the order of the file, each with its number of items.
fn folders(data: &Data<'_>, sink: &mut Sink<'_>) -> Result<Vec<(String, usize)>, FormatError> {
    let mut accounts: Vec<Account> = Vec::new();
    data.each(&["accounts", "*"], u64::MAX, &mut |account| {
        accounts.push(account);
        let what = "the export has too many accounts";
        FormatError::check_size(what, accounts.len(), MAX_VAULTS, "accounts")
    })?;
    let vaults = |account: &Account| account.vaults.as_ref().map_or(0, |vaults| vaults.0.len());
    let has_accounts = accounts.len() > 1;
    let has_vaults = has_accounts || accounts.iter().map(vaults).sum::<usize>() > 1;
    let mut folders = Vec::new();
    for account in accounts {
        let name = account.attrs.unwrap_or_default().name("account");
        let above = if has_accounts {
            names::component(&name)
        } else {
            String::new()
        };
        for vault in account.vaults.into_iter().flat_map(|vaults| vaults.0) {
            let mut attributes = vault.attrs.unwrap_or_default();
            let description = attributes.desc.take().unwrap_or_default();
            let name = attributes.name("vault");
            if !description.is_empty() {
                let loss = Loss::new(&name, "the description of the vault");
                sink(Incoming::Lost(loss))?;
            }
            let folder = if has_vaults {
                names::joined(&above, &name)
            } else {
                String::new()
            };
            folders.push((folder, vault.items.unwrap_or_default().len()));
        }
    }
    Ok(folders)
}

/// Attaches files to an item.
fn attach(
    item: &mut Item,
    wanted: Vec<Wanted>,
    files: &mut Archive<'_>,
) -> Result<(), FormatError> {
    for Wanted { name, place } in wanted {
        let found = match entry(files, &place) {
            Some(entry) => files.get(&entry)?,
            None => Found::Nothing,
        };
        found.attach(name, item);
    }
    Ok(())
}

/// The name of the entry at a place.
fn entry(files: &Archive<'_>, place: &Place) -> Option<String> {
    match place {
        Place::Id(id) if id.is_empty() => None,
        Place::Id(id) => {
            let prefix = format!("{FILES}{id}{BEHIND_ID}");
            files.under(&prefix).next().map(str::to_owned)
        }
        Place::Path(path) => [path.clone(), format!("{FILES}{path}")]
            .into_iter()
            .find(|name| files.under(name).next() == Some(name)),
    }
}
