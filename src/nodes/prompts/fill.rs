//! Either kind of prompt, and how values get into it.

use std::borrow::Cow;
use std::sync::Arc;

use serde_json::{Map, Value};

use super::{ChatPrompt, TextPrompt};
use crate::error::NodeError;
use crate::inputs::Inputs;
use crate::instance::Instance;
use crate::model::{ModelMessage, Speaker};
use crate::template::Template;

/// A prompt as a chain takes it: a text is one message of the person.
#[derive(Debug, Clone, PartialEq)]
pub enum AnyPrompt {
    /// One text.
    Text(Arc<TextPrompt>),
    /// Messages.
    Chat(Arc<ChatPrompt>),
}

impl AnyPrompt {
    /// The prompt connected to an input.
    ///
    /// # Errors
    /// [`NodeError::BadInput`] when none is connected, or something else.
    pub fn connected(inputs: &Inputs, name: &str) -> Result<Self, NodeError> {
        match inputs.node(name) {
            Some(Instance::Prompt(prompt)) => Ok(Self::Text(prompt.clone())),
            Some(Instance::ChatPrompt(prompt)) => Ok(Self::Chat(prompt.clone())),
            other => Err(inputs.wrong_node(name, "a prompt template", other)),
        }
    }

    /// `promptValues`.
    pub fn values(&self) -> &Map<String, Value> {
        match self {
            Self::Text(prompt) => &prompt.values,
            Self::Chat(prompt) => &prompt.values,
        }
    }

    /// The variables that `promptValues` leaves open, in order, each once. An
    /// empty value leaves its variable open: the palette writes `"text": ""`
    /// for what the question shall fill.
    pub fn open_variables(&self) -> Vec<&str> {
        let mut open = Vec::new();
        for name in self.templates().flat_map(|(_, template)| template.variables()) {
            let filled = self.values().get(name).and_then(value_text);
            if filled.is_none_or(|text| text.is_empty()) && !open.contains(&name) {
                open.push(name);
            }
        }
        open
    }

    /// The messages with every variable replaced.
    ///
    /// # Errors
    /// The name of the first variable that has no value.
    pub fn messages<'v>(
        &self,
        value: impl Fn(&str) -> Option<Cow<'v, str>>,
    ) -> Result<Vec<ModelMessage>, String> {
        self.templates()
            .map(|(speaker, template)| {
                Ok(ModelMessage::text(speaker, template.format(|name| value(name))?))
            })
            .collect()
    }

    fn templates(&self) -> impl Iterator<Item = (Speaker, &Template)> {
        let (text, chat) = match self {
            Self::Text(prompt) => (Some((Speaker::User, &prompt.template)), &[][..]),
            Self::Chat(prompt) => (None, prompt.messages.as_slice()),
        };
        text.into_iter().chain(chat.iter().map(|(speaker, template)| (*speaker, template)))
    }
}

/// A prompt value as text: words as they are, anything else as its JSON;
/// `None` for `null`.
pub fn value_text(value: &Value) -> Option<Cow<'_, str>> {
    match value {
        Value::Null => None,
        Value::String(text) => Some(Cow::Borrowed(text)),
        other => Some(Cow::Owned(other.to_string())),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::rich_text::RichText;
    use crate::test_support::{system, user};

    fn template(text: &str) -> Template {
        Template::parse(&RichText::source(text))
    }

    #[test]
    fn a_value_is_open_when_it_is_missing_null_or_empty() {
        let cases = [
            (json!({}), vec!["a", "b"]),
            (json!({"a": "", "b": null}), vec!["a", "b"]),
            (json!({"a": "x"}), vec!["b"]),
            (json!({"a": 0, "b": false}), vec![]),
        ];
        for (values, expected) in cases {
            let Value::Object(values) = values else { panic!("an object") };
            let prompt = TextPrompt { template: template("{a} {b} {a}"), values };

            let prompt = AnyPrompt::Text(Arc::new(prompt));

            assert_eq!(prompt.open_variables(), expected);
        }
    }

    #[test]
    fn numbers_and_trees_are_inserted_as_json_and_texts_raw() {
        let cases = [
            (json!("say \"hi\" {x}"), Some("say \"hi\" {x}")),
            (json!(7), Some("7")),
            (json!({"a": [1]}), Some("{\"a\":[1]}")),
            (json!(null), None),
        ];
        for (value, expected) in cases {
            assert_eq!(value_text(&value).as_deref(), expected);
        }
    }

    #[test]
    fn messages_keep_their_speakers() {
        let messages = vec![
            (Speaker::System, template("Translate to {language}.")),
            (Speaker::User, template("{text}")),
        ];
        let prompt = AnyPrompt::Chat(Arc::new(ChatPrompt { messages, values: Map::new() }));

        let filled = prompt.messages(|name| match name {
            "language" => Some("French".into()),
            _ => Some("I {love} it".into()),
        });

        assert_eq!(filled.unwrap(), [system("Translate to French."), user("I {love} it")]);
        assert_eq!(prompt.messages(|_| None), Err("language".to_owned()));
    }
}
