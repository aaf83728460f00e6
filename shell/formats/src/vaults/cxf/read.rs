//! Items on their way in.

use std::collections::HashMap;
use std::time::Duration;

use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::{Map, Value, json};
use shared::secret::SecretBytes;

use super::credential_types::{self, Shape};
use super::{composite, write};
use crate::format::{FormatError, Incoming, Item, Loss, Sink, Source};
use crate::input::json_stream::{each, each_outline};
use crate::model::record::{Field, Record, field};
use crate::names;
use crate::round_trip::{self, COPY, CXF, ExactCopy};

/// The version that is read.
const MAJOR: u64 = 1;
/// Most credentials of an item.
const MAX_CREDENTIALS: usize = 10_000;
/// Members of items that have a place here.
const KNOWN: [&str; 7] = [
    "title",
    "modifiedAt",
    "creationAt",
    "favorite",
    "tags",
    "scope",
    "credentials",
];

/// What of an account is read before its items: what parts these in folders.
#[derive(Deserialize)]
struct Account {
    id: Option<String>,
    username: Option<String>,
    email: Option<String>,
    collections: Option<Vec<Collection>>,
    items: Option<Vec<Counted>>,
    extensions: Option<Vec<IgnoredAny>>,
    /// What has no place here.
    #[serde(flatten)]
    others: Map<String, Value>,
}

/// An item, of which only that there is one is read.
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
struct Folders {
    by_item: HashMap<(usize, String), Vec<String>>,
    /// With more than one account each is a folder of its own; and how many items it has.
    accounts: Vec<(Option<String>, usize)>,
    losses: Vec<Loss>,
}

/// Reads all items.
///
/// # Errors
/// [`FormatError`]: another version, or another shape; those of `sink`.
pub fn all(source: &Source, sink: &mut Sink<'_>) -> Result<(), FormatError> {
    let mut has_version = false;
    let path = ["version", "major"];
    each(source.reader()?, &path, &mut |major: u64| {
        has_version = true;
        if major == MAJOR {
            return Ok(());
        }
        let text =
            format!("the file is version {major} of CXF, but this program reads version {MAJOR}");
        Err(FormatError::unsupported(text))
    })?;
    if !has_version {
        return Err(FormatError::malformed(
            "the file does not state its version of CXF",
        ));
    }
    let folders = Folders::read(source)?;
    for loss in &folders.losses {
        sink(Incoming::Lost(loss.clone()))?;
    }
    // The account of each item, in the order of the file.
    let accounts = folders.accounts.iter().enumerate();
    let mut accounts =
        accounts.flat_map(|(number, (_, items))| std::iter::repeat_n(number, *items));
    let path = ["accounts", "*", "items", "*"];
    each(source.reader()?, &path, &mut |item: Map<String, Value>| {
        let account = accounts.next().unwrap_or_default();
        let id = item.get("id").and_then(Value::as_str).unwrap_or_default();
        let (folder, others) = folders.of(account, id);
        let credentials = item.get("credentials").and_then(Value::as_array);
        if credentials.is_some_and(|all| all.len() > MAX_CREDENTIALS) {
            let title = item.get("title").and_then(Value::as_str);
            let name = names::joined(&folder, title.unwrap_or_default());
            let text = format!("it has more than {MAX_CREDENTIALS} credentials");
            return sink(Incoming::Lost(Loss::new(name, text)));
        }
        let mut read = item_in(&folder, &item);
        for other in others {
            read.losses
                .push(format!("its place in the folder `{other}` as well"));
        }
        sink(Incoming::Item(Box::new(read)))
    })
}

