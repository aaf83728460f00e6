//! The recovery sheet: on paper and at the terminal, its QR codes read by foreign programs.
#![allow(missing_docs, clippy::unwrap_used, clippy::indexing_slicing)]

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use rexpect::session::{PtySession, spawn_command};
use tests::device::{Device, Run};
use tests::picture::{can_read, drawn, rendered, scanned};
use tests::server::Server;

const PASSWORD: &str = "sheets of copper wire";
const NEXT: &str = "seven velvet otters hum";
/// For one step at the terminal: two Argon2id runs on a busy machine.
const PATIENCE_MS: u64 = 60_000;
const OTHER_SCREEN: &str = "\u{1b}[?1049h";
const BACK: &str = "\u{1b}[?1049l";
const COLOURS: &str = "\u{1b}[38;5;16m\u{1b}[48;5;231m";

/// A run of the shell at a terminal of this size; where it ends, so does the terminal.
struct Terminal(PtySession);

impl Terminal {
    fn new(device: &Device, (columns, rows): (u16, u16), words: &[&str]) -> Self {
        let shell = device.command();
        let mut command = Command::new("sh");
        let line = format!("stty cols {columns} rows {rows}; exec \"$0\" \"$@\"");
        command.args(["-c", &line]);
        command.arg(shell.get_program()).args(shell.get_args());
        command.args(words).env_remove("NO_COLOR");
        Self(spawn_command(command, Some(PATIENCE_MS)).unwrap())
    }

    /// Waits for a text; returns what came before it.
    fn see(&mut self, text: &str) -> String {
        let before = self.0.exp_string(text);
        as_text(&before.unwrap_or_else(|error| panic!("{text:?} is not seen: {error}")))
    }

    fn keys(&mut self, keys: &str) {
        self.0.send(keys).unwrap();
        self.0.flush().unwrap();
    }

    /// All pages of a sheet, and nothing is left of them.
    fn pages(&mut self) -> Vec<String> {
        self.see(OTHER_SCREEN);
        let mut pages = Vec::new();
        loop {
            let page = self.see("\r\n[");
            let place = self.see(":");
            pages.push(page);
            self.keys(" ");
            let (page, all) = place.split_once('/').unwrap();
            if page == all {
                break;
            }
        }
        self.see(BACK);
        pages
    }

    /// Answers a question for a group of the code.
    fn group(&mut self, code: &str) {
        self.see("Group ");
        let number: usize = self.see(" of the code").parse().unwrap();
        self.see("paper: ");
        let group = code.split('-').nth(number - 1).unwrap();
        self.keys(&format!("{group}\r"));
    }

    fn end(&mut self) -> String {
        as_text(&self.0.exp_eof().unwrap())
    }
}

/// The harness reads bytes as characters.
fn as_text(read: &str) -> String {
    let bytes = read.chars().map(|c| u8::try_from(u32::from(c)).unwrap());
    String::from_utf8(bytes.collect()).unwrap()
}

/// The code in the first line of the first page.
fn first_line(page: &str) -> String {
    let start = page.rfind("\u{1b}[2J").unwrap() + "\u{1b}[2J".len();
    let code = page[start..].lines().next().unwrap().trim().to_owned();
    assert_eq!(code.split('-').count(), 9, "{page:?}");
    code
}

/// What the QR code on a page holds.
fn on_page(page: &str, folder: &Path) -> String {
    let lines = page.lines().map(|line| line.trim_end_matches('\r'));
    let lines: Vec<&str> = lines
        .filter_map(|line| line.strip_prefix(COLOURS)?.strip_suffix("\u{1b}[0m"))
        .collect();
    let picture = folder.join("picture.pgm");
    drawn(&lines.join("\n"), true, &picture);
    scanned(&picture)
}

fn holds(folder: &Path, text: &str) -> bool {
    std::fs::read_dir(folder).unwrap().any(|entry| {
        let path = entry.unwrap().path();
        if path.is_dir() {
            return holds(&path, text);
        }
        let content = std::fs::read(path).unwrap_or_default();
        content
            .windows(text.len())
            .any(|part| part == text.as_bytes())
    })
}

