//! Comma-separated values (RFC 4180): one page a row, `column: value` lines,
//! as Flowise's loader gives them.

/// The rows below the first, which names the columns.
pub(super) fn pages(text: &str) -> Vec<String> {
    let mut rows = rows(text.trim()).into_iter();
    let Some(names) = rows.next() else { return Vec::new() };
    let line = |(name, value): (&String, &String)| format!("{}: {}", name.trim(), value.trim());
    rows.map(|row| names.iter().zip(&row).map(line).collect::<Vec<_>>().join("\n")).collect()
}

fn rows(text: &str) -> Vec<Vec<String>> {
    let mut rows = Vec::new();
    let mut row = Vec::new();
    let mut value = String::new();
    let mut is_quoted = false;
    let mut chars = text.chars().peekable();
    while let Some(ch) = chars.next() {
        match ch {
            '"' if is_quoted && chars.peek() == Some(&'"') => {
                chars.next();
                value.push('"');
            }
            '"' if is_quoted => is_quoted = false,
            '"' if value.is_empty() => is_quoted = true,
            ',' if !is_quoted => row.push(std::mem::take(&mut value)),
            '\r' if !is_quoted && chars.peek() == Some(&'\n') => {}
            '\n' if !is_quoted => {
                row.push(std::mem::take(&mut value));
                rows.push(std::mem::take(&mut row));
            }
            other => value.push(other),
        }
    }
    if !value.is_empty() || !row.is_empty() {
        row.push(value);
        rows.push(row);
    }
    rows
}
