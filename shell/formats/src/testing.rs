//! Helpers of the tests of formats.

use std::io::{Cursor, Write as _};

use proptest::prelude::*;
use shared::secret::SecretBytes;
use zeroize::Zeroizing;
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

use crate::ask::{Ask, Choices};
use crate::error::FormatError;
use crate::format::{Incoming, VaultFormat, Written};
use crate::input::source::Source;
use crate::model::item::{Item, Loss, TEXT};
use crate::model::record::{Field, Record, field};

/// Passphrase of the tests that need any.
const PASSPHRASE: &str = "correct horse";

/// Answers every question with the same passphrase.
#[derive(Debug, Default)]
pub struct Answers {
    /// The passphrase; without one it is "correct horse", and none where a file may have none.
    pub passphrase: Option<&'static str>,
    pub choices: Choices,
}

impl Ask for Answers {
    fn passphrase(&self) -> Result<Zeroizing<String>, FormatError> {
        Ok(Zeroizing::new(self.passphrase.unwrap_or(PASSPHRASE).into()))
    }

    fn new_passphrase(&self) -> Result<Zeroizing<String>, FormatError> {
        self.passphrase()
    }

    fn passphrase_if_any(&self) -> Result<Option<Zeroizing<String>>, FormatError> {
        Ok(self.passphrase.map(|text| Zeroizing::new(text.into())))
    }

    fn choices(&self) -> &Choices {
        &self.choices
    }
}

/// All items of a source, and the losses.
pub fn read_all(
    format: &VaultFormat,
    source: &Source,
    answers: &Answers,
) -> Result<(Vec<Item>, Vec<String>), FormatError> {
    let (mut items, mut missing) = (Vec::new(), Vec::new());
    format.read(source, answers, &mut |incoming| {
        match incoming {
            Incoming::Item(item) => items.push(*item),
            Incoming::Lost(loss) => missing.push(loss.to_string()),
        }
        Ok(())
    })?;
    Ok((items, missing))
}

/// As [`read_all`], of a file.
pub fn read_file(
    format: &VaultFormat,
    bytes: &[u8],
) -> Result<(Vec<Item>, Vec<String>), FormatError> {
    let source = Source::memory(SecretBytes::from(bytes), "");
    read_all(format, &source, &Answers::default())
}

/// All items of a file.
pub fn read(format: &VaultFormat, bytes: &[u8]) -> Result<Vec<Item>, FormatError> {
    Ok(read_file(format, bytes)?.0)
}

/// A zip of these entries.
///
/// # Panics
/// For entries of the same name.
#[allow(clippy::unwrap_used)]
pub fn zip(entries: &[(&str, &[u8])]) -> Vec<u8> {
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    let options = SimpleFileOptions::default().compression_method(CompressionMethod::Deflated);
    for (name, content) in entries {
        zip.start_file(*name, options).unwrap();
        zip.write_all(content).unwrap();
    }
    zip.finish().unwrap().into_inner()
}

/// Whether a text is in a name, a field, a tag, a note, a value, an attachment or a loss of these items.
pub fn is_seen(text: &str, (items, losses): &(Vec<Item>, Vec<String>)) -> bool {
    let is_in = |bytes: &[u8]| String::from_utf8_lossy(bytes).contains(text);
    let in_item = |item: &Item| {
        let is_in_fields = |record: &Record| {
            let mut fields = record.fields.iter();
            fields.any(|own| {
                let section = own.section.as_deref().unwrap_or_default();
                [&own.name, &own.value, section]
                    .iter()
                    .any(|part| part.contains(text))
            })
        };
        // What is only kept is in the value as well, but no field shows it.
        let in_versions = item.versions.iter().any(|one| match item.record_of(one) {
            Some(record) => record.kind.contains(text) || is_in_fields(&record),
            None => is_in(one.value.expose()),
        });
        let in_files = item
            .attachments
            .iter()
            .any(|file| file.name.contains(text) || is_in(file.content.expose()));
        let listed = item
            .tags
            .iter()
            .chain(&item.losses)
            .chain([&item.name, &item.note]);
        in_versions || in_files || listed.into_iter().any(|own| own.contains(text))
    };
    items.iter().any(in_item) || losses.iter().any(|loss| loss.contains(text))
}

