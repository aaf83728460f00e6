use argon2::{Algorithm, Version};
use proptest::prelude::*;
use shared::secret::SecretBytes;
use zeroize::Zeroizing;

use super::header::{Cipher, Header};
use super::kdf::{Argon2, Kdf};
use super::tree::Element;
use super::{DATABASE, XML, tree};
use crate::format::{Ask, Choices, FormatError, Incoming, Source, Written};
use crate::model::item::{Attachment, Item, ItemVersion, TEXT};
use crate::model::record::{CONTENT_TYPE, Field, Record, field};
use crate::registry::{Detected, detect};
use crate::testing::{self, Answers, read, read_file, round_trip};

fn login(password: &str) -> Record {
    let mut record = Record::new("login");
    record.push(field::USERNAME, "anna");
    record.push(field::PASSWORD, password);
    record.push(field::URL, "https://a.example");
    record.push(field::URL, "https://b.example");
    record.push(field::TOTP, "otpauth://totp/x?secret=JBSWY3DPEHPK3PXP");
    record.fields.push(Field::custom("PIN", "1234", true));
    record
        .fields
        .push(Field::custom("Colour", "blue & <green>", false));
    record.push(field::NOTE, "two\nlines");
    record
}

fn item() -> Item {
    let mut item = Item::record(
        "Work/Mail/a\u{2215}b",
        &login("new"),
        Some(1_700_000_000_000),
    );
    let former = Item::record("x", &login("old"), Some(1_600_000_000_000)).versions;
    item.versions.splice(0..0, former);
    item.tags = vec!["one".into(), "two".into()];
    item.attachments.push(Attachment {
        name: "key.bin".into(),
        content: SecretBytes::from([0, 255, 7].as_slice()),
    });
    item
}

#[test]
fn items_come_back_with_everything() {
    let items = [item(), Item::text("note", "text", Some(1_000_000_000_000))];
    let (again, losses) = round_trip(&DATABASE, &items).unwrap();
    assert!(losses.is_empty());
    // Groups come after the entries beside them.
    assert_eq!(again, [items[1].clone(), items[0].clone()]);
}

/// What KeePass 2.57 exports, shortened: its element names, time format and ways of protecting.
const EXPORT: &str = r#"<?xml version="1.0" encoding="utf-8" standalone="yes"?>
<KeePassFile>
 <Meta>
  <Generator>KeePass</Generator>
  <RecycleBinEnabled>True</RecycleBinEnabled>
  <RecycleBinUUID>AQEBAQEBAQEBAQEBAQEBAQ==</RecycleBinUUID>
  <Binaries>
   <Binary ID="0" Compressed="True">H4sIAAAAAAAA/8tIzcnJBwCGphA2BQAAAA==</Binary>
   <Binary ID="1">AAH/</Binary>
  </Binaries>
 </Meta>
 <Root>
  <Group>
   <UUID>AAAAAAAAAAAAAAAAAAAAAQ==</UUID>
   <Name>Database</Name>
   <Group>
    <UUID>AAAAAAAAAAAAAAAAAAAAAg==</UUID>
    <Name>Work/Mail</Name>
    <Notes>Of the group</Notes>
    <Entry>
     <UUID>AAAAAAAAAAAAAAAAAAAAAw==</UUID>
     <IconID>12</IconID>
     <OverrideURL>cmd://x</OverrideURL>
     <Tags>one;two</Tags>
     <Times>
      <CreationTime>2020-01-02T03:04:05Z</CreationTime>
      <LastModificationTime>2021-01-02T03:04:05Z</LastModificationTime>
      <ExpiryTime>2030-01-02T03:04:05Z</ExpiryTime>
      <Expires>True</Expires>
     </Times>
     <String><Key>Notes</Key><Value>a &amp; b&#33;
second</Value></String>
     <String><Key>Password</Key><Value ProtectInMemory="True">s3cr&lt;t</Value></String>
     <String><Key>Title</Key><Value>Site</Value></String>
     <String><Key>URL</Key><Value>https://a.example</Value></String>
     <String><Key>UserName</Key><Value><![CDATA[anna <x>]]></Value></String>
     <String><Key>PIN</Key><Value ProtectInMemory="True">1234</Value></String>
     <String><Key>KP2A_URL</Key><Value>https://b.example</Value></String>
     <Binary><Key>hello.txt</Key><Value Ref="0"/></Binary>
     <Binary><Key>three.bin</Key><Value Ref="1"/></Binary>
     <AutoType><Enabled>False</Enabled><DefaultSequence>{PASSWORD}</DefaultSequence></AutoType>
     <History>
      <Entry>
       <UUID>AAAAAAAAAAAAAAAAAAAAAw==</UUID>
       <Times><LastModificationTime>2020-06-01T00:00:00Z</LastModificationTime></Times>
       <String><Key>Password</Key><Value ProtectInMemory="True">old</Value></String>
       <String><Key>Title</Key><Value>Site</Value></String>
      </Entry>
     </History>
    </Entry>
   </Group>
   <Group>
    <UUID>AQEBAQEBAQEBAQEBAQEBAQ==</UUID>
    <Name>Recycle Bin</Name>
    <Entry><String><Key>Title</Key><Value>gone</Value></String></Entry>
   </Group>
  </Group>
 </Root>
