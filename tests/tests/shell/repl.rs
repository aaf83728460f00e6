//! The interactive session, as a person has it: a terminal, keys, and what is to be seen.
#![allow(missing_docs, clippy::unwrap_used, clippy::indexing_slicing)]

use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;
use std::time::Duration;

use rexpect::process::Signal;
use rexpect::session::{PtySession, spawn_command};
use rustix::termios::{Winsize, tcsetwinsize};
use tests::device::Device;
use tests::server::Server;
use unicode_width::UnicodeWidthStr as _;

const PASSWORD: &str = "correct horse";
/// For one step at the terminal: two Argon2id runs on a busy machine.
const PATIENCE_MS: u64 = 60_000;
const TAB: &str = "\t";
/// What the line editor writes when it begins to read a line, and when it has read one.
const READING: &str = "\x1b[?2004h";
const READ: &str = "\x1b[?2004l";

struct Terminal {
    session: PtySession,
    prompt: String,
}

impl Terminal {
    fn new(device: &Device, command: Command) -> Self {
        let session = spawn_command(command, Some(PATIENCE_MS)).unwrap();
        let size = Winsize {
            ws_row: 24,
            ws_col: 80,
            ws_xpixel: 0,
            ws_ypixel: 0,
        };
        tcsetwinsize(session.process().get_file_handle().unwrap(), size).unwrap();
        let mut terminal = Self {
            session,
            prompt: device.prompt(),
        };
        terminal.see("(locked)>");
        terminal
    }

    /// One that gives the password by itself, and scrolls.
    fn of(device: &Device) -> Self {
        let mut command = device.command();
        command.env("PAGER", "cat");
        Self::new(device, command)
    }

    /// Waits for a text; returns what came before it.
    fn see(&mut self, text: &str) -> String {
        let before = self
            .session
            .exp_string(text)
            .unwrap_or_else(|error| panic!("{text:?} is not seen: {error}"));
        // The harness reads bytes as characters.
        let bytes = before.chars().map(|c| u8::try_from(u32::from(c)).unwrap());
        String::from_utf8(bytes.collect()).unwrap()
    }

    fn keys(&mut self, keys: &str) {
        self.session.send(keys).unwrap();
        self.session.flush().unwrap();
    }

    /// A line and what it says, up to the prompt of an open session.
    fn line(&mut self, line: &str) -> String {
        self.enter(line);
        self.until_prompt()
    }

    /// A line, and its end: from then on Ctrl-C is a signal.
    fn enter(&mut self, line: &str) {
        self.keys(&format!("{line}\n"));
        self.see(READ);
    }

    /// Everything up to the prompt of an open session. The line editor writes a prompt again and again, but begins to
    /// read once.
    fn until_prompt(&mut self) -> String {
        let said = self.see(READING);
        let prompt = self.prompt.clone();
        self.see(&prompt);
        said
    }

    fn interrupt(&mut self) {
        self.session.send_control('c').unwrap();
    }

    fn exit(&mut self) {
        self.keys("exit\n");
        self.session.exp_eof().unwrap();
    }
}

fn with_secrets() -> (Server, Device) {
    let server = Server::start();
    let device = Device::registered(&server, "alice", PASSWORD);
    for name in ["alone", "my web/x y", "prod/db", "prod/web"] {
        device.put(name, format!("value of {name}").as_bytes());
    }
    device.run(&["edit prod/db --tag live"]).ok();
    (server, device)
}

#[test]
fn the_prompt_tells_who_where_and_what_is_the_matter() {
    let (mut server, device) = with_secrets();
    let mut terminal = Terminal::of(&device);
    terminal.line("ls");
    terminal.keys("lock\n");
    terminal.see("locked: the keys are wiped");
    terminal.see("alice@");
    terminal.see("(locked)>");
    server.kill();
    terminal.keys("ls\n");
    terminal.see("(offline, locked)>");
    server.start_again();
    terminal.line("ls");
    terminal.exit();
    let state = device.home().join("state/default");
    let pins = device.pins();
    let note = state
        .join(pins.file_name().unwrap())
        .with_extension("")
        .with_extension("distrust");
    std::fs::write(note, "a test says so\n").unwrap();
    let mut terminal = spawn_command(device.command(), Some(PATIENCE_MS)).unwrap();
    terminal.exp_string("(distrusted, locked)>").unwrap();
}

