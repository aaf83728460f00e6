//! What fuzzing found, replayed as a normal test.
#![allow(missing_docs, clippy::unwrap_used)]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use parsers::TARGETS;

fn fuzz() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Names in a folder, without extension.
fn names(folder: &Path) -> BTreeSet<String> {
    fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .map(|path| path.file_stem().unwrap().to_str().unwrap().to_owned())
        .collect()
}

fn targets() -> BTreeSet<String> {
    TARGETS.iter().map(|(name, _)| (*name).to_owned()).collect()
}

#[test]
fn every_input_of_the_corpus_holds() {
    assert_eq!(names(&fuzz().join("corpus")), targets());
    std::thread::scope(|scope| {
        for (name, target) in TARGETS {
            scope.spawn(move || {
                let folder = fuzz().join("corpus").join(name);
                let mut inputs = 0;
                for entry in fs::read_dir(folder).unwrap() {
                    let path = entry.unwrap().path();
                    let input = fs::read(&path).unwrap();
                    inputs += 1;
                    assert!(
                        std::panic::catch_unwind(|| target(&input)).is_ok(),
                        "{}",
                        path.display()
                    );
                }
                assert!(inputs > 0, "{name} has an empty corpus");
            });
        }
    });
}

#[test]
fn every_target_has_a_program() {
    assert_eq!(names(&fuzz().join("fuzz_targets")), targets());
    let manifest = fs::read_to_string(fuzz().join("Cargo.toml")).unwrap();
    for name in targets() {
        let program = fs::read_to_string(fuzz().join(format!("fuzz_targets/{name}.rs"))).unwrap();
        assert!(program.contains(&format!("run(\"{name}\"")), "{name}");
        assert!(manifest.contains(&format!("name = \"{name}\"")), "{name}");
    }
}
