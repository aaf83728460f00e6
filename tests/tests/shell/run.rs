//! `run`: commands that get secrets, and show none.
#![allow(missing_docs, clippy::unwrap_used, clippy::indexing_slicing)]

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::process::{Child, ChildStdout, Stdio};

use rexpect::session::spawn_command;
use rustix::process::{Pid, Signal, kill_process};
use tests::device::{Device, run};
use tests::server::Server;

const PASSWORD: &str = "running of copper wire";
const VALUE: &str = "s3cret välue/+";
/// For one step: two Argon2id runs on a busy machine.
const PATIENCE_MS: u64 = 60_000;

fn device() -> (Server, Device) {
    let server = Server::start();
    let device = Device::registered(&server, "alice", PASSWORD);
    device.put("prod/db", VALUE.as_bytes());
    (server, device)
}

#[test]
fn the_environment_and_descriptors_hold_values_and_arguments_nothing() {
    let (_server, device) = device();
    let binary: Vec<u8> = (0..=255).cycle().take(100_000).collect();
    device.put("binary", &binary);
    device.put("empty", b"");
    std::fs::write(device.path("refs"), "# a comment\n\n  A=prod/db\nB=empty\n").unwrap();
    let refs = device.path("refs");
    let script = "printf '%s|%s|%s\\n' \"$A\" \"$B\" \"$C\"; cat \"$D\"; cat \"$D\"; tr '\\0' ' ' </proc/$$/cmdline";
    let run = device
        .run_words(
            &[
                "run",
                "--env-file",
                refs.to_str().unwrap(),
                "--env",
                "C=prod/db",
                "--fd",
                "D=binary",
                "--no-mask",
                "--",
                "sh",
                "-c",
                script,
            ],
            b"",
        )
        .ok();
    let mut expected = format!("{VALUE}||{VALUE}\n").into_bytes();
    expected.extend(&binary);
    expected.extend(&binary);
    expected.extend(format!("sh -c {script} ").as_bytes());
    assert!(
        run.stdout == expected,
        "{}",
        String::from_utf8_lossy(&run.stdout)
    );
    // What was handed over cannot be changed.
    let words = ["run", "--fd", "D=prod/db", "--", "sh", "-c", "echo x > $D"];
    let refused = device.run_words(&words, b"");
    assert_ne!(refused.status, 0, "{refused:?}");
    // Nor can a variable hold a zero byte; nothing is started.
    let refused = device.run_words(&["run", "--env", "A=binary", "--", "echo", "started"], b"");
    let refused = refused.expect(2);
    assert!(
        refused.stderr.contains("--fd") && refused.stdout.is_empty(),
        "{refused:?}"
    );
}

#[test]
fn nothing_starts_when_a_secret_is_missing() {
    let (_server, device) = device();
    let run = device
        .run(&["run --env A=prod/db --env B=one --fd C=two --env D=one -- touch started"])
        .expect(3);
    assert!(run.stderr.contains("`one`, `two`;"), "{}", run.stderr);
    assert!(!run.stderr.contains("prod/db"), "{}", run.stderr);
    assert!(!std::path::Path::new("started").exists());
    for line in [
        "run",
        "run --env A -- true",
        "run --env =prod/db -- true",
        "run --env A= -- true",
        "run --env 1A=prod/db -- true",
        "run --env A=prod/db --fd A=prod/db -- true",
        "run --env A=prod/db",
    ] {
        device.run(&[line]).expect(2);
    }
}

#[test]
fn output_is_masked_in_all_forms_on_both_streams() {
    let (_server, device) = device();
    let script = "echo \"<$A>\"; printf \"$A\" | base64; printf \"user:$A!\" | base64; printf \"$A\" | od -An -tx1 | \
                  tr -d ' \\n'; printf ' %s\\n' s3cret%20v%C3%A4lue%2F%2B; echo \"!$A!\" >&2; echo $B";
    device.put("short", b"abc");
    let words = [
        "run",
        "--env",
        "A=prod/db",
        "--env",
        "B=short",
        "--",
        "sh",
        "-c",
        script,
    ];
    let run = device.run_words(&words, b"").ok();
    let text = run.text();
    assert_eq!(
        text.lines().collect::<Vec<_>>(),
        [
            "<[masked]>",
            "[masked]",
            "dXNlcj[masked]E=",
            "[masked] [masked]",
            "abc"
        ]
        .map(|line| line.replace("dXNlcj[masked]E=", &line_of_base64())),
        "{text}"
    );
    assert!(run.stderr.contains("![masked]!"), "{}", run.stderr);
    assert!(run.stderr.contains("short: not masked"), "{}", run.stderr);
}