</KeePassFile>
"#;

#[test]
fn an_export_of_keepass_comes_in() {
    let source = Source::memory(SecretBytes::from(EXPORT.as_bytes()), "");
    let detected = detect(&source).unwrap();
    assert!(matches!(detected, Detected::Vault(format) if format.name == "keepass-xml"));
    let (items, missing) = read_file(&XML, EXPORT.as_bytes()).unwrap();
    let folder = "Work\u{2215}Mail";
    let expected = [
        format!("{folder}: the notes of the group"),
        "Recycle Bin/gone: it is in the recycle bin".to_owned(),
    ];
    assert_eq!(missing, expected);
    let [item] = items.as_slice() else {
        panic!("one item");
    };
    assert_eq!(item.name, format!("{folder}/Site"));
    assert_eq!(item.tags, ["one", "two"]);
    let record = item.as_record().unwrap();
    let fields = testing::fields(&record, |field| field.hidden);
    let expected = [
        ("username", "anna <x>", false),
        ("password", "s3cr<t", true),
        ("url", "https://a.example", false),
        ("url", "https://b.example", false),
        ("PIN", "1234", true),
        ("expires", "2030-01-02T03:04:05Z", false),
        ("note", "a & b!\nsecond", false),
    ];
    assert_eq!(fields, expected);
    let times: Vec<_> = item
        .versions
        .iter()
        .map(|version| version.created_ms)
        .collect();
    assert_eq!(times, [Some(1_590_969_600_000), Some(1_609_556_645_000)]);
    let former = Record::decode(item.versions[0].value.expose()).unwrap();
    assert_eq!(former.get(field::PASSWORD), Some("old"));
    let files: Vec<_> = item
        .attachments
        .iter()
        .map(|file| (&*file.name, file.content.expose()))
        .collect();
    assert_eq!(
        files,
        [("hello.txt", &b"hello"[..]), ("three.bin", &[0, 1, 255])]
    );

    // What has no place here goes out again, into a database.
    let (again, losses) = round_trip(&DATABASE, &items).unwrap();
    assert!(losses.is_empty());
    assert_eq!(again, items);
    assert!(
        record.kept("kdbx")["elements"]
            .to_string()
            .contains("cmd://x")
    );
}

#[test]
fn bad_xml_is_refused() {
    let read = |text: &str| read_file(&XML, text.as_bytes()).map(|(items, _)| items.len());
    let error = |text: &str| read(text).unwrap_err().to_string();
    let around =
        |inner: &str| format!("<KeePassFile><Root><Group>{inner}</Group></Root></KeePassFile>");
    assert_eq!(read(&around("")).unwrap(), 0);
    let laughs = "<!DOCTYPE x [<!ENTITY a \"ha\"><!ENTITY b \"&a;&a;\">]>";
    assert!(error(&format!("{laughs}{}", around("&b;"))).contains("document type"));
    assert!(error(&around("&b;")).contains("entities"));
    assert!(error(&around("&#0;")).contains("not XML"));
    assert!(error(&around(&"<Group>".repeat(1_000_000))).contains("256 levels"));
    let sealed =
        "<Entry><String><Key>Password</Key><Value Protected=\"True\">AA==</Value></String></Entry>";
    assert!(error(&around(sealed)).contains("only the database"));
    for bad in [
        "",
        "<KeePassFile>",
        "<a/><b/>",
        "<KeePassFile/>",
        "</a>",
        "\u{0}",
        "<Other><Root/></Other>",
        "x",
    ] {
        assert!(read(bad).is_err(), "{bad:?}");
    }
    let mut invalid = around("<Entry><Tags>x</Tags></Entry>").into_bytes();
    let at = invalid.iter().position(|byte| *byte == b'x').unwrap();
    invalid[at] = 0xff;
    assert!(read_file(&XML, &invalid).is_err());
    let missing = "<Entry><Binary><Key>f</Key><Value Ref=\"7\"/></Binary></Entry>";
    let (items, _) = read_file(&XML, around(missing).as_bytes()).unwrap();
    assert_eq!(
        items[0].losses,
        ["1 attachment that the file does not have"]
    );
}

