//! Abbreviated names, in the REPL only: a unique prefix, or a number of the last `ls`.

use crate::error::{Error, Result};

/// Maximum candidates in an error.
const MAX_SHOWN: usize = 10;
/// Prefix of a number of the last `ls`.
pub const NUMBER: char = '%';

/// The names that numbers refer to.
#[derive(Debug, Default)]
pub struct Abbreviations {
    /// The names of the last `ls`, in its order.
    listed: Vec<String>,
}

impl Abbreviations {
    /// Stores the names of an `ls`.
    pub fn list(&mut self, names: impl Iterator<Item = String>) {
        self.listed = names.collect();
    }

    /// Removes all names.
    pub fn forget(&mut self) {
        self.listed.clear();
    }

    /// The name that `typed`, which is not one of `names`, abbreviates; `None` if it abbreviates none.
    ///
    /// # Errors
    /// [`Error::usage`] for a prefix of several names and for a number that was not listed; [`Error::no_such_secret_but`] for
    /// a listed number without `%`.
    pub fn resolve<'a>(
        &'a self,
        typed: &str,
        names: impl Iterator<Item = &'a str>,
    ) -> Result<Option<&'a str>> {
        if let Some(number) = number(typed) {
            return self.numbered(number).map(Some);
        }
        let mut candidates: Vec<&str> = names.filter(|name| name.starts_with(typed)).collect();
        candidates.dedup();
        match candidates.as_slice() {
            [] => self.unsigned(typed),
            [one] => Ok(Some(one)),
            many => Err(ambiguous(typed, many)),
        }
    }

    /// Suggests `%` before a number of the last `ls`.
    fn unsigned(&self, typed: &str) -> Result<Option<&str>> {
        let signed = format!("{NUMBER}{typed}");
        match number(&signed).map(|number| self.numbered(number)) {
            Some(Ok(_)) => Err(Error::no_such_secret_but(typed, Some(signed))),
            _ => Ok(None),
        }
    }

    fn numbered(&self, number: usize) -> Result<&str> {
        let listed = number.checked_sub(1).and_then(|n| self.listed.get(n));
        listed.map(String::as_str).ok_or_else(|| {
            let last = self.listed.len();
            Error::usage(if last == 0 {
                format!("{NUMBER}{number} is a number of the last `ls`, and none has run since the session was unlocked")
            } else {
                format!("the last `ls` ends with {NUMBER}{last}")
            })
        })
    }
}

/// Parses a number of the last `ls`, such as `%2`.
pub fn number(word: &str) -> Option<usize> {
    word.strip_prefix(NUMBER)?.parse().ok()
}

fn ambiguous(typed: &str, candidates: &[&str]) -> Error {
    let shown: Vec<&str> = candidates.iter().copied().take(MAX_SHOWN).collect();
    let more = match candidates.len() - shown.len() {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    Error::usage(format!(
        "`{typed}` abbreviates {}{more}: type more of the name",
        shown.join(", ")
    ))
}

/// The most similar name, by edit distance; `None` if none is similar enough.
pub fn nearest<'a>(typed: &str, names: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    /// Minimum similarity, from 0 to 1.
    const NEAR: f64 = 0.6;
    let typed = typed.to_lowercase();
    let near = names.map(|name| {
        let likeness = strsim::normalized_damerau_levenshtein(&typed, &name.to_lowercase());
        (likeness, name)
    });
    near.filter(|(likeness, _)| *likeness >= NEAR)
        .max_by(|(a, _), (b, _)| a.total_cmp(b))
        .map(|(_, name)| name)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const NAMES: [&str; 5] = ["%2", "prod/db", "prod/web", "stage/db", "stage/db"];

    fn resolve(typed: &str) -> Result<Option<String>, Error> {
        let mut known = Abbreviations::default();
        known.list(["stage/db", "prod/db"].map(str::to_owned).into_iter());
        let found = known.resolve(typed, NAMES.into_iter());
        found.map(|name| name.map(str::to_owned))
    }

    #[test]
    fn prefixes_and_numbers_stand_for_names() {
        assert_eq!(resolve("s").unwrap().unwrap(), "stage/db");
        assert_eq!(resolve("prod/w").unwrap().unwrap(), "prod/web");
        assert_eq!(resolve("%1").unwrap().unwrap(), "stage/db");
        assert_eq!(resolve("%2").unwrap().unwrap(), "prod/db");
        assert_eq!(resolve("x").unwrap(), None);
        assert_eq!(resolve("3").unwrap(), None);
    }

    #[test]
    fn ambiguous_abbreviations_are_errors() {
        let text = resolve("prod").unwrap_err().to_string();
        assert_eq!(
            text,
            "`prod` abbreviates prod/db, prod/web: type more of the name"
        );
        assert!(
            resolve("%3")
                .unwrap_err()
                .to_string()
                .contains("ends with %2")
        );
        assert!(resolve("%0").is_err());
        let text = resolve("2").unwrap_err().to_string();
        assert_eq!(text, "no secret is named `2`; did you mean `%2`?");
        let none = Abbreviations::default();
        assert!(none.resolve("%1", NAMES.into_iter()).is_err());
        let many: Vec<String> = (0..30).map(|n| format!("a{n}")).collect();
        let text = none.resolve("a", many.iter().map(String::as_str));
        assert!(text.unwrap_err().to_string().contains("and 20 more"));
    }

    #[test]
    fn typing_errors_are_recognised() {
        assert_eq!(nearest("prod/bd", NAMES.into_iter()), Some("prod/db"));
        assert_eq!(nearest("Stage/DB", NAMES.into_iter()), Some("stage/db"));
        assert_eq!(nearest("something else", NAMES.into_iter()), None);
    }
}
