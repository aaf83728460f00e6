use data_encoding::BASE64;

use super::tests::{entry, with_root};
use super::tree::Element;
use super::{DATABASE, XML, references};
use crate::format::{FormatError, Written};
use crate::model::item::Item;
use crate::model::record::{Field, Record, field};
use crate::round_trip::KDBX;
use crate::testing::{Answers, read, read_file, round_trip};

/// The UUID of an entry, in base64 and as references have it.
fn uuid(byte: u8) -> (String, String) {
    let bytes = [byte; 16];
    (
        BASE64.encode(&bytes),
        data_encoding::HEXUPPER.encode(&bytes),
    )
}

fn numbered(byte: u8, strings: &[(&str, &str)]) -> String {
    entry(strings, &format!("<UUID>{}</UUID>", uuid(byte).0))
}

fn main_entry() -> String {
    numbered(
        7,
        &[
            ("Title", "Main"),
            ("UserName", "ana"),
            ("Password", "real {S:Part}"),
            ("URL", "https://a.example"),
            ("Notes", "of main"),
            ("Part", "password"),
        ],
    )
}

fn field_of(item: &Item, address: &str) -> String {
    let record = item.as_record().unwrap();
    record.at(address).unwrap().value.clone()
}

/// A reference to a field of [`main_entry`].
fn to(letter: &str) -> String {
    format!("{{REF:{letter}@I:{}}}", uuid(7).1)
}

/// A reference to a reference.
fn to_alias() -> String {
    format!("{{REF:P@I:{}}}", uuid(8).1)
}

/// An entry with references, one that refers to it, and the one that both refer to.
fn example() -> Vec<Item> {
    let alias = numbered(
        8,
        &[
            ("Title", &format!("Alias of {}", to("T"))),
            ("UserName", &to("U").to_lowercase()),
            ("Password", &to("P")),
            ("URL", &format!("{}/?user={}", to("A"), to("U"))),
            ("Notes", &to("N")),
            ("PIN", &to("P")),
            ("Id", &to("I")),
            ("By title", "{REF:U@T:Main}"),
            ("By part", "{ref:p@o:ASSWOR}"),
            ("KP2A_URL", &to("A")),
        ],
    );
    let former = entry(&[("Password", &to("P"))], "");
    let second = entry(
        &[("Title", "Second"), ("Password", &to_alias())],
        &format!("<History>{former}</History>"),
    );
    let text = with_root(&format!(
        "{alias}{second}<Group><Name>G</Name>{}</Group>",
        main_entry()
    ));
    let (items, missing) = read_file(&XML, text.as_bytes()).unwrap();
    assert!(missing.is_empty());
    items
}

#[test]
fn references_in_every_field_stand_for_the_fields_they_name() {
    let items = example();
    let [alias, second, main] = items.as_slice() else {
        panic!("three");
    };
    assert_eq!(alias.name, "Alias of Main");
    let id = uuid(7).1;
    for (address, expected) in [
        ("username", "ana"),
        ("password", "real password"),
        ("url", "https://a.example/?user=ana"),
        ("url.2", "https://a.example"),
        ("note", "of main"),
        ("PIN", "real password"),
        ("Id", &id),
        ("By title", "ana"),
        ("By part", "real password"),
    ] {
        assert_eq!(field_of(alias, address), expected, "{address}");
    }
    assert_eq!(alias.losses, [""; 0]);
    assert_eq!(field_of(second, "password"), "real password");
    let former = Record::decode(second.versions[0].value.expose()).unwrap();
    assert_eq!(former.get(field::PASSWORD), Some("real password"));
    // Alone it is what KeePass fills in, and said.
    assert_eq!(field_of(main, "password"), "real {S:Part}");
    let listed = &main.losses[0];
    assert!(listed.contains("`Password` has a placeholder"), "{listed}");
}

fn strings(items: &[Item]) -> Vec<(String, String)> {
    let (document, _) = super::write::document(items).unwrap();
    let mut found = Vec::new();
    collect(&document.root, &mut found);
    found
}

fn sorted(items: &[Item]) -> Vec<(&String, &[u8])> {
    let pairs = items.iter();
    let pairs = pairs.map(|item| (&item.name, item.newest().unwrap().value.expose()));
    let mut pairs: Vec<_> = pairs.collect();
    pairs.sort();
    pairs
}

