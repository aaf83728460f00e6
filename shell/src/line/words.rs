//! Splits lines into words by the quoting rules of POSIX shells; the last word may be unfinished.

use std::str::CharIndices;

/// One word.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Word {
    /// Byte position of its beginning, including quotes.
    pub start: usize,
    /// Byte position of its end.
    pub end: usize,
    /// The text without quotes and escapes.
    pub text: String,
    /// The quote that is still open at its end.
    pub quote: Option<char>,
}

impl Word {
    /// A word without quotes and without a position in a line.
    pub fn finished(text: String) -> Self {
        Self {
            start: 0,
            end: text.len(),
            text,
            quote: None,
        }
    }
}

/// Splits a line that may end in an open quote. The last word is the one being typed, which is empty after a space. `None`
/// if the line ends in a comment.
pub fn words(line: &str) -> Option<Vec<Word>> {
    let (mut words, in_comment) = finished(line);
    if words.last().is_none_or(|word| word.end < line.len()) {
        words.push(Word {
            start: line.len(),
            end: line.len(),
            text: String::new(),
            quote: None,
        });
    }
    (!in_comment).then_some(words)
}

/// The words of a finished line, and whether it ends in a comment.
pub fn finished(line: &str) -> (Vec<Word>, bool) {
    let mut words = Vec::new();
    let mut rest = line.char_indices();
    loop {
        let mut ahead = rest.clone();
        match ahead.next() {
            None => return (words, false),
            Some((_, ' ' | '\t' | '\n')) => rest = ahead,
            Some((_, '#')) => {
                if !rest.any(|(_, c)| c == '\n') {
                    return (words, true);
                }
            }
            Some((start, _)) => {
                let (text, quote, end) = word(&mut rest);
                words.push(Word {
                    start,
                    end: end.unwrap_or(line.len()),
                    text,
                    quote,
                });
            }
        }
    }
}

/// Splits a pasted text into lines; a line break inside of quotes does not end a line.
pub fn lines(text: &str) -> Vec<&str> {
    let (words, _) = finished(text);
    let mut lines = Vec::new();
    let mut start = 0;
    for (end, _) in text.match_indices('\n') {
        let is_inside = |word: &Word| (word.start..word.end).contains(&end);
        if !words.iter().any(is_inside) {
            lines.push(text.get(start..end).unwrap_or_default());
            start = end + 1;
        }
    }
    lines.push(text.get(start..).unwrap_or_default());
    lines
}

/// Reads one word; returns its text, the quote open at its end, and the position of the space after it.
fn word(rest: &mut CharIndices<'_>) -> (String, Option<char>, Option<usize>) {
    let mut text = String::new();
    let mut quote = None;
    while let Some((position, c)) = rest.next() {
        match (quote, c) {
            (None, ' ' | '\t' | '\n') => return (text, None, Some(position)),
            (None, '"' | '\'') => quote = Some(c),
            (Some(open), _) if open == c => quote = None,
            (None, '\\') => text.extend(rest.next().map(|(_, c)| c).filter(|c| *c != '\n')),
            (Some('"'), '\\') => match rest.next().map(|(_, c)| c) {
                Some(c @ ('$' | '`' | '"' | '\\')) => text.push(c),
                Some('\n') => {}
                escaped => {
                    text.push('\\');
                    text.extend(escaped);
                }
            },
            _ => text.push(c),
        }
    }
    (text, quote, None)
}

/// Whether a text must be quoted to be one word with this text.
pub fn needs_quotes(text: &str) -> bool {
    let plain = |c: char| c.is_alphanumeric() || "-_./@%+=:,~".contains(c);
    text.is_empty() || !text.chars().all(plain)
}

/// Quotes a word, without the closing quote.
pub fn open_quoted(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 1);
    quoted.push('"');
    for c in text.chars() {
        if matches!(c, '"' | '\\') {
            quoted.push('\\');
        }
        quoted.push(c);
    }
    quoted
}

/// A name as the last argument of a command that a message shows: quoted where it has to be, and behind `--` if it would
/// be taken for an option. The command works in a shell as well as in an interactive session.
pub fn argument(name: &str) -> String {
    // Only a NUL cannot be quoted, and no name has one.
    let quoted = shlex::try_quote(name).unwrap_or_default();
    let end = if name.starts_with('-') { "-- " } else { "" };
    format!("{end}{quoted}")
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn texts(line: &str) -> Vec<String> {
        words(line).unwrap().into_iter().map(|w| w.text).collect()
    }

    #[test]
    fn the_last_word_is_the_one_being_typed() {
        assert_eq!(texts(""), [""]);
        assert_eq!(texts("ge"), ["ge"]);
        assert_eq!(texts("get "), ["get", ""]);
        assert_eq!(texts(r#"get "my fo"#), ["get", "my fo"]);
        assert_eq!(texts(r"get my\ folder/'a"), ["get", "my folder/a"]);
        assert_eq!(texts("get a\\"), ["get", "a"]);
        assert_eq!(words("get a # b"), None);
        let last = words("get  'a b").unwrap().pop().unwrap();
        assert_eq!((last.start, last.end, last.quote), (5, 9, Some('\'')));
        assert_eq!(words("get 'a b'").unwrap().pop().unwrap().quote, None);
    }

    #[test]
    fn pasted_text_is_split_into_lines_as_in_a_shell() {
        assert_eq!(lines("get a"), ["get a"]);
        assert_eq!(lines("gen a\n gen b\n"), ["gen a", " gen b", ""]);
        assert_eq!(lines("a # it's\nb"), ["a # it's", "b"]);
        let whole = ["edit a --note 'one\ntwo'", "get \\\n a"];
        assert_eq!(lines(&whole.join("\n")), whole);
        assert_eq!(lines("get 'a\nb"), ["get 'a\nb"]);
    }

    #[test]
    fn names_in_commands_are_quoted_where_they_must_be() {
        assert_eq!(argument("prod/db"), "prod/db");
        assert_eq!(argument("my db"), "'my db'");
        assert_eq!(argument("-x"), "-- -x");
    }

    proptest! {
        #[test]
        fn arguments_mean_themselves(text in "[^-\0\\n]\\PC{0,24}") {
            let line = format!("get {}", argument(&text));
            prop_assert_eq!(shlex::split(&line).unwrap(), ["get".to_owned(), text]);
        }

        #[test]
        fn finished_words_are_those_of_finished_lines(line in "[ab '\"\\\\#$\n\té]{0,24}") {
            if let Some(expected) = shlex::split(&line) {
                let found: Vec<String> = finished(&line).0.into_iter().map(|word| word.text).collect();
                prop_assert_eq!(found, expected);
            }
        }

        #[test]
        fn quoted_words_mean_themselves(text in "\\PC{0,24}") {
            let quoted = format!("get {}\"", open_quoted(&text));
            prop_assert_eq!(shlex::split(&quoted).unwrap(), ["get".to_owned(), text.clone()]);
            if !needs_quotes(&text) {
                prop_assert_eq!(shlex::split(&text).unwrap(), [text]);
            }
        }
    }
}
