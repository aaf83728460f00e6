//! What the documents promise exists.
#![allow(missing_docs, clippy::unwrap_used)]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .unwrap()
        .to_owned()
}

/// Everything between backticks that names a test: `file::test`, or a path of a file of tests.
fn named(document: &str) -> BTreeSet<&str> {
    let quoted = document.split('`').skip(1).step_by(2);
    quoted
        .filter(|text| text.contains("::") || (text.contains("/tests/") && !text.ends_with('/')))
        .collect()
}

/// The text of a file of tests, named by its path or, for black-box tests, by its module.
fn source(file: &str) -> Option<String> {
    let read = |path: PathBuf| std::fs::read_to_string(path).ok();
    if file.contains('/') {
        return read(root().join(file));
    }
    let programs = root().join("tests/tests");
    let module = format!("{file}.rs");
    let folders = std::fs::read_dir(&programs).unwrap();
    let folders = folders.map(|entry| entry.unwrap().path());
    folders
        .chain([programs])
        .find_map(|folder| read(folder.join(&module)))
}

fn exists(name: &str) -> bool {
    let (file, test) = name.split_once("::").unwrap_or((name, ""));
    let Some(source) = source(file) else {
        return false;
    };
    // Unit tests stand in a module; those of the conformance suite are functions that a macro makes tests of.
    let lines: Vec<&str> = source.lines().map(str::trim_start).collect();
    let source = lines.join("\n");
    test.is_empty()
        || source.contains(&format!("#[test]\nfn {test}()"))
        || source.contains(&format!("pub(super) fn {test}(fresh: Fresh)"))
}

#[test]
fn every_test_that_the_threat_model_names_exists() {
    let text = std::fs::read_to_string(root().join("docs/threat-model.md")).unwrap();
    let named = named(&text);
    assert!(named.len() > 80, "{}", named.len());
    let missing: Vec<_> = named.into_iter().filter(|name| !exists(name)).collect();
    assert_eq!(missing, Vec::<&str>::new());
    assert!(!exists("lies_log::no_such_test") && !exists("no_such_file::a_test"));
}

/// Rows of tables have as many cells as their header.
#[test]
fn tables_are_whole() {
    for name in [
        "threat-model.md",
        "protocol.md",
        "operations.md",
        "architecture.md",
    ] {
        let text = std::fs::read_to_string(root().join("docs").join(name)).unwrap();
        let mut cells = None;
        for line in text.lines() {
            let count = line.replace("\\|", "").matches('|').count();
            if !line.starts_with('|') {
                cells = None;
            } else if let Some(expected) = cells {
                assert_eq!(count, expected, "{name}: {line}");
            } else {
                cells = Some(count);
            }
        }
    }
}
