//! `vault-kv`: what `vault kv get -format=json` and `bao kv get -format=json` write
//! (<https://developer.hashicorp.com/vault/api-docs/secret/kv/kv-v2>): one document, several behind each other, or a list
//! of them.
//!
//! A document is an item, and each key in it a field. Where it came from is not in it: it is called what its file is
//! called. Of a key/value engine of version 2, `data.data` has the fields and `data.metadata` the version, its time and
//! what the owner said of it; of version 1, `data` has the fields. What is about the answer and not about the secret
//! (`request_id`, the lease) stays behind.

use std::collections::BTreeMap;
use std::io::{BufReader, Read};
use std::path::Path;

use keyshell_base::time::from_iso;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use crate::format::{FormatError, Incoming, Item, Loss, Peek, Sink, Source, VaultFormat};
use crate::input::json_stream::{self, unexpected};
use crate::input::read_budget::ReadBudget;
use crate::model::record::{Field, Record};
use crate::names;
use crate::round_trip::VAULT_KV;

/// Longest file, in bytes.
const MAX_LEN: u64 = 512 * 1024 * 1024;
/// Longest document, in bytes: it is taken in as a whole.
const MAX_DOCUMENT: u64 = 16 * 1024 * 1024;
/// The name of an item whose file has no name.
const UNNAMED: &str = "vault";
/// Members that are about the answer.
const OF_THE_ANSWER: [&str; 4] = ["request_id", "lease_id", "lease_duration", "renewable"];

/// An object, its values as they are written: numbers too, which may be longer than any type here.
type Raw = BTreeMap<String, Box<RawValue>>;

/// The format.
pub const FORMAT: VaultFormat = VaultFormat::new(
    VAULT_KV,
    "what `vault kv get -format=json` writes, of Vault and OpenBao, once or many times: fields, time, metadata",
    recognises,
    |source, _, sink| read(source, sink),
);

fn recognises(source: &Source, peek: &Peek) -> bool {
    // A cheap check first: the member may also be nested.
    let mark = b"\"request_id\"";
    if source.is_folder() || !peek.head.windows(mark.len()).any(|part| part == mark) {
        return false;
    }
    let mut first = None;
    // The error ends the reading after the first document.
    let _ = documents(source, &mut |document| {
        first.get_or_insert(document);
        Err(FormatError::malformed("enough"))
    });
    first.is_some_and(|document| is_answer(&document))
}

fn read(source: &Source, sink: &mut Sink<'_>) -> Result<(), FormatError> {
    let name = name(source.location());
    documents(source, &mut |document| {
        if !is_answer(&document) {
            let text = "the file is not the output of `vault kv get -format=json`";
            return Err(FormatError::not_this_format(text));
        }
        sink(item(&name, document)?)
    })
}

/// Whether it is the answer of an engine that stores something.
fn is_answer(document: &Raw) -> bool {
    let has = |key: &&str| document.contains_key(*key);
    let data = document.get("data").map(|data| data.get());
    OF_THE_ANSWER.iter().all(has) && data.is_some_and(|data| data.starts_with('{'))
}

/// Calls `sink` with each document.
fn documents(
    source: &Source,
    sink: &mut dyn FnMut(Raw) -> Result<(), FormatError>,
) -> Result<(), FormatError> {
    let budget = ReadBudget::new(MAX_LEN, MAX_DOCUMENT);
    let mut sink = |document| {
        budget.next_piece();
        sink(document)
    };
    let reader = budget.reader(source.text()?);
    if is_list(source)? {
        return json_stream::each(reader, &["*"], &mut sink);
    }
    let json = serde_json::Deserializer::from_reader(BufReader::new(reader));
    for document in json.into_iter() {
        sink(document.map_err(unexpected)?)?;
    }
    Ok(())
}

fn parsed<T: DeserializeOwned>(raw: &RawValue) -> Result<T, FormatError> {
    serde_json::from_str(raw.get()).map_err(unexpected)
}

fn is_list(source: &Source) -> Result<bool, FormatError> {
    for byte in BufReader::new(source.text()?).bytes() {
        let byte = byte.map_err(FormatError::unreadable)?;
        if !byte.is_ascii_whitespace() {
            return Ok(byte == b'[');
        }
    }
    Ok(false)
}

/// The name of the file without its extension.
fn name(location: Option<&Path>) -> String {
    let stem = location.and_then(|path| path.file_stem()?.to_str());
    let stem = stem.filter(|stem| !stem.chars().any(char::is_control));
    names::component(stem.unwrap_or(UNNAMED))
}

