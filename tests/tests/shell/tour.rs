//! `docs/tour.md` is what it says: its commands are run in order, and must print what stands below them.
//!
//! - Blocks of `console server` hold one `keyserver` command, which is started on a port that the system picks. The
//!   address and the pin that the document shows stand for the real ones from then on.
//! - Blocks of `console` are typed into one `sh`. A line that begins with `$ ` is a command (one that ends in `\` goes on
//!   in the next line); what follows, up to the next, is all that it prints on standard output and standard error.
//! - What differs each time is compared by its form only: see [`FORMS`]. Everything else must be the same to the letter.
//!
//! `TOUR_UPDATE=1 cargo test -p tests tour::` writes what was printed into the document; read the difference.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used)]

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};

use regex::Regex;
use tests::binary;
use tests::keyring::BUS;

/// What differs each time, by its form, and the word that it is compared as.
const FORMS: [(&str, &str); 6] = [
    (r"\b([0-9A-Z]{4}-){8}[0-9A-Z]{4}\b", "RECOVERY-CODE"),
    (r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d", "TIME"),
    (r"\bidle \d+ s\b", "idle SECONDS"),
    // Codes of `totp`, and nothing else that the tour shows.
    (r"^\d{6}$", "CODE"),
    // Ids, fingerprints and keys: the length counts.
    (r"\b[0-9a-f]{8,}\b", "HEX"),
    // Hashes and signatures of a checkpoint.
    (r"[A-Za-z0-9+/]{43,}=*", "BASE64"),
];
/// The shell says this after each command, with its status.
const END: &str = "-- end of the output, status";

/// A command of the document, and the lines below it.
struct Step {
    /// Where it stands in the document.
    line: usize,
    is_server: bool,
    command: String,
    expected: Vec<String>,
}

fn document() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/tour.md")
}

fn steps(text: &str) -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::new();
    let mut block: Option<bool> = None;
    let mut goes_on = false;
    for (number, line) in text.lines().enumerate() {
        match (line, block) {
            ("```console", None) => block = Some(false),
            ("```console server", None) => block = Some(true),
            (line, None) => assert!(!line.starts_with("```"), "line {}: {line}", number + 1),
            ("```", Some(_)) => block = None,
            (line, Some(_)) if goes_on => {
                let step = steps.last_mut().unwrap();
                step.command.push('\n');
                step.command.push_str(line);
                goes_on = line.ends_with('\\');
            }
            (line, Some(is_server)) => {
                if let Some(command) = line.strip_prefix("$ ") {
                    goes_on = command.ends_with('\\');
                    steps.push(Step {
                        line: number + 1,
                        is_server,
                        command: command.to_owned(),
                        expected: Vec::new(),
                    });
                } else {
                    let step = steps.last_mut().expect("output without a command");
                    step.expected.push(line.to_owned());
                }
            }
        }
    }
    assert!(block.is_none() && !goes_on, "the document ends in a block");
    steps
}

/// What the document shows, and what stands for it in this run.
#[derive(Default)]
struct Names(Vec<(String, String)>);

impl Names {
    fn bind(&mut self, shown: &str, real: &str) {
        self.0.push((shown.to_owned(), real.to_owned()));
    }

    fn to_real(&self, text: &str) -> String {
        let pairs = self.0.iter();
        pairs.fold(text.to_owned(), |text, (shown, real)| {
            text.replace(shown, real)
        })
    }

    fn to_shown(&self, text: &str) -> String {
        let pairs = self.0.iter();
        pairs.fold(text.to_owned(), |text, (shown, real)| {
            text.replace(real, shown)
        })
    }
}

/// The words of [`FORMS`] in the place of what differs.
fn normalised(line: &str) -> String {
    FORMS.iter().fold(line.to_owned(), |line, (form, word)| {
        Regex::new(form)
            .unwrap()
            .replace_all(&line, *word)
            .into_owned()
    })
}

/// One reader of the document: a shell with a new home, and perhaps a server.
struct Reader {
    folder: tempfile::TempDir,
    shell: Child,
    typed: ChildStdin,
    shown: BufReader<std::process::ChildStdout>,
    server: Option<Child>,
    status: i32,
    names: Names,
}

impl Reader {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut shell = Self::command("sh", folder.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        Self {
            typed: shell.stdin.take().unwrap(),
            shown: BufReader::new(shell.stdout.take().unwrap()),
            shell,
            folder,
            server: None,
            status: 0,
            names: Names::default(),
        }
    }

    /// A program with an empty home, and with the programs under test before all others.
    fn command(program: &str, home: &Path) -> Command {
        let programs = binary("keyshell").parent().unwrap().to_owned();
        binary("keyserver");
        let path = format!("{}:{}", programs.display(), std::env::var("PATH").unwrap());
        let mut command = Command::new(program);
        command
            .env_clear()
            .envs([("PATH", &*path), ("TZ", "UTC"), ("LC_ALL", "C.UTF-8")])
            .env("HOME", home)
            .env(BUS, "disabled:")
            .current_dir(home);
        command
    }

    /// What a command printed.
    fn run(&mut self, step: &Step) -> Vec<String> {
        let lines = if step.is_server {
            self.serve(step)
        } else {
            let command = self.names.to_real(&step.command);
            self.type_in(&command)
        };
        lines
            .into_iter()
            .map(|line| self.names.to_shown(&line))
            .collect()
    }

