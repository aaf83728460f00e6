//! A disk that fills up, and files that may not grow: what cannot be written is refused, and nothing else suffers.
#![allow(missing_docs, clippy::unwrap_used)]

use std::path::{Path, PathBuf};
use std::process::Command;

use tests::device::Device;
use tests::foreign::{has, skip};
use tests::server::Server;

const PASSWORD: &str = "disk of copper wire";
const VALUE: usize = 900_000;

/// A small disk of its own; unmounted when dropped.
struct Disk(PathBuf);

impl Disk {
    /// `None` where nothing may be mounted.
    fn mount(folder: &Path, size: &str) -> Option<Self> {
        let status = Command::new("mount")
            .args([
                "-t",
                "tmpfs",
                "-o",
                &format!("size={size}"),
                "keyshell-test",
            ])
            .arg(folder)
            .status();
        status
            .is_ok_and(|status| status.success())
            .then(|| Self(folder.to_owned()))
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let status = Command::new("umount").arg("-l").arg(&self.0).status();
        assert!(status.unwrap().success());
    }
}

/// Stores values until that is refused; returns how many are there.
fn fill(device: &Device) -> usize {
    let value = vec![7; VALUE];
    for number in 0..200 {
        let line = format!("put big{number}");
        let run = device.run_with(&[], &[&line], &value);
        if run.status != 0 {
            let run = run.expect(8);
            assert!(run.stderr.contains("nothing was written"), "{run:?}");
            return number;
        }
    }
    panic!("never full");
}

fn everything_is_there(device: &Device, count: usize) {
    assert_eq!(device.get("small"), b"before");
    for number in [0, count - 1] {
        assert_eq!(device.get(&format!("big{number}")).len(), VALUE);
    }
    let names = device.run(&["ls"]).ok().text();
    assert!(!names.contains(&format!("big{count}")), "{names}");
}

fn reads_or_says_why(device: &Device) {
    for line in ["get small", "ls", "audit"] {
        let run = device.run(&[line]);
        if run.status != 0 {
            let run = run.expect(8);
            assert!(run.stderr.contains("disk is nearly full"), "{run:?}");
        }
    }
}

/// Runs on a disk of 24 MiB: with the server's own reserve, and without one, when the kernel says that it is full.
#[test]
fn a_full_disk_refuses_writes_and_nothing_else() {
    for reserve in ["8388608", "0"] {
        let folder = tempfile::tempdir().unwrap();
        let Some(disk) = Disk::mount(folder.path(), "24m") else {
            // The other test of this file works for every user.
            skip("root, for mounting a small disk");
            return;
        };
        let ballast = folder.path().join("ballast");
        std::fs::write(&ballast, vec![1; 4 * 1024 * 1024]).unwrap();
        let data = folder.path().join("data");
        let mut server = Server::under(&[], &data, &[("MIN_FREE_BYTES", reserve)]);
        let device = Device::registered(&server, "alice", PASSWORD);
        device.put("small", b"before");
        let count = fill(&device);
        assert!(count > 3, "full after {count}");
        if reserve == "0" {
            // No record can be written, so that nothing is read either; but nothing else is said of it.
            reads_or_says_why(&device);
        } else {
            everything_is_there(&device, count);
        }
        std::fs::remove_file(&ballast).unwrap();
        everything_is_there(&device, count);
        device.put("after", b"room again");
        server.kill();
        server.start_again();
        everything_is_there(&device, count);
        device.run(&["audit"]).ok();
        drop(server);
        drop(disk);
    }
}

/// The same by a limit on the size of files, lifted by a restart.
#[test]
fn a_file_that_may_not_grow_refuses_writes_and_nothing_else() {
    for reserve in ["2097152", "0"] {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("data");
        // In blocks of 512 bytes: 8 MiB. The map itself is a hole and needs no room.
        let limited = ["sh", "-c", "ulimit -f 16384; exec \"$0\" \"$@\""];
        let mut server = Server::under(&limited, &data, &[("MIN_FREE_BYTES", reserve)]);
        let device = Device::registered(&server, "alice", PASSWORD);
        device.put("small", b"before");
        let count = fill(&device);
        assert!(count > 1, "full after {count}");
        if reserve == "0" {
            reads_or_says_why(&device);
        } else {
            everything_is_there(&device, count);
            // What makes room is no write that needs it.
            device.run(&["rm --yes big1"]).ok();
        }
        server.stop();
        server.set_wrapper(&[]);
        server.start_again();
        assert_eq!(device.get("small"), b"before");
        assert_eq!(device.get("big0").len(), VALUE);
        device.put("after", b"room again");
        device.run(&["audit"]).ok();
    }
}

/// A new database's names are as durable as what is in it.
#[test]
fn the_folders_of_a_new_database_are_synced() {
    if !has(&["strace"]) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let (trace, data) = (folder.path().join("trace"), folder.path().join("data"));
    let file = trace.to_str().unwrap();
    let wrapper = ["strace", "-D", "-f", "-y", "-e", "trace=fsync", "-o", file];
    let mut server = Server::under(&wrapper, &data, &[]);
    server.stop();
    let trace = std::fs::read_to_string(&trace).unwrap();
    for synced in [data.clone(), data.join("db")] {
        let text = format!("<{}>)", synced.display());
        assert!(trace.contains(&text), "{trace}");
    }
}

#[test]
fn the_map_grows_under_load() {
    let server = Server::with(&[("MAP_SIZE_INITIAL", "1048576")]);
    let device = Device::registered(&server, "alice", PASSWORD);
    for number in 0..6 {
        device.put(&format!("big{number}"), &vec![7; VALUE]);
    }
    assert_eq!(device.get("big5").len(), VALUE);
    let log = std::fs::read_to_string(server.log()).unwrap();
    assert!(log.matches("the map has grown").count() >= 2, "{log}");
}