#[test]
fn tab_completes_what_the_vault_and_the_commands_know() {
    let (_server, device) = with_secrets();
    let file = device.path("file to put");
    std::fs::write(&file, "from a file").unwrap();
    let mut command = device.command();
    command.env("PAGER", "cat").env("HOME", device.path("home"));
    let mut terminal = Terminal::new(&device, command);
    terminal.line("ls");
    for (keys, answer) in [
        ("inf\tal\t", "name     alone"),
        ("info my\tx\t", "name     my web/x y"),
        ("info prod\td\t", "name     prod/db"),
        ("ls --ta\tliv\t", "%1    prod/db"),
        ("get alone --form\the\t", "76616c7565206f6620616c6f6e65"),
        ("audit --op remo\t", "verified"),
        ("help regi\t", "Create an account"),
    ] {
        let said = terminal.line(keys);
        assert!(said.contains(answer), "{keys:?}: {said}");
    }
    let folder = file.parent().unwrap().display();
    let said = terminal.line(&format!("put f --file {folder}/file{TAB}"));
    assert!(said.contains("11 bytes"), "{said}");
    terminal.keys("run --env V=prod/d\t");
    terminal.see("V=prod/db ");
    terminal.interrupt();
    terminal.until_prompt();
    terminal.keys("get prod/\t\t");
    terminal.see("db");
    terminal.see("web");
    terminal.interrupt();
    terminal.until_prompt();
    // Names with and without spaces have nothing in common, not even a quote.
    let said = terminal.line(&format!("info {TAB}{TAB}alone"));
    assert!(said.contains("name     alone"), "{said}");
    // A folder at home, as Tab completes it.
    std::fs::create_dir_all(device.path("home")).unwrap();
    std::fs::write(device.path("home/file"), "at home").unwrap();
    let said = terminal.line(&format!("put h --file ~/fi{TAB}"));
    assert!(said.contains("7 bytes"), "{said}");
    // Behind an item that has fields the line goes on with one of them.
    let table = "name,url,username,password\nsite of x,https://a.example,anna,its password\n";
    std::fs::write(device.path("home/table.csv"), table).unwrap();
    terminal.line("import ~/table.csv");
    let said = terminal.line(&format!("get site{TAB}#us{TAB}"));
    assert!(
        said.contains("anna") && !said.contains("its password"),
        "{said}"
    );
    terminal.exit();
    // Without a session there are no names to be had.
    let mut terminal = Terminal::of(&device);
    terminal.keys("get al\t");
    terminal.interrupt();
    let shown = terminal.see("(locked)>");
    assert!(!shown.contains("alone"), "{shown}");
}

#[test]
fn colours_and_hints_show_what_is_meant() {
    let (_server, device) = with_secrets();
    let mut command = device.command();
    command.env_remove("NO_COLOR").env("TERM", "xterm-256color");
    let mut terminal = Terminal::new(&device, command);
    terminal.line("info alone");
    terminal.keys("gat ");
    terminal.see("\x1b[31mgat\x1b[0m");
    terminal.interrupt();
    terminal.until_prompt();
    terminal.keys("get alone");
    terminal.see("\x1b[32mget\x1b[0m \x1b[32malone\x1b[0m");
    terminal.interrupt();
    terminal.until_prompt();
    terminal.keys("mv ");
    terminal.see("\x1b[2mNAME NEW\x1b[0m");
    terminal.interrupt();
    terminal.until_prompt();
    // The right arrow takes over what the history offers, which is no line that failed.
    terminal.line("info alonf");
    terminal.keys("inf");
    terminal.see("\x1b[2mo alone\x1b[0m");
    terminal.keys("\x1b[C\n");
    terminal.see("name     alone");
}

