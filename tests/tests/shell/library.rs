//! The client library as another program uses it.
#![allow(clippy::unwrap_used)]

use tests::server::Server;

#[allow(dead_code, clippy::print_stdout, missing_docs)]
#[path = "../../../shell/client/examples/first_secret.rs"]
mod first_secret;

#[test]
fn the_example_registers_stores_reads_and_audits() {
    let server = Server::start();
    let folder = tempfile::tempdir().unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let told = runtime.block_on(first_secret::run(&server.url, &server.pin, folder.path()));
    let told = told.unwrap();
    assert!(told.starts_with("the first secret; "), "{told}");
    assert!(told.ends_with(" audit records"), "{told}");
    let source = include_str!("../../../shell/client/examples/first_secret.rs");
    assert!(source.lines().count() <= 60);
}