#[test]
fn exports_have_the_references_that_still_stand_for_the_values() {
    let items = example();
    let written = strings(&items);
    for (key, value) in [
        ("Title", format!("Alias of {}", to("T"))),
        ("UserName", to("U").to_lowercase()),
        ("Password", to("P")),
        ("URL", format!("{}/?user={}", to("A"), to("U"))),
        ("KP2A_URL", to("A")),
        ("Notes", to("N")),
        ("PIN", to("P")),
        ("Password", to_alias()),
    ] {
        let pair = (key.to_owned(), value);
        assert!(written.contains(&pair), "{pair:?}");
    }
    let (again, _) = round_trip(&DATABASE, &items).unwrap();
    assert_eq!(sorted(&again), sorted(&items));

    // Without its target, and with a value of its own, there is no reference left.
    let alone = strings(&items[..1]);
    let is_reference = |(_, value): &(String, String)| references::is_in(value);
    assert!(!alone.iter().any(is_reference), "{alone:?}");
    assert!(alone.contains(&("Password".into(), "real password".into())));
    let mut changed = items.clone();
    let mut record = changed[0].as_record().unwrap();
    record.set(field::PASSWORD, "new".into());
    changed[0].versions = Item::record("", &record, Some(5000)).versions;
    let written = strings(&changed);
    assert!(written.contains(&("Password".into(), "new".into())));
    // What referred to it no longer stands for its own value.
    assert!(!written.contains(&("Password".into(), to_alias())));
}

fn collect(element: &Element, found: &mut Vec<(String, String)>) {
    if element.name == "String" {
        let text = |name: &str| element.child(name).unwrap().text.to_string();
        assert_eq!(references::of(element.child("Value").unwrap()), None);
        found.push((text("Key"), text("Value")));
    }
    element
        .children
        .iter()
        .for_each(|child| collect(child, found));
}

#[test]
fn references_that_lead_nowhere_stay_and_are_listed() {
    let own = uuid(9).1;
    for reference in [
        "{REF:P@I:00000000000000000000000000000000}".to_owned(),
        "{REF:P@I:no hex}".into(),
        "{REF:P@T:nobody}".into(),
        "{REF:X@T:Main}".into(),
        "{REF:P}".into(),
        "{REF:P@I:".into(),
        format!("{{REF:P@I:{own}}}"),
        format!("a {{REF:P@T:Main}} {{REF:P@I:{own}}}"),
    ] {
        let text = with_root(&format!(
            "{}{}",
            main_entry(),
            numbered(9, &[("Title", "x"), ("Password", &reference)])
        ));
        let (items, _) = read_file(&XML, text.as_bytes()).unwrap();
        assert_eq!(field_of(&items[1], "password"), reference);
        let listed = items[1].losses.join("; ");
        assert!(
            listed.contains("`Password` has a reference"),
            "{reference}: {listed}"
        );
    }
}

#[test]
fn references_neither_run_away_nor_lose_a_value() {
    // Each level names the next one ten times: 10^12 steps.
    let levels = (0..12).map(|level: u8| {
        let next = format!("{{REF:P@I:{}}}", uuid(level + 1).1).repeat(10);
        numbered(level, &[("Title", "x"), ("Password", &next)])
    });
    let bomb = levels.collect::<String>() + &numbered(12, &[("Title", "y")]);
    let (items, _) = read_file(&XML, with_root(&bomb).as_bytes()).unwrap();
    assert_eq!(items.len(), 13);
    // Each stands for a mebibyte.
    let long = "x".repeat(1 << 20);
    let target = numbered(1, &[("Title", "x"), ("Notes", &long)]);
    let one = entry(
        &[
            ("Title", "y"),
            ("Notes", &format!("{{REF:N@I:{}}}", uuid(1).1)),
        ],
        "",
    );
    let text = with_root(&(target + &one.repeat(300)));
    let error = read_file(&XML, text.as_bytes()).unwrap_err();
    assert!(matches!(error, FormatError::TooLarge { .. }), "{error}");
}

#[test]
fn references_in_a_circle_are_written_as_values() {
    let item = |byte: u8, to: u8| {
        let mut record = Record::new("login");
        let mut password = Field::agreed(field::PASSWORD, "same");
        let reference = format!("{{REF:P@I:{}}}", uuid(to).1);
        password.other.insert(KDBX.into(), reference.into());
        record.fields.push(password);
        record.keep(
            KDBX,
            serde_json::Map::from_iter([("uuid".to_owned(), uuid(byte).0.into())]),
        );
        Item::record(format!("n{byte}"), &record, Some(1000))
    };
    let items = [item(1, 2), item(2, 1), item(3, 1)];
    let (written, _) = DATABASE.write(&items, &Answers::default()).unwrap();
    let Written::File(file) = written else {
        panic!("a file");
    };
    let again = read(&DATABASE, file.expose()).unwrap();
    for item in &again {
        assert_eq!(field_of(item, "password"), "same");
    }
}

#[test]
fn an_attribute_of_a_file_is_no_reference() {
    let text = with_root(
        "<Entry><String><Key>Password</Key><Value keyshell-reference=\"{REF:P@T:x}\">p</Value></String></Entry>",
    );
    let (items, _) = read_file(&XML, text.as_bytes()).unwrap();
    let record = items[0].as_record().unwrap();
    assert!(record.fields[0].other.is_empty());
}
