//! JSON: one page a string, as Flowise's loader gives them. A file that holds
//! no string, or is no JSON after all, is its own text.

use serde_json::Value;

/// The strings in their order.
pub(super) fn pages(text: &str) -> Vec<String> {
    let mut strings = Vec::new();
    if let Ok(tree) = serde_json::from_str(text) {
        collect(tree, &mut strings);
    }
    if strings.is_empty() { vec![text.to_owned()] } else { strings }
}

/// As deep as the parser lets a tree be, which is 128 levels.
fn collect(tree: Value, strings: &mut Vec<String>) {
    match tree {
        Value::String(text) if !text.is_empty() => strings.push(text),
        Value::Array(items) => items.into_iter().for_each(|item| collect(item, strings)),
        Value::Object(map) => map.into_iter().for_each(|(_, value)| collect(value, strings)),
        _ => {}
    }
}
