//! Tables.

use comfy_table::{ContentArrangement, Table, presets};

use crate::output::printable;

/// A table without borders; `None` where there are no rows.
pub fn render<const N: usize>(header: [&str; N], rows: Vec<[String; N]>) -> Option<String> {
    if rows.is_empty() {
        return None;
    }
    let mut table = Table::new();
    table
        .load_style(presets::NOTHING)
        .set_content_arrangement(ContentArrangement::Disabled)
        .set_header(header);
    for row in rows {
        table.add_row(row.map(|cell| printable(&cell).replace(['\n', '\t'], " ")));
    }
    let lines: Vec<String> = table
        .lines()
        .map(|line| {
            line.trim_end()
                .strip_prefix(' ')
                .unwrap_or_default()
                .to_owned()
        })
        .collect();
    Some(lines.join("\n"))
}