/// What the value is not part of, in `user:VALUE!`.
fn line_of_base64() -> String {
    let all = data_encoding::BASE64.encode(format!("user:{VALUE}!").as_bytes());
    let before = "user:".len();
    // A character that depends on both sides shows nothing but some bits, and is not looked for.
    let from = (before * 8).div_ceil(6);
    let to = (before + VALUE.len()) * 8 / 6;
    format!("{}[masked]{}", &all[..from], &all[to..])
}

#[test]
fn exit_statuses_come_through() {
    let (_server, device) = device();
    for (line, status) in [
        ("run -- true", 0),
        ("run -- sh -c 'exit 3'", 3),
        ("run --no-mask -- sh -c 'exit 255'", 255),
        ("run -- sh -c 'kill -TERM $$'", 128 + 15),
        ("run -- sh -c 'kill -KILL $$'", 128 + 9),
        ("run -- keyshell-no-such-command", 127),
        ("run -- /", 126),
    ] {
        let run = device.run(&[line]).expect(status);
        assert_eq!(
            run.stderr.is_empty(),
            status != 127 && status != 126,
            "{run:?}"
        );
    }
    let run = device
        .run(&["run -- sh -c 'exit 9'", "get prod/db"])
        .expect(9);
    assert!(
        run.stdout.is_empty(),
        "nothing comes after a command that failed"
    );
    let input = device
        .run_words(&["run", "--", "cat"], b"from outside")
        .ok();
    assert_eq!(input.stdout, b"from outside");
}

/// The same command, with every signal as it is by default: whoever runs the tests may ignore some.
fn signalled(command: std::process::Command) -> std::process::Command {
    let mut wrapped = std::process::Command::new("env");
    wrapped.arg("--default-signal");
    wrapped.arg(command.get_program()).args(command.get_args());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => wrapped.env(name, value),
            None => wrapped.env_remove(name),
        };
    }
    wrapped
}

/// A running command that says when it is ready.
struct Running {
    child: Child,
    output: BufReader<ChildStdout>,
}

impl Running {
    fn start(device: &Device, script: &str) -> Self {
        let mut command = signalled(device.command());
        command.args(["run", "--env", "A=prod/db", "--", "sh", "-c", script]);
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let output = BufReader::new(child.stdout.take().unwrap());
        Self { child, output }
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.output.read_line(&mut line).unwrap();
        line
    }

