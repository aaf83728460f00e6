//! Text for people: counts, and text without terminal control characters.

/// A count with its noun, in the plural where it is not 1.
pub fn plural(count: usize, thing: &str) -> String {
    let ending = if count == 1 { "" } else { "s" };
    format!("{count} {thing}{ending}")
}

/// Escapes the characters that a terminal interprets: control characters except line breaks and tabs, line separators,
/// and characters that change the direction of writing.
pub fn printable(text: &str) -> String {
    // With room for a line break; only escapes make it grow.
    let mut printable = String::with_capacity(text.len() + 1);
    for c in text.chars() {
        if is_harmless(c) {
            printable.push(c);
        } else {
            printable.extend(c.escape_unicode());
        }
    }
    printable
}

pub(crate) fn is_harmless(c: char) -> bool {
    matches!(c, '\n' | '\t') || !(c.is_control() || separates_lines(c) || turns_direction(c))
}

fn separates_lines(c: char) -> bool {
    matches!(c, '\u{2028}' | '\u{2029}')
}

fn turns_direction(c: char) -> bool {
    let marks = matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}');
    marks || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn printable_text_controls_no_terminal() {
        let harmful = "\u{1b}\u{7f}\u{9b}\u{61c}\u{200e}\u{200f}\u{2028}\u{2029}\u{202e}\u{2069}\r";
        let shown = printable(harmful);
        assert!(shown.is_ascii() && shown.chars().all(|c| c.is_ascii_graphic()));
        assert_eq!(shown.matches("\\u{").count(), harmful.chars().count());
        let harmless = "é 漢\u{5d0}\u{1f511}\n\t~";
        assert_eq!(printable(harmless), harmless);
    }
}
