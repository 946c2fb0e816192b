//! Prompt templates: LangChain's f-strings with Flowise's mercy for JSON.
//!
//! `{name}` is a variable; `{{` and `}}` are braces; a group that holds a
//! colon, a quote or a line break is text (so JSON examples in prompts
//! survive); `\{` and `\}` are braces. Only the author's pieces of a text are
//! read this way: data that was put in is copied.

use crate::rich_text::{Piece, RichText};

/// A parsed template.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Template {
    parts: Vec<Part>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Text(String),
    Variable(String),
}

impl Template {
    /// Parses a text; every text is a template.
    pub fn parse(text: &RichText) -> Self {
        let mut parts = Parts::default();
        for piece in &text.pieces {
            match piece {
                Piece::Data(data) => parts.text.push_str(data),
                Piece::Source(source) => parse_source(source, &mut parts),
            }
        }
        Self { parts: parts.finish() }
    }

    /// The names of the variables in order, each once.
    pub fn variables(&self) -> Vec<&str> {
        let mut names = Vec::new();
        for part in &self.parts {
            if let Part::Variable(name) = part
                && !names.contains(&name.as_str())
            {
                names.push(name.as_str());
            }
        }
        names
    }

    /// The text with every variable replaced. A value may be borrowed, so that
    /// a long question or context is copied only once.
    ///
    /// # Errors
    /// The name of the first variable that has no value.
    pub fn format<S: AsRef<str>>(
        &self,
        value: impl Fn(&str) -> Option<S>,
    ) -> Result<String, String> {
        let mut out = String::new();
        for part in &self.parts {
            match part {
                Part::Text(text) => out.push_str(text),
                Part::Variable(name) => {
                    out.push_str(value(name).ok_or_else(|| name.clone())?.as_ref());
                }
            }
        }
        Ok(out)
    }

    /// This template, a separator and another, as one.
    #[must_use]
    pub fn join(mut self, text: &str, other: Self) -> Self {
        self.parts.push(Part::Text(text.to_owned()));
        self.parts.extend(other.parts);
        self
    }
}

#[derive(Default)]
struct Parts {
    done: Vec<Part>,
    text: String,
}

impl Parts {
    fn variable(&mut self, name: &str) {
        if !self.text.is_empty() {
            self.done.push(Part::Text(std::mem::take(&mut self.text)));
        }
        self.done.push(Part::Variable(name.to_owned()));
    }

    fn finish(mut self) -> Vec<Part> {
        if !self.text.is_empty() {
            self.done.push(Part::Text(self.text));
        }
        self.done
    }
}

fn parse_source(source: &str, parts: &mut Parts) {
    let mut rest = source;
    while let Some(at) = rest.find(['{', '}', '\\']) {
        parts.text.push_str(&rest[..at]);
        rest = &rest[at..];
        rest = if let Some(after) = rest.strip_prefix("{{").or_else(|| rest.strip_prefix("\\{")) {
            parts.text.push('{');
            after
        } else if let Some(after) = rest.strip_prefix("}}").or_else(|| rest.strip_prefix("\\}")) {
            parts.text.push('}');
            after
        } else if let Some((name, after)) = variable(rest) {
            parts.variable(name);
            after
        } else if let Some(end) = literal_group(rest) {
            parts.text.push_str(&rest[..end]);
            &rest[end..]
        } else {
            // A brace or backslash that opens nothing is itself.
            parts.text.push_str(&rest[..1]);
            &rest[1..]
        };
    }
    parts.text.push_str(rest);
}

/// `{name}` at the start of `text`: the name, and what follows the group.
fn variable(text: &str) -> Option<(&str, &str)> {
    let inner = text.strip_prefix('{')?;
    let end = inner.find(['{', '}'])?;
    let name = inner[..end].trim();
    let is_name = inner[end..].starts_with('}')
        && !name.is_empty()
        && !name.contains([':', '"', '\'', '\n', ';']);
    is_name.then(|| (name, &inner[end + 1..]))
}

/// A whole `{...}` without braces inside that is no variable, such as
/// `{"a": 1}`: the byte after it.
fn literal_group(text: &str) -> Option<usize> {
    let inner = text.strip_prefix('{')?;
    let end = inner.find(['{', '}'])?;
    inner[end..].starts_with('}').then_some(end + 2)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn format(template: &str, values: &[(&str, &str)]) -> Result<String, String> {
        Template::parse(&RichText::source(template)).format(|name| {
            values.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned())
        })
    }

    #[test]
    fn variables_are_replaced_and_escapes_become_braces() {
        let cases = [
            ("Hello {name}!", "Hello Ann!"),
            ("{{name}} is {name}", "{name} is Ann"),
            (r"\{name\} is {name}", "{name} is Ann"),
            (r#"{"key": "{name}"}"#, r#"{"key": "Ann"}"#),
            (r#"{ "a": 1 } {name}"#, r#"{ "a": 1 } Ann"#),
            (r#"{{"a": {{"b": "{name}"}}}}"#, r#"{"a": {"b": "Ann"}}"#),
            ("an {unclosed", "an {unclosed"),
            ("{} and }", "{} and }"),
            (r"line\nbreak {name}", r"line\nbreak Ann"),
        ];
        for (template, expected) in cases {
            assert_eq!(format(template, &[("name", "Ann")]).as_deref(), Ok(expected), "{template}");
        }
    }

    #[test]
    fn a_missing_value_is_named() {
        assert_eq!(format("{a} {b}", &[("a", "1")]), Err("b".to_owned()));
    }

    #[test]
    fn data_is_never_read_as_a_template() {
        let text = RichText {
            pieces: vec![
                Piece::Source("You are {role}. ".into()),
                Piece::Data("{role} {{x}} \\{".into()),
            ],
        };
        let template = Template::parse(&text);
        assert_eq!(template.variables(), ["role"]);
        assert_eq!(
            template.format(|_| Some("{evil}")).unwrap(),
            "You are {evil}. {role} {{x}} \\{"
        );
    }

    proptest! {
        #[test]
        fn any_text_parses_and_formats(source in ".{0,80}") {
            let template = Template::parse(&RichText::source(source));
            prop_assert!(template.format(|_| Some(String::new())).is_ok());
        }

        #[test]
        fn text_without_braces_or_backslashes_is_itself(source in "[^{}\\\\]{0,80}") {
            prop_assert_eq!(format(&source, &[]), Ok(source));
        }
    }
}
