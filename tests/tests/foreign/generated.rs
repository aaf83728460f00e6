//! Completions and man pages, read by the programs that they are made for.
#![allow(missing_docs, clippy::unwrap_used)]

use std::path::Path;
use std::process::Command;

use tests::binary;
use tests::device::{bare_command, run};
use tests::foreign::has;

/// What a program prints that reads `input`, and complains about nothing.
fn printed(command: Command, input: &str) -> String {
    let run = run(command, input.as_bytes()).ok();
    assert_eq!(run.stderr, "", "{run:?}");
    run.text()
}

fn program(name: &str, home: &Path) -> Command {
    match name {
        "keyshell" => bare_command(home),
        _ => Command::new(binary(name)),
    }
}

fn completions(name: &str, shell: &str) -> String {
    let folder = tempfile::tempdir().unwrap();
    let mut command = program(name, folder.path());
    command.args(["completions", shell]);
    printed(command, "")
}

/// What bash offers for the last of these words.
fn bash_offers(program: &str, words: &[&str]) -> Vec<String> {
    let mut bash = Command::new("bash");
    bash.args(["--norc", "--noprofile"]);
    let last = words.len() - 1;
    let quoted: Vec<String> = words.iter().map(|word| format!("'{word}'")).collect();
    let script = format!(
        "{}\ncomplete -p {program} >/dev/null || exit 1\nCOMP_WORDS=({})\nCOMP_CWORD={last}\n\
         _{program} {program} \"${{COMP_WORDS[{last}]}}\" \"${{COMP_WORDS[{}]}}\"\nprintf '%s\\n' \"${{COMPREPLY[@]}}\"\n",
        completions(program, "bash"),
        quoted.join(" "),
        last.saturating_sub(1),
    );
    let text = printed(bash, &script);
    text.split_whitespace().map(str::to_owned).collect()
}

#[test]
fn bash_completes_commands_and_options() {
    if !has(&["bash"]) {
        return;
    }
    let offered = |words: &[&str]| bash_offers("keyshell", words);
    assert_eq!(offered(&["keyshell", "au"]), ["audit"]);
    assert_eq!(offered(&["keyshell", "--emb"]), ["--embedded"]);
    assert_eq!(offered(&["keyshell", "get", "--cl"]), ["--clip"]);
    assert_eq!(
        offered(&["keyshell", "--json", "import", "--on-con"]),
        ["--on-conflict"]
    );
    assert_eq!(offered(&["keyshell", "recovery", "ren"]), ["renew"]);
    let shells = offered(&["keyshell", "completions", ""]);
    assert!(shells.contains(&"zsh".to_owned()), "{shells:?}");
    // The program's own options stand before the command.
    assert_eq!(offered(&["keyshell", "get", "--emb"]), Vec::<String>::new());
    assert_eq!(bash_offers("keyserver", &["keyserver", "che"]), ["check"]);
    assert_eq!(
        bash_offers("keyserver", &["keyserver", "--log-f"]),
        ["--log-format"]
    );
}

#[test]
fn bash_completes_files_where_files_are_wanted() {
    if !has(&["bash"]) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("only.csv"), "").unwrap();
    let start = folder.path().join("on").display().to_string();
    let found = folder.path().join("only.csv").display().to_string();
    for words in [
        &["keyshell", "put", "k", "--file", &*start][..],
        &["keyshell", "--password-file", &*start],
    ] {
        assert_eq!(bash_offers("keyshell", words), [&*found], "{words:?}");
    }
    // Where nothing is offered for a word without an option, bash falls back to files.
    let words = ["keyshell", "import", &*start];
    assert_eq!(bash_offers("keyshell", &words), Vec::<String>::new());
    let script = completions("keyshell", "bash");
    let registered = script.lines().filter(|line| line.contains("complete -F"));
    assert!(registered.clone().count() > 0, "{script}");
    for line in registered {
        assert!(line.contains("-o default keyshell"), "{line}");
    }
}

/// The other shells at least parse theirs.
#[test]
fn zsh_and_fish_read_their_completions() {
    for program in ["keyshell", "keyserver"] {
        for shell in ["zsh", "fish"] {
            let script = completions(program, shell);
            assert!(script.contains("--"), "{script}");
            if has(&[shell]) {
                let mut command = Command::new(shell);
                command.arg("-n");
                printed(command, &script);
            }
        }
    }
}

fn write_pages(name: &str, folder: &Path) {
    let mut command = program(name, folder);
    command.arg("man").arg(folder.join("pages"));
    run(command, b"").ok();
}

/// A page as `man` shows it, without complaints.
fn shown(page: &Path) -> String {
    let mut man = Command::new("man");
    man.args(["--warnings", "--no-justification", "-l"])
        .arg(page)
        .env("MANWIDTH", "100")
        .env("LC_ALL", "C.UTF-8")
        .env("MAN_KEEP_FORMATTING", "");
    printed(man, "")
}

#[test]
fn man_shows_the_pages() {
    if !has(&["man", "groff"]) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    write_pages("keyshell", folder.path());
    write_pages("keyserver", folder.path());
    let page = |name: &str| shown(&folder.path().join("pages").join(name));
    let own = page("keyshell.1");
    for text in [
        "KEYSHELL_PASSWORD_FILE",
        "--trust-on-first-use",
        "keyshell-get(1)",
        "verification failed: the server's answer contradicts verified data",
    ] {
        assert!(own.contains(text), "{text}:\n{own}");
    }
    let get = page("keyshell-get.1");
    assert!(get.contains("keyshell get"), "{get}");
    // Each example on a line of its own.
    let examples = get
        .lines()
        .filter(|line| line.trim().starts_with("get prod/db"));
    assert_eq!(examples.count(), 2, "{get}");
    assert!(page("keyserver.1").contains("KEYSERVER_CONFIG"));
    let files = std::fs::read_dir(folder.path().join("pages")).unwrap();
    for file in files {
        shown(&file.unwrap().path());
    }
}