fn item(name: &str, mut document: Raw) -> Result<Incoming, FormatError> {
    let data = document.remove("data");
    let data: Option<Raw> = data.map(|data| parsed(&data)).transpose()?;
    let data = data.unwrap_or_default();
    let (fields, metadata) = match metadata(&data)? {
        None => (data, Map::new()),
        Some(metadata) => {
            let fields = data.get("data").map(|fields| parsed(fields)).transpose()?;
            let Some(Some(fields)) = fields else {
                let loss = Loss::new(name, why_empty(&metadata));
                return Ok(Incoming::Lost(loss));
            };
            (fields, metadata)
        }
    };
    let created = metadata.get("created_time").and_then(Value::as_str);
    let created = created.and_then(from_iso);
    let mut record = Record::new(VAULT_KV);
    for (key, value) in fields {
        record.fields.push(field(key, &value)?);
    }
    record.keep(VAULT_KV, kept(&document, metadata, created.is_some())?);
    let item = Item::record(name, &record, created);
    Ok(Incoming::Item(Box::new(item)))
}

/// The metadata of a version, which only engines of version 2 have; `metadata` may also be a key of the owner's.
fn metadata(data: &Raw) -> Result<Option<Map<String, Value>>, FormatError> {
    let Some(given) = data.get("metadata").filter(|_| data.len() == 2) else {
        return Ok(None);
    };
    let metadata = match parsed(given)? {
        Value::Object(metadata) if data.contains_key("data") => metadata,
        _ => return Ok(None),
    };
    let is_version = metadata.get("version").is_some_and(Value::is_u64)
        && metadata.get("created_time").is_some_and(Value::is_string);
    Ok(is_version.then_some(metadata))
}

/// The reason why a version has no fields.
fn why_empty(metadata: &Map<String, Value>) -> String {
    let version = metadata.get("version").and_then(Value::as_u64);
    let version = version.unwrap_or_default();
    let is_destroyed = metadata.get("destroyed").and_then(Value::as_bool) == Some(true);
    let deleted = metadata.get("deletion_time").and_then(Value::as_str);
    match deleted.filter(|time| !time.is_empty()) {
        _ if is_destroyed => format!("its version {version} is destroyed"),
        Some(time) => format!("its version {version} was deleted at {time}"),
        None => format!("its version {version} has no data"),
    }
}

/// A field of a text, or of other JSON as written, with the type `json`.
fn field(key: String, value: &RawValue) -> Result<Field, FormatError> {
    if value.get().starts_with('"') {
        return Ok(Field::custom(key, parsed::<String>(value)?, true));
    }
    Ok(Field {
        content: Some("json".into()),
        ..Field::custom(key, value.get(), true)
    })
}

