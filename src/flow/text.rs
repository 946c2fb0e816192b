//! Text of an input as it was saved, taken apart once: literals and
//! `{{references}}`. Resolving is a pure function of what the request brings.

use parlor_nodes::{Piece, RichText};
use serde_json::{Map, Value};

/// A stretch of a saved text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Segment {
    /// The author's own words.
    Literal(String),
    /// `{{...}}` with what stands between the braces.
    Reference(Reference),
}

/// What a `{{...}}` names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reference {
    /// `{{question}}`
    Question,
    /// `{{chat_history}}`
    ChatHistory,
    /// `{{file_attachment}}`
    FileAttachment,
    /// `{{$vars.name}}`
    Variable(String),
    /// `{{$flow.name}}`
    Flow(String),
    /// `{{node.data.instance}}` or `{{node.data.instance.a.b}}`
    Node {
        /// Id of the node.
        id: String,
        /// Path into its output, empty for all of it.
        path: Vec<String>,
    },
}

impl Reference {
    /// Reads what stands between the braces; `None` for anything unknown,
    /// which then stays as written.
    fn parse(inner: &str) -> Option<Self> {
        match inner {
            "question" => return Some(Self::Question),
            "chat_history" => return Some(Self::ChatHistory),
            "file_attachment" => return Some(Self::FileAttachment),
            _ => {}
        }
        if let Some(name) = inner.strip_prefix("$vars.") {
            return Some(Self::Variable(name.to_owned()));
        }
        if let Some(name) = inner.strip_prefix("$flow.") {
            return Some(Self::Flow(name.to_owned()));
        }
        let (id, rest) = inner.split_once(".data.instance")?;
        let is_id = !id.is_empty() && !id.contains(['{', '}', ' ', '"']);
        let path = match rest {
            "" => Vec::new(),
            _ => rest.strip_prefix('.')?.split('.').map(str::to_owned).collect(),
        };
        is_id.then(|| Self::Node { id: id.to_owned(), path })
    }

    /// The reference as the author wrote it.
    pub fn written(&self) -> String {
        match self {
            Self::Question => "{{question}}".into(),
            Self::ChatHistory => "{{chat_history}}".into(),
            Self::FileAttachment => "{{file_attachment}}".into(),
            Self::Variable(name) => format!("{{{{$vars.{name}}}}}"),
            Self::Flow(name) => format!("{{{{$flow.{name}}}}}"),
            Self::Node { id, path } if path.is_empty() => format!("{{{{{id}.data.instance}}}}"),
            Self::Node { id, path } => format!("{{{{{id}.data.instance.{}}}}}", path.join(".")),
        }
    }

    /// True for what only some inputs resolve (`acceptVariable`).
    fn needs_permission(&self) -> bool {
        matches!(self, Self::Question | Self::ChatHistory | Self::FileAttachment)
    }
}

/// Takes a text apart. Where variables are not accepted, `{{question}}` and
/// its like are ordinary words.
pub fn parse(text: &str, accepts_variables: bool) -> Vec<Segment> {
    let mut segments = Vec::new();
    let mut literal = String::new();
    let mut rest = text;
    while let Some(open) = rest.find("{{") {
        let after = &rest[open + 2..];
        let found = after.find("}}").and_then(|close| {
            let reference = Reference::parse(&after[..close])?;
            (accepts_variables || !reference.needs_permission()).then_some((reference, close))
        });
        if let Some((reference, close)) = found {
            literal.push_str(&rest[..open]);
            if !literal.is_empty() {
                segments.push(Segment::Literal(std::mem::take(&mut literal)));
            }
            segments.push(Segment::Reference(reference));
            rest = &after[close + 2..];
        } else {
            // One brace forward, so that `{{{name}}}` still finds its inner pair.
            literal.push_str(&rest[..=open]);
            rest = &rest[open + 1..];
        }
    }
    literal.push_str(rest);
    if !literal.is_empty() {
        segments.push(Segment::Literal(literal));
    }
    segments
}