#[test]
fn an_attachment_named_often_does_not_fill_the_memory() {
    use data_encoding::BASE64;
    let content = BASE64.encode(&vec![7; 1 << 20]);
    let files = "<Binary><Key>f</Key><Value Ref=\"0\"/></Binary>".repeat(600);
    let text = format!(
        "<KeePassFile><Meta><Binaries><Binary ID=\"0\">{content}</Binary></Binaries></Meta>\
         <Root><Group><Entry>{files}</Entry></Group></Root></KeePassFile>"
    );
    let error = read_file(&XML, text.as_bytes()).unwrap_err();
    assert!(error.to_string().contains("512 MiB"));
}

fn written(items: &[Item]) -> Vec<u8> {
    let (written, _) = DATABASE.write(items, &Answers::default()).unwrap();
    let Written::File(bytes) = written else {
        panic!("a file");
    };
    bytes.expose().to_vec()
}

#[test]
fn a_changed_database_is_refused() {
    let file = written(&[item()]);
    let source = Source::memory(SecretBytes::from(file.as_slice()), "");
    let detected = detect(&source).unwrap();
    assert!(matches!(detected, Detected::Vault(format) if format.name == "kdbx"));
    let header = Header::parse(&file).unwrap();
    let places = [
        9,
        20,
        header.len - 1,
        header.len + 5,
        header.len + 40,
        header.len + 64,
        file.len() - 1,
    ];
    for at in places {
        let mut bad = file.clone();
        bad[at] ^= 1;
        assert!(read(&DATABASE, &bad).is_err(), "{at}");
    }
    for len in [
        0,
        8,
        12,
        header.len,
        header.len + 64,
        file.len() - 40,
        file.len() - 1,
    ] {
        assert!(read(&DATABASE, &file[..len]).is_err(), "{len}");
    }
    let mut old = file;
    old[10] = 2;
    let error = read(&DATABASE, &old).unwrap_err().to_string();
    assert!(error.contains("save it as KDBX 4"), "{error}");
}

fn with_kdf(kdf: &[u8]) -> Vec<u8> {
    let mut file = written(&[]);
    let header = Header::parse(&file).unwrap();
    let mut out = header.encode();
    let own = header.kdf.encode();
    let at = out
        .windows(own.len())
        .position(|window| window == own)
        .unwrap();
    out.splice(
        at - 4..at + own.len(),
        [&u32::try_from(kdf.len()).unwrap().to_le_bytes(), kdf].concat(),
    );
    out.append(&mut file.split_off(header.len));
    out
}

/// Panics where a passphrase is asked for.
struct NotAsked;

impl Ask for NotAsked {
    fn passphrase(&self) -> Result<Zeroizing<String>, FormatError> {
        panic!("the passphrase is asked for");
    }

    fn new_passphrase(&self) -> Result<Zeroizing<String>, FormatError> {
        self.passphrase()
    }

    fn choices(&self) -> &Choices {
        panic!("choices are asked for");
    }
}

/// Nothing is derived without a passphrase: each of these would take minutes or the memory of the machine.
#[test]
fn costs_over_the_limits_are_refused_before_the_passphrase_is_asked_for() {
    let fresh = |memory, iterations, lanes| {
        let salt = vec![1; 32];
        Kdf::Argon2(Argon2 {
            algorithm: Algorithm::Argon2id,
            version: Version::V0x13,
            salt,
            memory,
            iterations,
            lanes,
        })
        .encode()
    };
    let mib = 1024 * 1024;
    for (kdf, bound) in [
        (fresh(64 * 1024 * mib, 1, 1), "1073741824"),
        (fresh(u64::MAX, 1, 1), "1073741824"),
        (fresh(1024 * mib, 65, 1), "64 are allowed"),
        (fresh(mib, u64::MAX, 1), "passes of Argon2"),
        (fresh(64 * mib, 3, u32::MAX), "lanes of Argon2"),
        (fresh(0, 3, 4), "memory of Argon2"),
        (fresh(64 * mib, 0, 4), "passes of Argon2"),
        (
            Kdf::Aes {
                seed: [1; 32],
                rounds: u64::MAX,
            }
            .encode(),
            "1073741824",
        ),
        (vec![0, 2, 0], "unknown version"),
        (vec![0, 1, 0], "is unknown"),
        (vec![0, 1, 0x42, 255, 255, 255, 255], "truncated"),
    ] {
        let source = Source::memory(SecretBytes::new(with_kdf(&kdf)), "");
        let error = DATABASE.read(&source, &NotAsked, &mut |_| Ok(()));
        let error = error.unwrap_err().to_string();
        assert!(error.contains(bound), "{error}");
    }
}