/// Replaces each text of a JSON document by a marker, one at a time, and checks that it is seen, or that the file is
/// refused, or that the member is listed. Members of these keys are passed over: they state no content.
///
/// # Panics
/// For markers that nothing shows.
#[allow(clippy::unwrap_used)]
pub fn assert_all_texts_seen(
    format: &VaultFormat,
    document: &serde_json::Value,
    technical: &[&str],
) {
    const MARKER: &str = "MARKER-7391";
    let mut pointers = Vec::new();
    texts(document, String::new(), technical, &mut pointers);
    assert!(pointers.len() > 5, "{pointers:?}");
    for pointer in pointers {
        let mut marked = document.clone();
        *marked.pointer_mut(&pointer).unwrap() = MARKER.into();
        let Ok(read) = read_file(format, marked.to_string().as_bytes()) else {
            continue;
        };
        let member = pointer
            .rsplit('/')
            .find(|key| key.parse::<usize>().is_err());
        let losses = read.0.iter().flat_map(|item| &item.losses);
        let is_listed = losses
            .chain(&read.1)
            .any(|loss| loss.contains(member.unwrap_or_default()));
        assert!(
            is_listed || is_seen(MARKER, &read),
            "{}: {pointer}",
            format.name
        );
    }
}

/// The places of the texts of a JSON document, without members of the keys in `technical`.
pub fn texts(value: &serde_json::Value, at: String, technical: &[&str], found: &mut Vec<String>) {
    match value {
        serde_json::Value::String(_) => found.push(at),
        serde_json::Value::Array(list) => {
            for (number, value) in list.iter().enumerate() {
                texts(value, format!("{at}/{number}"), technical, found);
            }
        }
        serde_json::Value::Object(object) => {
            for (key, value) in object
                .iter()
                .filter(|(key, _)| !technical.contains(&key.as_str()))
            {
                texts(value, format!("{at}/{key}"), technical, found);
            }
        }
        _ => {}
    }
}

/// Writes items and reads the output.
pub fn round_trip(
    format: &VaultFormat,
    items: &[Item],
) -> Result<(Vec<Item>, Vec<Loss>), FormatError> {
    let (written, losses) = format.write(items, &Answers::default())?;
    let Written::File(bytes) = written else {
        return Err(FormatError::malformed("it is not a regular file"));
    };
    Ok((read(format, bytes.expose())?, losses))
}

/// The output of a format, as text.
pub fn written(format: &VaultFormat, items: &[Item]) -> String {
    match format.write(items, &Answers::default()) {
        Ok((Written::File(bytes), _)) => String::from_utf8_lossy(bytes.expose()).into_owned(),
        other => format!("no file: {other:?}"),
    }
}

/// Each field with its value and one more property.
pub fn fields<T>(record: &Record, of: impl Fn(&Field) -> T) -> Vec<(&str, &str, T)> {
    let fields = record.fields.iter();
    fields
        .map(|field| (&*field.name, &*field.value, of(field)))
        .collect()
}

/// The fields of logins and notes.
const LOGIN: [&str; 5] = [
    field::USERNAME,
    field::PASSWORD,
    field::URL,
    field::TOTP,
    field::NOTE,
];

/// Fields of logins and notes, well-known fields of other names, and fields of the owner's with names of `custom`.
pub fn any_field(
    others: Vec<&'static str>,
    value: impl Strategy<Value = String>,
    custom: impl Strategy<Value = String>,
) -> impl Strategy<Value = Field> {
    let agreed = prop::sample::select([LOGIN.to_vec(), others].concat());
    (agreed, any::<bool>(), any::<bool>(), custom, value).prop_map(
        |(agreed, is_custom, hidden, custom, value)| {
            if is_custom {
                return Field::custom(custom, value, hidden);
            }
            Field::agreed(agreed, if value.is_empty() { "v".into() } else { value })
        },
    )
}

