//! `inject`: templates, filled with secrets.
#![allow(missing_docs, clippy::unwrap_used, clippy::indexing_slicing)]

use std::os::unix::fs::PermissionsExt as _;

use tests::device::Device;
use tests::server::Server;

const PASSWORD: &str = "injecting of copper wire";

fn device() -> (Server, Device) {
    let server = Server::start();
    let device = Device::registered(&server, "alice", PASSWORD);
    device.put("prod/db", b"p\"ss {{ other }}");
    device.put("key", &[0, 255]);
    (server, device)
}

#[test]
fn a_template_becomes_a_private_file() {
    let (_server, device) = device();
    let (template, out) = (device.path("template"), device.path("out"));
    std::fs::write(
        &template,
        "url = postgres://db:{{prod/db|url}}@host\njson = \"{{ prod/db | json }}\"\nkey = {{ key | hex }}\n\\{{ plain }}\n",
    )
    .unwrap();
    let line = format!("inject -i {} -o {}", template.display(), out.display());
    let run = device.run(&[&line]).ok();
    assert!(run.stdout.is_empty());
    assert_eq!(
        std::fs::read_to_string(&out).unwrap(),
        "url = postgres://db:p%22ss%20%7B%7B%20other%20%7D%7D@host\njson = \"p\\\"ss {{ other }}\"\nkey = 00ff\n{{ plain }}\n"
    );
    let mode = |path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&out), 0o600);
    // What is there is only replaced when told to.
    std::fs::write(&template, "new").unwrap();
    let refused = device.run(&[&line]).expect(6);
    assert!(refused.stderr.contains("--force"), "{}", refused.stderr);
    std::fs::set_permissions(&out, std::fs::Permissions::from_mode(0o644)).unwrap();
    device.run(&[&format!("{line} --force")]).ok();
    assert_eq!(
        (std::fs::read(&out).unwrap(), mode(&out)),
        (b"new".to_vec(), 0o600)
    );
}

#[test]
fn it_works_in_a_pipe_byte_for_byte() {
    let (_server, device) = device();
    let run = device
        .run_words(&["inject"], b"\xfe{{ key }}\xff{{key}}\n")
        .ok();
    assert_eq!(run.stdout, b"\xfe\x00\xff\xff\x00\xff\n");
    let run = device
        .run_words(&["inject", "-i", "-", "-o", "-"], b"")
        .ok();
    assert_eq!(run.stdout, b"");
    let run = device
        .run_words(&["--json", "inject"], b"{{ prod/db }}")
        .ok();
    assert_eq!(run.json()[0]["text"], "p\"ss {{ other }}");
    let out = device.path("out");
    let words = ["--json", "inject", "-o", out.to_str().unwrap()];
    let run = device.run_words(&words, b"{{ key }}").ok();
    assert_eq!(run.json()[0]["names"], serde_json::json!(["key"]));
}

#[test]
fn nothing_is_written_when_something_is_missing_or_cannot_be_meant() {
    let (_server, device) = device();
    let out = device.path("out");
    let words = ["inject", "-o", out.to_str().unwrap()];
    let missing = b"{{ one }} {{ key }} {{ two | hex }} {{ one }}";
    let run = device.run_words(&words, missing).expect(3);
    assert!(run.stderr.contains("`one`, `two`;"), "{}", run.stderr);
    let run = device.run_words(&words, b"a\n{{ key | rot13 }}").expect(2);
    assert!(run.stderr.contains("line 2"), "{}", run.stderr);
    device.run_words(&words, b"{{ key | json }}").expect(2);
    assert!(!out.exists());
    device.run(&["inject -i /no/such/file"]).expect(1);
}