#[test]
fn parameters_come_back() {
    let aes = Kdf::Aes {
        seed: [7; 32],
        rounds: 60_000,
    };
    for kdf in [Kdf::fresh(), aes] {
        assert_eq!(Kdf::parse(&kdf.encode()).unwrap(), kdf);
    }
    let mut header = Header::parse(&written(&[])).unwrap();
    header.cipher = Cipher::ChaCha20;
    assert_eq!(
        Header::parse(&header.encode()).unwrap().cipher,
        Cipher::ChaCha20
    );
}

/// 4 GiB of zeros in 4 MiB.
#[test]
fn a_bomb_is_left_before_it_fills_the_memory() {
    use std::io::Write as _;

    use flate2::write::GzEncoder;
    let mut bomb = GzEncoder::new(Vec::new(), flate2::Compression::best());
    for _ in 0..20 {
        bomb.write_all(&vec![0; 1 << 20]).unwrap();
    }
    let bomb = SecretBytes::new(bomb.finish().unwrap());
    assert!(bomb.len() < 2 << 20);
    let error = super::container::inflated(&bomb, 16 << 20).unwrap_err();
    assert!(error.to_string().contains("16 MiB"));
    // The bound of databases, and of attachments in the XML.
    assert_eq!(super::container::MAX_PLAIN, 512 << 20);
}

#[test]
fn an_entry_changed_by_others_counts_as_it_is() {
    let mut record = login("mine");
    record.kind = "robot".into();
    record.fields[0].section = Some("Head".into());
    let item = Item::record("x", &record, Some(1_700_000_000_000));
    let (document, _) = super::write::document(std::slice::from_ref(&item)).unwrap();
    let read = |root: &Element| {
        let mut items = Vec::new();
        super::read::all(root.clone(), Vec::new(), &mut |incoming| {
            if let Incoming::Item(item) = incoming {
                items.push(*item);
            }
            Ok(())
        })
        .unwrap();
        items.remove(0)
    };
    assert_eq!(read(&document.root), item);
    let mut root = document.root;
    let entry = &mut root.children[1].children[0].children[2];
    assert_eq!(entry.name, "Entry");
    for string in entry
        .children
        .iter_mut()
        .filter(|child| child.name == "String")
    {
        if string.children[0].text.as_str() == "Password" {
            string.children[1].text = Zeroizing::new("theirs".to_owned());
        }
    }
    let changed = read(&root).as_record().unwrap();
    assert_eq!(changed.get(field::PASSWORD), Some("theirs"));
    assert_eq!(changed.kind, "login");
    assert!(!String::from_utf8_lossy(changed.encode().expose()).contains("mine"));
}

#[test]
fn protected_values_are_opened_in_the_order_of_the_document() {
    use super::stream::{CHACHA20, InnerStream};
    let mut out = Vec::new();
    let value = |text: &str| {
        let mut value = Element::text("Value", text);
        value.attributes.push(("Protected".into(), "True".into()));
        value
    };
    let root = Element::new(
        "a",
        vec![value("one"), Element::text("x", "\u{1}y"), value("t\u{1}o")],
    );
    let mut stream = InnerStream::new(CHACHA20, b"key").unwrap();
    super::xml::write(&mut out, &root, &mut stream).unwrap();
    let mut stream = InnerStream::new(CHACHA20, b"key").unwrap();
    let again = tree::parse(&out, Some(&mut stream)).unwrap();
    let texts: Vec<_> = again
        .children
        .iter()
        .map(|child| child.text.as_str())
        .collect();
    assert_eq!(texts, ["one", "\u{fffd}y", "t\u{1}o"]);
    let mut other = InnerStream::new(2, b"key").unwrap();
    let mut text = *b"one";
    other.apply(&mut text).unwrap();
    assert_ne!(&text, b"one");
    assert!(InnerStream::new(1, b"key").is_err());
}

fn any_field() -> impl Strategy<Value = Field> {
    let agreed = vec![field::NUMBER, "expires"];
    let value = prop_oneof![
        any::<String>(),
        Just("2030-01-02T03:04:05Z".to_owned()),
        Just("JBSWY3DPEHPK3PXP".to_owned()),
    ];
    let custom = prop_oneof![
        "[a-c]{0,2}",
        Just("Title".to_owned()),
        Just("KP2A_URL_1".to_owned())
    ];
    testing::with_content(testing::any_field(agreed, value, custom), vec!["date"])
}

/// What an item's versions are: their media type, and one value or several.
fn any_values() -> impl Strategy<Value = (Option<String>, Vec<SecretBytes>)> {
    let record = testing::any_record(Just("login"), any_field());
    let record = record.prop_map(|item| item.newest().unwrap().value.clone());
    let texts = || {
        let text = prop_oneof![any::<String>(), "[ab]{0,2}"];
        let text = text.prop_map(|text| SecretBytes::from(text.as_bytes()));
        prop::collection::vec(text, 1..4)
    };
    let bytes = prop::collection::vec(any::<u8>(), 0..30).prop_map(SecretBytes::new);
    let records = prop::collection::vec(record, 1..4);
    prop_oneof![
        records.prop_map(|all| (Some(CONTENT_TYPE.to_owned()), all)),
        texts().prop_map(|all| (Some(TEXT.to_owned()), all)),
        prop::collection::vec(bytes, 1..4).prop_map(|all| (None, all)),
        (prop::option::of("[a-z/]{1,5}"), texts()),
    ]
}