/// Fields, of which those of the owner's have one of these contents or none.
pub fn with_content(
    field: impl Strategy<Value = Field>,
    contents: Vec<&'static str>,
) -> impl Strategy<Value = Field> {
    let content = prop::option::of(prop::sample::select(contents));
    (field, content).prop_map(|(mut field, content)| {
        field.content = content.filter(|_| field.custom).map(str::to_owned);
        field
    })
}

/// Items without names whose values are records of these kinds and fields.
pub fn any_record<K: Into<String> + std::fmt::Debug>(
    kind: impl Strategy<Value = K>,
    field: impl Strategy<Value = Field>,
) -> impl Strategy<Value = Item> {
    (kind, prop::collection::vec(field, 0..6)).prop_map(|(kind, fields)| {
        let mut record = Record::new(kind);
        record.fields = fields;
        Item::record("", &record, None)
    })
}

/// Items of kinds that most tables can carry, each with another name.
pub fn tabular_items() -> impl Strategy<Value = Vec<Item>> {
    let agreed = prop::sample::select(vec![
        field::USERNAME,
        field::PASSWORD,
        field::URL,
        field::TOTP,
        field::NOTE,
        field::PIN,
    ]);
    let value = prop_oneof![
        any::<String>(),
        "https://[a-c,:]{1,5}",
        "[-=+@'\t\r\n]{0,2}x?"
    ];
    let own = (".{0,6}", any::<bool>());
    let field = (agreed, value, prop::option::weighted(0.2, own)).prop_map(|(name, value, own)| {
        if let Some((name, hidden)) = own {
            return Field::custom(name, value, hidden);
        }
        Field::agreed(name, if value.is_empty() { "v" } else { &value })
    });
    let kind = prop::sample::select(vec!["login", "login", "note", "card"]);
    let record = any_record(kind, field);
    let content_type = prop_oneof![
        Just(None),
        Just(Some(TEXT.to_owned())),
        "[a-v/]{1,5}".prop_map(Some)
    ];
    let text = (any::<String>(), content_type).prop_map(|(text, content_type)| Item {
        content_type,
        ..Item::text("", &text, None)
    });
    let bytes = prop::collection::vec(any::<u8>(), 0..9);
    let bytes = bytes.prop_map(|bytes| Item::plain("", SecretBytes::new(bytes), None));
    let name = "([a-c\u{2215}]{1,2}/){0,2}[a-z\u{2215} é]{0,5}[a-z]";
    let item = (
        name,
        prop_oneof![3 => record, 2 => text, 1 => bytes],
        any::<bool>(),
    );
    let item = item.prop_map(|(name, mut item, is_favourite)| {
        item.name = name;
        if is_favourite {
            item.mark_favourite();
        }
        item
    });
    prop::collection::vec(item, 0..4).prop_map(|mut items| {
        let numbers = items.iter_mut().enumerate();
        numbers.for_each(|(number, item)| item.name.push_str(&number.to_string()));
        items
    })
}

/// Checks that each item is read as it was written, but for the order of fields, or that a loss names it.
///
/// # Panics
/// For items that changed without a loss.
pub fn assert_same_or_listed(items: &[Item], again: &[Item], losses: &[Loss]) {
    let sorted = |item: &Item| {
        let record = item.as_record().map(|mut record| {
            record.fields.sort_by_key(|field| {
                (
                    field.custom,
                    if field.custom {
                        String::new()
                    } else {
                        field.name.clone()
                    },
                )
            });
            record
        });
        let value = record.is_none().then(|| item.newest().cloned());
        (record, value, item.content_type.clone(), item.tags.clone())
    };
    for item in items {
        let own = losses.iter().filter(|loss| loss.item == item.name);
        // A formula is made harmless, and comes back.
        let is_listed = own
            .into_iter()
            .any(|loss| !loss.what.contains("spreadsheet"));
        let found = again.iter().find(|again| again.name == item.name);
        if !is_listed {
            assert_eq!(found.map(sorted), Some(sorted(item)), "{}", item.name);
        }
    }
}
