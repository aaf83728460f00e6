//! Lists what the test programs before this one skipped. Cargo runs test programs by name, so this one is the last.
//!
//! It is no test itself: with `CI` set a test fails where it would be skipped.
#![allow(clippy::print_stdout)]

use tests::foreign::take_skipped;

fn main() {
    // Other test runners ask for names first.
    if std::env::args().any(|argument| argument == "--list") {
        return;
    }
    let skipped = take_skipped();
    if skipped.is_empty() {
        return;
    }
    println!("\nskipped, at least in part, because something is missing:");
    for (missing, tests) in &skipped {
        let tests: Vec<&str> = tests.iter().map(String::as_str).collect();
        println!("    {missing}: {}", tests.join(", "));
    }
    println!(
        "`.ci/install-tools` installs the programs; where root is missing, run the tests as root"
    );
}
