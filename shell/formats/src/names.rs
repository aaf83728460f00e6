//! Folders and titles of other programs, and the one name that has both here.

/// Stands for a `/` inside of a folder's or an item's own name, where it parts none: DIVISION SLASH, which reads the same
/// and becomes a `/` again on the way out.
const SLASH: &str = "\u{2215}";
/// What an item without a title is called inside of a folder.
const UNNAMED: &str = "unnamed";

/// One component of a name, from a title that may hold anything.
pub fn component(title: &str) -> String {
    title.replace('/', SLASH)
}

/// The title that [`component`] was made from.
pub fn title(component: &str) -> String {
    component.replace(SLASH, "/")
}

/// A component of a name behind its folder, which may be none.
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
