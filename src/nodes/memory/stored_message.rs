//! Messages as LangChain stores them, so that a conversation can be shared
//! with Flowise: `{"type": "human", "data": {"content": "..."}}`.

use serde_json::{Value, json};

use crate::model::{ModelMessage, Speaker};

/// A person's message.
pub(super) fn human(text: &str) -> String {
    let data = json!({"content": text, "additional_kwargs": {}, "response_metadata": {}});
    json!({"type": "human", "data": data}).to_string()
}

/// A model's message.
pub(super) fn ai(text: &str) -> String {
    let data = json!({
        "content": text, "tool_calls": [], "invalid_tool_calls": [],
        "additional_kwargs": {}, "response_metadata": {},
    });
    json!({"type": "ai", "data": data}).to_string()
}

/// Reads a stored message; `None` when it is none. Of a content in parts the
/// texts are taken.
pub(super) fn read(stored: &str) -> Option<ModelMessage> {
    let stored: Value = serde_json::from_str(stored).ok()?;
    let speaker = match stored.get("type")?.as_str()? {
        "human" => Speaker::User,
        "ai" => Speaker::Assistant,
        "system" => Speaker::System,
        _ => return None,
    };
    // The oldest form has its text beside the type.
    let content = stored.pointer("/data/content").or_else(|| stored.get("text"))?;
    Some(ModelMessage::text(speaker, text_of(content)?))
}

fn text_of(content: &Value) -> Option<String> {
    match content {
        Value::String(text) => Some(text.clone()),
        Value::Array(parts) => {
            Some(parts.iter().filter_map(|part| part.get("text")?.as_str()).collect())
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_support::{assistant, system, user};

    #[test]
    fn what_is_written_is_read_again() {
        let text = "say \"hi\"\n🦊";
        assert_eq!(read(&human(text)), Some(user(text)));
        assert_eq!(read(&ai(text)), Some(assistant(text)));
    }

    #[test]
    fn forms_of_other_versions_are_read_and_anything_else_is_none() {
        for (stored, expected) in [
            (r#"{"type":"human","data":{"content":"a"}}"#, Some(user("a"))),
            (r#"{"type":"ai","text":"b"}"#, Some(assistant("b"))),
            (r#"{"type":"system","data":{"content":"c","role":"x"}}"#, Some(system("c"))),
            (
                r#"{"type":"human","data":{"content":[{"type":"text","text":"d"},{"type":"image_url"}]}}"#,
                Some(user("d")),
            ),
            (r#"{"type":"job","data":{"content":"x"}}"#, None),
            (r#"{"type":"human","data":{}}"#, None),
            ("[1]", None),
            ("word", None),
        ] {
            assert_eq!(read(stored), expected, "{stored}");
        }
    }
}