fn any_item() -> impl Strategy<Value = Item> {
    let tags = prop::collection::btree_set("[a-b;, ]{1,2}", 0..3);
    let time = prop_oneof![0..4_000_000_000_000_u64, (0..3_u64).prop_map(|s| s * 1000)];
    let times = prop::collection::vec(time, 3);
    let files = prop::collection::vec(
        ("[a-z./]{1,4}", prop::collection::vec(any::<u8>(), 0..9)),
        0..2,
    );
    (
        "([a-c]/){0,2}[a-z\u{2215} é]{1,6}",
        any_values(),
        tags,
        ".{0,3}",
        times,
        files,
    )
        .prop_map(|(name, (content_type, values), tags, note, times, files)| {
            let versions = values.into_iter().zip(times);
            let versions = versions.map(|(value, ms)| ItemVersion {
                created_ms: Some(ms),
                value,
            });
            let attachments = files.into_iter().map(|(name, content)| Attachment {
                name,
                content: SecretBytes::new(content),
            });
            Item {
                name,
                content_type,
                tags: tags.into_iter().collect(),
                note,
                versions: versions.collect(),
                attachments: attachments.collect(),
                ..Item::default()
            }
        })
}

proptest! {
    // Without the container: stretching takes its time.
    #[test]
    fn a_round_trip_gives_the_same_items(items in prop::collection::vec(any_item(), 0..4)) {
        use super::stream::{CHACHA20, InnerStream};
        let mut items = items;
        items.iter_mut().enumerate().for_each(|(number, item)| item.name.push_str(&number.to_string()));
        let (document, losses) = super::write::document(&items).unwrap();
        prop_assert!(losses.is_empty());
        let mut xml = Vec::new();
        super::xml::write(&mut xml, &document.root, &mut InnerStream::new(CHACHA20, b"k").unwrap()).unwrap();
        let tree = tree::parse(&xml, Some(&mut InnerStream::new(CHACHA20, b"k").unwrap())).unwrap();
        let mut again = Vec::new();
        super::read::all(tree, document.binaries, &mut |incoming| {
            if let Incoming::Item(mut item) = incoming {
                item.tags.sort();
                again.push(*item);
            }
            Ok(())
        }).unwrap();
        let order = |items: &mut Vec<Item>| items.sort_by(|one, other| one.name.cmp(&other.name));
        order(&mut items);
        order(&mut again);
        prop_assert_eq!(again, items);
    }

    #[test]
    fn no_bytes_panic(text in r"[<>/&;A-Ea-e0-9= \x22!?\-\[\]]{0,80}", bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = tree::parse(text.as_bytes(), None);
        let _ = Header::parse(&[super::header::MAGIC, &[0, 0, 4, 0], &bytes].concat());
        let _ = Kdf::parse(&[&[0, 1], bytes.as_slice()].concat());
    }
}

#[test]
fn texts_stay_texts() {
    let mut item = Item::text("x", "a\nb", Some(1000));
    item.tags = vec!["t".into()];
    let (again, _) = round_trip(&DATABASE, std::slice::from_ref(&item)).unwrap();
    assert_eq!(again[0].content_type.as_deref(), Some(TEXT));
    assert_eq!(again, [item]);
}

/// Versions that KeePass alone says exactly beside versions that it does not.
#[test]
fn versions_that_differ_come_back_as_they_were() {
    let version = |value: SecretBytes, created_ms: u64| ItemVersion {
        created_ms: Some(created_ms),
        value,
    };
    let mut texts = Item::text("mixed", "abc", Some(1123));
    texts.versions.push(version(SecretBytes::default(), 2123));
    let mut fields = login("p");
    let mut logins = Item::record("login", &fields, Some(1123));
    fields.fields[0].section = Some("App".into());
    fields.fields[0].content = Some("number".into());
    logins.versions.push(version(fields.encode(), 2123));
    // A clock that was set back.
    logins.versions.push(version(login("q").encode(), 1999));
    let items = [logins, texts];
    let (again, losses) = round_trip(&DATABASE, &items).unwrap();
    assert_eq!(losses, []);
    assert_eq!(again, items);
}

