//! Tables: columns without borders that fit the terminal's width.

use keyshell_base::text::printable;
use unicode_width::{UnicodeWidthChar as _, UnicodeWidthStr as _};

/// Spaces between two cells.
const GAP: usize = 2;
/// Replaces the end of a text that is cut.
const CUT: char = '…';
/// Width that a column keeps while others can shrink, in terminal columns.
const NARROW: usize = 8;

/// Renders a table; `None` without rows. With a `width`, the widest columns shrink to fit: first the `elastic` ones, then
/// all.
pub fn render<const N: usize>(
    header: [&str; N],
    rows: Vec<[String; N]>,
    width: Option<usize>,
    elastic: &[usize],
) -> Option<String> {
    if rows.is_empty() {
        return None;
    }
    let mut lines = vec![header.map(str::to_owned)];
    let plain = |cell: String| printable(&cell).replace(['\n', '\t'], " ");
    lines.extend(rows.into_iter().map(|row| row.map(plain)));
    let mut widths = [0; N];
    for line in &lines {
        for (width, cell) in widths.iter_mut().zip(line) {
            *width = (*width).max(cell.width());
        }
    }
    if let Some(width) = width {
        shrink(&mut widths, elastic, width);
    }
    let lines = lines.iter().map(|line| one(line, &widths));
    Some(lines.collect::<Vec<_>>().join("\n"))
}

/// Shrinks the widest columns until all fit: the elastic ones down to [`NARROW`], then all down to [`NARROW`], then all
/// down to one character.
fn shrink(widths: &mut [usize], elastic: &[usize], available: usize) {
    let gaps = GAP * widths.len().saturating_sub(1);
    let mut missing = (widths.iter().sum::<usize>() + gaps).saturating_sub(available);
    for (among_all, floor) in [(false, NARROW), (true, NARROW), (true, 1)] {
        while missing > 0 {
            let columns = widths.iter_mut().enumerate();
            let wide = columns.filter(|(column, width)| {
                (among_all || elastic.contains(column)) && **width > floor
            });
            let Some((_, widest)) = wide.max_by_key(|(_, width)| **width) else {
                break;
            };
            *widest -= 1;
            missing -= 1;
        }
    }
}

fn one(cells: &[String], widths: &[usize]) -> String {
    let mut line = String::new();
    for (cell, width) in cells.iter().zip(widths) {
        let cell = cut(cell, *width);
        line.push_str(&cell);
        let padding = width.saturating_sub(cell.width()) + GAP;
        line.extend(std::iter::repeat_n(' ', padding));
    }
    line.truncate(line.trim_end().len());
    line
}

/// Cuts a text to `width` terminal columns; a text that is cut ends with an ellipsis.
pub fn cut(text: &str, width: usize) -> String {
    if text.width() <= width {
        return text.to_owned();
    }
    let mut kept = String::new();
    let mut used = 1;
    for c in text.chars() {
        used += c.width().unwrap_or(0);
        if used > width {
            break;
        }
        kept.push(c);
    }
    kept.truncate(kept.trim_end().len());
    kept.push(CUT);
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(width: Option<usize>) -> String {
        let row = |name: &str, note: &str| [name.to_owned(), "1".to_owned(), note.to_owned()];
        let rows = vec![
            row("a", "漢字漢字漢字漢字漢字"),
            row("long/name", "a note that says a lot"),
        ];
        render(["NAME", "N", "NOTE"], rows, width, &[2]).unwrap_or_default()
    }

    #[test]
    fn nothing_is_cut_without_a_width() {
        let expected = "NAME       N  NOTE\n\
                        a          1  漢字漢字漢字漢字漢字\n\
                        long/name  1  a note that says a lot";
        assert_eq!(table(None), expected);
        assert_eq!(table(Some(36)), expected);
    }

    #[test]
    fn notes_give_way_before_names() {
        for width in 22..36 {
            let text = table(Some(width));
            assert!(text.lines().all(|line| line.width() <= width), "{text}");
            assert!(text.contains("long/name  1  a note"), "{text}");
            assert!(text.contains('…'), "{text}");
        }
    }

    #[test]
    fn everything_fits_however_long_names_are() {
        let row = |name: &str| [name.to_owned(), "12 d ago".to_owned(), "note".to_owned()];
        let rows = vec![
            row("short"),
            row(&"\u{1f511}".repeat(50)),
            row(&"x".repeat(255)),
        ];
        for width in [7, 20, 40, 80] {
            let text = render(["NAME", "CHANGED", "NOTE"], rows.clone(), Some(width), &[2]);
            let text = text.unwrap_or_default();
            assert!(text.lines().all(|line| line.width() <= width), "{text}");
            let is_whole = text.contains("12 d ago  note");
            assert_eq!(is_whole, width >= 40, "{text}");
        }
    }
}
