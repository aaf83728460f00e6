use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use proptest::prelude::*;
use shared::secret::SecretBytes;

use super::{PASS_AGE, text};
use crate::format::{Choices, Source, Written};
use crate::model::item::{Attachment, Item, TEXT};
use crate::model::record::{Record, field};
use crate::registry::{Detected, detect};
use crate::testing::{self, Answers, read_all};

fn parse(content: &str) -> Item {
    parse_named("x", content)
}

fn written(item: &Item) -> String {
    String::from_utf8(text::write(item, &[]).expose().to_vec()).unwrap()
}

#[test]
fn texts_have_fields_where_they_are_structured() {
    let content = "hunter2\nlogin: anna\nurl: https://a.example\nPIN: 1234\notpauth://totp/x?secret=AA\n\nand a note\nof: two lines\n";
    let item = parse(content);
    let record = item.as_record().unwrap();
    let fields = testing::fields(&record, |field| field.custom);
    let expected = [
        ("password", "hunter2", false),
        ("username", "anna", false),
        ("url", "https://a.example", false),
        ("PIN", "1234", true),
        ("totp", "otpauth://totp/x?secret=AA", false),
        ("note", "and a note\nof: two lines", false),
    ];
    assert_eq!(fields, expected);
    assert_eq!(written(&item), content);
    // A new password takes the place of the old one, and nothing else changes.
    let mut record = record;
    record.set(field::PASSWORD, "new".into());
    let changed = Item::record("x", &record, None);
    assert_eq!(written(&changed), content.replace("hunter2", "new"));
}

#[test]
fn texts_without_structure_are_values() {
    let item = parse("hunter2\n");
    assert_eq!(item.content_type, None);
    assert_eq!(item.newest().unwrap().value.expose(), b"hunter2");
    let pem = "-----BEGIN X-----\nAAAA\n-----END X-----\n";
    let item = parse(pem);
    assert_eq!(item.content_type.as_deref(), Some(TEXT));
    assert_eq!(item.newest().unwrap().value.expose(), pem.as_bytes());
    for text in [
        "", "\n", "a", "a\n", "a\n\n", "\n\n", pem, "a: b", "a: b\n", "\na: b",
    ] {
        assert_eq!(written(&parse(text)), text);
    }
}

#[test]
fn metadata_is_in_one_more_line() {
    let mut record = Record::new("card");
    record.push(field::NUMBER, "4111");
    record.push(field::PRIVATE_KEY, "two\nlines");
    record.push(field::NOTE, "note");
    let mut item = Item::record("x", &record, None);
    item.tags = vec!["work".into()];
    let content = written(&item);
    assert_eq!(content.matches("4111").count(), 1, "{content}");
    assert!(
        content.starts_with("\nnumber: 4111\nkeyshell: {"),
        "{content}"
    );
    assert_eq!(parse(&content), item);
    // Changed by hand: it counts no more, and what was changed does.
    let changed = parse(&content.replace("number: 4111\n", "number: 5\nmore: x\n"));
    let record = changed.as_record().unwrap();
    assert_eq!(record.fields[0].value, "5");
}

fn answers(recipients: Vec<String>, identities: Vec<std::path::PathBuf>) -> Answers {
    let choices = Choices {
        recipients,
        identities,
        ..Choices::default()
    };
    Answers {
        choices,
        ..Answers::default()
    }
}

fn laid_out(root: &Path, items: &[Item], answers: &Answers) -> Vec<String> {
    let (written, losses) = PASS_AGE.write(items, answers).unwrap();
    let Written::Folder(files) = written else {
        panic!("a folder");
    };
    if root.exists() {
        fs::remove_dir(root).unwrap();
    }
    crate::create_folder(root, &files).unwrap();
    losses.iter().map(ToString::to_string).collect()
}

fn read(root: &Path, answers: &Answers) -> (Vec<Item>, Vec<String>) {
    let (mut items, missing) = read_timed(root, answers);
    let versions = items.iter_mut().flat_map(|item| &mut item.versions);
    versions.for_each(|version| version.created_ms = None);
    (items, missing)
}

fn read_timed(root: &Path, answers: &Answers) -> (Vec<Item>, Vec<String>) {
    read_all(&PASS_AGE, &Source::path(root), answers).unwrap()
}

#[test]
fn a_tree_under_a_passphrase_comes_back() {
    let root = tempfile::tempdir().unwrap();
    let items = [
        Item::plain(".hidden", SecretBytes::from([0, 255].as_slice()), None),
        parse_named("a", "pw\nuser: anna\n"),
        parse_named("a/b", "x\n"),
        parse_named("a/b.age/c", "y\n"),
    ];
    let losses = laid_out(root.path(), &items, &Answers::default());
    assert!(losses.is_empty());
    assert!(root.path().join("%2Ehidden.age").is_file());
    assert!(root.path().join("a/b%2Eage/c.age").is_file());
    let detected = detect(&Source::path(root.path())).unwrap();
    assert!(matches!(detected, Detected::Vault(format) if format.name == "pass-age"));
    let (mut again, lost) = read(root.path(), &Answers::default());
    again.sort_by(|one, other| one.name.cmp(&other.name));
    assert_eq!(again, items);
    assert!(lost.is_empty());
}