#[test]
fn help_has_examples_and_slips_are_answered() {
    let (_server, device) = with_secrets();
    let mut terminal = Terminal::of(&device);
    let said = terminal.line("ls");
    assert!(said.contains("%2    my web/x y"), "{said}");
    for (line, answer) in [
        ("help get", "get prod/db --clip --for 20s"),
        ("gte alone", "did you mean `get`?"),
        ("show alone", "did you mean `get`?"),
        ("get 3", "did you mean `%3`?"),
        ("get allone", "did you mean `alone`?"),
        ("get al", "value of alone"),
        ("get al", "al is alone"),
        ("get %3", "value of prod/db"),
        ("get %3", "%3 is prod/db"),
        ("get %9", "the last `ls` ends with %4"),
        ("get prod", "`prod` abbreviates prod/db, prod/web"),
        ("rm al --yes", "no secret is named `al`"),
    ] {
        let said = terminal.line(line);
        assert!(said.contains(answer), "{line}: {said}");
    }
    // A name that looks like a number or is the beginning of another one is itself.
    device.put("%3", b"the sign itself");
    device.put("prod", b"a name itself");
    assert!(terminal.line("get %3").contains("the sign itself"));
    assert!(terminal.line("get prod").contains("a name itself"));
    terminal.exit();
    // Scripts say what they mean.
    let run = device.run(&["get al"]).expect(3);
    assert!(run.stderr.contains("no secret is named `al`"), "{run:?}");
    device.run(&["get %2"]).expect(3);
}

#[test]
fn the_history_is_searched_and_keeps_no_secret() {
    let (_server, device) = with_secrets();
    let mut terminal = Terminal::of(&device);
    terminal.line("info alone");
    terminal.line("ls");
    terminal.session.send_control('r').unwrap();
    terminal.keys("alo");
    terminal.see("info alone");
    terminal.keys("\n");
    terminal.see("name     alone");
    terminal.until_prompt();
    for line in [
        "login",
        "recover planted-code",
        "planted-password",
        " info planted-space",
        "put planted planted-value",
        "info planted-slip",
    ] {
        terminal.line(line);
    }
    terminal.exit();
    let file = device.home().join("state/default/history");
    let history = std::fs::read_to_string(&file).unwrap();
    assert_eq!(history, "#V2\ninfo alone\nls\ninfo alone\nexit\n");
    assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600);
}

#[test]
fn what_is_typed_ahead_or_pasted_is_run_line_by_line() {
    let (_server, device) = with_secrets();
    let mut terminal = Terminal::of(&device);
    terminal.line("ls");
    terminal.keys("gen one\ngen two\n");
    terminal.see("one: version 1");
    terminal.see("two: version 1");
    terminal.until_prompt();
    terminal.keys("\x1b[200~gen three\ngen four # it's the last\x1b[201~\n");
    terminal.see("three: version 1");
    terminal.see("four: version 1");
    terminal.until_prompt();
    let said = terminal.line("ls");
    for name in ["one", "two", "three", "four"] {
        assert!(said.contains(name), "{said}");
    }
    terminal.exit();
    let file = device.home().join("state/default/history");
    let history = std::fs::read_to_string(&file).unwrap();
    assert!(
        history.contains("\ngen three\ngen four # it's the last\n"),
        "{history}"
    );
}

/// As whatever runs in the background of a script has it.
fn with_interrupts_ignored(command: &Command) -> Command {
    let mut shell = Command::new("sh");
    shell.args(["-c", "trap '' INT; exec \"$0\" \"$@\""]);
    shell.arg(command.get_program()).args(command.get_args());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => shell.env(name, value),
            None => shell.env_remove(name),
        };
    }
    shell
}

