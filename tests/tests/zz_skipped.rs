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
    println!("\nskipped tests, or parts of tests: {}", skipped.len());
    for line in &skipped {
        println!("    {line}");
    }
    println!(
        "install the programs with `.ci/install-tools`; where root is needed, run the tests as root"
    );
}