fn parse_named(name: &str, content: &str) -> Item {
    let (item, links) = text::parse(name, &SecretBytes::from(content.as_bytes()), None);
    assert!(links.is_empty());
    item
}

#[test]
fn a_tree_under_public_keys_opens_with_the_private_one() {
    use age::secrecy::ExposeSecret as _;
    let root = tempfile::tempdir().unwrap();
    let identity = age::x25519::Identity::generate();
    let file = root.path().join("identity");
    fs::write(&file, identity.to_string().expose_secret()).unwrap();
    let tree = root.path().join("tree");
    let mut item = parse_named("site", "x\n");
    item.attachments.push(Attachment {
        name: "f/g".into(),
        content: SecretBytes::from([1, 2].as_slice()),
    });
    item.versions.push(item.versions[0].clone());
    let long = Item::text(format!("{}y", "x/".repeat(3)), "z", None);
    let too_long = Item::text("x".repeat(253), "z", None);
    let sealed = answers(vec![identity.to_public().to_string()], Vec::new());
    let losses = laid_out(&tree, &[item, long, too_long], &sealed);
    assert_eq!(losses.len(), 2);
    assert!(losses[0].contains("1 earlier version"));
    assert!(!tree.join(".age-identity").exists());
    let (items, _) = read(&tree, &answers(Vec::new(), vec![file]));
    let mut names: Vec<_> = items.iter().map(|item| item.name.as_str()).collect();
    names.sort_unstable();
    assert_eq!(names, ["site", "x/x/x/y"].map(str::to_owned));
    let error = PASS_AGE.read(&Source::path(&tree), &Answers::default(), &mut |_| Ok(()));
    assert!(error.unwrap_err().to_string().contains("--identity"));
}

#[test]
fn a_tree_is_not_left() {
    let outside = tempfile::tempdir().unwrap();
    let root = outside.path().join("tree");
    laid_out(&root, &[parse_named("a", "x\n")], &Answers::default());
    fs::write(outside.path().join("other.age"), "secret").unwrap();
    symlink("../other.age", root.join("out.age")).unwrap();
    symlink("a.age", root.join("in.age")).unwrap();
    symlink("..", root.join("up")).unwrap();
    symlink("nowhere", root.join("dangling.age")).unwrap();
    fs::write(root.join("README.txt"), "hello").unwrap();
    fs::create_dir(root.join(".git")).unwrap();
    fs::write(root.join(".git/x.age"), "hello").unwrap();
    let (items, mut lost) = read(&root, &Answers::default());
    let names: Vec<_> = items.iter().map(|item| item.name.as_str()).collect();
    assert_eq!(names, ["a", "in"]);
    lost.sort();
    let expected = [
        "README.txt: it is not a file of this format",
        "dangling.age: it is a link to nothing",
        "out.age: it is a link out of the folder",
        "up: it is a link out of the folder",
    ];
    assert_eq!(lost, expected);
    let mut deep = root.clone();
    (0..130).for_each(|_| deep.push("d"));
    fs::create_dir_all(deep).unwrap();
    let error = PASS_AGE.read(&Source::path(&root), &Answers::default(), &mut |_| Ok(()));
    assert!(error.unwrap_err().to_string().contains("128 levels"));
}

fn any_item() -> impl Strategy<Value = Item> {
    let agreed = vec![field::PRIVATE_KEY];
    let value = prop_oneof![
        "[a-c: \\n]{0,8}",
        any::<String>(),
        Just("otpauth://totp/x?secret=AA".to_owned())
    ];
    let name = prop_oneof![
        "[a-c: ]{0,3}",
        Just("keyshell".to_owned()),
        Just("user".to_owned())
    ];
    let kind = prop_oneof![3 => Just("login".to_owned()), 1 => "[a-c]{1,3}"];
    let record = testing::any_record(kind, testing::any_field(agreed, value, name));
    let text = prop_oneof!["[a-c: \\n]{0,20}", any::<String>()];
    let bare = (text, prop::option::of("[a-z/]{1,4}")).prop_map(|(text, kind)| Item {
        content_type: kind,
        ..Item::text("x", &text, None)
    });
    let tags = prop::collection::btree_set("[a-c]", 0..3);
    (prop_oneof![record, bare], tags, "[a-c\\n]{0,2}").prop_map(|(mut item, tags, note)| {
        item.name = "x".into();
        item.tags = tags.into_iter().collect();
        item.note = note;
        item
    })
}

