//! Numbers repeated names of a file: every secret after the first gets a number after its name.

use std::collections::HashSet;

use keyshell_base::names::SecretName;
use keyshell_base::numbered::Numbers;

use crate::commands::value;
use crate::error::{Error, Result};

/// The names that are in use.
#[derive(Debug, Default)]
pub struct Taken {
    names: HashSet<SecretName>,
    numbers: Numbers,
}

impl Taken {
    /// Whether the name is in use.
    pub fn contains(&self, name: &SecretName) -> bool {
        self.names.contains(name)
    }

    /// Marks the name as in use.
    pub fn insert(&mut self, name: &SecretName) {
        self.names.insert(name.clone());
    }

    /// The name, with a number if it is in use; marks the result as in use.
    ///
    /// # Errors
    /// As [`Self::numbered`].
    pub fn give(&mut self, name: &SecretName) -> Result<SecretName> {
        let given = if self.contains(name) {
            self.numbered(name, |_| true)?
        } else {
            name.clone()
        };
        self.insert(&given);
        Ok(given)
    }

    /// The name with the first number for which it is neither in use nor refused by `is_free`.
    ///
    /// # Errors
    /// [`Error::exists`] if no number is left.
    pub fn numbered(
        &mut self,
        name: &SecretName,
        is_free: impl Fn(&SecretName) -> bool,
    ) -> Result<SecretName> {
        let Self { names, numbers } = self;
        let given = numbers.next(name.as_str(), |suffix| match behind(name, suffix) {
            Ok(candidate) if names.contains(&candidate) || !is_free(&candidate) => None,
            other => Some(other),
        });
        let none = || {
            Err(Error::exists(format!(
                "every numbered form of `{name}` exists; rename some of them with `mv`"
            )))
        };
        given.unwrap_or_else(none)
    }
}

fn behind(name: &SecretName, suffix: &str) -> Result<SecretName> {
    let room = SecretName::MAX_LEN.saturating_sub(suffix.len());
    let (short, _) = name
        .as_str()
        .split_at(name.as_str().floor_char_boundary(room));
    value::name(&format!("{short}{suffix}"))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn name(text: &str) -> SecretName {
        SecretName::parse(text).unwrap()
    }

    #[test]
    fn repeated_names_are_numbered() {
        let mut taken = Taken::default();
        let mut give = |text: &str| taken.give(&name(text)).unwrap().to_string();
        assert_eq!(give("a"), "a");
        assert_eq!(give("a"), "a (2)");
        assert_eq!(give("a (3)"), "a (3)");
        assert_eq!(give("a"), "a (4)");
        assert_eq!(give("a (2)"), "a (2) (2)");
        let long = "é".repeat(127);
        assert_eq!(give(&long), long);
        assert_eq!(give(&long), format!("{} (2)", "é".repeat(125)));
    }

    #[test]
    fn numbering_a_name_takes_constant_time_per_repetition() {
        let mut taken = Taken::default();
        for _ in 0..20_000 {
            taken.give(&name("a")).unwrap();
        }
        assert!(taken.contains(&name("a (20000)")));
    }
}