/// The references of a text.
pub fn references(segments: &[Segment]) -> impl Iterator<Item = &Reference> {
    segments.iter().filter_map(|segment| match segment {
        Segment::Reference(reference) => Some(reference),
        Segment::Literal(_) => None,
    })
}

/// The text with its references resolved by `lookup`; what `lookup` does not
/// know stays as the author wrote it.
pub fn resolve(segments: &[Segment], lookup: &dyn Fn(&Reference) -> Option<String>) -> RichText {
    let pieces = segments.iter().map(|segment| match segment {
        Segment::Literal(text) => Piece::Source(text.clone()),
        Segment::Reference(reference) => match lookup(reference) {
            Some(value) => Piece::Data(value),
            None => Piece::Source(reference.written()),
        },
    });
    RichText { pieces: pieces.collect() }
}

/// A JSON tree whose texts hold references. Taking it apart as JSON first means
/// that a quote in a question cannot break it, with nothing to escape.
#[derive(Debug, Clone, PartialEq)]
pub enum JsonTemplate {
    /// A number, boolean or null.
    Scalar(Value),
    /// A text.
    Text(Vec<Segment>),
    /// An array.
    Array(Vec<JsonTemplate>),
    /// An object.
    Object(Vec<(String, JsonTemplate)>),
}

impl JsonTemplate {
    /// Takes a tree apart.
    pub fn parse(value: &Value, accepts_variables: bool) -> Self {
        match value {
            Value::String(text) => Self::Text(parse(text, accepts_variables)),
            Value::Array(items) => {
                Self::Array(items.iter().map(|item| Self::parse(item, accepts_variables)).collect())
            }
            Value::Object(map) => Self::Object(
                map.iter()
                    .map(|(key, value)| (key.clone(), Self::parse(value, accepts_variables)))
                    .collect(),
            ),
            scalar => Self::Scalar(scalar.clone()),
        }
    }

    /// Every text of the tree, to look for references.
    pub fn texts<'a>(&'a self, visit: &mut dyn FnMut(&'a [Segment])) {
        match self {
            Self::Scalar(_) => {}
            Self::Text(segments) => visit(segments),
            Self::Array(items) => items.iter().for_each(|item| item.texts(visit)),
            Self::Object(entries) => entries.iter().for_each(|(_, value)| value.texts(visit)),
        }
    }

    /// The tree with its references resolved.
    pub fn resolve(&self, lookup: &dyn Fn(&Reference) -> Option<String>) -> Value {
        match self {
            Self::Scalar(value) => value.clone(),
            Self::Text(segments) => Value::String(resolve(segments, lookup).plain()),
            Self::Array(items) => items.iter().map(|item| item.resolve(lookup)).collect(),
            Self::Object(entries) => {
                let entries =
                    entries.iter().map(|(key, value)| (key.clone(), value.resolve(lookup)));
                Value::Object(entries.collect::<Map<_, _>>())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn references_are_found_and_unknown_braces_stay() {
        let segments = parse("a {{question}} {{x}} {{$vars.y}} {{n_0.data.instance.k.l}}", true);
        let found: Vec<_> = references(&segments).map(Reference::written).collect();
        assert_eq!(found, ["{{question}}", "{{$vars.y}}", "{{n_0.data.instance.k.l}}"]);
        assert_eq!(references(&parse("{{question}}", false)).count(), 0);
    }

    #[test]
    fn a_value_with_quotes_and_references_arrives_unchanged() {
        let template = JsonTemplate::parse(&json!({"q": "{{question}}!"}), true);
        let value = template.resolve(&|_| Some("say \"{{question}}\"\n".into()));
        assert_eq!(value, json!({"q": "say \"{{question}}\"\n!"}));
    }

    proptest! {
        #[test]
        fn a_text_that_nothing_resolves_is_itself(text in ".{0,60}") {
            let segments = parse(&text, true);
            prop_assert_eq!(resolve(&segments, &|_| None).plain(), text);
        }
    }
}