fn key_on(sheet: &str) -> String {
    let line = sheet
        .lines()
        .find_map(|line| line.strip_prefix("device key "));
    line.unwrap().trim().to_owned()
}

fn new_password(device: &Device) -> String {
    std::fs::write(device.path("next"), format!("{NEXT}\n")).unwrap();
    format!("--new-password-file {}", device.path("next").display())
}

#[test]
fn a_page_to_print_holds_text_and_codes() {
    let server = Server::patient();
    let device = Device::new(&server, "a&b<c>", PASSWORD);
    let sheet = device.path("sheet.svg");
    let line = format!("register --with-key --recovery-file {}", sheet.display());
    device.run(&[&line]).ok();
    device.put("k", b"value");
    let mode = std::fs::metadata(&sheet).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let text = std::fs::read_to_string(&sheet).unwrap();
    let key = key_on(&text);
    assert!(text.contains("a&amp;b&lt;c&gt;"), "{text}");
    if can_read() {
        let picture = device.path("sheet.png");
        rendered(&sheet, &picture);
        let mut codes: Vec<String> = scanned(&picture).lines().map(str::to_owned).collect();
        codes.sort_by_key(|code| *code == key);
        assert_eq!(codes.len(), 2, "{codes:?}");
        assert!(text.lines().any(|line| line == codes[0]), "{codes:?}");
        assert_eq!(codes[1], key);
    }
    // It is as good as the text for a program.
    let other = device.another(PASSWORD);
    let line = format!("login --key-file {}", sheet.display());
    other.run(&[&line]).ok();
    assert_eq!(other.get("k"), b"value");
    let third = device.another(NEXT);
    let next = third.path("next.SVG");
    let line = format!(
        "recover --code-file {} --recovery-file {} {}",
        sheet.display(),
        next.display(),
        new_password(&third)
    );
    third.run(&[&line]).ok();
    assert_eq!(third.get("k"), b"value");
    assert_eq!(key_on(&std::fs::read_to_string(&next).unwrap()), key);
    third.run(&[&line]).expect(6);
}

/// The commands on a sheet, each on one line.
fn commands(sheet: &str) -> Vec<String> {
    let joined = sheet.replace("\\\n", "");
    let lines = joined.lines().map(str::trim);
    let found = lines.filter(|line| line.starts_with("keyshell -"));
    found.map(str::to_owned).collect()
}

/// Runs a command as it stands, on a device that knows nothing but the password and where its own files are.
fn run_on(fresh: &Device, command: &str) -> Run {
    let mut shell = Command::new("sh");
    let program = tests::binary("keyshell");
    let path = format!("{}:/usr/bin:/bin", program.parent().unwrap().display());
    shell.args(["-c", command]).env("PATH", path);
    shell.env("KEYSHELL_HOME", fresh.home());
    shell.env("KEYSHELL_PASSWORD_FILE", fresh.path("password"));
    tests::device::run(shell, b"")
}

#[test]
fn the_commands_on_a_sheet_work_on_a_fresh_device() {
    let server = Server::patient();
    let device = Device::new(&server, "o'neil", PASSWORD);
    let sheet = device.path("sheet.txt");
    let line = format!("register --with-key --recovery-file {}", sheet.display());
    device.run(&[&line]).ok();
    device.put("k", b"value");
    let text = std::fs::read_to_string(&sheet).unwrap();
    let [login] = &commands(&text)[..] else {
        panic!("{text}");
    };
    let (program, line) = login.split_once(" -c ").unwrap();
    // As the sheet says for the code; here it is read from the file.
    let recover = line.replace(
        "'login --with-key",
        &format!("'recover --code-file {}", sheet.display()),
    );
    let fresh = device.another(PASSWORD);
    let login = login.replace("--with-key", &format!("--key-file {}", sheet.display()));
    run_on(&fresh, &login).ok();
    assert_eq!(fresh.get("k"), b"value");
    // A new sheet names the state of after the recovery, also where nothing was known before.
    let other = device.another(PASSWORD);
    let next = other.path("next.svg");
    let more = format!(
        " --recovery-file {} {}'",
        next.display(),
        new_password(&other)
    );
    let recover = recover.replace('\'', "");
    run_on(&other, &format!("{program} -c '{recover}{more}")).ok();
    let text = std::fs::read_to_string(&next).unwrap();
    assert!(text.contains("state code"), "{text}");
    assert!(!other.path("next.svg.pending").exists());
    let lines: Vec<&str> = text.lines().filter(|line| !line.starts_with('<')).collect();
    let [login] = &commands(&lines.join("\n"))[..] else {
        panic!("{text}");
    };
    let third = device.another(NEXT);
    let login = login.replace("--with-key", &format!("--key-file {}", next.display()));
    run_on(&third, &login).ok();
    assert_eq!(third.get("k"), b"value");
}

