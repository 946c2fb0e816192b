//! Texts as Markdown writes them: escaped, between marks, quoted, as list items.

use super::super::units::{is_blank, trim};

/// Deeper lists are not indented further: each level indents the lines of all
/// levels within it once more.
const MAX_INDENT: usize = 16;

/// Whether there is nothing to see.
pub(super) fn is_empty(text: &str) -> bool {
    text.chars().all(is_blank)
}

/// Runs of blanks as one space each, the outer ones only where they are no line breaks.
pub(super) fn collapsed(text: &str) -> String {
    let inner = trim(text);
    let start = inner.as_ptr() as usize - text.as_ptr() as usize;
    let (before, after) = (&text[..start], &text[start + inner.len()..]);
    let is_space = |c: Option<char>| c.is_some_and(|c| c != '\n' && c != '\r');
    let mut result = String::with_capacity(inner.len() + 2);
    result.push_str(if is_space(before.chars().next_back()) { " " } else { "" });
    let mut was_blank = false;
    for character in inner.chars() {
        if !is_blank(character) {
            result.push(character);
        } else if !was_blank {
            result.push(' ');
        }
        was_blank = is_blank(character);
    }
    result.push_str(if is_space(after.chars().next()) { " " } else { "" });
    result
}

/// A text whose characters mean only themselves.
pub(super) fn escaped(text: &str) -> String {
    let mut result = String::with_capacity(text.len() + 8);
    for character in text.chars() {
        if matches!(character, '\\' | '`' | '*' | '_' | '~' | '[' | ']') {
            result.push('\\');
        }
        result.push(character);
    }
    let lines = result.split_inclusive(['\n', '\r']);
    lines.map(|line| without_doctype(&numbers_escaped(&start_escaped(line)))).collect()
}

/// A line that does not begin with the mark of a list, a heading, a quote or a rule.
fn start_escaped(line: &str) -> String {
    let text = line.trim_start_matches(is_blank);
    let hashes = text.bytes().take_while(|&byte| byte == b'#').count();
    let spaced = |at: usize| text[at..].starts_with(is_blank);
    let is_mark = text.starts_with(['=', '>', '-'])
        || (text.starts_with('+') && spaced(1))
        || ((1..=6).contains(&hashes) && spaced(hashes));
    let backslash = if is_mark { "\\" } else { "" };
    format!("{}{backslash}{text}", &line[..line.len() - text.len()])
}

/// Numbers before a full stop and a blank would begin a list: `1\. `.
fn numbers_escaped(line: &str) -> String {
    let mut result = String::with_capacity(line.len() + 4);
    let mut before = ' ';
    let mut rest = line.chars();
    while let Some(character) = rest.next() {
        if character == '.' && before.is_ascii_digit() && rest.as_str().starts_with(is_blank) {
            result.push('\\');
        }
        result.push(character);
        before = character;
    }
    result
}

fn without_doctype(line: &str) -> String {
    const DOCTYPE: &str = "<!DOCTYPE";
    let begins = line.get(..DOCTYPE.len()).is_some_and(|part| part.eq_ignore_ascii_case(DOCTYPE));
    match line.rfind('>') {
        Some(end) if begins => line[end + 1..].to_owned(),
        _ => line.to_owned(),
    }
}

/// Each line between marks, its outer blanks outside of them. Marks that are in
/// there already go.
pub(super) fn surrounded(content: &str, mark: &str) -> String {
    let bare = without_marks(content, mark);
    let mut result = String::with_capacity(bare.len() + 8);
    for line in bare.split_inclusive(['\n', '\r']) {
        let text = line.trim_end_matches(['\n', '\r']);
        let inner = trim(text);
        if inner.is_empty() {
            result.push_str(line);
            continue;
        }
        let start = inner.as_ptr() as usize - text.as_ptr() as usize;
        result.extend(text[..start].chars().next_back());
        result.extend([mark, inner, mark]);
        result.extend(text[start + inner.len()..].chars().next());
        result.push_str(&line[text.len()..]);
    }
    result
}

/// Without the marks that stand after a character other than a backslash.
fn without_marks(content: &str, mark: &str) -> String {
    let mut result = String::with_capacity(content.len());
    let mut rest = content.chars();
    while let Some(character) = rest.next() {
        result.push(character);
        if character != '\\'
            && let Some(after) = rest.as_str().strip_prefix(mark)
        {
            rest = after.chars();
        }
    }
    result
}

/// Code between as many backticks as it needs.
pub(super) fn code(content: &str) -> String {
    let longest = content.split(|c| c != '`').map(str::len).max().unwrap_or_default();
    let padding = if longest > 0 { " " } else { "" };
    let ticks = "`".repeat(longest + 1);
    format!("{ticks}{padding}{content}{padding}{ticks}")
}

/// Each line after a `>`.
pub(super) fn quoted(content: &str) -> String {
    let mut result = String::with_capacity(content.len() * 2);
    let content = content.trim_matches('\n');
    for line in content.split('\n') {
        let text = line.trim_start_matches('>');
        let marks = &line[..line.len() - text.len()];
        let space = text.chars().next().filter(|&c| is_blank(c) && c != '\r');
        let text = &text[space.map_or(0, char::len_utf8)..];
        result.extend([">", marks, " ", text, "\n"]);
    }
    result.truncate(result.len() - 1);
    result
}

/// The lines of a list item below each other, indented as its list is.
pub(super) fn item(content: &str, level: usize) -> String {
    let indent = "   ".repeat(level.min(MAX_INDENT));
    let mut result = String::with_capacity(content.len() + 8);
    for line in trim(content).split('\n').map(|line| line.strip_suffix('\r').unwrap_or(line)) {
        if line.is_empty() {
            continue;
        }
        if !result.is_empty() {
            result.extend(["\n", &indent]);
        }
        let text = line.trim_end_matches(is_blank);
        result.push_str(if text.is_empty() { line } else { text });
        result.push_str("  ");
    }
    result.truncate(result.len().saturating_sub(2));
    result
}

/// Line breaks as spaces.
pub(super) fn on_one_line(content: &str) -> String {
    let mut result = String::with_capacity(content.len());
    for (number, line) in content.split('\n').enumerate() {
        if number > 0 && !line.is_empty() {
            result.push(' ');
        }
        result.push_str(line.strip_suffix('\r').unwrap_or(line));
    }
    if content.ends_with('\n') {
        result.push(' ');
    }
    result
}

/// At most three line breaks in a row, and none at the ends.
pub(super) fn with_few_breaks(text: &str) -> String {
    let mut result = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('\n') {
        let before = rest[..at].strip_suffix('\r').unwrap_or(&rest[..at]);
        let blanks = &rest[before.len()..];
        let blanks = &blanks[..blanks.len() - blanks.trim_start_matches(is_blank).len()];
        rest = &rest[before.len() + blanks.len()..];
        let third_last = blanks.rmatch_indices('\n').nth(2);
        let is_long = blanks.matches('\n').count() > 3;
        let kept = third_last.filter(|_| is_long).map_or(blanks, |(at, _)| &blanks[at..]);
        result.extend([before, kept]);
    }
    result.push_str(rest);
    result.trim_matches('\n').to_owned()
}