#[test]
fn losses_are_listed() {
    let mut record = login("p");
    let kept =
        serde_json::json!({"uuid": "no UUID", "newer": 7, "elements": [{"name": "no name"}]});
    record.keep("kdbx", kept.as_object().unwrap().clone());
    let mut item = Item::record("x", &record, Some(1));
    item.attachments.push(Attachment {
        name: "\u{1}".into(),
        content: SecretBytes::default(),
    });
    let (_, losses) = DATABASE.write(&[item], &Answers::default()).unwrap();
    let losses: Vec<_> = losses.iter().map(ToString::to_string).collect();
    let expected = [
        "x: its attachments",
        "x: what KeePass alone has of version 1",
    ];
    assert_eq!(losses, expected);
}

/// Entries inside of a root group of this content.
pub(super) fn with_root(inner: &str) -> String {
    format!("<KeePassFile><Root><Group><Name>db</Name>{inner}</Group></Root></KeePassFile>")
}

pub(super) fn entry(strings: &[(&str, &str)], more: &str) -> String {
    let string = |(key, value): &(&str, &str)| {
        format!("<String><Key>{key}</Key><Value>{value}</Value></String>")
    };
    let strings: String = strings.iter().map(string).collect();
    format!("<Entry>{strings}{more}</Entry>")
}

#[test]
fn losses_of_groups_and_earlier_versions_are_listed() {
    let icon = "AAAAAAAAAAAAAAAAAAAAAw==";
    let former = entry(
        &[("Title", "old"), ("Password", "o")],
        &format!(
            "<Tags>t</Tags><OverrideURL>cmd://old</OverrideURL><CustomIconUUID>{icon}</CustomIconUUID>"
        ),
    );
    let entry = entry(
        &[("Title", "new"), ("Password", "p")],
        &format!("<PreviousParentGroup>{icon}</PreviousParentGroup><History>{former}</History>"),
    );
    let text = with_root(&format!(
        "<Notes>of the root</Notes><Group><Name>Empty</Name><IconID>48</IconID></Group>\
         <Group><Name>G</Name><Tags>t</Tags><IconID>7</IconID><EnableSearching>null</EnableSearching>\
         <CustomData><Item><Key>k</Key><Value>v</Value></Item></CustomData>\
         <Times><Expires>True</Expires><ExpiryTime>2030-01-02T03:04:05Z</ExpiryTime></Times>{entry}</Group>"
    ));
    let (items, missing) = read_file(&XML, text.as_bytes()).unwrap();
    let expected = [
        "db: the notes of the group",
        "Empty: the group, which has nothing in it",
        "G: the tags, expiry, icon, custom data of the group",
    ];
    assert_eq!(missing, expected);
    let expected = [
        "the group that it was in before",
        "titles of earlier versions",
        "tags of earlier versions",
        "icons of earlier versions",
    ];
    assert_eq!(items[0].losses, expected);
    // What an earlier version of the entry says beside its fields is kept with it.
    let former = Record::decode(items[0].versions[0].value.expose()).unwrap();
    assert!(
        former.kept("kdbx")["elements"]
            .to_string()
            .contains("cmd://old")
    );
    let (again, losses) = round_trip(&DATABASE, &items).unwrap();
    assert_eq!(losses, []);
    let values = |item: &Item| -> Vec<_> {
        let versions = item.versions.iter();
        versions.map(|version| version.value.clone()).collect()
    };
    assert_eq!(values(&again[0]), values(&items[0]));
}

/// The strings of the one entry of a database that is written.
pub(super) fn strings_of(item: &Item) -> Vec<(String, String)> {
    let (document, losses) = super::write::document(std::slice::from_ref(item)).unwrap();
    assert_eq!(losses, []);
    let entry = &document.root.children[1].children[0].children[2];
    let strings = entry.all("String");
    let text = |string: &Element, name: &str| string.child(name).unwrap().text.to_string();
    let mut all: Vec<_> = strings
        .map(|string| (text(string, "Key"), text(string, "Value")))
        .collect();
    all.sort();
    all
}