#[test]
fn ctrl_c_stops_a_command_though_it_was_ignored_before() {
    let (server, device) = with_secrets();
    let mut terminal = Terminal::new(&device, with_interrupts_ignored(&device.command()));
    terminal.line("ls");
    server.freeze();
    terminal.enter("gen slow");
    terminal.interrupt();
    terminal.see("interrupted");
    server.thaw();
    terminal.see("> ");
    terminal.exit();
}

#[test]
fn ctrl_c_stops_the_command_and_not_the_session() {
    let (server, device) = with_secrets();
    let mut terminal = Terminal::of(&device);
    terminal.line("ls");
    terminal.keys("gen dropped");
    terminal.see("gen dropped");
    terminal.interrupt();
    terminal.until_prompt();
    server.freeze();
    terminal.enter("gen slow");
    terminal.interrupt();
    terminal.see("interrupted");
    // With the session as it was, or without one, where the request had left already.
    terminal.see("> ");
    server.thaw();
    let said = terminal.line("ls");
    assert!(said.contains("alone") && !said.contains("slow") && !said.contains("dropped"));
    // Questions, hidden and not.
    terminal.keys("put typed\n");
    terminal.see("Value: ");
    terminal.interrupt();
    terminal.see("interrupted");
    terminal.until_prompt();
    terminal.keys("rm alone\n");
    terminal.see("[y/N] ");
    terminal.interrupt();
    terminal.see("interrupted");
    terminal.until_prompt();
    // What is typed is seen: the terminal is as it was.
    terminal.keys("get alone");
    terminal.see("get alone");
    assert!(terminal.line("").contains("value of alone"));
    terminal.session.send_control('d').unwrap();
    terminal.session.exp_eof().unwrap();
    let status = terminal.session.process().wait().unwrap();
    assert!(format!("{status:?}").contains(", 0)"), "{status:?}");
    // And the session is closed: this one and the one that was shut by leaving.
    let log = device
        .run_with(&["--json"], &["audit --op logout"], b"")
        .ok();
    let records = log.json().first().unwrap()["records"].clone();
    assert!(records.as_array().unwrap().len() >= 7, "{records}");
    let names = device.run(&["ls"]).ok().text();
    assert_eq!(names, "alone\nmy web/x y\nprod/db\nprod/web\n");
}

#[test]
fn one_shots_end_at_ctrl_c_with_the_terminal_as_it_was() {
    let (_server, device) = with_secrets();
    let shell = device.command_without_password();
    let mut words = vec![shell.get_program().to_str().unwrap().to_owned()];
    words.extend(
        shell
            .get_args()
            .map(|word| word.to_str().unwrap().to_owned()),
    );
    words.extend(["-c", "'get alone'"].map(str::to_owned));
    let mut command = Command::new("sh");
    let line = format!("{}; echo status $?; stty -a", words.join(" "));
    command.args(["-c", &line]);
    let mut session = spawn_command(command, Some(PATIENCE_MS)).unwrap();
    session.exp_string("Password of alice").unwrap();
    session.send_control('c').unwrap();
    session.exp_string("status 130").unwrap();
    let said = session.exp_eof().unwrap();
    let modes: Vec<&str> = said.split_whitespace().collect();
    assert!(
        modes.contains(&"isig") && modes.contains(&"icanon"),
        "{said}"
    );
}

#[test]
fn an_idle_session_locks_itself_and_carries_on() {
    let (_server, device) = with_secrets();
    let mut command = device.command_without_password();
    command.args(["--idle-lock", "2s"]);
    let mut terminal = Terminal::new(&device, command);
    terminal.keys("get alone\n");
    terminal.see("Password of alice");
    terminal.keys(&format!("{PASSWORD}\n"));
    terminal.see("value of alone");
    terminal.until_prompt();
    // Half a line is still there afterwards.
    terminal.keys("get pr");
    let shown = terminal.see("locked: the keys are wiped");
    assert!(
        shown.contains("\x1b[2J") && shown.contains("\x1b[3J"),
        "{shown:?}"
    );
    terminal.see("(locked)> get pr");
    terminal.keys("od/db\n");
    terminal.see("Password of alice");
    terminal.keys(&format!("{PASSWORD}\n"));
    terminal.see("value of prod/db");
}

