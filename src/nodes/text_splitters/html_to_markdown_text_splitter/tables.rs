//! The rows of a table, as wide as their widest cells.

use super::super::units::{is_blank, length, trim};

/// How wide a column may be filled up with spaces, and how many columns may be.
const MAX_WIDTH: usize = 1000;

/// Rows that are written one to a line, `|  a | b |`, as a table; `None` if there are none.
pub(super) fn table(content: &str, caption: Option<&str>) -> Option<String> {
    let rows: Vec<Vec<&str>> = content
        .split(['\n', '\r'])
        .map(bare)
        .filter(|row| !row.is_empty())
        .map(|row| row.split(" |").map(trim).collect())
        .collect();
    let n_columns = rows.iter().map(Vec::len).max()?;
    let mut widths = vec![0; n_columns];
    for row in &rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = length(cell.as_bytes()).max(*width);
        }
    }
    let mut result = caption.map(|caption| format!("{caption}\n")).unwrap_or_default();
    // What is too wide or too ragged is not filled up: the table would outgrow its page.
    let n_filled: usize = widths.iter().sum::<usize>().saturating_mul(rows.len());
    let is_filled = n_filled <= content.len().saturating_mul(16).max(MAX_WIDTH * MAX_WIDTH);
    for (number, row) in rows.iter().enumerate() {
        push_row(&mut result, row, if is_filled { &widths } else { &[] });
        if number == 0 {
            let rule = widths.iter().map(|&width| format!(" {} |", "-".repeat(width)));
            result.extend(["|", &rule.collect::<String>(), "\n"]);
        }
    }
    Some(result)
}

fn push_row(result: &mut String, row: &[&str], widths: &[usize]) {
    result.push_str("| ");
    for at in 0..row.len().max(widths.len()) {
        let cell = row.get(at).copied().unwrap_or_default();
        let width = widths.get(at).copied().unwrap_or_default();
        let n_spaces = width.saturating_sub(length(cell.as_bytes()));
        result.extend([if at > 0 { " " } else { "" }, cell, &" ".repeat(n_spaces), " |"]);
    }
    result.push('\n');
}

/// A row without the bars at its ends.
fn bare(line: &str) -> &str {
    let Some(body) = line.trim_end_matches(is_blank).strip_suffix('|') else { return line };
    if body.is_empty() {
        return line;
    }
    let Some(inner) = body.strip_prefix('|').filter(|inner| inner.starts_with(is_blank)) else {
        return body;
    };
    match inner.trim_start_matches(is_blank) {
        "" => " ",
        cells => cells,
    }
}
