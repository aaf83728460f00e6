//! Names as paths of files, harmless and reversible: `%` and a dot that would hide a file or pass for an ending are
//! written as `%25` and `%2E`, and nothing between two slashes as `%`.

use std::collections::HashSet;
use std::path::{Component, Path, PathBuf};

use keyshell_base::numbered::Numbers;

/// The ending of files that age seals.
pub const AGE: &str = ".age";
/// The file name of an empty component: no other component is encoded so.
const EMPTY: &str = "%";
/// Longest name of a file, in bytes.
const MAX_FILE_NAME: usize = 255;

/// The path of an item, without an ending; `None` where a component is longer than a file's name may be.
pub fn of(name: &str) -> Option<PathBuf> {
    let mut components = name.split('/').map(encoded);
    components
        .all(|own| own.len() + AGE.len() <= MAX_FILE_NAME)
        .then_some(())?;
    let path: PathBuf = name.split('/').map(encoded).collect();
    let is_harmless = |own: Component<'_>| matches!(own, Component::Normal(_));
    path.components().all(is_harmless).then_some(path)
}

/// Paths that are taken: no file takes the place of another.
#[derive(Debug, Default)]
pub struct Taken {
    paths: HashSet<PathBuf>,
    numbers: Numbers,
}

impl Taken {
    /// Takes the path of an item; `None` if there is none, or it is taken.
    pub fn item(&mut self, name: &str) -> Option<PathBuf> {
        let path = of(name)?;
        self.paths.insert(path.clone()).then_some(path)
    }

    /// Takes a path for a file in the folder of an item, and says under what name: its own if that is free, else with a
    /// number. `None` where that is longer than a file's name may be.
    pub fn file(&mut self, item: &str, own: &str) -> Option<(String, PathBuf)> {
        let own = own.replace('/', "_");
        let Self { paths, numbers } = self;
        numbers.first(&format!("{item}/{own}"), |suffix| {
            let free = format!("{own}{suffix}");
            let Some(path) = of(&format!("{item}/{free}")) else {
                return Some(None);
            };
            paths.insert(path.clone()).then_some(Some((free, path)))
        })?
    }
}

/// The name of the file in the folder of an item that [`Taken::file`] gave this name; `None` if it gives no such names.
pub fn file(own: &str) -> Option<String> {
    (!own.contains('/')).then(|| encoded(own))
}

fn encoded(component: &str) -> String {
    if component.is_empty() {
        return EMPTY.to_owned();
    }
    let mut encoded = component.replace('%', "%25");
    if component.starts_with('.') {
        encoded = format!("%2E{}", encoded.strip_prefix('.').unwrap_or_default());
    }
    if let Some(stem) = encoded.strip_suffix(AGE) {
        encoded = format!("{stem}%2Eage");
    }
    encoded
        .chars()
        .map(|c| match c {
            c if c.is_control() => format!("%{:02X}", u32::from(c)),
            c => c.to_string(),
        })
        .collect()
}

/// The name that [`of`] made a path from; others stay as they are. `None` if it is no UTF-8.
pub fn name(path: &Path) -> Option<String> {
    let components: Option<Vec<_>> = path
        .components()
        .map(|own| own.as_os_str().to_str())
        .collect();
    let components = components?.into_iter().map(|own| {
        let decoded = if own == EMPTY {
            String::new()
        } else {
            own.replace("%2E", ".").replace("%25", "%")
        };
        if encoded(&decoded) == own {
            decoded
        } else {
            own.to_owned()
        }
    });
    Some(components.collect::<Vec<_>>().join("/"))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn paths_are_harmless() {
        let path = |name| of(name).map(|path| path.to_str().unwrap().to_owned());
        assert_eq!(path("Work/mail").unwrap(), "Work/mail");
        assert_eq!(path("../../etc/passwd").unwrap(), "%2E./%2E./etc/passwd");
        assert_eq!(path(".ssh/x.age").unwrap(), "%2Essh/x%2Eage");
        assert_eq!(path("100%").unwrap(), "100%25");
        assert!(path(&"x".repeat(252)).is_none());
    }

    proptest! {
        #[test]
        fn paths_come_back(own in "[a-z.%/é25Eag ]{1,20}") {
            let path = of(&own).unwrap();
            prop_assert!(path.is_relative());
            let hidden = |own: Component<'_>| own.as_os_str().as_encoded_bytes().starts_with(b".");
            prop_assert!(!path.components().any(hidden));
            prop_assert_eq!(name(&path).unwrap(), own);
        }
    }
}
