//! The events of a streamed answer, one after the other.

use anyhow::{Context, bail};
use futures::StreamExt;
use serde_json::Value;

use super::client::refusal;

/// Longest event that is taken, in bytes: an upsert's result holds its documents.
const MAX_EVENT: usize = 256 << 20;

/// The answer, if it is no stream, else nothing after `each` saw its events.
///
/// # Errors
/// The server's own sentence, in an error status or in an `error` event; what
/// `each` fails with.
pub(super) async fn read(
    response: reqwest::Response,
    mut each: impl FnMut(&str, Value) -> anyhow::Result<()>,
) -> anyhow::Result<Option<Value>> {
    let is_stream = response
        .headers()
        .get("content-type")
        .is_some_and(|kind| kind.as_bytes().starts_with(b"text/event-stream"));
    if !response.status().is_success() {
        bail!("{}", refusal(&response.text().await?));
    }
    if !is_stream {
        let answer = serde_json::from_str(&response.text().await?);
        return Ok(Some(answer.context("the server answered no JSON")?));
    }
    let mut chunks = response.bytes_stream();
    let mut pending = Vec::new();
    let mut is_whole = false;
    while let Some(chunk) = chunks.next().await {
        let chunk = chunk.context("the answer broke off; look at the server's log")?;
        let mut searched = pending.len();
        pending.extend_from_slice(&chunk);
        let mut done = 0;
        while let Some(end) = pending[searched..].iter().position(|byte| *byte == b'\n') {
            let line = &pending[done..searched + end];
            if let Some((name, data)) = event(line)? {
                is_whole |= name == "end";
                each(&name, data)?;
            }
            searched += end + 1;
            done = searched;
        }
        pending.drain(..done);
        anyhow::ensure!(pending.len() <= MAX_EVENT, "the server sends an event without an end");
    }
    anyhow::ensure!(is_whole, "the answer broke off; look at the server's log");
    Ok(None)
}

/// An answer that is no stream, as a person reads it: its text, else what an
/// output parser made of it, else all of it.
pub(super) fn words(answer: &Value) -> String {
    match (answer["text"].as_str(), &answer["json"]) {
        (Some(text), _) => text.to_owned(),
        (None, Value::Null) => format!("{answer:#}"),
        (None, shaped) => format!("{shaped:#}"),
    }
}

/// The event of a line, if it holds one.
fn event(line: &[u8]) -> anyhow::Result<Option<(String, Value)>> {
    let Some(json) = line.strip_prefix(b"data:") else { return Ok(None) };
    let mut event: Value = serde_json::from_slice(json).context("an event is no JSON")?;
    let name = event["event"].as_str().unwrap_or_default().to_owned();
    match (name.as_str(), event["data"].take()) {
        ("error", Value::String(message)) => bail!("{message}"),
        ("abort", _) => bail!("it was stopped"),
        (_, data) => Ok(Some((name, data))),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_answer_is_its_text_or_what_an_output_parser_made_of_it() {
        assert_eq!(words(&json!({"text": "Hello.", "question": "Hi"})), "Hello.");
        assert_eq!(
            words(&json!({"json": {"name": "Ada"}, "chatId": "c"})),
            "{\n  \"name\": \"Ada\"\n}"
        );
        assert_eq!(words(&json!({"odd": 1})), "{\n  \"odd\": 1\n}");
    }
}