impl Folders {
    fn read(source: &Source) -> Result<Self, FormatError> {
        let mut accounts: Vec<Account> = Vec::new();
        each_outline(source.reader()?, &["accounts", "*"], &mut |account| {
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
            if account
                .extensions
                .is_some_and(|extensions| !extensions.is_empty())
            {
                folders
                    .losses
                    .push(Loss::new(&name, "extensions of the account"));
            }
            for (key, value) in &account.others {
                if !value.is_null() {
                    let text = format!("the account's `{key}`");
                    folders.losses.push(Loss::new(&name, text));
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

    // As deep as JSON nests: at most 128 levels.
    fn add(&mut self, collection: Collection, above: &str, account_of: &dyn Fn(&Linked) -> usize) {
        let folder = names::joined(above, &collection.title);
        if collection
            .subtitle
            .is_some_and(|subtitle| !subtitle.is_empty())
        {
            self.losses
                .push(Loss::new(&folder, "the subtitle of the collection"));
        }
        if collection
            .extensions
            .is_some_and(|extensions| !extensions.is_empty())
        {
            self.losses
                .push(Loss::new(&folder, "extensions of the collection"));
        }
        let items = collection.items.unwrap_or_default();
        let inner = collection.sub_collections.unwrap_or_default();
        if items.is_empty() && inner.is_empty() {
            let text = "the collection, which has nothing in it";
            self.losses.push(Loss::new(&folder, text));
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
    fn of(&self, account: usize, id: &str) -> (String, &[String]) {
        let own = self.by_item.get(&(account, id.to_owned()));
        let own = own.map_or(&[][..], Vec::as_slice);
        let (first, others) = match own.split_first() {
            Some((first, others)) => (first.as_str(), others),
            None => ("", own),
        };
        let account = self.accounts.get(account);
        let folder = match account.and_then(|(folder, _)| folder.as_ref()) {
            Some(account) if first.is_empty() => account.clone(),
            Some(account) => format!("{account}/{first}"),
            None => first.to_owned(),
        };
        (folder, others)
    }
}

/// How much of an item is kept beside its fields.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Keep {
    Nothing,
    /// Members of the item itself.
    Item,
    /// Also which field was which member.
    All,
}

/// An item of a collection: as plainly as it can be without losing anything.
pub fn item_in(folder: &str, given: &Map<String, Value>) -> Item {
    let (given, ours) = without_ours(given);
    if let Some(item) = ours.and_then(|ours| exact(folder, &given, &ours)) {
        return item;
    }
    for keep in [Keep::Nothing, Keep::Item] {
        let item = item(folder, &given, keep);
        if write::compose(&item) == given {
            return item;
        }
    }
    let mut item = item(folder, &given, Keep::All);
    let lost = lost(&given, &write::compose(&item));
    item.losses.extend(lost);
    item
}

/// Members of an item that would not go out again as they were given.
fn lost(given: &Map<String, Value>, again: &Map<String, Value>) -> Vec<String> {
    let differing = given.iter().filter(|(key, value)| match again.get(*key) {
        Some(again) => ordered(again) != ordered(value),
        None => !value.is_null(),
    });
    let text = |key: &String| format!("`{key}` as the file has it: not all of it has a place here");
    differing.map(|(key, _)| text(key)).collect()
}

/// A member without the order of fields, of which what nobody knows comes first on the way out, and with the list of
/// addresses that a scope must have.
fn ordered(value: &Value) -> Value {
    let mut value = value.clone();
    if let Some(scope) = value.as_object_mut() {
        scope.entry("urls").or_insert_with(|| json!([]));
    }
    for credential in value.as_array_mut().into_iter().flatten() {
        let fields = credential.get_mut("fields").and_then(Value::as_array_mut);
        if let Some(fields) = fields {
            fields.sort_by_cached_key(Value::to_string);
        }
    }
    value
}

/// The item without our extension, and what that says.
fn without_ours(given: &Map<String, Value>) -> (Map<String, Value>, Option<Value>) {
    let mut given = given.clone();
    let is_ours = |one: &Value| one.get("name").and_then(Value::as_str) == Some(COPY);
    let extensions = given.get_mut("extensions").and_then(Value::as_array_mut);
    let Some(extensions) = extensions else {
        return (given, None);
    };
    let place = extensions.iter().position(is_ours);
    let ours = place.map(|place| extensions.remove(place));
    if extensions.is_empty() && ours.is_some() {
        given.remove("extensions");
    }
    (given, ours)
}

/// The item of the exact copy, if the rest is as composed from it.
fn exact(folder: &str, given: &Map<String, Value>, copy: &Value) -> Option<Item> {
    let copy = ExactCopy::deserialize(copy).ok()?;
    let mut item = item(folder, given, Keep::Nothing);
    item.content_type = copy.content_type;
    item.note = copy.note;
    item.versions.first_mut()?.value = copy.value.0;
    // The time of creation belongs to an earlier version, which the file does not have.
    let without_time = |mut given: Map<String, Value>| {
        given.remove("creationAt");
        given
    };
    round_trip::accept(item, &without_time(given.clone()), |item| {
        without_time(write::compose(item))
    })
}

fn item(folder: &str, given: &Map<String, Value>, keep: Keep) -> Item {
    let text = |key: &str| given.get(key).and_then(Value::as_str);
    let time = |key: &str| {
        let stated = given.get(key)?;
        // Whole seconds, but not in the files of all.
        let since = stated.as_u64().map(Duration::from_secs);
        let since = since.or_else(|| Duration::try_from_secs_f64(stated.as_f64()?).ok())?;
        u64::try_from(since.as_millis()).ok()
    };
    let modified = time("modifiedAt").or_else(|| time("creationAt"));
    let name = names::joined(folder, text("title").unwrap_or_default());
    let rest = match keep {
        Keep::Nothing => Map::new(),
        Keep::Item | Keep::All => rest(given, &name),
    };
    let mut read =
        match bare(given).filter(|_| keep != Keep::All && round_trip::fits_in_metadata(&rest)) {
            Some(Bare::Note(note)) => Item::text(&name, note, modified),
            Some(Bare::Password(password)) => {
                let value = SecretBytes::from(password.as_bytes());
                Item::plain(&name, value, modified)
            }
            None => {
                let (record, losses) = record(given, &rest, keep);
                let mut item = Item::record(&name, &record, modified);
                item.losses = losses;
                item
            }
        };
    if !read.is_record() {
        round_trip::keep_in_metadata(&mut read, CXF, &rest);
    }
    let tags = given.get("tags").and_then(Value::as_array);
    let tags = tags.into_iter().flatten().filter_map(Value::as_str);
    read.tags = tags.map(str::to_owned).collect();
    if given.get("favorite").and_then(Value::as_bool) == Some(true) {
        read.mark_favourite();
    }
    read
}

/// What of an item is nowhere else.
fn rest(given: &Map<String, Value>, name: &str) -> Map<String, Value> {
    let mut rest = given.clone();
    rest.retain(|key, _| !KNOWN.contains(&key.as_str()));
    if let Some(created) = given.get("creationAt") {
        rest.insert("creationAt".into(), created.clone());
    }
    // What says nothing stays as it is.
    let is_nothing = |value: &Value| match value {
        Value::Array(list) => list.is_empty(),
        Value::Bool(is_so) => !is_so,
        _ => value.is_null(),
    };
    for key in ["favorite", "tags"] {
        if let Some(value) = given.get(key).filter(|value| is_nothing(value)) {
            rest.insert(key.into(), value.clone());
        }
    }
    if let Some(title) = given.get("title")
        && title.as_str() != Some(&*write::title(name))
    {
        // Counts as long as the item has the name that it came with.
        rest.insert("title".into(), json!([title, name]));
    }
    if let Some(scope) = given.get("scope").and_then(Value::as_object) {
        let mut scope = scope.clone();
        scope.remove("urls");
        rest.insert("scope".into(), Value::Object(scope));
    }
    rest
}

/// The value of an item that has no fields.
enum Bare<'a> {
    Note(&'a str),
    Password(&'a str),
}

fn bare(given: &Map<String, Value>) -> Option<Bare<'_>> {
    let [Value::Object(credential)] = given.get("credentials")?.as_array()?.as_slice() else {
        return None;
    };
    if credential.len() != 2 || given.contains_key("scope") {
        return None;
    }
    match credential.get("type")?.as_str()? {
        credential_types::GENERATED => Some(Bare::Password(credential.get("password")?.as_str()?)),
        credential_types::NOTE => {
            let content = credential.get("content")?.as_object()?;
            let is_plain =
                content.len() == 2 && content.get("fieldType")? == credential_types::STRING;
            let text = content.get("value")?.as_str()?;
            is_plain.then_some(Bare::Note(text))
        }
        _ => None,
    }
}

fn record(
    given: &Map<String, Value>,
    rest: &Map<String, Value>,
    keep: Keep,
) -> (Record, Vec<String>) {
    let credentials = given.get("credentials").and_then(Value::as_array);
    let credentials: Vec<_> = credentials.into_iter().flatten().collect();
    let mut record = Record::new(kind(&credentials));
    let mut losses = Vec::new();
    let mut skeletons = Vec::new();
    let urls = given
        .get("scope")
        .and_then(|scope| scope.get("urls")?.as_array());
    let mut urls: Vec<_> = urls
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect();
    for (number, credential) in credentials.iter().enumerate() {
        let link = (keep == Keep::All).then_some(number);
        let skeleton = match credential {
            Value::Object(credential) => {
                let name = credential.get("name").and_then(Value::as_str);
                if credential.get("type").and_then(Value::as_str) == Some("file") {
                    let name = name.unwrap_or("?");
                    losses.push(format!("the file `{name}`, which is not in the JSON"));
                }
                Value::Object(take(credential.clone(), link, &mut record))
            }
            other => (*other).clone(),
        };
        skeletons.push(skeleton);
        // Behind what one logs in with.
        for url in urls.drain(..) {
            record.push(field::URL, url);
        }
    }
    for url in urls {
        record.push(field::URL, url);
    }
    let mut kept = Map::new();
    if !rest.is_empty() {
        kept.insert("item".into(), Value::Object(rest.clone()));
    }
    if keep == Keep::All {
        kept.insert("credentials".into(), Value::Array(skeletons));
    }
    record.keep(CXF, kept);
    (record, losses)
}

fn kind(credentials: &[&Value]) -> &'static str {
    let types = credentials
        .iter()
        .filter_map(|one| one.get("type")?.as_str());
    let types: Vec<_> = types.collect();
    let known = credential_types::TYPES
        .iter()
        .find(|known| types.contains(&known.name));
    known.map_or("other", |known| known.kind)
}

/// Takes the fields of a credential, and returns what is left of it.
fn take(
    mut credential: Map<String, Value>,
    link: Option<usize>,
    record: &mut Record,
) -> Map<String, Value> {
    let kind = credential.get("type").and_then(Value::as_str);
    let kind = kind.unwrap_or_default().to_owned();
    match kind.as_str() {
        credential_types::TOTP => {
            if let Some(value) = composite::take_totp(&mut credential) {
                add(record, link, (field::TOTP, value), ("", None));
            }
        }
        credential_types::PASSKEY => {
            if let Some(value) = composite::take_passkey(&mut credential) {
                add(record, link, (field::PASSKEY, value), ("", None));
            }
        }
        credential_types::SSH_KEY => {
            if let Some((key, stated)) = composite::take_ssh_key(&mut credential) {
                add(record, link, (field::PRIVATE_KEY, key), ("", None));
                if let Some(stated) = stated {
                    add(record, link, ("keyType", stated), ("keyType", None));
                }
            }
        }
        credential_types::CUSTOM => {
            take_customs(&mut credential, link, record);
            return credential;
        }
        _ => {}
    }
    let members = credential_types::named(&kind).map_or(&[][..], |known| known.members);
    for member in members {
        let given = credential.get(member.name);
        let Some((value, rest)) = given.and_then(|given| value_of(given, member.shape)) else {
            continue;
        };
        // An empty field would not be one here.
        if value.is_empty() {
            continue;
        }
        credential.remove(member.name);
        let new = add(record, link, (member.field, value), (member.name, rest));
        if let Some(new) = new {
            new.hidden |= member.shape == Shape::Editable(credential_types::CONCEALED);
        }
    }
    credential
}

/// Adds a field, which notes what member it was and what else that said.
fn add<'a>(
    record: &'a mut Record,
    link: Option<usize>,
    (name, value): (&str, String),
    (member, rest): (&str, Option<Value>),
) -> Option<&'a mut Field> {
    let before = record.fields.len();
    record.push(name, value);
    let new = record.fields.get_mut(before)?;
    if let Some(number) = link {
        let link = json!({"in": number, "as": member, "rest": rest});
        new.other.insert(CXF.into(), link);
    }
    Some(new)
}

/// The value of a member, and what else it says. Apple's programs write texts where the standard has editable fields.
fn value_of(given: &Value, shape: Shape) -> Option<(String, Option<Value>)> {
    match (given, shape) {
        (Value::String(text), Shape::Text) => Some((text.clone(), None)),
        (Value::String(text), Shape::Editable(_)) => Some((text.clone(), Some(json!(false)))),
        (Value::Object(editable), Shape::Editable(kind)) => {
            let mut rest = editable.clone();
            let value = rest.remove("value")?.as_str()?.to_owned();
            let is_usual = rest.get("fieldType").and_then(Value::as_str) == Some(kind);
            if is_usual {
                rest.remove("fieldType");
            }
            let rest = (!rest.is_empty() || !is_usual).then_some(Value::Object(rest));
            Some((value, rest))
        }
        _ => None,
    }
}

fn take_customs(credential: &mut Map<String, Value>, link: Option<usize>, record: &mut Record) {
    let section = credential.get("label").and_then(Value::as_str);
    let section = section
        .filter(|section| !section.is_empty())
        .map(str::to_owned);
    let fields = credential.get_mut("fields").and_then(Value::as_array_mut);
    let Some(fields) = fields else {
        return;
    };
    fields.retain(|given| {
        let Some(mut field) = custom(given, link) else {
            return true;
        };
        field.section.clone_from(&section);
        record.fields.push(field);
        false
    });
}

fn custom(given: &Value, link: Option<usize>) -> Option<Field> {
    let mut rest = given.as_object()?.clone();
    let value = rest.remove("value")?.as_str()?.to_owned();
    let kind = rest
        .get("fieldType")
        .and_then(Value::as_str)
        .unwrap_or(credential_types::STRING);
    let label = rest
        .get("label")
        .and_then(Value::as_str)
        .unwrap_or_default();
    let mut field = Field::custom(label, value, kind == credential_types::CONCEALED);
    field.content = credential_types::content(kind).map(str::to_owned);
    if let Some(number) = link {
        rest.remove("label");
        let link = json!({"in": number, "as": "fields", "rest": rest});
        field.other.insert(CXF.into(), link);
    }
    Some(field)
}
