//! A provider's error in its own words, made safe to show.

use serde_json::Value;

const MAX_CHARS: usize = 300;
const HIDDEN: &str = "[hidden]";
/// Shorter ones are placeholders of local servers, which occur in any text.
const MIN_SECRET_BYTES: usize = 6;

/// The message in a provider's JSON error: OpenAI's `{"error":{"message"}}`,
/// `{"error":".."}`, or the `message` and `detail` of Mistral's and NVIDIA's
/// servers, which are a text or a list of what is wrong with the body. Where
/// `error` is a text beside a `message`, it is only the error's name (Chroma);
/// Qdrant has its words in `status`.
pub(crate) fn complaint(body: &[u8]) -> Option<String> {
    let body: Value = serde_json::from_slice(body).ok()?;
    if body.is_string() {
        return words(&body);
    }
    let is_named = body.get("error").is_some_and(Value::is_string)
        && body.get("message").is_some_and(Value::is_string);
    if is_named {
        return words(body.get("message")?);
    }
    // AWS writes `Message` in some of its services.
    ["error", "message", "Message", "detail", "status"]
        .into_iter()
        .find_map(|key| words(body.get(key)?))
}

fn words(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()).filter(|text| !text.trim().is_empty()),
        Value::Array(items) => words(items.first()?),
        Value::Object(map) => {
            ["message", "msg", "detail", "error"].into_iter().find_map(|key| words(map.get(key)?))
        }
        _ => None,
    }
}

/// The message without secrets, at most 300 characters long.
pub(super) fn presentable(message: &str, secrets: &[String]) -> String {
    let mut text = message.to_owned();
    for secret in secrets.iter().filter(|secret| secret.len() >= MIN_SECRET_BYTES) {
        text = text.replace(secret.as_str(), HIDDEN);
    }
    let text = hide_after(&text, "sk-", false);
    let text = hide_after(&text, "bearer ", true);
    let text = text.replace(char::is_control, " ");
    match text.char_indices().nth(MAX_CHARS) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text,
    }
}

/// Hides each word that `mark` begins; of a mark that stays, what follows it.
fn hide_after(text: &str, mark: &str, keeps_mark: bool) -> String {
    // ASCII lowercase keeps every offset.
    let lower = text.to_ascii_lowercase();
    let mut safe = String::with_capacity(text.len());
    let mut from = 0;
    while let Some(found) = lower[from..].find(mark) {
        let start = from + found;
        let rest = start + mark.len();
        let is_word = !text[..start].ends_with(char::is_alphanumeric);
        if !is_word {
            safe.push_str(&text[from..rest]);
            from = rest;
            continue;
        }
        safe.push_str(&text[from..if keeps_mark { rest } else { start }]);
        safe.push_str(HIDDEN);
        let ends = |ch: char| ch.is_whitespace() || "\"',;<>()".contains(ch);
        from = text[rest..].find(ends).map_or(text.len(), |length| rest + length);
    }
    safe.push_str(&text[from..]);
    safe
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_hidden_and_other_words_stay() {
        let secrets = ["hunter2-hunter2".to_owned(), "x".to_owned()];
        for (message, expected) in [
            ("Wrong key: sk-abc***xyz here", "Wrong key: [hidden] here"),
            ("Authorization: bearer abc.def, no", "Authorization: bearer [hidden], no"),
            ("a risk-free task-list", "a risk-free task-list"),
            ("Got hunter2-hunter2.", "Got [hidden]."),
            ("next time", "next time"),
            ("two\nlines", "two lines"),
        ] {
            assert_eq!(presentable(message, &secrets), expected);
        }
    }

    #[test]
    fn a_long_message_is_cut_between_characters() {
        let text = presentable(&"猫".repeat(500), &[]);

        assert_eq!(text.chars().count(), 303);
    }

    #[test]
    fn the_message_is_found_in_json_only() {
        for (body, expected) in [
            (r#"{"error":{"message":"no"}}"#, Some("no")),
            (r#"{"error":"no"}"#, Some("no")),
            (r#"{"message":"no"}"#, Some("no")),
            (r#"{"Message":"no"}"#, Some("no")),
            (r#""no""#, Some("no")),
            (r#"{"error":{"message":""}}"#, None),
            (r#"{"object":"error","message":"no","code":3}"#, Some("no")),
            (r#"{"message":{"detail":[{"loc":["body"],"msg":"no"}]}}"#, Some("no")),
            (r#"{"detail":[{"msg":"no"}]}"#, Some("no")),
            (r#"{"error":"NotFoundError","message":"no"}"#, Some("no")),
            (r#"{"status":{"error":"no"},"time":0}"#, Some("no")),
            (r#"{"statusCode":401}"#, None),
            ("<html>no</html>", None),
        ] {
            assert_eq!(complaint(body.as_bytes()).as_deref(), expected, "{body}");
        }
    }
}