#[test]
fn a_terminal_shows_text_and_codes_and_keeps_nothing_of_them() {
    let server = Server::patient();
    let device = Device::new(&server, "alice", PASSWORD);
    let mut terminal = Terminal::new(&device, (80, 24), &["register", "--with-key"]);
    // Before anything is asked for.
    let mut outside = terminal.see("have pen and paper ready");
    outside += &terminal.see("` created");
    let pages = terminal.pages();
    assert_eq!(pages.len(), 4, "{pages:?}");
    let (code, key) = (first_line(&pages[0]), key_on(&pages[0]));
    // Nothing scrolls.
    assert!(
        pages.iter().all(|page| page.lines().count() <= 23),
        "{pages:?}"
    );
    outside += &terminal.see("keep the code on paper");
    terminal.see("paper: ");
    terminal.keys("AAAA\r");
    outside += &terminal.see("the group does not match");
    terminal.see("paper: ");
    terminal.keys("\r");
    assert_eq!(first_line(&terminal.pages()[0]), code);
    terminal.group(&code);
    terminal.group(&code);
    outside += &terminal.end();
    let compact = code.replace('-', "");
    for secret in [&code, &compact] {
        assert!(!outside.contains(&**secret), "{outside}");
        assert!(!holds(&device.home(), secret), "{secret}");
        assert!(!holds(&server.data(), secret), "{secret}");
    }
    if !can_read() {
        return;
    }
    let folder = device.path("");
    assert_eq!(on_page(&pages[1], &folder), code);
    assert_eq!(on_page(&pages[2], &folder), key);
    // What was scanned is taken where it would be typed.
    let other = device.another(PASSWORD);
    let password = new_password(&other);
    let mut words = vec!["recover", "--with-key"];
    words.extend(password.split(' '));
    let mut terminal = Terminal::new(&other, (80, 24), &words);
    terminal.see("Recovery code: ");
    terminal.keys(&format!("{}\r", on_page(&pages[1], &folder)));
    terminal.see("Device key of alice: ");
    terminal.keys(&format!("{}\r", on_page(&pages[2], &folder)));
    let next = first_line(&terminal.pages()[0]);
    assert_ne!(next, code);
    terminal.group(&next);
    terminal.group(&next);
    terminal.end();
    other.set_password(NEXT);
    other.run(&["ls"]).ok();
}

#[test]
fn a_small_terminal_shows_the_text_and_says_where_codes_are() {
    let server = Server::start();
    let device = Device::registered(&server, "alice", PASSWORD);
    let mut terminal = Terminal::new(&device, (80, 20), &["recovery", "renew"]);
    let pages = terminal.pages();
    assert!(!pages.concat().contains('\u{2580}'), "{pages:?}");
    assert!(pages.concat().contains(".svg"), "{pages:?}");
    let code = first_line(&pages[0]);
    terminal.group(&code);
    terminal.group(&code);
    terminal.end();
    // Who asks for no questions gets the code at once, as a script does.
    let words = ["recovery", "renew", "--no-confirm"];
    let mut terminal = Terminal::new(&device, (80, 24), &words);
    terminal.see("recovery code: ");
    let rest = terminal.end();
    assert!(!rest.contains(OTHER_SCREEN), "{rest:?}");
}
