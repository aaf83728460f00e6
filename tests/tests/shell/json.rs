//! `docs/json.md` is what it says: every command is run with `--json`, and what it prints has the fields and types that
//! stand there, and no others.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing
)]

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde_json::Value;
use tests::device::{Device, bare_command, run};
use tests::operator::Operator;
use tests::server::Server;

const PASSWORD: &str = "json of copper wire";

#[derive(Debug)]
struct Field {
    kind: String,
    optional: bool,
}

type Table = BTreeMap<String, Field>;

/// The tables of the document, by the headings above them.
struct Schema {
    forms: BTreeMap<String, Table>,
    objects: BTreeMap<String, Table>,
}

impl Schema {
    fn read() -> Self {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/json.md");
        Self::parse(&std::fs::read_to_string(path).unwrap())
    }

    fn parse(text: &str) -> Self {
        let (mut forms, mut objects) = (BTreeMap::new(), BTreeMap::new());
        let mut table: Option<&mut Table> = None;
        for line in text.lines() {
            if let Some(name) = line.strip_prefix("#### ") {
                table = Some(objects.entry(name.to_owned()).or_default());
            } else if let Some(name) = line.strip_prefix("### ") {
                let name = name.trim_matches('`').to_owned();
                table = Some(forms.entry(name).or_default());
            } else if let Some(row) = line.strip_prefix("| ") {
                let cells: Vec<&str> = row.split(" | ").collect();
                if cells[0] == "field" {
                    continue;
                }
                let name = cells[0].trim_end_matches('?');
                let field = Field {
                    kind: cells[1].to_owned(),
                    optional: cells[0].ends_with('?'),
                };
                let before = table
                    .as_mut()
                    .expect("a table without a heading")
                    .insert(name.to_owned(), field);
                assert!(before.is_none(), "{name} twice");
            }
        }
        Self { forms, objects }
    }

    fn check(&self, form: &str, value: &Value) -> Result<(), String> {
        let table = self.forms.get(form).ok_or(format!("no heading `{form}`"))?;
        match value {
            // `devices`
            Value::Array(rows) => rows
                .iter()
                .try_for_each(|row| self.object(form, table, row)),
            value => self.object(form, table, value),
        }
    }

    fn object(&self, place: &str, table: &Table, value: &Value) -> Result<(), String> {
        let object = value
            .as_object()
            .ok_or(format!("{place}: no object: {value}"))?;
        for (name, value) in object {
            let field = table
                .get(name)
                .ok_or(format!("{place}: `{name}` is not in the document"))?;
            self.fits(&format!("{place}, {name}"), &field.kind, value)?;
        }
        let missing = table
            .iter()
            .find(|(name, field)| !field.optional && !object.contains_key(*name));
        missing.map_or(Ok(()), |(name, _)| {
            Err(format!("{place}: `{name}` is missing"))
        })
    }

    fn fits(&self, place: &str, kind: &str, value: &Value) -> Result<(), String> {
        if let Some((first, second)) = kind.split_once(" or ") {
            let first = self.fits(place, first, value);
            return first.or_else(|_| self.fits(place, second, value));
        }
        if let Some(each) = kind.strip_prefix("list of ") {
            let list = value
                .as_array()
                .ok_or(format!("{place}: no list: {value}"))?;
            return list
                .iter()
                .try_for_each(|value| self.fits(place, each, value));
        }
        let fits = match kind {
            "string" => value.is_string(),
            "bool" => value.is_boolean(),
            "integer" => value.is_u64(),
            "number" => value.is_number(),
            "null" => value.is_null(),
            name => {
                let table = self.objects.get(name);
                let table = table.ok_or(format!("{place}: `{name}` is no type"))?;
                return self.object(place, table, value);
            }
        };
        if fits {
            Ok(())
        } else {
            Err(format!("{place}: no {kind}: {value}"))
        }
    }
}

/// What was run, by headings of the document.
struct Checked {
    schema: Schema,
    seen: BTreeSet<String>,
}

impl Checked {
    #[track_caller]
    fn value(&mut self, form: &str, value: &Value) {
        if let Err(why) = self.schema.check(form, value) {
            panic!("docs/json.md: {why}\nin {value:#}");
        }
        self.seen.insert(form.to_owned());
    }

    /// Runs lines, each with its heading.
    #[track_caller]
    fn lines(&mut self, device: &Device, input: &[u8], lines: &[(&str, &str)]) {
        let only: Vec<&str> = lines.iter().map(|(_, line)| *line).collect();
        let run = device.run_with(&["--json"], &only, input).ok();
        let printed = run.json();
        assert_eq!(printed.len(), lines.len(), "{run:?}");
        for ((form, _), value) in lines.iter().zip(&printed) {
            self.value(form, value);
        }
    }
}