#[test]
fn one_time_codes_of_keepass_are_fields() {
    let uri = "otpauth://totp/x?secret=GEZDGNBVGY3TQOJQ";
    let more = [
        ("TimeOtp-Length", "8"),
        ("TimeOtp-Period", "30"),
        ("TimeOtp-Algorithm", "HMAC-SHA-256"),
    ];
    let long = format!("{uri}&digits=8&algorithm=SHA256");
    let cases: [(&str, &str, &[_], Option<&str>); 9] = [
        ("TimeOtp-Secret", "1234567890", &[], Some(uri)),
        ("TimeOtp-Secret-Hex", "31323334353637383930", &[], Some(uri)),
        (
            "TimeOtp-Secret-Base32",
            "GEZDGNBVGY3TQOJQ",
            &more,
            Some(&long),
        ),
        ("TimeOtp-Secret-Base64", "MTIzNDU2Nzg5MA==", &[], Some(uri)),
        (
            "TimeOtp-Secret-Base32",
            "gezd gnbv gy3t qojq",
            &[],
            Some("otpauth://totp/x?secret=gezd%20gnbv%20gy3t%20qojq"),
        ),
        ("TimeOtp-Secret-Hex", "no hex", &[], None),
        ("TimeOtp-Secret-Rot13", "x", &[], None),
        ("TimeOtp-Secret", "x", &[("TimeOtp-Newer", "1")], None),
        ("TimeOtp-Secret", "x", &[("TimeOtp-Secret-Hex", "31")], None),
    ];
    for (key, secret, parameters, expected) in cases {
        let mut strings = vec![("Title", "x"), (key, secret)];
        strings.extend(parameters);
        let text = with_root(&entry(&strings, ""));
        let (items, _) = read_file(&XML, text.as_bytes()).unwrap();
        let record = items[0].as_record().unwrap();
        assert_eq!(record.get(field::TOTP), expected, "{key}");
        assert!(record.fields.iter().all(|field| field.hidden), "{key}");
        let mut own: Vec<_> = strings
            .iter()
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
            .collect();
        own.sort();
        assert_eq!(strings_of(&items[0]), own);
    }
    // A code that was changed to what KeePass has no strings for is KeePassXC's.
    let text = with_root(&entry(
        &[("Title", "x"), ("TimeOtp-Secret", "1234567890")],
        "",
    ));
    let (mut items, _) = read_file(&XML, text.as_bytes()).unwrap();
    let mut record = items[0].as_record().unwrap();
    record.set(field::TOTP, format!("{uri}&issuer=y"));
    items[0].versions = Item::record("x", &record, Some(1000)).versions;
    let strings = strings_of(&items[0]);
    assert!(strings.contains(&("otp".into(), format!("{uri}&issuer=y"))));
}

#[test]
fn passkeys_of_keepassxc_are_fields() {
    let pem = "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAB\n-----END PRIVATE KEY-----\n";
    let mut strings = vec![
        ("Title", "x"),
        ("KPEX_PASSKEY_USERNAME", "anna"),
        ("KPEX_PASSKEY_CREDENTIAL_ID", "Y3JlZA"),
        ("KPEX_PASSKEY_RELYING_PARTY", "a.example"),
        ("KPEX_PASSKEY_USER_HANDLE", "aGFuZGxl"),
        ("KPEX_PASSKEY_PRIVATE_KEY_PEM", pem),
    ];
    let read = |strings: &[(&str, &str)]| {
        let text = with_root(&entry(strings, ""));
        read_file(&XML, text.as_bytes()).unwrap().0.remove(0)
    };
    let item = read(&strings);
    let record = item.as_record().unwrap();
    let passkey: serde_json::Value =
        serde_json::from_str(record.get(field::PASSKEY).unwrap()).unwrap();
    let expected = serde_json::json!({
        "credentialId": "Y3JlZA", "rpId": "a.example", "username": "anna", "userDisplayName": "", "userHandle": "aGFuZGxl",
        "key": "MC4CAQAwBQYDK2VwBCIEIAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAB",
    });
    assert_eq!(passkey, expected);
    let mut own: Vec<_> = strings
        .iter()
        .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
        .collect();
    own.sort();
    assert_eq!(strings_of(&item), own);
    // A passkey that says more than KeePassXC knows goes out as one of its, and comes back whole.
    let mut more = passkey;
    more["userDisplayName"] = "Anna".into();
    let mut record = Record::new("passkey");
    record.push(field::PASSKEY, more.to_string());
    let item = Item::record("x", &record, Some(1000));
    assert_eq!(strings_of(&item), own);
    let (again, _) = round_trip(&DATABASE, std::slice::from_ref(&item)).unwrap();
    assert_eq!(again, [item]);
    // One that would not go out as it came stays as it is, out of sight.
    strings.push(("KPEX_PASSKEY_FLAG_BE", "1"));
    let record = read(&strings).as_record().unwrap();
    assert_eq!(record.get(field::PASSKEY), None);
    assert_eq!(record.customs().filter(|field| field.hidden).count(), 6);
}

