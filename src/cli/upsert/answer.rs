//! The answers to the parts of an upsert, added up and told.
#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "the command line speaks to its person; --json keeps standard output for the answer"
)]

use serde_json::{Map, Value, json};

/// A part that failed.
pub(super) struct Failed {
    /// Which one, from 1 on.
    pub(super) part: usize,
    /// How many there are.
    pub(super) n_parts: usize,
    /// Why.
    pub(super) error: anyhow::Error,
}

/// Adds an answer to those before it: numbers are summed, lists go on.
pub(super) fn add(total: &mut Map<String, Value>, next: Map<String, Value>) {
    for (name, value) in next {
        match (total.get_mut(&name), value) {
            (Some(Value::Array(items)), Value::Array(more)) => items.extend(more),
            (Some(sum @ Value::Number(_)), Value::Number(more)) => {
                let more = more.as_u64().unwrap_or(0);
                *sum = json!(sum.as_u64().unwrap_or(0) + more);
            }
            (_, value) => {
                total.insert(name, value);
            }
        }
    }
}

/// Tells what was done, and what was not.
pub(super) fn print(mut answer: Map<String, Value>, failed: Option<Failed>, as_json: bool) {
    if !as_json {
        tell(&answer);
        if let Some(Failed { part, n_parts, error }) = failed {
            eprintln!("part {part} of {n_parts} failed, and none after it was sent: {error:#}");
        }
        return;
    }
    if let Some(Failed { part, n_parts, error }) = failed {
        let error = json!({"part": part, "parts": n_parts, "message": format!("{error:#}")});
        answer.insert("error".to_owned(), error);
    }
    println!("{:#}", Value::Object(answer));
}

fn tell(answer: &Map<String, Value>) {
    let counts = [
        ("numAdded", "added"),
        ("numUpdated", "updated"),
        ("numSkipped", "unchanged"),
        ("numDeleted", "deleted"),
    ];
    let told = counts.iter().filter_map(|(name, word)| {
        let count = answer.get(*name)?.as_u64()?;
        Some(format!("{count} chunks {word}"))
    });
    let told: Vec<String> = told.collect();
    println!("{}", if told.is_empty() { "Nothing was done".to_owned() } else { told.join(", ") });
    for failure in answer.get("failures").and_then(Value::as_array).into_iter().flatten() {
        let text = |name: &str| failure[name].as_str().unwrap_or_default();
        eprintln!("{} {}", text("name"), text("problem"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_added_up() {
        let mut total = Map::new();
        for n in 1..=2 {
            let answer = json!({"numAdded": n, "addedDocs": [n], "failures": [{"name": n}]});
            add(&mut total, answer.as_object().unwrap().clone());
        }
        let expected =
            json!({"numAdded": 3, "addedDocs": [1, 2], "failures": [{"name": 1}, {"name": 2}]});
        assert_eq!(Value::Object(total), expected);
    }
}
