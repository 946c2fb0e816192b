//! Reads a stream of events, received or recorded, as strictly as the bytes
//! of Flowise 2.2.8 allow.

use serde_json::Value;

/// One event of a stream.
#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    /// `start`, `token`, ...
    pub name: String,
    /// What it brings.
    pub data: Value,
}

/// Names that Flowise 2.2.8 writes after `message` without its colon.
const BARE: [&str; 3] = ["end", "error", "abort"];

/// The events of a whole stream.
///
/// # Errors
/// A sentence that says which block is no event of Flowise's grammar.
pub fn parse(text: &str) -> Result<Vec<Event>, String> {
    if !text.is_empty() && !text.ends_with("\n\n") {
        let tail: String = text.chars().rev().take(60).collect();
        return Err(format!(
            "the last event is cut off: ...{}",
            tail.chars().rev().collect::<String>()
        ));
    }
    // Lines that begin with a colon are comments: heartbeats of later versions.
    let blocks = text.split("\n\n").filter(|block| !block.is_empty() && !block.starts_with(':'));
    blocks.map(parse_event).collect()
}

fn parse_event(block: &str) -> Result<Event, String> {
    let (first, second) = block.split_once('\n').ok_or(format!("one line only: {block:?}"))?;
    let json = second.strip_prefix("data:").ok_or(format!("no data line: {block:?}"))?;
    let value: Value = serde_json::from_str(json).map_err(|error| format!("{error}: {block:?}"))?;
    let keys: Vec<_> = value.as_object().into_iter().flat_map(|map| map.keys()).collect();
    if keys != ["event", "data"] {
        return Err(format!("keys {keys:?} instead of event and data: {block:?}"));
    }
    let name = value["event"].as_str().ok_or(format!("no name: {block:?}"))?.to_owned();
    let expected = if BARE.contains(&name.as_str()) { "message" } else { "message:" };
    if first != expected {
        return Err(format!("{first:?} stands before {name}, not {expected:?}"));
    }
    Ok(Event { name, data: value["data"].clone() })
}

/// The names of events, one for each run of tokens.
pub fn outline(events: &[Event]) -> Vec<&str> {
    let mut names: Vec<_> = events.iter().map(|event| event.name.as_str()).collect();
    names.dedup_by(|next, last| next == last && *next == "token");
    names
}

/// The answer that a client puts together from the tokens.
pub fn text(events: &[Event]) -> String {
    events.iter().filter(|event| event.name == "token").filter_map(|e| e.data.as_str()).collect()
}

/// The data of the only event of this name.
pub fn only<'e>(events: &'e [Event], name: &str) -> &'e Value {
    let found: Vec<_> = events.iter().filter(|event| event.name == name).collect();
    assert_eq!(found.len(), 1, "one {name} is expected in {events:?}");
    &found[0].data
}
