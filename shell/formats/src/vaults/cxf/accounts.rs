//! Accounts and collections: the folders of items.

use std::collections::HashMap;

use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::{Map, Value};

use crate::format::{FormatError, Loss, Source};
use crate::input::json_stream::each_outline;
use crate::names;

/// The members of an account that are read before its items: those that state the folders.
#[derive(Deserialize)]
struct Account {
    id: Option<String>,
    username: Option<String>,
    email: Option<String>,
    collections: Option<Vec<Collection>>,
    items: Option<Vec<Counted>>,
    extensions: Option<Vec<IgnoredAny>>,
    /// Members that are not imported.
    #[serde(flatten)]
    others: Map<String, Value>,
}

/// An item that is only counted.
#[derive(Deserialize)]
struct Counted {}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Collection {
    #[serde(default)]
    title: String,
    subtitle: Option<String>,
    items: Option<Vec<Linked>>,
    sub_collections: Option<Vec<Collection>>,
    extensions: Option<Vec<IgnoredAny>>,
}

#[derive(Deserialize)]
struct Linked {
    item: String,
    /// The account that it is in, if it is another than the collection's.
    account: Option<String>,
}

/// Folders by the account and the id of an item: ids of two accounts may be the same.
#[derive(Default)]
pub struct Folders {
    by_item: HashMap<(usize, String), Vec<String>>,
    /// With more than one account each is a folder of its own; and how many items it has.
    pub accounts: Vec<(Option<String>, usize)>,
    pub losses: Vec<Loss>,
}

impl Folders {
    pub fn read(source: &Source) -> Result<Self, FormatError> {
        let mut accounts: Vec<Account> = Vec::new();
        each_outline(source.text()?, &["accounts", "*"], &mut |account| {
            accounts.push(account);
            Ok(())
        })?;
        let mut folders = Self::default();
        let many = accounts.len() > 1;
        let ids = accounts.iter().enumerate();
        let ids = ids.filter_map(|(number, account)| Some((account.id.clone()?, number)));
        let ids: HashMap<String, usize> = ids.collect();
        for (number, account) in accounts.into_iter().enumerate() {
            let mut name = [account.username, account.email].into_iter().flatten();
            let name = name.find(|name| !name.is_empty());
            let name = name.unwrap_or_else(|| "account".into());
            if !account.extensions.unwrap_or_default().is_empty() {
                folders.lose(&name, "extensions of the account");
            }
            for (key, value) in &account.others {
                if !value.is_null() {
                    folders.lose(&name, format!("the account's `{key}`"));
                }
            }
            let account_of = |linked: &Linked| {
                let other = linked.account.as_ref().and_then(|id| ids.get(id));
                other.copied().unwrap_or(number)
            };
            for collection in account.collections.unwrap_or_default() {
                folders.add(collection, "", &account_of);
            }
            let items = account.items.unwrap_or_default().len();
            let folder = many.then(|| names::component(&name));
            folders.accounts.push((folder, items));
        }
        Ok(folders)
    }

    fn lose(&mut self, folder: &str, what: impl Into<String>) {
        self.losses.push(Loss::new(folder, what));
    }

    // The recursion is as deep as JSON nests: at most 128 levels.
    fn add(&mut self, collection: Collection, above: &str, account_of: &dyn Fn(&Linked) -> usize) {
        let folder = names::joined(above, &collection.title);
        if !collection.subtitle.unwrap_or_default().is_empty() {
            self.lose(&folder, "the subtitle of the collection");
        }
        if !collection.extensions.unwrap_or_default().is_empty() {
            self.lose(&folder, "extensions of the collection");
        }
        let items = collection.items.unwrap_or_default();
        let inner = collection.sub_collections.unwrap_or_default();
        if items.is_empty() && inner.is_empty() {
            self.lose(&folder, "the collection, which has nothing in it");
        }
        for linked in items {
            let key = (account_of(&linked), linked.item);
            self.by_item.entry(key).or_default().push(folder.clone());
        }
        for inner in inner {
            self.add(inner, &folder, account_of);
        }
    }

    /// The folder of an item, and others that it is in as well.
    pub fn of(&self, account: usize, id: &str) -> (String, &[String]) {
        let own = self.by_item.get(&(account, id.to_owned()));
        let own = own.and_then(|own| own.split_first());
        let (first, others) = own.map_or(("", &[][..]), |(first, others)| (first, others));
        let account = self.accounts.get(account);
        let folder = match account.and_then(|(folder, _)| folder.as_ref()) {
            Some(account) if first.is_empty() => account.clone(),
            Some(account) => format!("{account}/{first}"),
            None => first.to_owned(),
        };
        (folder, others)
    }
}