    fn serve(&mut self, step: &Step) -> Vec<String> {
        let words = shlex::split(&step.command).unwrap();
        let (program, arguments) = words.split_first().unwrap();
        let position = words.iter().position(|word| word == "--listen").unwrap();
        let shown = words.get(position + 1).unwrap();
        let any = "127.0.0.1:0".to_owned();
        let mut server = Self::command(program, self.folder.path())
            .args(
                arguments
                    .iter()
                    .map(|word| if word == shown { &any } else { word }),
            )
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let lines = BufReader::new(server.stdout.take().unwrap()).lines();
        let lines: Vec<String> = lines.take(2).map(Result::unwrap).collect();
        self.server = Some(server);
        let [listening, pin] = &*lines else {
            panic!("{lines:?}")
        };
        let real = listening.strip_prefix("listening https://").unwrap();
        self.names.bind(shown, real);
        let shown_pin = step
            .expected
            .iter()
            .find_map(|line| line.strip_prefix("pin "));
        if let Some(shown) = shown_pin {
            self.names.bind(shown, pin.strip_prefix("pin ").unwrap());
        }
        lines
    }

    fn type_in(&mut self, command: &str) -> Vec<String> {
        let status = self.status;
        // Input is the command's own to name; a `$?` in it is the status of the one before.
        let script = format!(
            "{{ (exit {status})\n{command}\n}} </dev/null 2>&1\nprintf -- '\\n{END} %d\\n' $?\n"
        );
        self.typed.write_all(script.as_bytes()).unwrap();
        let mut lines = Vec::new();
        loop {
            let mut line = String::new();
            assert_ne!(
                self.shown.read_line(&mut line).unwrap(),
                0,
                "sh is gone: {lines:?}"
            );
            let line = line.trim_end_matches('\n');
            if let Some(status) = line.strip_prefix(END) {
                self.status = status.trim().parse().unwrap();
                break;
            }
            lines.push(line.to_owned());
        }
        // The break before the end's line; a second one where the output had none.
        lines.pop_if(|line| line.is_empty());
        lines
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        for child in [Some(&mut self.shell), self.server.as_mut()]
            .into_iter()
            .flatten()
        {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// The lines that differ, each as the document has it and as it was.
fn difference(expected: &[String], printed: &[String]) -> Option<String> {
    let same = |(a, b): (&String, &String)| normalised(a) == normalised(b);
    if expected.len() == printed.len() && expected.iter().zip(printed).all(same) {
        return None;
    }
    let mut lines = Vec::new();
    for position in 0..expected.len().max(printed.len()) {
        match (expected.get(position), printed.get(position)) {
            (Some(a), Some(b)) if same((a, b)) => lines.push(format!("    {a}")),
            (a, b) => {
                lines.extend(a.map(|line| format!("  - {line}")));
                lines.extend(b.map(|line| format!("  + {line}")));
            }
        }
    }
    Some(lines.join("\n"))
}

/// The document with what was printed in the place of what it showed; what differs in nothing that counts stays.
fn updated(text: &str, steps: &[Step], printed: &[Vec<String>]) -> String {
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    for (step, printed) in steps.iter().zip(printed).rev() {
        if difference(&step.expected, printed).is_some() {
            let begin = step.line - 1 + step.command.lines().count();
            lines.splice(begin..begin + step.expected.len(), printed.iter().cloned());
        }
    }
    lines.join("\n") + "\n"
}

#[test]
fn the_tour_shows_what_happens() {
    let text = std::fs::read_to_string(document()).unwrap();
    let steps = steps(&text);
    let mut reader = Reader::new();
    let mut printed = Vec::new();
    let mut wrong = Vec::new();
    for (position, step) in steps.iter().enumerate() {
        let lines = reader.run(step);
        let place = format!("docs/tour.md:{}: $ {}", step.line, step.command);
        if let Some(difference) = difference(&step.expected, &lines) {
            wrong.push(format!("{place}\n{difference}"));
        }
        let is_told = steps
            .get(position + 1)
            .is_some_and(|next| next.command == "echo $?");
        if reader.status != 0 && !is_told {
            wrong.push(format!("{place}\n  exit status {}", reader.status));
        }
        printed.push(lines);
    }
    if std::env::var_os("TOUR_UPDATE").is_some() {
        std::fs::write(document(), updated(&text, &steps, &printed)).unwrap();
    }
    assert!(
        wrong.is_empty(),
        "the tour (-) and what was printed (+):\n{}",
        wrong.join("\n")
    );
}

/// Commands that the tour has to show.
#[test]
fn the_tour_covers_what_an_owner_does() {
    let mut text = String::new();
    std::fs::File::open(document())
        .unwrap()
        .read_to_string(&mut text)
        .unwrap();
    let steps = steps(&text);
    for name in [
        "register", "gen", "put", "get", "ls", "info", "mv", "edit", "history", "rm", "export",
        "import", "run", "inject", "totp", "audit", "passwd", "recover", "devices", "account",
    ] {
        let shows = |step: &Step| {
            let words = step.command.split_whitespace();
            step.command.contains("keyshell") && words.into_iter().any(|word| word == name)
        };
        assert!(steps.iter().any(shows), "{name}");
    }
}

#[test]
fn the_comparison_tells_a_difference() {
    let lines = |text: &str| text.lines().map(str::to_owned).collect::<Vec<_>>();
    let same = |a, b| difference(&lines(a), &lines(b)).is_none();
    assert!(same("a 2026-11-25 10:00:00", "a 2027-01-01 00:00:01"));
    assert!(same("id cd8b5f36", "id 00000000"));
    assert!(!same("id cd8b5f36", "id none"));
    assert!(!same("a", "a\nb") && !same("a\nb", "a") && !same("3 secrets", "4 secrets"));
    let steps = steps("text\n```console\n$ a \\\n  b\nout\n$ c\n```\n");
    assert_eq!(steps.len(), 2);
    assert!(
        steps
            .iter()
            .any(|step| step.command == "a \\\n  b" && step.expected == ["out"])
    );
}