/// A wrong password ends the session that was open, and the owner who mistyped it is told so.
#[test]
fn a_wrong_password_closes_the_session_and_says_so() {
    let (_server, device) = with_secrets();
    device.run(&["rm alone --yes"]).ok();
    let mut terminal = Terminal::new(&device, device.command_without_password());
    let mut answer = |line: &str, password: &str, end: &str| {
        terminal.keys(&format!("{line}\n"));
        terminal.see("Password of alice");
        terminal.keys(&format!("{password}\n"));
        terminal.see(end)
    };
    answer("get prod/db", PASSWORD, "value of prod/db");
    let said = answer("purge alone --yes", "wrong", "(locked)>");
    assert!(
        said.contains("the session that was open is closed"),
        "{said}"
    );
    assert!(said.contains("login refused"), "{said}");
    // The account has no device key, and this device knows that.
    assert!(!said.contains("--with-key"), "{said}");
    answer("purge alone --yes", PASSWORD, "destroyed: 1 removed secret");
    terminal.exit();
}

#[test]
fn a_value_is_shown_until_a_key_is_pressed() {
    let (_server, device) = with_secrets();
    let mut terminal = Terminal::of(&device);
    terminal.line("ls");
    terminal.keys("get alone --show\n");
    terminal.see("\x1b[?1049h");
    terminal.see("value of alone");
    terminal.see("any key hides it");
    terminal.keys("x");
    let end = terminal.see("\x1b[?1049l");
    assert!(end.contains("\x1b[2J"), "{end:?}");
    let after = terminal.until_prompt();
    assert!(!after.contains("value"), "{after:?}");
    // So is a picture.
    terminal.enter("get alone --show --qr");
    let before = terminal.see("\x1b[?1049h");
    assert!(!before.contains('\u{2584}'), "{before:?}");
    let shown = terminal.see("any key hides it");
    assert!(
        shown.contains('\u{2584}') && shown.contains("alone"),
        "{shown:?}"
    );
    terminal.keys("x");
    terminal.see("\x1b[?1049l");
    let after = terminal.until_prompt();
    assert!(!after.contains('\u{2584}'), "{after:?}");
    // Ctrl-C is a key like others.
    terminal.keys("get alone --show\n");
    terminal.see("any key hides it");
    terminal.interrupt();
    terminal.see("\x1b[?1049l");
    terminal.until_prompt();
    terminal.exit();
}

#[test]
fn a_value_that_is_shown_goes_with_the_process() {
    let (_server, device) = with_secrets();
    for signal in [Signal::SIGTERM, Signal::SIGHUP, Signal::SIGINT] {
        let mut command = device.command();
        command.args(["get", "alone", "--show"]);
        let mut session = spawn_command(command, Some(PATIENCE_MS)).unwrap();
        session.exp_string("any key hides it").unwrap();
        session.process_mut().signal(signal).unwrap();
        let end = session.exp_eof().unwrap();
        assert!(end.ends_with("\x1b[2J\x1b[?1049l"), "{signal:?}: {end:?}");
    }
}

