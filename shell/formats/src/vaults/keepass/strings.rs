//! The strings of an entry that is written, each key once.

use std::collections::HashSet;

use keyshell_base::numbered::Numbers;

use super::references;
use super::tree::Element;
use super::xml::holds;

/// Strings whose keys differ.
#[derive(Default)]
pub struct Strings {
    elements: Vec<Element>,
    /// Keys that are taken.
    keys: HashSet<String>,
    numbers: Numbers,
}

impl Strings {
    /// Whether a key is taken.
    pub fn has(&self, key: &str) -> bool {
        self.keys.contains(key)
    }

    /// Adds a string under this key if it is free, else under the key with a number.
    pub fn add(&mut self, key: &str, value: &str, is_protected: bool) {
        let key = if key.is_empty() { "field" } else { key };
        let Self { keys, numbers, .. } = self;
        let free = numbers.first(key, |suffix| {
            let free = format!("{key}{suffix}");
            keys.insert(free.clone()).then_some(free)
        });
        // There are always more numbers than fields.
        let free = free.unwrap_or_default();
        let mut text = Element::text("Value", value);
        if is_protected || !holds(value) {
            text.attributes.push(("Protected".into(), "True".into()));
        }
        self.elements.push(Element::new(
            "String",
            vec![Element::text("Key", &free), text],
        ));
    }

    /// Marks the string that was added last as one that a reference stands for.
    pub fn refer(&mut self, reference: &str) {
        let last = self.elements.last_mut();
        if let Some(value) = last.and_then(|last| last.child_mut("Value")) {
            references::mark(value, reference);
        }
    }

    /// The elements in the order in which they were added.
    pub fn finish(self) -> Vec<Element> {
        self.elements
    }
}
