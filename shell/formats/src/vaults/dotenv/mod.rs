//! `dotenv`: lines `KEY=value`, as programs read them from a file `.env`. Each key is a secret of its own.
//!
//! There is no standard; this is what Ruby's dotenv, python-dotenv, Docker's and a shell's `source` agree upon:
//!
//! - A line is empty, a comment (`#`), or `KEY=value`, with `export ` before it or not. A key is a letter or `_`, then
//!   letters, digits, `_` and `.`.
//! - `"..."` has the escapes `\n`, `\r`, `\t`, `\"`, `\\`, `\$` and `` \` ``; a backslash before anything else stands for
//!   itself. `'...'` is taken literally, but for `\'` where the line goes on, which no shell reads and other programs
//!   write; where there are two backslashes in it, which python-dotenv alone takes for one, the import says so. Both may
//!   have several lines.
//! - Anything else ends with its line, or before a `#` that follows a space, and backslashes in it stand for themselves.
//!
//! Read with `--format dotenv` alone, because shells refuse or run them: a `-` in a key, and values in backquotes, which
//! are taken literally (Node's dotenv). A value of another kind that begins with a backquote is not known by its content.
//!
//! `$NAME` stands for itself too: nothing is filled in from the environment of this process. The crates that read such
//! files (`dotenvy`, `dotenv`) do fill it in, with no way to tell them not to, and a secret with a `$` in it would come out
//! as another; so this is a parser of our own. What it does not know for sure is an error that names the line. Comments
//! are no secrets, and stay behind.

mod parser;

use std::collections::HashMap;

use parser::{Entry, Parser, is_key};

use crate::format::{FormatError, Incoming, Loss, Peek, Sink, Source, VaultFormat};

/// Longest file, in bytes.
const MAX_LEN: u64 = 16 * 1024 * 1024;
/// Shortest key by which a file with a single one is told from a password that happens to have a `=`.
const MIN_LONE_KEY: usize = 3;

/// The format.
pub const FORMAT: VaultFormat = VaultFormat::new(
    "dotenv",
    "lines KEY=value, as in a file .env: each key a secret of its own",
    recognises,
    |source, _, sink| read(source, sink),
);

fn recognises(source: &Source, peek: &Peek) -> bool {
    // The first line tells most other files.
    if source.is_folder() || !peek.head.contains(&b'=') {
        return false;
    }
    let Ok(file) = source.bytes(MAX_LEN) else {
        return false;
    };
    let text = std::str::from_utf8(file.expose()).unwrap_or_default();
    let entries: Result<Vec<Entry<'_>>, FormatError> = Parser::strict(text).collect();
    let is_named = is_named(&source.file_name());
    entries.is_ok_and(|entries| is_sure(&entries, is_named))
}

fn read(source: &Source, sink: &mut Sink<'_>) -> Result<(), FormatError> {
    let file = source.bytes(MAX_LEN)?;
    let text = std::str::from_utf8(file.expose());
    let text = text.map_err(|_| FormatError::malformed("the file is not UTF-8"))?;
    let entries = Parser::new(text).collect::<Result<Vec<_>, _>>()?;
    let last: HashMap<&str, usize> = entries
        .iter()
        .enumerate()
        .map(|(at, entry)| (entry.key, at))
        .collect();
    for entry in &entries {
        let counts = last.get(entry.key).and_then(|last| entries.get(*last));
        let incoming = match counts {
            Some(last) if last.line != entry.line => {
                if *last.value == *entry.value {
                    continue;
                }
                let what = format!(
                    "another value in line {}: that of line {} counts",
                    entry.line, last.line
                );
                Incoming::Lost(Loss::new(entry.key, what))
            }
            _ => Incoming::Item(Box::new(entry.item())),
        };
        sink(incoming)?;
    }
    Ok(())
}

