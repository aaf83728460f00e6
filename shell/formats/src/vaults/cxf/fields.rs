//! From credentials to the fields of a record.

use serde_json::{Map, Value, json};

use super::composite;
use super::credential_types::{self, Shape};
use crate::model::record::{Field, Record, field};
use crate::round_trip::CXF;

pub fn record(
    given: &Map<String, Value>,
    rest: &Map<String, Value>,
    is_linked: bool,
) -> (Record, Vec<String>) {
    let credentials = given.get("credentials").and_then(Value::as_array);
    let credentials: Vec<_> = credentials.into_iter().flatten().collect();
    let mut record = Record::new(kind(&credentials));
    let mut losses = Vec::new();
    let mut skeletons = Vec::new();
    let scope = given.get("scope");
    let urls = scope.and_then(|scope| scope.get("urls")?.as_array());
    let mut urls = urls.into_iter().flatten().filter_map(Value::as_str);
    for (number, credential) in credentials.iter().enumerate() {
        let link = is_linked.then_some(number);
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
        // Addresses follow the fields of the first credential.
        urls.by_ref().for_each(|url| record.push(field::URL, url));
    }
    urls.for_each(|url| record.push(field::URL, url));
    let mut kept = Map::new();
    if !rest.is_empty() {
        kept.insert("item".into(), Value::Object(rest.clone()));
    }
    if is_linked {
        kept.insert("credentials".into(), Value::Array(skeletons));
    }
    record.keep(CXF, kept);
    (record, losses)
}

fn kind(credentials: &[&Value]) -> &'static str {
    let has = |known: &str| {
        credentials
            .iter()
            .any(|one| one.get("type").is_some_and(|own| own == known))
    };
    let known = credential_types::TYPES.iter().find(|known| has(known.name));
    known.map_or("other", |known| known.kind)
}

/// Adds the fields of a credential to the record, and returns the other members.
fn take(
    mut credential: Map<String, Value>,
    link: Option<usize>,
    record: &mut Record,
) -> Map<String, Value> {
    let kind = credential.get("type").and_then(Value::as_str);
    let kind = kind.unwrap_or_default().to_owned();
    match kind.as_str() {
        credential_types::TOTP => {
            let value = composite::take_totp(&mut credential);
            add_special(record, link, field::TOTP, value);
        }
        credential_types::PASSKEY => {
            let value = composite::take_passkey(&mut credential);
            add_special(record, link, field::PASSKEY, value);
        }
        credential_types::SSH_KEY => {
            let (key, stated) = composite::take_ssh_key(&mut credential).unzip();
            add_special(record, link, field::PRIVATE_KEY, key);
            if let Some(stated) = stated.flatten() {
                add(record, link, ("keyType", stated), ("keyType", None));
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

/// Adds the field that a whole credential is.
fn add_special(record: &mut Record, link: Option<usize>, name: &str, value: Option<String>) {
    if let Some(value) = value {
        add(record, link, (name, value), ("", None));
    }
}

/// Adds a field, which notes its member and the rest of the member.
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
    let section = section.filter(|section| !section.is_empty());
    let section = section.map(str::to_owned);
    let Some(Value::Array(fields)) = credential.get_mut("fields") else {
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
    let text = |key: &str| rest.get(key).and_then(Value::as_str);
    let kind = text("fieldType").unwrap_or(credential_types::STRING);
    let label = text("label").unwrap_or_default();
    let mut field = Field::custom(label, value, kind == credential_types::CONCEALED);
    field.content = credential_types::content(kind).map(str::to_owned);
    if let Some(number) = link {
        rest.remove("label");
        let link = json!({"in": number, "as": "fields", "rest": rest});
        field.other.insert(CXF.into(), link);
    }
    Some(field)
}
