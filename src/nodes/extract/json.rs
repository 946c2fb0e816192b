//! JSON: one page a string, as Flowise's loader gives them. A file that holds
//! no string, or is no JSON after all, is its own text.

use serde_json::Value;

/// The strings in their order.
pub(super) fn pages(text: &str) -> Vec<String> {
    let tree = serde_json::from_str(text).unwrap_or_default();
    let found: Vec<String> = strings(&tree, &[]).into_iter().map(str::to_owned).collect();
    if found.is_empty() { vec![text.to_owned()] } else { found }
}

/// A place in a tree: `/key/0` (RFC 6901), the first slash left out or not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pointer(String);

impl Pointer {
    /// `None` for a text that points nowhere.
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        let path = text.strip_prefix('/').unwrap_or(text);
        (!path.is_empty()).then(|| Self(format!("/{path}")))
    }

    /// What it points to.
    pub fn get<'a>(&self, tree: &'a Value) -> Option<&'a Value> {
        tree.pointer(&self.0)
    }
}

/// The strings below what the pointers name, at whichever depth they fit
/// first; all strings without a pointer. Empty ones are left out.
pub fn strings<'a>(tree: &'a Value, pointers: &[Pointer]) -> Vec<&'a str> {
    let mut found = Vec::new();
    match pointers {
        [] => all(tree, &mut found),
        pointers => named(tree, pointers, false, &mut found),
    }
    found
}

/// As deep as the parser lets a tree be, which is 128 levels.
fn all<'a>(tree: &'a Value, found: &mut Vec<&'a str>) {
    match tree {
        Value::String(text) if !text.is_empty() => found.push(text),
        Value::Array(items) => items.iter().for_each(|item| all(item, found)),
        Value::Object(map) => map.values().for_each(|value| all(value, found)),
        _ => {}
    }
}

/// Below a place where a pointer fitted, only further such places count.
fn named<'a>(tree: &'a Value, pointers: &[Pointer], is_below: bool, found: &mut Vec<&'a str>) {
    let children: Vec<&Value> = match tree {
        Value::Array(items) => items.iter().collect(),
        Value::Object(map) => map.values().collect(),
        _ => return,
    };
    let targets: Vec<&Value> = pointers.iter().filter_map(|pointer| pointer.get(tree)).collect();
    targets.iter().for_each(|target| all(target, found));
    if is_below && targets.is_empty() {
        return;
    }
    let is_target = |child: &Value| targets.iter().any(|target| std::ptr::eq(*target, child));
    for child in children.into_iter().filter(|child| !is_target(child)) {
        named(child, pointers, is_below || !targets.is_empty(), found);
    }
}
