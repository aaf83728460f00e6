//! Fields of sections: each has a value that is an object with one member, whose name says what it is.

use serde_json::{Value, json};

use super::categories;
use super::item::{Place, Reading, Wanted};
use crate::model::record::{Field, field};
use crate::round_trip::{self, ONEPUX};
use crate::vaults::members::{self, Object, is_blank, take_each, take_object, take_text};

/// The position of a field, which the order of fields states as well.
const PLACE: &str = "indexAtSource";
/// The type of a field whose value is not text.
const JSON: &str = "json";

/// The section of a field.
pub struct Heading {
    title: Option<String>,
    name: Option<String>,
}

/// A value with the properties of its field.
struct Given {
    text: String,
    hidden: bool,
    content: Option<&'static str>,
    /// The well-known name of every field with such a value.
    agreed: Option<&'static str>,
}

impl Given {
    fn text(text: String) -> Self {
        Self {
            text,
            hidden: false,
            content: None,
            agreed: None,
        }
    }

    fn of(text: String, content: &'static str) -> Self {
        Self {
            content: Some(content),
            ..Self::text(text)
        }
    }

    fn hidden(self) -> Self {
        Self {
            hidden: true,
            ..self
        }
    }
}

/// The members of a field beside its value.
struct Left<'a> {
    heading: &'a Heading,
    title: String,
    id: String,
    rest: Object,
}

impl Left<'_> {
    /// The name that the owner gave.
    fn own(&self) -> &str {
        if self.title.trim().is_empty() {
            &self.id
        } else {
            &self.title
        }
    }
}

impl Reading {
    /// Takes the fields of a section, and returns what is left of it.
    pub fn section(&mut self, mut section: Object) -> Object {
        let filled = |text: Option<String>| text.filter(|text| !text.is_empty());
        let heading = Heading {
            title: filled(take_text(&mut section, "title")),
            name: filled(take_text(&mut section, "name")),
        };
        take_each(&mut section, "fields", |one| match one {
            Value::Object(one) => {
                self.field(&heading, one);
                None
            }
            other => Some(other),
        });
        section.remove("hideAddAnotherField");
        section.retain(|_, value| !is_blank(value));
        section
    }

    fn field(&mut self, heading: &Heading, mut one: Object) {
        let value = one.remove("value").unwrap_or_default();
        let mut left = Left {
            heading,
            title: take_text(&mut one, "title").unwrap_or_default(),
            id: take_text(&mut one, "id").unwrap_or_default(),
            rest: one,
        };
        left.rest.remove(PLACE);
        left.rest
            .retain(|key, value| !is_blank(value) && usual(key).as_ref() != Some(value));
        match value {
            Value::Object(value) if value.len() == 1 => {
                if let Some((kind, value)) = value.into_iter().next() {
                    self.single(&kind, value, left);
                }
            }
            Value::String(text) => self.add(Given::text(text), left),
            blank if is_blank(&blank) => {}
            other => self.add(Given::of(other.to_string(), JSON).hidden(), left),
        }
    }

    fn single(&mut self, kind: &str, value: Value, mut left: Left<'_>) {
        if is_blank(&value) {
            return;
        }
        let given = match (kind, value) {
            ("file", Value::Object(file)) => return self.file(file),
            ("sshKey", Value::Object(key)) => return self.ssh_key(key, left),
            ("address", Value::Object(address)) => return self.address(address, left),
            ("email", Value::Object(email)) => self::email(email, &mut left.rest),
            ("totp", Value::String(text)) => Given {
                agreed: Some(field::TOTP),
                ..Given::text(text).hidden()
            },
            ("date", Value::Number(number)) => {
                let date = number.as_i64().and_then(members::date);
                Given::of(date.unwrap_or_else(|| number.to_string()), "date")
            }
            ("monthYear", Value::Number(number)) => {
                let month = number.as_u64().and_then(members::month);
                Given::of(month.unwrap_or_else(|| number.to_string()), "month")
            }
            ("concealed" | "creditCardNumber", Value::String(text)) => Given::text(text).hidden(),
            ("email", Value::String(text)) => Given::of(text, "email"),
            ("reference", Value::String(text)) => Given::of(text, "reference"),
            ("url", Value::String(text)) => Given::of(text, "url"),
            ("string" | "phone" | "menu" | "gender" | "creditCardType", Value::String(text)) => {
                Given::text(text)
            }
            // Values of newer versions are kept as they are, hidden.
            (kind, other) => {
                left.rest.insert("type".into(), kind.into());
                let content = if other.is_string() { None } else { Some(JSON) };
                let text = members::text(other);
                Given {
                    content,
                    ..Given::text(text).hidden()
                }
            }
        };
        self.add(given, left);
    }

