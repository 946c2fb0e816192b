//! JSON: one page a string, as Flowise's loader gives them. A file that holds
//! no string, or is no JSON after all, is its own text.

use serde_json::Value;

/// The strings in their order.
pub(super) fn pages(text: &str) -> Vec<String> {
    let tree = serde_json::from_str(text).unwrap_or_default();
    let found: Vec<String> =
        strings(&tree, &[], usize::MAX).into_iter().map(str::to_owned).collect();
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
/// first; all strings without a pointer. Empty ones are left out, and so are
/// those beyond `most`: pointers into each other name the same ones again.
pub fn strings<'a>(tree: &'a Value, pointers: &[Pointer], most: usize) -> Vec<&'a str> {
    let mut found = Found { texts: Vec::new(), most };
    match pointers {
        [] => found.all(tree),
        pointers => found.named(tree, pointers, false),
    }
    found.texts
}

struct Found<'a> {
    texts: Vec<&'a str>,
    most: usize,
}

impl<'a> Found<'a> {
    /// As deep as the parser lets a tree be, which is 128 levels.
    fn all(&mut self, tree: &'a Value) {
        match tree {
            _ if self.texts.len() >= self.most => {}
            Value::String(text) if !text.is_empty() => self.texts.push(text),
            Value::Array(items) => items.iter().for_each(|item| self.all(item)),
            Value::Object(map) => map.values().for_each(|value| self.all(value)),
            _ => {}
        }
    }

    /// Below a place where a pointer fitted, only further such places count.
    fn named(&mut self, tree: &'a Value, pointers: &[Pointer], is_below: bool) {
        let children: Vec<&Value> = match tree {
            Value::Array(items) => items.iter().collect(),
            Value::Object(map) => map.values().collect(),
            _ => return,
        };
        let targets: Vec<&Value> =
            pointers.iter().filter_map(|pointer| pointer.get(tree)).collect();
        targets.iter().for_each(|target| self.all(target));
        if is_below && targets.is_empty() {
            return;
        }
        let is_target = |child: &Value| targets.iter().any(|target| std::ptr::eq(*target, child));
        for child in children.into_iter().filter(|child| !is_target(child)) {
            self.named(child, pointers, is_below || !targets.is_empty());
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn no_more_strings_are_collected_than_are_wanted() {
        let tree = json!({"a": {"b": ["x", "y", "z"]}});
        let nested = ["a", "a/b", "a/b/0"].into_iter().filter_map(Pointer::parse);
        let nested: Vec<_> = nested.collect();
        for (pointers, most, n_found) in
            [(&nested[..], 100, 7), (&nested, 5, 5), (&[], 2, 2), (&[], 3, 3)]
        {
            assert_eq!(strings(&tree, pointers, most).len(), n_found, "{most}");
        }
    }
}