proptest! {
    #[test]
    fn a_round_trip_gives_the_same_item(item in any_item()) {
        prop_assert_eq!(parse(&written(&item)), item);
    }

    #[test]
    fn every_text_goes_out_as_it_came(text in "[a-c: \\n]{0,40}|(x\\n)?(user: a\\n|otpauth://b\\n|k: \\n|keyshell: \\{\"tags\":\\[\\]\\}\\n|\\n|c\\r?\\n){0,6}c?") {
        let item = parse(&text);
        let again = written(&item);
        // A line of ours that says nothing more than the rest is not written again.
        prop_assert!(again == text || text.contains("keyshell: "), "{:?}", again);
        prop_assert_eq!(parse(&again), item);
    }

    #[test]
    fn every_value_goes_out_as_it_came(bytes in prop::collection::vec(any::<u8>(), 0..40)) {
        let (item, links) = text::parse("x", &SecretBytes::from(bytes.as_slice()), None);
        let again = text::write(&item, &links);
        prop_assert_eq!(again.expose(), bytes.as_slice());
    }
}

fn file(name: &str, content: &[u8]) -> Attachment {
    Attachment {
        name: name.into(),
        content: SecretBytes::from(content),
    }
}

/// Files of one name, and one that has the name of another item.
#[test]
fn files_and_times_come_back_to_their_items() {
    let mut item = Item::record("site", &Record::new("login"), Some(1_600_000_000_123));
    item.attachments = vec![
        file("key.bin", b"1"),
        file("key.bin", b"2"),
        file("a/b", b"3"),
        file(".x", b"4"),
        file("key.bin (2)", b"5"),
    ];
    let other = Item::text("site/key.bin", "other\nlines", Some(1_000));
    let items = [other.clone(), item.clone()];
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("tree");
    let losses = laid_out(&root, &items, &Answers::default());
    let expected = [
        "site: the file `key.bin` is called `key.bin (2)` there",
        "site: the file `key.bin` is called `key.bin (3)` there",
        "site: the file `key.bin (2)` is called `key.bin (2) (2)` there",
    ];
    assert_eq!(losses, expected);
    assert!(root.join("site/key.bin (3).age").is_file());
    let (again, lost) = read_timed(&root, &Answers::default());
    assert!(lost.is_empty());
    assert_eq!(again, [item, other]);

    // Without its file an attachment is missed.
    fs::remove_file(root.join("site/a_b.age")).unwrap();
    let (again, _) = read(&root, &Answers::default());
    assert_eq!(again[0].attachments.len(), 4);
    let expected = ["the attachment `a/b`: its file is not there"];
    assert_eq!(again[0].losses, expected);
}

#[test]
fn binary_values_have_no_attachments() {
    let mut item = Item::plain("x", SecretBytes::from([255].as_slice()), None);
    item.attachments.push(file("f", b"1"));
    let folder = tempfile::tempdir().unwrap();
    let losses = laid_out(&folder.path().join("t"), &[item], &Answers::default());
    assert_eq!(losses, ["x: that the file `f` hangs on it"]);
}

#[test]
fn no_item_takes_files_of_others() {
    use crate::input::age_file::Lock;
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("tree");
    laid_out(&root, &[parse_named("a", "x\n")], &Answers::default());
    let outside = ["../a", "/etc/hostname", "..", "../../a"];
    let links = outside.map(|own| (own.to_owned(), "stolen".to_owned()));
    let thief = text::write(&Item::text("b", "x\ny", None), &links);
    let recipient = fs::read_to_string(root.join(".age-recipients")).unwrap();
    let lock = Lock::Recipients(vec![recipient.trim().parse().unwrap()]);
    let sealed = crate::input::age_file::seal(lock, thief.expose()).unwrap();
    fs::write(root.join("b.age"), sealed.expose()).unwrap();
    let (items, _) = read(&root, &Answers::default());
    let names: Vec<_> = items.iter().map(|item| item.name.as_str()).collect();
    assert_eq!(names, ["a", "b"]);
    assert!(items[1].attachments.is_empty());
    let missing = "the attachment `stolen`: its file is not there";
    assert_eq!(items[1].losses, [missing; 4]);
}