#[test]
fn tables_fit_and_long_lists_go_through_the_pager() {
    let (_server, device) = with_secrets();
    let note = "n".repeat(200);
    device.run(&[&format!("edit prod/db --note {note}")]).ok();
    device.put("poem", "line\n".repeat(40).as_bytes());
    let mut command = device.command();
    command.env("PAGER", "sed s/^/paged:/");
    let mut terminal = Terminal::new(&device, command);
    let table = terminal.line("ls --long");
    let rows: Vec<&str> = table
        .lines()
        .filter(|line| line.contains("prod/"))
        .collect();
    assert_eq!(rows.len(), 2, "{table}");
    assert!(
        rows[0].contains("nn…") && rows[0].chars().count() <= 80,
        "{table}"
    );
    assert!(
        rows[1].contains("now") || rows[1].contains("min ago"),
        "{table}"
    );
    assert!(!table.contains("paged:"));
    device.put(&"\u{1f511}".repeat(50), b"value");
    for (line, row) in [
        ("ls --long", "prod/db"),
        ("devices", "(this one)"),
        ("help", "register"),
    ] {
        let said = terminal.line(line);
        assert!(said.contains(row), "{said}");
        let shown = said.lines().filter(|line| !line.contains('\x1b'));
        for line in shown {
            let line = line.trim_end().trim_start_matches("paged:");
            assert!(line.width() <= 80, "{line:?}");
        }
    }
    let audit = terminal.line("audit");
    assert!(audit.contains("paged:"), "{audit}");
    let value = terminal.line("get poem");
    assert!(!value.contains("paged:"), "{value}");
    terminal.exit();
    // Nobody scrolls in a pipe.
    let table = device.run(&["ls --long"]).ok().text();
    assert!(table.contains(&note) && !table.contains('%'), "{table}");
}

#[test]
fn long_work_shows_how_far_it_is() {
    /// Enough for more than a second on any machine.
    const MANY: u32 = 5000;
    let server = Server::start();
    let device = Device::registered(&server, "alice", PASSWORD);
    let model = device.path("model");
    device.run(&["gen one"]).ok();
    let export = format!("export --all --plaintext --yes --out {}", model.display());
    device.run(&[&export]).ok();
    let model = std::fs::read_to_string(model).unwrap();
    let mut document: serde_json::Value = serde_json::from_str(&model).unwrap();
    let one = document["secrets"][0].clone();
    let many = (0..MANY).map(|n| {
        let mut secret = one.clone();
        secret["name"] = format!("n{n}").into();
        secret
    });
    document["secrets"] = many.collect();
    std::fs::write(device.path("many"), document.to_string()).unwrap();
    let mut terminal = Terminal::of(&device);
    terminal.line("ls");
    terminal.keys(&format!("import {}\n", device.path("many").display()));
    terminal.see("importing: ");
    terminal.see(&format!(" of {MANY} ("));
    terminal.see(&format!("{MANY} secrets in {MANY} versions imported"));
    terminal.until_prompt();
    terminal.exit();
}

/// What is behind the first line would be run, and shown, as commands.
#[test]
fn several_lines_are_no_value() {
    let (_server, device) = with_secrets();
    let mut terminal = Terminal::of(&device);
    terminal.line("ls");
    terminal.enter("put multi");
    terminal.see("Value: ");
    terminal.keys("first\nsecond\nthird\n");
    terminal.see("several lines were pasted");
    let said = terminal.until_prompt();
    assert!(!said.contains("no command"), "{said}");
    let missing = terminal.line("get multi");
    assert!(missing.contains("no secret"), "{missing}");
    terminal.exit();
}

/// Whoever answers so late may be somebody else.
#[test]
fn a_question_that_waits_too_long_does_nothing_and_locks() {
    let (_server, device) = with_secrets();
    let mut command = device.command();
    command.args(["--idle-lock", "2s"]);
    let mut terminal = Terminal::new(&device, command);
    terminal.line("ls");
    terminal.enter("rm alone");
    terminal.see("[y/N]");
    // Time itself is what is tested here.
    std::thread::sleep(Duration::from_millis(2500));
    terminal.keys("y\n");
    terminal.see("no answer within");
    terminal.see("(locked)>");
    terminal.keys("exit\n");
    terminal.session.exp_eof().unwrap();
    assert_eq!(device.get("alone"), b"value of alone");
}
