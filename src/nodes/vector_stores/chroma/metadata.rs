//! Metadata as LangChain's Chroma store keeps it: the lines of a chunk as
//! `locFrom` and `locTo`. Chroma takes no trees; LangChain sends them and
//! fails, or loses a page's number with the rest of `loc`: here they are flat.

use serde_json::{Map, Value, json};

use crate::vector_stores::flat::flatten;

/// What is stored; `None` for nothing, since Chroma takes no empty object.
pub(super) fn stored(metadata: &Map<String, Value>) -> Option<Map<String, Value>> {
    let mut metadata = metadata.clone();
    let mut lines = Map::new();
    if let Some(Value::Object(loc)) = metadata.get_mut("loc")
        && let Some(Value::Object(places)) = loc.get_mut("lines")
    {
        for (name, key) in [("from", "locFrom"), ("to", "locTo")] {
            if let Some(place) = places.remove(name) {
                lines.insert(key.to_owned(), place);
            }
        }
    }
    let mut flat = flatten(&metadata, false);
    flat.extend(flatten(&lines, false));
    Some(flat).filter(|flat| !flat.is_empty())
}

/// What was stored.
pub(super) fn read(mut stored: Map<String, Value>) -> Map<String, Value> {
    let mut loc = Map::new();
    if stored.contains_key("locFrom") && stored.contains_key("locTo") {
        let place = |key| stored.get(key).cloned().unwrap_or_default();
        loc.insert("lines".to_owned(), json!({"from": place("locFrom"), "to": place("locTo")}));
        stored.retain(|key, _| key != "locFrom" && key != "locTo");
    }
    stored.retain(|key, value| match key.strip_prefix("loc.") {
        Some(name) if !name.contains('.') => {
            loc.insert(name.to_owned(), value.take());
            false
        }
        _ => true,
    });
    if !loc.is_empty() {
        stored.insert("loc".to_owned(), Value::Object(loc));
    }
    stored
}