#[test]
fn texts_of_gopass_have_their_fields() {
    let cases = [
        (
            "GOPASS-SECRET-1.0\nPassword: pw\nUser: ana\n\nbody\nmore\n",
            &[
                ("password", "pw"),
                ("username", "ana"),
                ("note", "body\nmore"),
            ][..],
        ),
        (
            "GOPASS-SECRET-1.0\nUrl: u\nKey: v",
            &[("url", "u"), ("Key", "v")],
        ),
        ("GOPASS-SECRET-1.0\n\nbody\n", &[("note", "body")]),
        (
            "---\nkey1: value1\nkey2: value2\n",
            &[("key1", "value1"), ("key2", "value2")],
        ),
        (
            "pw\n---\nuser: 043513\nnested:\n  a: b\nlater: c\n",
            &[
                ("password", "pw"),
                ("username", "043513"),
                ("note", "nested:\n  a: b\nlater: c"),
            ],
        ),
        (
            "pw\r\n---\r\nurl: \"https://a\"\r\na: 'b # c'\r\n",
            &[("password", "pw"), ("url", "https://a"), ("a", "b # c")],
        ),
        // Values that are no plain text, or go on.
        (
            "pw\n---\na: b\nc: |\n  d\n",
            &[("password", "pw"), ("a", "b"), ("note", "c: |\n  d")],
        ),
        (
            "pw\n---\na: b\nc: d\n  e\n",
            &[("password", "pw"), ("a", "b"), ("note", "c: d\n  e")],
        ),
        (
            "pw\n---\na: b\nc: \"d\\n\"\n",
            &[("password", "pw"), ("a", "b"), ("note", "c: \"d\\n\"")],
        ),
        (
            "pw\n---\na: b\nc: d # e\n",
            &[("password", "pw"), ("a", "b"), ("note", "c: d # e")],
        ),
        // Lines of Windows, in a text of `pass` itself.
        (
            "pw\r\nuser: ana\r\n",
            &[("password", "pw"), ("username", "ana")],
        ),
    ];
    for (text, expected) in cases {
        let record = parse(text).as_record().unwrap();
        let fields: Vec<_> = testing::fields(&record, |_| ())
            .into_iter()
            .map(|(name, value, ())| (name, value))
            .collect();
        assert_eq!(fields, expected, "{text}");
        // It comes back from a tree of our own as it is here.
        let item = Item::record("x", &record, None);
        assert_eq!(
            parse(&written(&item)).as_record().unwrap(),
            record,
            "{text}"
        );
    }
    for (text, value) in [
        ("pw\r\n", "pw"),
        ("pw\n---\n- a\n", "pw\n---\n- a\n"),
        (
            "-----BEGIN X-----\r\nAA\r\n-----END X-----\r\n",
            "-----BEGIN X-----\r\nAA\r\n-----END X-----\r\n",
        ),
        ("a\r", "a\r"),
    ] {
        let item = parse(text);
        assert_eq!(item.newest().unwrap().value.expose(), value.as_bytes());
    }
}

#[test]
fn names_with_a_dot_are_secrets_and_what_is_left_out_is_listed() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    let items: Vec<_> = [
        "seen",
        ".ssh/id_rsa",
        "sub/.env",
        "sub/.hid/x",
        "..a",
        ".git2",
    ]
    .iter()
    .map(|name| Item::text(*name, "text\nof\n", None))
    .collect();
    let (Written::Folder(files), losses) = PASS_AGE.write(&items, &Answers::default()).unwrap()
    else {
        panic!("a folder");
    };
    assert!(losses.is_empty());
    let tree = root.join("store");
    crate::format::create_folder(&tree, &files).unwrap();
    // As passage has them, and as we write them.
    let plain = |name: &str| name.replace("%2E", ".");
    for (at, file) in files.iter().enumerate() {
        let name = file.path.to_str().unwrap();
        let to = tree.join(plain(name));
        if at % 2 == 0 && !to.exists() {
            fs::create_dir_all(to.parent().unwrap()).unwrap();
            fs::rename(tree.join(name), to).unwrap();
        }
    }
    for beside in [
        ".git/x.age",
        ".gitattributes",
        ".gitignore",
        ".public-keys/k",
        ".extensions/e.bash",
        "sub/.gpg-id",
        "sub/.age-recipients",
    ] {
        let path = tree.join(beside);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, "x").unwrap();
    }
    for left in ["notes.txt", "sub/.hidden", ".age", "sub/.age"] {
        fs::write(tree.join(left), "x").unwrap();
    }
    let source = Source::path(&tree);
    let detected = detect(&source).unwrap();
    assert!(matches!(detected, Detected::Vault(format) if format.name == "pass-age"));
    let (read, missing) = read_all(&PASS_AGE, &source, &Answers::default()).unwrap();
    let mut names: Vec<_> = read.iter().map(|item| item.name.as_str()).collect();
    names.sort_unstable();
    let mut expected: Vec<_> = items.iter().map(|item| item.name.as_str()).collect();
    expected.sort_unstable();
    assert_eq!(names, expected);
    let mut left: Vec<_> = missing
        .iter()
        .map(|loss| loss.split(':').next().unwrap())
        .collect();
    left.sort_unstable();
    assert_eq!(left, [".age", "notes.txt", "sub/.age", "sub/.hidden"]);
}
