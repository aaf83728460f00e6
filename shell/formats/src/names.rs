//! Conversion between folders and titles of other programs and names with `/`.

/// Replaces a `/` within the name of a folder or an item: DIVISION SLASH, which looks the same. Exports replace it by `/`.
const SLASH: &str = "\u{2215}";
/// The name of an item in a folder that has no title.
const UNNAMED: &str = "unnamed";

/// The component of a name for an arbitrary title.
pub fn component(title: &str) -> String {
    title.replace('/', SLASH)
}

/// The title that [`component`] was made from.
pub fn title(component: &str) -> String {
    component.replace(SLASH, "/")
}

/// The name of a title in a folder; `folder` may be empty.
pub fn joined(folder: &str, title: &str) -> String {
    let own = component(title);
    match (folder.is_empty(), own.trim().is_empty()) {
        (true, _) => own,
        (false, true) => format!("{folder}/{UNNAMED}"),
        (false, false) => format!("{folder}/{own}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slashes_in_titles_part_no_folders() {
        assert_eq!(joined("Work", "a/b"), "Work/a\u{2215}b");
        assert_eq!(title("a\u{2215}b"), "a/b");
        assert_eq!(joined("", "x"), "x");
        assert_eq!(joined("Work", " "), "Work/unnamed");
    }
}