    /// Adds a field under its well-known name, or else as a field of the owner.
    fn add(&mut self, given: Given, left: Left<'_>) {
        if given.text.is_empty() {
            return;
        }
        let agreed = given
            .agreed
            .or_else(|| categories::agreed(&self.category, &left.id));
        let own = left.own().to_owned();
        let is_date = matches!(given.content, Some("date" | "month" | JSON));
        let content = given.content.filter(|_| agreed.is_none() || is_date);
        let mut other = Object::new();
        let mut beside = |key: &str, value: &str| {
            if !value.is_empty() {
                other.insert(key.to_owned(), value.into());
            }
        };
        if agreed.is_some() && agreed != Some(&*left.title) {
            beside("title", &left.title);
        }
        if left.id != own {
            beside("id", &left.id);
        }
        beside("section", left.heading.name.as_deref().unwrap_or_default());
        other.extend(left.rest);
        self.record.fields.push(Field {
            name: agreed.map_or(own, str::to_owned),
            value: given.text,
            hidden: given.hidden,
            custom: agreed.is_none(),
            content: content.map(str::to_owned),
            section: left.heading.title.clone(),
            other: round_trip::prefixed(ONEPUX, other),
        });
    }

    /// A key of SSH: the program writes it in one form beside the others, and in forms that differ above that.
    fn ssh_key(&mut self, mut key: Object, left: Left<'_>) {
        let mut metadata = take_object(&mut key, "metadata");
        let above = take_text(&mut key, "privateKey");
        let private = take_text(&mut metadata, "privateKey").or(above);
        self.record
            .push(field::PRIVATE_KEY, private.unwrap_or_default());
        for (member, name) in [
            ("publicKey", field::PUBLIC_KEY),
            ("fingerprint", field::FINGERPRINT),
            ("keyType", "keyType"),
        ] {
            let text = take_text(&mut metadata, member);
            self.record.push(name, text.unwrap_or_default());
        }
        key.extend(metadata);
        key.retain(|_, value| !is_blank(value));
        if !key.is_empty() {
            let given = Given::of(Value::Object(key).to_string(), JSON).hidden();
            self.add(given, left);
        }
    }

    /// The parts of an address are fields of their own.
    fn address(&mut self, address: Object, left: Left<'_>) {
        let is_own = self.category == categories::IDENTITY && left.id == "address";
        for (part, value) in address {
            if is_blank(&value) {
                continue;
            }
            let agreed = categories::part_of_address(&part).filter(|_| is_own);
            let own = format!("{} {part}", left.own());
            let content = (!value.is_string()).then(|| JSON.to_owned());
            self.record.fields.push(Field {
                name: agreed.map_or(own, str::to_owned),
                value: members::text(value),
                custom: agreed.is_none(),
                content,
                section: left.heading.title.clone(),
                ..Field::default()
            });
        }
    }

    /// Notes a file that is in the zip.
    pub fn file(&mut self, mut file: Object) {
        let name = take_text(&mut file, "fileName").filter(|name| !name.is_empty());
        let id = take_text(&mut file, "documentId").unwrap_or_default();
        self.files.push(Wanted {
            name: name.unwrap_or_else(|| "file".into()),
            place: Place::Id(id),
        });
    }
}

/// The default of a member that states how the program shows a field.
fn usual(key: &str) -> Option<Value> {
    match key {
        "guarded" | "multiline" | "dontGenerate" => Some(json!(false)),
        "inputTraits" => Some(
            json!({"keyboard": "default", "correction": "default", "capitalization": "default"}),
        ),
        _ => None,
    }
}

/// An email address; the provider stays in `rest`.
fn email(mut email: Object, rest: &mut Object) -> Given {
    let address = take_text(&mut email, "email_address").unwrap_or_default();
    email.retain(|_, value| !is_blank(value));
    rest.extend(email);
    Given::of(address, "email")
}