/// The members that are kept: those without a field.
fn kept(
    document: &Raw,
    mut metadata: Map<String, Value>,
    has_time: bool,
) -> Result<Map<String, Value>, FormatError> {
    let mut kept = Map::new();
    for (key, value) in document {
        if !OF_THE_ANSWER.contains(&key.as_str()) && value.get() != "null" {
            kept.insert(key.clone(), parsed(value)?);
        }
    }
    if has_time {
        metadata.remove("created_time");
    }
    metadata.retain(|_, value| !(value.is_null() || value == "" || *value == Value::Bool(false)));
    if !metadata.is_empty() {
        kept.insert("metadata".into(), Value::Object(metadata));
    }
    Ok(kept)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use serde_json::json;
    use shared::secret::SecretBytes;

    use super::*;
    use crate::testing;
    use crate::testing::Answers;

    fn answer(data: Value) -> Value {
        json!({
            "request_id": "6ef21c83-1c46-4b24-b29a-f7fc5a3c0c2d", "lease_id": "", "lease_duration": 0,
            "renewable": false, "data": data, "warnings": null, "mount_type": "kv",
        })
    }

    fn version_2() -> Value {
        answer(json!({
            "data": {"user": "anna", "port": 5432, "tls": {"ca": null}, "big": "BIG"},
            "metadata": {
                "created_time": "2022-06-15T20:14:17.107852Z", "custom_metadata": {"owner": "ops"},
                "deletion_time": "", "destroyed": false, "version": 3,
            },
        }))
    }

    fn seen(text: &str) -> Result<Vec<String>, FormatError> {
        let source = Source::memory(SecretBytes::from(text.as_bytes()), "");
        let mut seen = Vec::new();
        FORMAT.read(&source, &Answers::default(), &mut |incoming| {
            seen.push(match incoming {
                Incoming::Item(item) => {
                    let fields = item.as_record().unwrap().fields.into_iter();
                    let fields: Vec<_> = fields.map(|field| field.name).collect();
                    format!("{}: {}", item.name, fields.join(" "))
                }
                Incoming::Lost(loss) => loss.to_string(),
            });
            Ok(())
        })?;
        Ok(seen)
    }

    fn is_recognised(text: &str) -> bool {
        let source = Source::memory(SecretBytes::from(text.as_bytes()), "");
        (FORMAT.recognises)(&source, &source.peek().unwrap())
    }

    #[test]
    fn both_versions_of_the_engine_are_read() {
        // More digits than a number of any type here has.
        let big = "1234567890123456789012345678901234567890.50";
        let text = version_2().to_string().replace("\"BIG\"", big);
        let items = testing::read(&FORMAT, text.as_bytes()).unwrap();
        assert_eq!(items[0].name, "vault");
        assert_eq!(
            items[0].newest().unwrap().created_ms,
            Some(1_655_324_057_107)
        );
        let record = items[0].as_record().unwrap();
        let port = record.at("port").unwrap();
        assert_eq!(
            (&*port.value, port.content.as_deref()),
            ("5432", Some("json"))
        );
        assert_eq!(record.at("tls").unwrap().value, r#"{"ca":null}"#);
        assert_eq!(record.at("big").unwrap().value, big);
        let user = record.at("user").unwrap();
        assert!(user.hidden && user.custom && user.content.is_none());
        let kept = json!({"mount_type": "kv", "metadata": {"version": 3, "custom_metadata": {"owner": "ops"}}});
        assert_eq!(Value::Object(record.kept(VAULT_KV)), kept);

        let own = answer(json!({"data": "mine", "metadata": {"x": 1}}));
        assert_eq!(seen(&own.to_string()).unwrap(), ["vault: data metadata"]);
        assert_eq!(seen(&answer(json!({})).to_string()).unwrap(), ["vault: "]);
    }

    #[test]
    fn many_documents_are_read_as_a_list_and_behind_each_other() {
        let (two, one) = (version_2(), answer(json!({"k": "v"})));
        let expected = ["vault: big port tls user", "vault: k"];
        for text in [
            format!("{two}\n{one}\n"),
            format!("{two}{one}"),
            format!(" [{two},{one}]\n"),
        ] {
            assert_eq!(seen(&text).unwrap(), expected, "{text}");
            assert!(is_recognised(&text), "{text}");
        }
    }

    #[test]
    fn deleted_versions_are_losses() {
        let gone = |deletion: &str, destroyed: bool| {
            let metadata = json!({
                "created_time": "2022-06-15T20:14:17Z", "deletion_time": deletion, "destroyed": destroyed, "version": 2,
            });
            seen(&answer(json!({"data": null, "metadata": metadata})).to_string()).unwrap()
        };
        let time = "2022-06-16T00:00:00Z";
        assert_eq!(
            gone(time, false),
            [format!("vault: its version 2 was deleted at {time}")]
        );
        assert_eq!(gone(time, true), ["vault: its version 2 is destroyed"]);
        assert_eq!(gone("", false), ["vault: its version 2 has no data"]);
    }

    #[test]
    fn a_file_gives_its_name() {
        let of = |path: &str| name(Some(Path::new(path)));
        assert_eq!(of("/x/db.json"), "db");
        assert_eq!(of("/x/prod.db.json"), "prod.db");
        assert_eq!(of("/x/a\nb.json"), UNNAMED);
        assert_eq!(name(None), UNNAMED);
    }

    #[test]
    fn other_documents_and_malicious_ones_are_refused() {
        let login = r#"{"request_id":"x","lease_id":"","lease_duration":0,"renewable":false,"data":null,"auth":{}}"#;
        let deep = format!(
            r#"{{"request_id":"x","lease_id":"","lease_duration":0,"renewable":false,"data":{}"#,
            r#"{"a":"#.repeat(1_000_000)
        );
        let broken = version_2().to_string() + "{";
        for text in [login, "{}", "[1]", "[{\"request_id\":", &deep] {
            assert!(!is_recognised(text));
            assert!(seen(text).is_err());
        }
        assert!(is_recognised(&broken) && seen(&broken).is_err());
        let mut raw = version_2().to_string().into_bytes();
        let at = raw.windows(4).position(|part| part == b"anna").unwrap();
        raw[at] = 0xff;
        assert!(testing::read(&FORMAT, &raw).is_err());
        let long = answer(json!({"k": "x".repeat(17 << 20)})).to_string();
        let error = seen(&long).unwrap_err().to_string();
        assert!(error.contains("one entry is longer than 16 MiB"), "{error}");
    }
}