    fn send(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    fn end(mut self) -> Option<i32> {
        self.child.wait().unwrap().code()
    }
}

/// Masked as everywhere: colours, and the size for tables.
#[test]
fn on_a_terminal_the_command_has_a_terminal_too() {
    let (_server, device) = device();
    let script = "test -t 1 && test -t 2 && echo \"terminal of $(stty size <&2): $A.\" && echo \"error $A.\" >&2";
    let mut command = device.command();
    command.args(["run", "--env", "A=prod/db", "--", "sh", "-c", script]);
    let mut session = spawn_command(command, Some(PATIENCE_MS)).unwrap();
    session.exp_string("terminal of ").unwrap();
    session.exp_regex("[0-9]+ [0-9]+: \\[masked\\]\\.").unwrap();
    session.exp_string("error [masked].").unwrap();
    session.exp_eof().unwrap();
}

#[test]
fn signals_are_passed_on() {
    let (_server, device) = device();
    let traps = "for s in INT TERM HUP QUIT USR1 USR2; do trap \"echo $s\" $s; done; echo ready; \
                 while read line; do [ $line = end ] && exit 7; done";
    let mut running = Running::start(
        &device,
        &format!("{traps}; while kill -0 $PPID; do read line; done"),
    );
    assert_eq!(running.line(), "ready\n");
    for (signal, name) in [
        (Signal::INT, "INT\n"),
        (Signal::TERM, "TERM\n"),
        (Signal::HUP, "HUP\n"),
        (Signal::QUIT, "QUIT\n"),
        (Signal::USR1, "USR1\n"),
        (Signal::USR2, "USR2\n"),
    ] {
        running.send(signal);
        running
            .child
            .stdin
            .as_mut()
            .unwrap()
            .write_all(b"go\n")
            .unwrap();
        assert_eq!(running.line(), name);
    }
    running.send(Signal::KILL);
    drop(running);

    let mut running = Running::start(&device, "echo ready; exec sleep 1000");
    assert_eq!(running.line(), "ready\n");
    running.send(Signal::TERM);
    assert_eq!(running.end(), Some(128 + 15));
}

#[test]
fn output_is_not_held_back() {
    let (_server, device) = device();
    // Each line must arrive before the next is asked for, and a question without a line's end as well.
    let script = "printf 'question? '; while read line; do echo \"$line $A\"; done";
    let mut running = Running::start(&device, script);
    let mut question = [0; 10];
    running.output.read_exact(&mut question).unwrap();
    assert_eq!(&question, b"question? ");
    for n in 0..5 {
        let line = format!("{n}\n");
        running
            .child
            .stdin
            .as_mut()
            .unwrap()
            .write_all(line.as_bytes())
            .unwrap();
        assert_eq!(running.line(), format!("{n} [masked]\n"));
    }
    drop(running.child.stdin.take());
    assert_eq!(running.end(), Some(0));
}

#[test]
fn a_reader_that_leaves_ends_the_command() {
    let (_server, device) = device();
    let mut running = Running::start(&device, "while :; do echo line; done");
    assert_eq!(running.line(), "line\n");
    let Running { mut child, output } = running;
    drop(output);
    assert_eq!(child.wait().unwrap().code(), Some(128 + 13));
}

#[test]
fn the_session_is_closed_while_the_command_runs() {
    let (_server, device) = device();
    let mut running = Running::start(&device, "echo ready; read line");
    assert_eq!(running.line(), "ready\n");
    let audit = device
        .run_with(&["--json"], &["audit --op logout"], b"")
        .ok()
        .text();
    let logouts = audit.matches("\"logout\"").count();
    drop(running.child.stdin.take());
    running.end();
    // The one of the audit itself came in between.
    let audit = device
        .run_with(&["--json"], &["audit --op logout"], b"")
        .ok()
        .text();
    assert_eq!(audit.matches("\"logout\"").count(), logouts + 1, "{audit}");
}

#[test]
fn no_value_is_in_the_arguments_or_environment_of_the_shell() {
    let (_server, device) = device();
    let mut running = Running::start(&device, "echo ready; read line");
    assert_eq!(running.line(), "ready\n");
    let of = |id: u32, what: &str| std::fs::read(format!("/proc/{id}/{what}")).unwrap();
    let holds = |bytes: &[u8]| {
        bytes
            .windows(VALUE.len())
            .any(|part| part == VALUE.as_bytes())
    };
    let shell = running.child.id();
    let children = std::fs::read_to_string(format!("/proc/{shell}/task/{shell}/children")).unwrap();
    let child: u32 = children.split_whitespace().next().unwrap().parse().unwrap();
    assert!(holds(&of(child, "environ")), "the command has it");
    assert!(!holds(&of(child, "cmdline")));
    assert!(!holds(&of(shell, "cmdline")) && !holds(&of(shell, "environ")));
    drop(running.child.stdin.take());
    running.end();
}

#[test]
fn the_command_inherits_one_descriptor_for_each_value() {
    let (_server, device) = device();
    let count = |more: &[&str]| {
        let list = ["--", "ls", "/proc/self/fd"];
        let words = [&["run"], more, &list].concat();
        device.run_words(&words, b"").ok().text().lines().count()
    };
    let without = count(&[]);
    assert_eq!(count(&["--env", "A=prod/db"]), without);
    assert_eq!(count(&["--fd", "A=prod/db"]), without + 1);
    assert_eq!(
        count(&["--fd", "A=prod/db", "--fd", "B=prod/db"]),
        without + 2
    );
}

#[test]
fn at_a_terminal_ctrl_c_reaches_the_command_once_and_the_session_goes_on() {
    let (_server, device) = device();
    let mut session = spawn_command(signalled(device.command()), Some(PATIENCE_MS)).unwrap();
    session.exp_string("(locked)>").unwrap();
    let script = "trap \"echo caught; n=x\\$n\" INT; echo rea\"\"dy; while [ -z \"$n\" ]; do sleep 1; done; echo \"got $n\"; exit 5";
    session
        .send_line(&format!(
            "run --env A=prod/db --no-mask -- sh -c '{script}'"
        ))
        .unwrap();
    session.exp_string("\nready").unwrap();
    session.send_control('c').unwrap();
    session.exp_string("got x\r\n").unwrap();
    session
        .exp_string("the command ended with status 5")
        .unwrap();
    session.exp_string(&device.prompt()).unwrap();
    // Without a command, signals are the shell's own again.
    session
        .send_line("run --env A=prod/db -- sh -c 'echo \"is $A\"'")
        .unwrap();
    session.exp_string("is [masked]").unwrap();
    session.exp_string(&device.prompt()).unwrap();
    session.send_line("exit").unwrap();
    session.exp_eof().unwrap();
}

#[test]
fn what_was_ignored_before_stays_ignored() {
    let (_server, device) = device();
    let command = device.command();
    let mut wrapped = std::process::Command::new("sh");
    wrapped.args(["-c", "trap '' HUP; exec \"$0\" \"$@\""]);
    wrapped.arg(command.get_program()).args(command.get_args());
    wrapped.args([
        "run",
        "--",
        "sh",
        "-c",
        "kill -HUP $PPID; grep SigIgn /proc/$PPID/status",
    ]);
    let run = run(wrapped, b"").ok();
    let mask = run
        .text()
        .trim()
        .rsplit('\t')
        .next()
        .map(str::to_owned)
        .unwrap();
    let mask = u64::from_str_radix(&mask, 16).unwrap();
    assert_eq!(mask & 1, 1, "{mask:x}");
}