#[test]
fn kept_elements_can_be_read_again() {
    let nested = |depth: usize| format!("{}x{}", "<Foo>".repeat(depth), "</Foo>".repeat(depth));
    let read = |more: &str| {
        let fields = [("Title", "x"), ("Password", "p")];
        let text = with_root(&entry(&fields, more));
        read_file(&XML, text.as_bytes()).unwrap().0.remove(0)
    };
    let many = format!("<Foo>{}</Foo>", "<a/>".repeat(10_000));
    for (more, lost) in [(nested(40), 0), (nested(41), 1), (many, 1)] {
        let item = read(&more);
        // What is kept has no field, and is listed as well.
        assert_eq!(item.losses.len(), 1, "{:?}", item.losses);
        let record = item.as_record().unwrap();
        assert_eq!(record.get(field::PASSWORD), Some("p"));
        assert_eq!(record.kept("kdbx").is_empty(), lost == 1);
    }
    // Attributes too, whatever is in them.
    let item = read("<Foo a='\"' b='&lt;&amp;&#10;&#x41;>' c=\"'\">x</Foo>");
    let kept = item.as_record().unwrap().kept("kdbx");
    let attributes = serde_json::json!([["a", "\""], ["b", "<&\nA>"], ["c", "'"]]);
    assert_eq!(kept["elements"][0]["attributes"], attributes);
    let (again, losses) = round_trip(&DATABASE, std::slice::from_ref(&item)).unwrap();
    assert_eq!(losses, []);
    assert_eq!(again[0].as_record(), item.as_record());
    let error = read_file(&XML, with_root("<a b='&own;'/>").as_bytes());
    assert!(error.unwrap_err().to_string().contains("not XML"));
}

#[test]
fn the_memory_of_a_tree_is_bounded() {
    let mib = 1 << 20;
    let size = size_of::<Element>();
    let within = |text: &str| tree::parse_within(text.as_bytes(), None, mib).map(|_| ());
    let elements = |count: usize| format!("<r>{}</r>", "<a/>".repeat(count));
    assert!(within(&elements(mib / size / 2)).is_ok());
    for text in [
        elements(mib / size),
        format!("<r>{}</r>", "x".repeat(mib)),
        format!("<r a=\"{}\"/>", "x".repeat(mib)),
        format!("<{}/>", "x".repeat(mib)),
        format!("<r>{}</r>", "<a b=''/>".repeat(mib / size / 2)),
    ] {
        let error = within(&text).unwrap_err().to_string();
        assert!(error.contains("memory: the limit is 1 MiB"), "{error}");
    }
    // White space between elements is not kept.
    let spaced = format!(
        "<r>{}</r>",
        format!("<a>{}<b/></a>", " ".repeat(1000)).repeat(2000)
    );
    assert!(within(&spaced).is_ok());
}

#[test]
fn losses_are_bounded() {
    let text = with_root(&"<Group><Name>x</Name></Group>".repeat(20_000));
    let (_, missing) = read_file(&XML, text.as_bytes()).unwrap();
    assert_eq!(missing.len(), 10_000);
    assert!(missing.last().unwrap().contains("there are more"));
    let name = "é".repeat(1_000_000);
    let text = with_root(&format!("<Group><Name>{name}</Name><Group/></Group>"));
    let (_, missing) = read_file(&XML, text.as_bytes()).unwrap();
    assert!(missing[0].len() < 5000);
}

/// A quadratic walk takes a minute for each, a cubic one a day.
#[test]
fn fields_of_one_name_are_numbered_and_missing_attachments_are_counted() {
    let mut record = Record::new("x");
    for _ in 0..20_000 {
        record.fields.push(Field::custom("a", "", false));
    }
    let item = Item::record("x", &record, Some(1000));
    let (document, losses) = super::write::document(std::slice::from_ref(&item)).unwrap();
    assert_eq!(losses, []);
    assert_eq!(document.binaries.len(), 0);
    let written = &document.root.children[1].children[0].children[2];
    let keys = written
        .all("String")
        .filter_map(|string| string.text_of("Key"));
    let keys: std::collections::HashSet<_> = keys.collect();
    // The title, and one key per field.
    assert_eq!(keys.len(), 20_001);

    let files = (0..5_000).map(|number| format!("<Binary><Key>{number}</Key></Binary>"));
    let files = files.collect::<Vec<_>>().concat();
    let former = format!("<Entry>{files}</Entry>").repeat(5);
    let text = with_root(&format!(
        "<Entry>{files}<History>{former}</History></Entry>"
    ));
    let (items, _) = read_file(&XML, text.as_bytes()).unwrap();
    assert_eq!(
        items[0].losses,
        ["5000 attachments that the file does not have"]
    );

    let strings = vec![("a", "b"); 65_537];
    let text = with_root(&entry(&strings, ""));
    let (items, missing) = read_file(&XML, text.as_bytes()).unwrap();
    assert!(items.is_empty());
    assert_eq!(missing, [": it has more than 65536 fields"]);
}

#[test]
fn a_name_as_deep_as_names_can_be_comes_back() {
    let item = Item::text("x/".repeat(127) + "y", "text", Some(1000));
    let (again, _) = round_trip(&DATABASE, std::slice::from_ref(&item)).unwrap();
    assert_eq!(again, [item]);
}
