//! One-shots from the start of the process to its end, with the real programs: a value through the agent, beside the bare
//! start of the same program. `BENCH_RBW=NAME` names an entry of an unlocked rbw, which is then measured in the same run.
//!
//! The server writes each read down before it answers, so that the disk is in the time, and how busy it is.
#![allow(missing_docs, clippy::unwrap_used)]

use std::process::{Command, Stdio};

use criterion::{Criterion, criterion_group, criterion_main};
use tests::device::Device;
use tests::server::Server;

/// Runs a command to its end, which must be a good one.
fn run(command: &mut Command) {
    let status = command.stdin(Stdio::null()).stdout(Stdio::null()).status();
    assert!(status.unwrap().success(), "{command:?}");
}

fn one_shots(c: &mut Criterion) {
    let server = Server::patient();
    let device = Device::registered(&server, "alice", "bench of copper wire");
    device.put("k", b"value");
    device.run(&["unlock --for 1h"]).ok();
    let with = |word: &[&str]| {
        let mut command = device.command_without_password();
        command.args(word);
        command
    };
    let mut group = c.benchmark_group("one-shot");
    group.sample_size(50);
    for words in [&["--version"][..], &["status"], &["get", "k"]] {
        let mut command = with(words);
        group.bench_function(format!("keyshell {}", words.join(" ")), |b| {
            b.iter(|| run(&mut command));
        });
    }
    if let Some(entry) = std::env::var_os("BENCH_RBW") {
        let mut command = Command::new("rbw");
        command.arg("get").arg(entry);
        group.bench_function("rbw get", |b| b.iter(|| run(&mut command)));
    }
    group.finish();
    device.run(&["lock"]).ok();
}

criterion_group!(benches, one_shots);
criterion_main!(benches);
