//! Reads `{"action": ..., "action_input": ...}` out of a model's words:
//! fenced or bare, with talk before and after, with line breaks in its texts.

use serde_json::Value;

/// Places where an object may begin that are tried.
const MAX_TRIES: usize = 16;

/// What the model wants.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Blob {
    /// To answer the person.
    Answer(String),
    /// To use a tool.
    Call {
        /// Its name.
        tool: String,
        /// Its input, a text or a tree.
        input: Value,
    },
}

/// The first object with an action; `None` when there is none.
pub(super) fn read(text: &str) -> Option<Blob> {
    let places = text.match_indices('{').take(MAX_TRIES);
    places.filter_map(|(at, _)| object(&text[at..])).find_map(blob)
}

fn object(text: &str) -> Option<Value> {
    first_value(text).or_else(|| first_value(&mended(text)))
}

fn first_value(text: &str) -> Option<Value> {
    serde_json::Deserializer::from_str(text).into_iter().next()?.ok()
}

/// The text with the line breaks inside its strings escaped, which models
/// forget.
fn mended(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let (mut in_string, mut is_escaped) = (false, false);
    for c in text.chars() {
        match c {
            '\n' if in_string => out.push_str("\\n"),
            '\r' if in_string => out.push_str("\\r"),
            '\t' if in_string => out.push_str("\\t"),
            other => out.push(other),
        }
        in_string ^= c == '"' && !is_escaped;
        is_escaped = in_string && c == '\\' && !is_escaped;
    }
    out
}

fn blob(value: Value) -> Option<Blob> {
    let action = value["action"].as_str()?.trim();
    let input = &value["action_input"];
    if !action.eq_ignore_ascii_case("final answer") {
        return Some(Blob::Call { tool: action.to_owned(), input: input.clone() });
    }
    Some(Blob::Answer(match input {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        tree => tree.to_string(),
    }))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn answer(text: &str) -> Option<Blob> {
        Some(Blob::Answer(text.to_owned()))
    }

    #[test]
    fn an_answer_is_read_fenced_or_bare_with_talk_around_it() {
        for text in [
            "```json\n{\"action\": \"Final Answer\", \"action_input\": \"Hi\"}\n```",
            "{\"action\":\"Final Answer\",\"action_input\":\"Hi\"}",
            "Sure! ```\n{\"action\": \"final answer\", \"action_input\": \"Hi\"}\n``` Anything else?",
            "In {short}: {\"action\": \"Final Answer\", \"action_input\": \"Hi\"} {}",
            "{\"note\": 1} {\"action\": \"Final Answer\", \"action_input\": \"Hi\"} {",
        ] {
            assert_eq!(read(text), answer("Hi"), "{text}");
        }
    }

    #[test]
    fn line_breaks_and_code_inside_of_texts_survive() {
        let raw = "{\"action\": \"Final Answer\", \"action_input\": \"a\n\tb \\\"c\\\" ```x```\"}";
        assert_eq!(read(raw), answer("a\n\tb \"c\" ```x```"));
        let tree = "{\"action\": \"Final Answer\", \"action_input\": {\"a\": 1}}";
        assert_eq!(read(tree), answer("{\"a\":1}"));
    }

    #[test]
    fn a_call_keeps_its_input_as_it_is() {
        for input in [json!("6*7"), json!({"a": [1]}), json!(null)] {
            let text = json!({"action": " calculator ", "action_input": input}).to_string();
            let expected = Blob::Call { tool: "calculator".to_owned(), input };
            assert_eq!(read(&text), Some(expected));
        }
    }

    #[test]
    fn other_words_are_nothing() {
        for text in ["", "Hello", "{", "{\"action\": 5}", "[1]", "{\"a\": \"action\"}"] {
            assert_eq!(read(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "[{}\\[\\]\":,\\\\a-z\n ]{0,80}") {
            read(&text);
        }

        #[test]
        fn every_answer_comes_back(text: String) {
            let blob = json!({"action": "Final Answer", "action_input": &text});
            prop_assert_eq!(read(&format!("```json\n{blob:#}\n```")), answer(&text));
        }
    }
}