/// Whether these lines are certainly of this format, and not a password or base64 with a `=`.
fn is_sure(entries: &[Entry<'_>], is_named: bool) -> bool {
    if is_spaced(entries) || entries.is_empty() {
        return false;
    }
    let is_padding = |entry: &Entry<'_>| matches!(&**entry.value, "" | "=");
    if is_named {
        return true;
    }
    if entries.iter().all(is_padding) {
        return false;
    }
    match entries {
        [one] => one.is_exported || is_variable(one.key),
        more => !more.is_empty(),
    }
}

/// Whether a file is called as such files are: `.env`, `.env.local`, `prod.env`.
fn is_named(file: &str) -> bool {
    file.contains('.') && file.split('.').any(|part| part == "env")
}

/// Whether there is white space before a `=`.
fn is_spaced(entries: &[Entry<'_>]) -> bool {
    entries.iter().any(|entry| entry.is_spaced)
}

/// The damage of a file whose name or lines are mostly those of this format.
pub fn damage(bytes: &[u8], file: &str) -> Option<String> {
    let text = std::str::from_utf8(bytes).ok()?;
    let lines = text.lines().map(str::trim_start);
    let lines: Vec<_> = lines
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .collect();
    let is_entry = |line: &&&str| {
        let key = line.strip_prefix("export ").unwrap_or(line).split_once('=');
        key.is_some_and(|(key, _)| is_key(key))
    };
    let entries = lines.iter().filter(is_entry).count();
    // Other files have sections and a few such lines.
    let has_sections = lines.iter().any(|line| line.starts_with('['));
    let is_mostly = entries > 1 && 2 * entries >= lines.len() && !has_sections;
    if !is_mostly && (!is_named(file) || lines.is_empty()) {
        return None;
    }
    match Parser::strict(text).collect::<Result<Vec<_>, _>>() {
        Err(error) => Some(error.to_string()),
        Ok(entries) => is_spaced(&entries)
            .then(|| "it has white space before a `=`, which shells refuse".to_owned()),
    }
}

/// Whether a key has the usual form of environment variables.
fn is_variable(key: &str) -> bool {
    let mut bytes = key.bytes();
    let is_usual = |byte: u8| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_';
    key.len() >= MIN_LONE_KEY && bytes.all(is_usual)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use proptest::prelude::*;
    use shared::secret::SecretBytes;

    use super::*;
    use crate::format::Item;
    use crate::testing;

    fn values(text: &str) -> Result<Vec<(String, String)>, FormatError> {
        let items = testing::read(&FORMAT, text.as_bytes())?.into_iter();
        let value = |item: &Item| item.newest().unwrap().value.expose().to_vec();
        let pair = |item: Item| {
            let value = String::from_utf8(value(&item)).unwrap();
            (item.name, value)
        };
        Ok(items.map(pair).collect())
    }

    fn is_recognised(text: &[u8]) -> bool {
        recognised_as(text, "")
    }

    fn recognised_as(text: &[u8], name: &str) -> bool {
        let source = Source::memory(SecretBytes::from(text), name);
        let peek = source.peek().unwrap();
        (FORMAT.recognises)(&source, &peek)
    }

    #[test]
    fn all_ways_to_write_a_value_are_read() {
        let text = concat!(
            "\u{feff}# of the shop\n\n",
            "A=bare value # a comment\r\n",
            "export B='it is $literal # \\n'\n",
            "  C.d_1=\"one\\ntwo \\\"q\\\" \\\\ \\$x \\y\"# a comment\n",
            "D=\"first\nsecond\"\n",
            "E='third\nfourth' \n",
            "F=a#b\\n\n",
            "G=\n",
            "H= # nothing\n",
            "I=#x\n",
            "export=z\n",
            "J = spaced\n",
            "L='it\\'s \\\\'q' # c\n",
            "M='C:\\' # c\n",
            "K=\"${HOME}\"",
        );
        let expected = [
            ("A", "bare value"),
            ("B", "it is $literal # \\n"),
            ("C.d_1", "one\ntwo \"q\" \\ $x \\y"),
            ("D", "first\nsecond"),
            ("E", "third\nfourth"),
            ("F", "a#b\\n"),
            ("G", ""),
            ("H", ""),
            ("I", "#x"),
            ("export", "z"),
            ("J", "spaced"),
            ("L", "it's \\'q"),
            ("M", "C:\\"),
            ("K", "${HOME}"),
        ];
        let read = values(text).unwrap();
        let read: Vec<_> = read.iter().map(|(key, value)| (&**key, &**value)).collect();
        assert_eq!(read, expected);
    }

    #[test]
    fn ambiguous_lines_are_refused_by_number() {
        let refused = [
            ("A=1\nB", "line 2: `=` is expected after the key"),
            ("A=1\n\n2=x", "line 3: the line is not empty"),
            ("A='x\n", "line 1: the quote is not closed"),
            ("A=\"x\\\"\n", "line 1: the quote is not closed"),
            ("A=\"x\\", "line 1: the quote is not closed"),
            ("A='x'y", "line 1: text after the closing quote"),
            ("A='a\nb'\nB=`date", "line 3: the quote is not closed"),
            ("export A B=1", "line 1: `=` is expected"),
            ("\u{7}A=1", "line 1: the line is not empty"),
            ("A=1\n../x=2", "line 2: the line is not empty"),
        ];
        for (text, expected) in refused {
            let error = values(text).unwrap_err().to_string();
            assert!(error.starts_with(expected), "{text}: {error}");
        }
        assert!(testing::read(&FORMAT, b"A=\xff").is_err());
    }

    #[test]
    fn what_only_some_programs_read_needs_the_name_of_the_format() {
        let text = "A=1\nmy-key=`it's \"x\" \\n y`# c\nB=`a\nb`\n";
        let expected = [("A", "1"), ("my-key", "it's \"x\" \\n y"), ("B", "a\nb")];
        let read = values(text).unwrap();
        let read: Vec<_> = read.iter().map(|(key, value)| (&**key, &**value)).collect();
        assert_eq!(read, expected);
        assert!(!is_recognised(text.as_bytes()));
        let says = |text: &str, name: &str| damage(text.as_bytes(), name).unwrap_or_default();
        assert_eq!(
            says(text, ""),
            "line 2: the key has a `-`, which shells refuse"
        );
        let backquoted = says("A=1\nB=`x y`\n", "");
        assert!(
            backquoted.starts_with("line 2: a value in backquotes"),
            "{backquoted}"
        );
        assert!(says("A = 1\nB = 2\n", "x.env").contains("white space before a `=`"));
        // Lines of base64 have no such damage.
        assert_eq!(says("dGVzdDE=\ndGVzdDI=\n", ""), "");
    }

    #[test]
    fn the_name_of_a_file_makes_one_variable_sure() {
        for name in [".env", "single.env", ".env.local"] {
            assert!(recognised_as(b"db_password=x\n", name), "{name}");
            assert!(recognised_as(b"A=\n", name), "{name}");
            assert!(!recognised_as(b"A =1\n", name), "{name}");
            assert!(!recognised_as(b"# nothing = here\n", name), "{name}");
        }
        for name in ["", "password.txt", "environment", "env"] {
            assert!(!recognised_as(b"db_password=x\n", name), "{name}");
        }
    }

    #[test]
    fn the_last_of_a_key_counts_and_others_are_lost() {
        let source = Source::memory(SecretBytes::from(b"A=1\nB=2\nA=1\nA=3\n".as_slice()), "");
        let mut seen = Vec::new();
        FORMAT
            .read(&source, &testing::Answers::default(), &mut |incoming| {
                seen.push(match incoming {
                    Incoming::Item(item) => item.name,
                    Incoming::Lost(loss) => loss.to_string(),
                });
                Ok(())
            })
            .unwrap();
        let lost = |line: u32| format!("A: another value in line {line}: that of line 4 counts");
        assert_eq!(seen, [lost(1), "B".into(), lost(3), "A".into()]);
    }

    #[test]
    fn values_that_programs_read_differently_are_losses() {
        let items = testing::read(
            &FORMAT,
            br"A='x\\y'
B='x\y'
C=x\\y",
        )
        .unwrap();
        let doubtful: Vec<_> = items.iter().map(|item| item.losses.len()).collect();
        assert_eq!(doubtful, [1, 0, 0]);
        assert_eq!(items[0].newest().unwrap().value.expose(), br"x\\y");
    }

    #[test]
    fn only_certain_files_are_recognised() {
        for text in [
            "A=1\nb.c=2\n",
            "# x\n\nDB_PASSWORD=a b\n",
            "export x=1",
            "TOKEN=abc=\n",
        ] {
            assert!(is_recognised(text.as_bytes()), "{text}");
        }
        let others: [&[u8]; 14] = [
            b"",
            b"# only a comment = none\n",
            b"dGVzdA==",
            b"dGVzdDE=\ndGVzdDI=\n",
            b"DGVZ=",
            b"hunter=2",
            b"A=b",
            b"a=1&b=2",
            b"-----BEGIN X-----\nProc-Type=4\n-----END X-----\n",
            b"name,value\na=b,c\n",
            b"{\"a\":\"b=c\"}",
            b"[section]\nA=1\n",
            b"KEY = value\n",
            b"\xff=\n",
        ];
        for text in others {
            let shown = String::from_utf8_lossy(text);
            assert!(!is_recognised(text), "{shown}");
        }
    }

    fn quoted(value: &str) -> String {
        let mut text = String::from("\"");
        for c in value.chars() {
            match c {
                '\n' => text.push_str("\\n"),
                '"' | '\\' | '$' => text.extend(['\\', c]),
                other => text.push(other),
            }
        }
        text + "\""
    }

    proptest! {
        #[test]
        fn quoted_values_are_read(entries in proptest::collection::btree_map(
            "[A-Za-z_][A-Za-z0-9_.]{0,8}", ("(?s).{0,40}", any::<bool>()), 0..8,
        )) {
            let mut lines = Vec::new();
            for (key, (value, is_literal)) in &entries {
                let value = if *is_literal && !value.contains('\'') { format!("'{value}'") } else { quoted(value) };
                lines.push(format!("{key}={value}\n"));
            }
            let read = values(&lines.concat()).unwrap();
            let expected: Vec<_> = entries.into_iter().map(|(key, (value, _))| (key, value)).collect();
            prop_assert_eq!(read, expected);
        }

        #[test]
        fn no_text_panics(text in "(?s)[A-Z='\"\\\\#\n $`é]{0,60}") {
            let _ = values(&text);
            is_recognised(text.as_bytes());
        }
    }
}
