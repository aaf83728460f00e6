//! Foreign programs that our output is compared with: whether they are installed, and which tests were skipped without
//! them.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Holds the table of programs and their packages.
const INSTALLER: &str = include_str!("../../.ci/install-tools");
/// Name of the files that list skipped tests, beside the programs; the id of the process that runs the tests follows.
const NOTES: &str = "skipped-tests.";

/// Whether all of these programs are installed. Where one is missing the test is noted as skipped, or fails with `CI`
/// set.
pub fn has(programs: &[&str]) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders: Vec<PathBuf> = std::env::split_paths(&path).collect();
    let is_missing = |program: &&str| {
        let listed = INSTALLER.lines().filter_map(|line| line.split_once(' '));
        assert!(
            listed.into_iter().any(|(name, _)| name == *program),
            "{program} is not in the table of .ci/install-tools"
        );
        !folders.iter().any(|folder| folder.join(program).exists())
    };
    let missing: Vec<&str> = programs.iter().copied().filter(is_missing).collect();
    missing.is_empty() || skip(&missing.join(", "))
}

/// The Python that has the packages of `tests/python/requirements.txt`. Where it is missing the test is noted as
/// skipped, or fails with `CI` set.
pub fn python() -> Option<PathBuf> {
    let python = Path::new(env!("CARGO_MANIFEST_DIR")).join("python/venv/bin/python");
    (python.exists() || skip("tests/python/venv")).then_some(python)
}

/// The same Python, if it has these modules: an environment from before they were needed counts as missing.
pub fn python_with(modules: &[&str]) -> Option<PathBuf> {
    let python = python()?;
    let import = format!("import {}", modules.join(", "));
    let found = script(&python, &["-c", &import]).output().unwrap();
    (found.status.success() || skip("packages of tests/python/requirements.txt")).then_some(python)
}

/// A command that runs Python with these arguments.
pub fn script(python: &PathBuf, arguments: &[&str]) -> Command {
    let mut command = Command::new(python);
    command.args(arguments);
    command
}

/// Whether the tests run as root. Where they do not the test is noted as skipped, or fails with `CI` set.
pub fn is_root(purpose: &str) -> bool {
    rustix::process::geteuid().is_root() || skip(&format!("root, for {purpose}"))
}

/// Notes that the running test, or a part of it, is skipped because something is missing; with `CI` set the test fails.
///
/// Returns `false`, as the answer of those who ask whether it is there.
pub fn skip(missing: &str) -> bool {
    assert!(
        std::env::var_os("CI").is_none(),
        "needs {missing}, and with CI set no test may be skipped"
    );
    // The harness names a test's thread after the test; where it uses one thread only, that is `main`.
    let thread = std::thread::current();
    let line = format!("{missing}\t{}\n", thread.name().unwrap_or("main"));
    let mut notes = File::options();
    let mut notes = notes.create(true).append(true).open(notes_file()).unwrap();
    // In one call, so that lines of several programs are not mixed.
    notes.write_all(line.as_bytes()).unwrap();
    false
}

/// The tests that were skipped by programs with the same parent, which is one run of `cargo test`, by what is missing.
/// Forgets them.
pub fn take_skipped() -> BTreeMap<String, BTreeSet<String>> {
    let file = notes_file();
    let notes = fs::read_to_string(&file).unwrap_or_default();
    let mut skipped: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for (missing, test) in notes.lines().filter_map(|line| line.split_once('\t')) {
        let tests = skipped.entry(missing.to_owned()).or_default();
        tests.insert(test.to_owned());
    }
    // Also the notes of runs that ended before anything asked for them.
    for entry in fs::read_dir(file.parent().unwrap()).unwrap().flatten() {
        let name = entry.file_name();
        let run = name.to_str().and_then(|name| name.strip_prefix(NOTES));
        let is_over = |run: &str| !Path::new("/proc").join(run).exists();
        if run.is_some_and(is_over) || entry.path() == file {
            let _ = fs::remove_file(entry.path());
        }
    }
    skipped
}

fn notes_file() -> PathBuf {
    let run = std::os::unix::process::parent_id();
    crate::programs().join(format!("{NOTES}{run}"))
}