fn secrets(checked: &mut Checked, device: &Device) {
    let file = |name: &str| device.path(name).display().to_string();
    let (out, template, filled) = (file("out"), file("template"), file("filled"));
    let (exported, next, pages) = (file("exported"), file("next"), file("pages"));
    std::fs::write(&template, "{{ k }}").unwrap();
    std::fs::write(&next, "json of silver thread\n").unwrap();
    checked.lines(
        device,
        b"",
        &[("register", "register"), ("status", "status")],
    );
    checked.lines(
        device,
        b"JBSWY3DPEHPK3PXP",
        &[("put NAME", "put seed --tag t --note n")],
    );
    checked.lines(
        device,
        b"",
        &[
            ("gen NAME", "gen k --password 12"),
            ("gen NAME --show", "gen b --show"),
            ("get NAME", "get k"),
            ("get NAME", "get b"),
            ("get NAME --save", "get k --save"),
            ("get NAME --out FILE", &format!("get k --out {out}")),
            ("get NAME --qr", "get k --qr"),
            ("totp NAME", "totp seed"),
            ("inject", &format!("inject -i {template}")),
            (
                "inject --out FILE",
                &format!("inject -i {template} -o {filled}"),
            ),
            ("ls", "ls"),
            ("ls", "ls --local"),
            ("info NAME", "info seed"),
            ("edit NAME", "edit k --tag t"),
            ("gen NAME", "gen own --local"),
            ("push NAME", "push own"),
            ("pull NAME", "pull b"),
            ("sync", "sync"),
            ("ls", "ls --long"),
            ("mv NAME NEW", "mv k key"),
            ("history NAME", "history key"),
            (
                "export NAME --out FILE",
                &format!("export key --out {exported}"),
            ),
            ("import FILE", &format!("import {exported} --under copies")),
            ("import undo", "import undo --yes"),
            ("open FILE", &format!("open {exported}")),
            ("open FILE NAME", &format!("open {exported} key")),
            ("rm NAME", "rm key --yes"),
            ("restore", "restore"),
            ("restore NAME", "restore key"),
            ("restore NAME --version N", "restore key --version 1"),
            ("rm NAME", "rm key --yes"),
            ("purge NAME", "purge key --yes"),
            ("audit", "audit --at 3"),
            ("devices", "devices"),
            ("devices rename NAME", "devices rename laptop"),
            ("devices add", "devices add"),
            ("register", "recovery renew"),
            ("rotate-key", "rotate-key --yes"),
            ("recovery off", "recovery off --yes"),
            ("login", "login"),
            ("unlock", "unlock --for 1m --reason test"),
            ("status", "status"),
            ("audit", "audit --op append"),
            ("lock", "lock"),
            ("logout", "logout"),
            ("keyring off", "keyring off"),
            ("passwd", &format!("passwd --new-password-file {next}")),
            ("doctor", "doctor"),
            ("completions SHELL", "completions fish"),
            ("man DIR", &format!("man {pages}")),
            ("help", "help"),
            ("help COMMAND", "help get"),
            ("help formats", "help formats"),
        ],
    );
    device.set_password("json of silver thread");
    std::fs::write(device.path("next"), "json of golden thread\n").unwrap();
    let line = format!("compromised --yes --new-password-file {}", file("next"));
    let run = device.run_with(&["--json"], &[&line], b"").ok();
    let printed = run.json();
    assert_eq!(printed.len(), 2, "{run:?}");
    checked.value("register", &printed[0]);
    checked.value("compromised", &printed[1]);
    device.set_password("json of golden thread");
    checked.lines(
        device,
        b"",
        &[
            ("devices revoke NAME", "devices revoke laptop --yes"),
            ("account delete", "account delete --confirm alice"),
        ],
    );
}

fn restore(checked: &mut Checked) {
    let mut operator = Operator::start();
    let device = operator.registered("alice");
    let copy = operator.copy();
    device.put("lost", b"1");
    operator.roll_back(copy);
    let failed = device.run_with(&["--json"], &["ls"], b"").expect(7);
    checked.value("error", &failed.json()[0]);
    checked.lines(&device, b"", &[("acknowledge", "acknowledge --yes")]);
}

/// Names of all commands, and those that print nothing of their own.
fn commands() -> BTreeSet<String> {
    let folder = tempfile::tempdir().unwrap();
    let mut command = bare_command(folder.path());
    command.args(["--json", "help"]);
    let help = run(command, b"").ok().json();
    let names = help[0]["commands"].as_array().unwrap().iter();
    names
        .map(|command| command["name"].as_str().unwrap().to_owned())
        .filter(|name| !matches!(&**name, "run" | "exit"))
        .collect()
}

#[test]
fn every_command_prints_what_the_document_says() {
    let mut checked = Checked {
        schema: Schema::read(),
        seen: BTreeSet::new(),
    };
    let server = Server::start();
    let device = Device::new(&server, "alice", PASSWORD);
    secrets(&mut checked, &device);
    restore(&mut checked);
    // These want a display; `clipboard::*` tests them there.
    checked
        .seen
        .extend(["get NAME --clip", "totp NAME --clip"].map(str::to_owned));
    let documented: BTreeSet<String> = checked.schema.forms.keys().cloned().collect();
    assert_eq!(checked.seen, documented);
    let first = |form: &String| form.split(' ').next().unwrap().to_owned();
    let mut known: BTreeSet<String> = documented.iter().map(first).collect();
    // Like `register`, as the document says.
    known.extend(["recover"].map(str::to_owned));
    let missing: Vec<String> = commands().difference(&known).cloned().collect();
    assert_eq!(missing, Vec::<String>::new());
}

#[test]
fn the_comparison_tells_a_difference() {
    let schema = Schema::parse(
        "### `x`\n| field | type | meaning |\n|---|---|---|\n| a | integer | |\n| b? | list of row or null | |\n\
         #### row\n| c | string | |\n",
    );
    let check = |json: &str| schema.check("x", &serde_json::from_str(json).unwrap());
    for good in [
        r#"{"a":1}"#,
        r#"{"a":1,"b":null}"#,
        r#"{"a":1,"b":[{"c":""}]}"#,
        "[]",
    ] {
        assert_eq!(check(good), Ok(()), "{good}");
    }
    for bad in [
        "1",
        "{}",
        r#"{"a":-1}"#,
        r#"{"a":"1"}"#,
        r#"{"a":1,"d":1}"#,
        r#"{"a":1,"b":[1]}"#,
        r#"{"a":1,"b":[{"c":1}]}"#,
        r#"{"a":1,"b":[{}]}"#,
    ] {
        assert!(check(bad).is_err(), "{bad}");
    }
    assert!(schema.check("y", &Value::Null).is_err());
}
