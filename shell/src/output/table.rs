//! Tables: columns without borders, as wide as the terminal at most.

use unicode_width::{UnicodeWidthChar as _, UnicodeWidthStr as _};

use crate::output::printable;

/// Columns between two cells.
const GAP: usize = 2;
/// What is cut off is replaced by this.
const CUT: char = '…';
/// No column that gives way gets narrower than this, in columns of the terminal.
const NARROWEST: usize = 8;

/// A table; `None` where there are no rows. With a `width`, the last `elastic` columns give way, the widest first; the
/// others are never cut off.
pub fn render<const N: usize>(
    header: [&str; N],
    rows: Vec<[String; N]>,
    width: Option<usize>,
    elastic: usize,
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
        shrink(&mut widths, N.saturating_sub(elastic), width);
    }
    let lines = lines.iter().map(|line| one(line, &widths));
    Some(lines.collect::<Vec<_>>().join("\n"))
}

/// Takes from the widest of the columns from `first` on, until everything fits or nothing is left to take.
fn shrink(widths: &mut [usize], first: usize, available: usize) {
    let gaps = GAP * widths.len().saturating_sub(1);
    let mut missing = (widths.iter().sum::<usize>() + gaps).saturating_sub(available);
    while missing > 0 {
        let columns = widths.iter_mut().skip(first);
        let Some(widest) = columns
            .filter(|width| **width > NARROWEST)
            .max_by_key(|width| **width)
        else {
            return;
        };
        *widest -= 1;
        missing -= 1;
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

/// At most so many columns of a text; where something is cut off, it ends with an ellipsis.
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
        render(["NAME", "N", "NOTE"], rows, width, 1).unwrap_or_default()
    }

    #[test]
    fn nothing_is_cut_where_nobody_says_how_wide() {
        let expected = "NAME       N  NOTE\n\
                        a          1  漢字漢字漢字漢字漢字\n\
                        long/name  1  a note that says a lot";
        assert_eq!(table(None), expected);
        assert_eq!(table(Some(36)), expected);
    }

    #[test]
    fn notes_give_way_and_names_do_not() {
        for width in 22..36 {
            let text = table(Some(width));
            assert!(text.lines().all(|line| line.width() <= width), "{text}");
            assert!(text.contains("long/name  1  a note"), "{text}");
            assert!(text.contains('…'), "{text}");
        }
        assert!(table(Some(3)).contains("long/name"));
    }
}
