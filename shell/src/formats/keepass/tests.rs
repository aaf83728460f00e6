use proptest::prelude::*;
use shared::secret::SecretBytes;

use super::header::{Cipher, Header};
use super::kdf::Kdf;
use super::tree::Element;
use super::{Kdbx, KeePassXml, tree};
use crate::formats::item::{Attachment, Item, ItemVersion, TEXT};
use crate::formats::record::{Field, Record, field};
use crate::formats::source::Source;
use crate::formats::testing::{Answers, read, round_trip};
use crate::formats::{Detected, FormatError, Incoming, VaultFormat, Written, detect};

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
    let (again, losses) = round_trip(&Kdbx, &items).unwrap();
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

fn both(format: &dyn VaultFormat, bytes: &[u8]) -> Result<(Vec<Item>, Vec<String>), FormatError> {
    let source = Source::memory(SecretBytes::from(bytes), "");
    let (mut items, mut missing) = (Vec::new(), Vec::new());
    format.read(&source, &Answers::default(), &mut |incoming| {
        match incoming {
            Incoming::Item(item) => items.push(*item),
            Incoming::Lost(loss) => missing.push(loss.to_string()),
        }
        Ok(())
    })?;
    Ok((items, missing))
}

#[test]
fn an_export_of_keepass_comes_in() {
    let source = Source::memory(SecretBytes::from(EXPORT.as_bytes()), "");
    let detected = detect(&source).unwrap();
    assert!(matches!(detected, Detected::Vault(format) if format.name() == "keepass-xml"));
    let (items, missing) = both(&KeePassXml, EXPORT.as_bytes()).unwrap();
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
    let fields: Vec<_> = record
        .fields
        .iter()
        .map(|field| (&*field.name, &*field.value, field.hidden))
        .collect();
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
    let (again, losses) = round_trip(&Kdbx, &items).unwrap();
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
    let read = |text: &str| both(&KeePassXml, text.as_bytes()).map(|(items, _)| items.len());
    let error = |text: &str| read(text).unwrap_err().to_string();
    let around =
        |inner: &str| format!("<KeePassFile><Root><Group>{inner}</Group></Root></KeePassFile>");
    assert_eq!(read(&around("")).unwrap(), 0);
    let laughs = "<!DOCTYPE x [<!ENTITY a \"ha\"><!ENTITY b \"&a;&a;\">]>";
    assert!(error(&format!("{laughs}{}", around("&b;"))).contains("document type"));
    assert!(error(&around("&b;")).contains("entities"));
    assert!(error(&around("&#0;")).contains("no XML"));
    assert!(error(&around(&"<Group>".repeat(1_000_000))).contains("128 levels"));
    let sealed =
        "<Entry><String><Key>Password</Key><Value Protected=\"True\">AA==</Value></String></Entry>";
    assert!(error(&around(sealed)).contains("only its database"));
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
    assert!(both(&KeePassXml, &invalid).is_err());
    let missing = "<Entry><Binary><Key>f</Key><Value Ref=\"7\"/></Binary></Entry>";
    let (items, _) = both(&KeePassXml, around(missing).as_bytes()).unwrap();
    assert_eq!(
        items[0].losses,
        ["an attachment that the file does not have"]
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
    let error = both(&KeePassXml, text.as_bytes()).unwrap_err();
    assert!(error.to_string().contains("512 MiB"));
}

fn written(items: &[Item]) -> Vec<u8> {
    let (written, _) = Kdbx.write(items, &Answers::default()).unwrap();
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
    assert!(matches!(detected, Detected::Vault(format) if format.name() == "kdbx"));
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
        assert!(read(&Kdbx, &bad).is_err(), "{at}");
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
        assert!(read(&Kdbx, &file[..len]).is_err(), "{len}");
    }
    let mut old = file;
    old[10] = 3;
    let error = read(&Kdbx, &old).unwrap_err().to_string();
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

/// Before anything is derived: each would take minutes or the memory of the machine.
#[test]
fn what_would_take_too_much_is_refused_by_its_header() {
    let fresh = |memory, iterations, lanes| {
        let salt = vec![1; 32];
        Kdf::Argon2 {
            is_id: true,
            is_old: false,
            salt,
            memory,
            iterations,
            lanes,
        }
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
        (vec![0, 1, 0], "unknown way"),
        (vec![0, 1, 0x42, 255, 255, 255, 255], "cut off"),
    ] {
        let begun = std::time::Instant::now();
        let error = read(&Kdbx, &with_kdf(&kdf)).unwrap_err().to_string();
        assert!(error.contains(bound), "{error}");
        assert!(begun.elapsed().as_secs() < 20);
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
    use flate2::write::GzEncoder;
    use std::io::Write as _;
    let mut bomb = GzEncoder::new(Vec::new(), flate2::Compression::best());
    for _ in 0..600 {
        bomb.write_all(&vec![0; 1 << 20]).unwrap();
    }
    let bomb = SecretBytes::new(bomb.finish().unwrap());
    assert!(bomb.len() < 2 << 20);
    let error = super::container::inflated(&bomb).unwrap_err();
    assert!(error.to_string().contains("512 MiB"));
}

#[test]
fn an_entry_changed_by_others_counts_as_it_is() {
    let mut record = login("mine");
    record.kind = "robot".into();
    record.fields[0].section = Some("Head".into());
    let item = Item::record("x", &record, Some(1_700_000_000_000));
    let (document, _) = super::write::document(std::slice::from_ref(&item));
    let read = |root: &Element| {
        let mut items = Vec::new();
        super::walk::all(root.clone(), Vec::new(), &mut |incoming| {
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
            string.children[1].text = zeroize::Zeroizing::new("theirs".to_owned());
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
    let agreed = prop::sample::select(vec![
        field::USERNAME,
        field::PASSWORD,
        field::URL,
        field::TOTP,
        field::NOTE,
        field::NUMBER,
        "expires",
    ]);
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
    let content = prop::option::of("date");
    (agreed, any::<bool>(), any::<bool>(), value, content, custom).prop_map(
        |(agreed, is_custom, hidden, value, content, custom)| {
            if is_custom {
                return Field {
                    content,
                    ..Field::custom(custom, value, hidden)
                };
            }
            let mut record = Record::new("x");
            record.push(agreed, if value.is_empty() { "v".into() } else { value });
            record.fields.remove(0)
        },
    )
}

fn any_item() -> impl Strategy<Value = Item> {
    let value = prop_oneof![
        prop::collection::vec(any_field(), 0..5).prop_map(|fields| {
            let mut record = Record::new("login");
            record.fields = fields;
            Item::record("", &record, None)
        }),
        any::<String>().prop_map(|text| Item::text("", &text, None)),
        prop::collection::vec(any::<u8>(), 0..30).prop_map(|bytes| Item::plain(
            "",
            SecretBytes::new(bytes),
            None
        )),
        (any::<String>(), "[a-z/]{1,5}").prop_map(|(text, kind)| Item {
            content_type: Some(kind),
            ..Item::text("", &text, None)
        }),
    ];
    let tags = prop::collection::btree_set("[a-b;, ]{1,2}", 0..3);
    let times = prop::collection::vec(0..4_000_000_000_u64, 1..3);
    let files = prop::collection::vec(
        ("[a-z./]{1,4}", prop::collection::vec(any::<u8>(), 0..9)),
        0..2,
    );
    (
        "([a-c]/){0,2}[a-z\u{2215} é]{1,6}",
        value,
        tags,
        ".{0,3}",
        times,
        files,
    )
        .prop_map(|(name, mut item, tags, note, mut times, files)| {
            item.name = name;
            item.tags = tags.into_iter().collect();
            item.note = note;
            times.sort_unstable();
            let value = item.versions[0].value.clone();
            item.versions = times
                .into_iter()
                .map(|seconds| ItemVersion {
                    created_ms: Some(seconds * 1000),
                    value: value.clone(),
                })
                .collect();
            item.attachments = files
                .into_iter()
                .map(|(name, content)| Attachment {
                    name,
                    content: SecretBytes::new(content),
                })
                .collect();
            item
        })
}

proptest! {
    // Without the container: stretching takes its time.
    #[test]
    fn whatever_goes_out_comes_in_again(items in prop::collection::vec(any_item(), 0..4)) {
        use super::stream::{CHACHA20, InnerStream};
        let mut items = items;
        items.iter_mut().enumerate().for_each(|(number, item)| item.name.push_str(&number.to_string()));
        let (document, losses) = super::write::document(&items);
        prop_assert!(losses.is_empty());
        let mut xml = Vec::new();
        super::xml::write(&mut xml, &document.root, &mut InnerStream::new(CHACHA20, b"k").unwrap()).unwrap();
        let tree = tree::parse(&xml, Some(&mut InnerStream::new(CHACHA20, b"k").unwrap())).unwrap();
        let mut again = Vec::new();
        super::walk::all(tree, document.binaries, &mut |incoming| {
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
    fn no_bytes_make_it_panic(text in r"[<>/&;A-Ea-e0-9= \x22!?\-\[\]]{0,80}", bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = tree::parse(text.as_bytes(), None);
        let _ = Header::parse(&[super::header::MAGIC, &[0, 0, 4, 0], &bytes].concat());
        let _ = Kdf::parse(&[&[0, 1], bytes.as_slice()].concat());
    }
}

#[test]
fn texts_stay_texts() {
    let mut item = Item::text("x", "a\nb", Some(1000));
    item.tags = vec!["t".into()];
    let (again, _) = round_trip(&Kdbx, std::slice::from_ref(&item)).unwrap();
    assert_eq!(again[0].content_type.as_deref(), Some(TEXT));
    assert_eq!(again, [item]);
}
