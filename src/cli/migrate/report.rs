//! What came, what did not and why: one line for each kind, as a table of at
//! most 80 columns or as JSON.

use serde::Serialize;

const WIDTH: usize = 80;

/// Different reasons that are told apart for one kind.
const MAX_REASONS: usize = 20;

/// The whole account.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Report {
    /// Whether nothing was changed.
    pub dry_run: bool,
    /// In the order in which they were moved.
    pub kinds: Vec<Kind>,
    /// What the operator should know or do.
    pub notes: Vec<String>,
    /// Whether somebody wrote to the database while it was read.
    pub changed_meanwhile: bool,
}

/// One kind of rows.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Kind {
    /// `chatflows`, `credentials`, ...
    pub kind: &'static str,
    /// Rows over there.
    pub found: u64,
    /// Rows that came, or would come.
    pub taken: u64,
    /// Rows that were here already.
    pub existing: u64,
    /// Rows that did not come.
    pub not_taken: Vec<NotTaken>,
    /// Whether rows of this kind have a place here at all.
    #[serde(skip)]
    pub has_place: bool,
}

/// Rows that did not come, for one reason.
#[derive(Debug, Serialize)]
pub(super) struct NotTaken {
    /// How many.
    pub rows: u64,
    /// Why, and what to do.
    pub reason: String,
}

impl Kind {
    pub fn new(kind: &'static str, found: u64) -> Self {
        let not_taken = Vec::new();
        Self { kind, found, taken: 0, existing: 0, not_taken, has_place: true }
    }

    /// Rows that there is no place for, all of them.
    pub fn without_place(kind: &'static str, found: u64, reason: &str) -> Self {
        let mut own = Self { has_place: false, ..Self::new(kind, found) };
        if found > 0 {
            own.leave(found, reason);
        }
        own
    }

    /// Counts rows that did not come.
    pub fn leave(&mut self, rows: u64, reason: impl Into<String>) {
        let mut reason = reason.into();
        let is_known = self.not_taken.iter().any(|known| known.reason == reason);
        if !is_known && self.not_taken.len() >= MAX_REASONS {
            reason = "for other reasons of this sort".to_owned();
        }
        match self.not_taken.iter_mut().find(|known| known.reason == reason) {
            Some(known) => known.rows += rows,
            None => self.not_taken.push(NotTaken { rows, reason }),
        }
    }

    fn n_not_taken(&self) -> u64 {
        self.not_taken.iter().map(|left| left.rows).sum()
    }
}

impl Report {
    /// Whether everything came that has a place here.
    pub fn is_complete(&self) -> bool {
        let mut kinds = self.kinds.iter().filter(|kind| kind.has_place);
        !self.changed_meanwhile && kinds.all(|kind| kind.not_taken.is_empty())
    }

    /// The table.
    pub fn table(&self) -> String {
        let taken = if self.dry_run { "would come" } else { "taken" };
        let head = ["kind", "found", taken, "existing", "not taken"];
        let mut lines = vec![row(head[0], [head[1], head[2], head[3], head[4]])];
        for kind in &self.kinds {
            let numbers = [kind.found, kind.taken, kind.existing, kind.n_not_taken()];
            let numbers = numbers.map(|number| number.to_string());
            lines.push(row(kind.kind, numbers.each_ref().map(String::as_str)));
        }
        let left = self.kinds.iter().flat_map(|kind| {
            let line = |left: &NotTaken| format!("{} {}: {}", left.rows, kind.kind, left.reason);
            kind.not_taken.iter().map(line).collect::<Vec<_>>()
        });
        lines.extend(section("Not taken", &left.collect::<Vec<_>>()));
        lines.extend(section("Please note", &self.notes));
        lines.join("\n")
    }
}

fn row(name: &str, numbers: [&str; 4]) -> String {
    let [found, taken, existing, left] = numbers;
    format!("{name:<20}{found:>12}{taken:>14}{existing:>14}{left:>14}")
}

fn section(title: &str, entries: &[String]) -> Vec<String> {
    if entries.is_empty() {
        return Vec::new();
    }
    let mut lines = vec![String::new(), format!("{title}:")];
    lines.extend(entries.iter().flat_map(|entry| wrap(entry)));
    lines
}

/// Breaks a text between words, and inside one that is longer than a line.
fn wrap(text: &str) -> Vec<String> {
    let mut lines = vec![String::from("  -")];
    let mut width = 3;
    for word in text.split_whitespace() {
        let mut rest: Vec<char> = word.chars().collect();
        while !rest.is_empty() {
            if width + 1 + rest.len().min(WIDTH - 4) > WIDTH {
                lines.push(String::from("   "));
                width = 3;
            }
            let piece: String = rest.drain(..rest.len().min(WIDTH - 4)).collect();
            width += 1 + piece.chars().count();
            if let Some(line) = lines.last_mut() {
                line.push(' ');
                line.push_str(&piece);
            }
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_never_exceeds_80_columns_and_names_every_reason_once() {
        let mut flows = Kind::new("chatflows", 3);
        flows.taken = 1;
        flows.leave(1, "it cannot be read");
        flows.leave(1, "it cannot be read");
        let why = "a word that is very long: ".to_owned() + &"x".repeat(200);
        let tools = Kind::without_place("document stores", 12_345_678, &why);
        let notes = vec!["a note of many words ".repeat(20)];
        let report =
            Report { dry_run: true, kinds: vec![flows, tools], notes, ..Report::default() };
        let table = report.table();
        for line in table.lines() {
            assert!(line.chars().count() <= WIDTH, "{line}");
        }
        assert_eq!(table.matches("it cannot be read").count(), 1);
        assert!(table.contains("2 chatflows: it cannot be read"), "{table}");
        assert_eq!(table.matches('x').count(), 200 + "existing".matches('x').count());
        assert!(!report.is_complete());
    }

    #[test]
    fn reasons_without_end_do_not_make_a_report_without_end() {
        let mut messages = Kind::new("messages", 1000);
        (0..1000).for_each(|n| messages.leave(1, format!("reason {n}")));
        assert_eq!(messages.not_taken.len(), MAX_REASONS + 1);
        assert_eq!(messages.n_not_taken(), 1000);
    }

    #[test]
    fn what_has_no_place_here_is_no_failure() {
        let tools = Kind::without_place("tools", 2, "there are none here");
        let report = Report { kinds: vec![tools, Kind::new("leads", 0)], ..Report::default() };
        assert!(report.is_complete());
    }
}
