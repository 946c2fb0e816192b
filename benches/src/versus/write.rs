//! Where results go: JSON, a page of tables, pictures, a part of somebody's README.

use std::fs;
use std::path::Path;

use anyhow::{Context, ensure};

use super::results::Results;
use super::{markdown, plot};

/// The text between these is replaced.
const MARKS: (&str, &str) = ("<!-- versus:begin -->", "<!-- versus:end -->");

/// Reads results that were written before.
pub fn read(out: &Path) -> anyhow::Result<Results> {
    let path = out.join("results.json");
    let text = fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?;
    serde_json::from_str(&text).with_context(|| format!("{} is of another kind", path.display()))
}

/// Writes everything.
pub fn all(results: &Results, out: &Path, readme: Option<&Path>) -> anyhow::Result<()> {
    fs::create_dir_all(out).with_context(|| format!("creating {}", out.display()))?;
    let mut json = serde_json::to_string_pretty(results)?;
    json.push('\n');
    let mut files = vec![
        ("results.json", json),
        ("results.md", format!("{}\n{}", markdown::summary(results), markdown::details(results))),
    ];
    files.extend(plot::all(results));
    for (name, text) in files {
        let path = out.join(name);
        fs::write(&path, text).with_context(|| format!("writing {}", path.display()))?;
    }
    readme.map_or(Ok(()), |readme| replace_in(readme, &markdown::summary(results)))
}

fn replace_in(path: &Path, summary: &str) -> anyhow::Result<()> {
    let text = fs::read_to_string(path).with_context(|| format!("reading {}", path.display()))?;
    let replaced = between_marks(&text, summary);
    let replaced = replaced.with_context(|| format!("{} has no {MARKS:?}", path.display()))?;
    ensure!(replaced.len() < 1 << 24, "{} would grow out of bounds", path.display());
    fs::write(path, replaced).with_context(|| format!("writing {}", path.display()))
}

/// The text with what stands between the marks replaced, if it has both.
fn between_marks(text: &str, new: &str) -> Option<String> {
    let (before, rest) = text.split_once(MARKS.0)?;
    let (_, after) = rest.split_once(MARKS.1)?;
    Some(format!("{before}{}\n{}\n{}{after}", MARKS.0, new.trim_end(), MARKS.1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_stands_between_the_marks_is_replaced() {
        let text = "a\n<!-- versus:begin -->\nold\n<!-- versus:end -->\nb\n";
        let expected = "a\n<!-- versus:begin -->\nnew\n<!-- versus:end -->\nb\n";
        assert_eq!(between_marks(text, "new\n").as_deref(), Some(expected));
        assert_eq!(between_marks("a <!-- versus:begin --> b", "new"), None);
    }
}
