//! The harness itself: programs that are out of date are not tested.
#![allow(missing_docs, clippy::unwrap_used)]

use std::fs::File;
use std::time::{Duration, SystemTime};

use tests::is_current;

#[test]
fn a_program_that_is_older_than_its_sources_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let is_refused = || is_current(&path("program")).is_err();
    assert!(is_refused(), "the program is missing");
    let program = File::create(path("program")).unwrap();
    assert!(!is_refused(), "`cargo test` writes no list of sources");
    let rule = format!("program: {}\n", path("source.rs").display());
    std::fs::write(path("program.d"), rule).unwrap();
    assert!(!is_refused(), "`cargo test` leaves an old list");
    let source = File::create(path("source.rs")).unwrap();
    let now = SystemTime::now();
    source.set_modified(now).unwrap();
    program.set_modified(now - Duration::from_secs(1)).unwrap();
    assert!(is_refused(), "a source was changed since");
    program.set_modified(now + Duration::from_secs(1)).unwrap();
    assert_eq!(is_current(&path("program")), Ok(()));
}
