//! Names made distinct by numbers: `name`, `name (2)`, `name (3)` and so on.

use std::collections::HashMap;

/// The next number of each name, so that a name which occurs very often costs no more each time.
#[derive(Debug, Clone, Default)]
pub struct Numbers(HashMap<String, u32>);

impl Numbers {
    /// The first result of `take` among the suffixes "" (none), " (2)", " (3)" and so on. `take` returns `None` for a
    /// suffix that makes a name which is taken. `None` where there are no more numbers.
    pub fn first<T>(&mut self, name: &str, mut take: impl FnMut(&str) -> Option<T>) -> Option<T> {
        take("").or_else(|| self.next(name, take))
    }

    /// As [`Self::first`], for a name that is taken itself.
    pub fn next<T>(&mut self, name: &str, mut take: impl FnMut(&str) -> Option<T>) -> Option<T> {
        let next = self.0.entry(name.to_owned()).or_insert(2);
        loop {
            let number = *next;
            *next = number.checked_add(1)?;
            if let Some(taken) = take(&format!(" ({number})")) {
                return Some(taken);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn taken_names_get_the_next_free_number() {
        let (mut numbers, mut names) = (Numbers::default(), HashSet::new());
        let mut give = |name: &str| {
            numbers.first(name, |suffix| {
                let free = format!("{name}{suffix}");
                names.insert(free.clone()).then_some(free)
            })
        };
        let given = ["a", "a", "a (3)", "a", "a (2)"].map(|name| give(name).unwrap_or_default());
        assert_eq!(given, ["a", "a (2)", "a (3)", "a (4)", "a (2) (2)"]);
    }

    #[test]
    fn the_numbers_of_a_name_come_to_an_end() {
        let mut numbers = Numbers(HashMap::from([("a".to_owned(), u32::MAX)]));
        assert_eq!(numbers.next("a", |_| Some(())), None);
    }
}
