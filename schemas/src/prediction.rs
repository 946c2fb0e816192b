//! The body of `POST /api/v1/prediction/{id}`, parsed.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::chat_message::Role;
use crate::error::{ErrorCode, Fault};
use crate::ids::{ChatId, IdError, SessionId};

/// Longest `history` that a request may bring.
pub const MAX_HISTORY_ITEMS: usize = 1_000;
/// Most `uploads` that a request may bring.
pub const MAX_UPLOADS: usize = 20;

/// A message that the request puts in front of the stored ones.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HistoryItem {
    /// Who said it; a caller cannot bring a system message.
    pub role: Role,
    /// What was said.
    pub content: String,
}

/// One entry of `uploads`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Upload {
    /// `file`, `url`, `audio`, `file:full`, `file:rag`.
    #[serde(rename = "type")]
    pub kind: String,
    /// A data URI, a URL or plain text, by kind.
    #[serde(default)]
    pub data: Option<String>,
    /// File name as the client gave it.
    #[serde(default, deserialize_with = "text_or_null")]
    pub name: String,
    /// MIME type as the client gave it.
    #[serde(default, deserialize_with = "text_or_null")]
    pub mime: String,
}

/// Clients send `null` for what they do not know.
fn text_or_null<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    Ok(Option::<String>::deserialize(deserializer)?.unwrap_or_default())
}

/// A prediction request whose every field has its type.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct PredictionRequest {
    /// The person's words. `None` only when nothing was sent.
    pub question: Option<String>,
    /// `overrideConfig`, without the `sessionId` that was taken out of it.
    pub overrides: Map<String, Value>,
    /// Messages put before the stored ones.
    pub history: Vec<HistoryItem>,
    /// Images, audio and files.
    pub uploads: Option<Vec<Upload>>,
    /// True when the client asked for a stream.
    pub streaming: bool,
    /// The client's chat id.
    pub chat_id: Option<ChatId>,
    /// The session: `overrideConfig.sessionId`, else a top-level `sessionId`.
    pub session_id: Option<SessionId>,
    /// Address that the person left.
    pub lead_email: Option<String>,
}

impl PredictionRequest {
    /// Reads a JSON object; unknown keys are ignored, known ones must have their type.
    ///
    /// # Errors
    /// [`ErrorCode::BadRequest`] naming the field.
    pub fn from_json(body: Value) -> Result<Self, Fault> {
        let Value::Object(mut body) = body else {
            return Err(bad("the body must be a JSON object with a question"));
        };
        let mut overrides = match body.remove("overrideConfig") {
            None | Some(Value::Null) => Map::new(),
            Some(Value::Object(map)) => map,
            Some(_) => return Err(bad("overrideConfig must be an object")),
        };
        let own_session = text(&mut overrides, "sessionId", "overrideConfig.sessionId")?;
        let top_session = text(&mut body, "sessionId", "sessionId")?;
        let session = own_session.filter(|s| !s.is_empty()).or(top_session);
        Ok(Self {
            question: question(&mut body)?,
            overrides,
            history: history(body.remove("history"))?,
            uploads: uploads(body.remove("uploads"))?,
            streaming: Self::asks_for_a_stream(&body),
            chat_id: id(text(&mut body, "chatId", "chatId")?, ChatId::parse)?,
            session_id: id(session, SessionId::parse)?,
            lead_email: text(&mut body, "leadEmail", "leadEmail")?,
        })
    }

    /// Whether a body asks for its answer as a stream: `true` or `"true"`.
    pub fn asks_for_a_stream(body: &Map<String, Value>) -> bool {
        matches!(body.get("streaming"), Some(Value::Bool(true)))
            || body.get("streaming").and_then(Value::as_str) == Some("true")
    }

    /// The chat id of the turn: the client's, else the session's, else a new one.
    pub fn settle_chat_id(&self) -> ChatId {
        self.chat_id
            .clone()
            .or_else(|| self.session_id.as_ref().map(ChatId::from))
            .unwrap_or_else(ChatId::random)
    }
}

fn bad(message: impl Into<String>) -> Fault {
    Fault::new(ErrorCode::BadRequest, message)
}

/// A text field; `null` counts as absent, another type is an error.
fn text(map: &mut Map<String, Value>, key: &str, field: &str) -> Result<Option<String>, Fault> {
    match map.remove(key) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) => Err(bad(format!("{field} must be a text"))),
    }
}

/// Flowise hands numbers and booleans on as they are and the model sees their
/// text; objects and arrays it turns into nonsense, so those are refused.
fn question(body: &mut Map<String, Value>) -> Result<Option<String>, Fault> {
    match body.remove("question") {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(value @ (Value::Number(_) | Value::Bool(_))) => Ok(Some(value.to_string())),
        Some(_) => Err(bad("question must be a text")),
    }
}

/// An empty id counts as absent: widgets send `""` before they have one.
fn id<T>(
    text: Option<String>,
    parse: impl Fn(&str) -> Result<T, IdError>,
) -> Result<Option<T>, Fault> {
    text.filter(|text| !text.is_empty())
        .map(|text| parse(&text).map_err(|error| bad(error.to_string())))
        .transpose()
}

fn history(value: Option<Value>) -> Result<Vec<HistoryItem>, Fault> {
    let items = match value {
        None | Some(Value::Null) => return Ok(Vec::new()),
        Some(Value::Array(items)) => items,
        Some(_) => return Err(bad("history must be an array of {role, content}")),
    };
    if items.len() > MAX_HISTORY_ITEMS {
        return Err(bad(format!("history holds more than {MAX_HISTORY_ITEMS} messages")));
    }
    items.into_iter().enumerate().map(|(index, item)| history_item(index, &item)).collect()
}

/// `{role, content}`, or the older `{type, message}`; the Python SDK sends
/// both pairs with nulls in one of them.
fn history_item(index: usize, item: &Value) -> Result<HistoryItem, Fault> {
    let field = |name: &str| item.get(name).and_then(Value::as_str);
    let name = field("role").or_else(|| field("type"));
    let role = match name {
        Some("userMessage" | "user") => Role::UserMessage,
        Some("apiMessage" | "assistant") => Role::ApiMessage,
        Some(other) => {
            let shown: String = other.chars().take(40).collect();
            return Err(bad(format!(
                "history[{index}].role is \"{shown}\"; use userMessage or apiMessage"
            )));
        }
        None => return Err(bad(format!("history[{index}] has no role"))),
    };
    let content = field("content").or_else(|| field("message"));
    let content = content.ok_or_else(|| bad(format!("history[{index}] has no content")))?;
    Ok(HistoryItem { role, content: content.to_owned() })
}

fn uploads(value: Option<Value>) -> Result<Option<Vec<Upload>>, Fault> {
    let items = match value {
        None | Some(Value::Null) => return Ok(None),
        Some(Value::Array(items)) => items,
        Some(_) => return Err(bad("uploads must be an array")),
    };
    if items.len() > MAX_UPLOADS {
        return Err(bad(format!("uploads holds more than {MAX_UPLOADS} items")));
    }
    let parse = |(index, item)| {
        serde_json::from_value(item).map_err(|_| {
            bad(format!("uploads[{index}] must be an object with type, data, name and mime"))
        })
    };
    items.into_iter().enumerate().map(parse).collect::<Result<_, _>>().map(Some)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn parse(body: Value) -> Result<PredictionRequest, Fault> {
        PredictionRequest::from_json(body)
    }

    #[test]
    fn the_session_of_the_override_wins_over_the_top_level_one() {
        let request =
            parse(json!({"question":"q","sessionId":"a","overrideConfig":{"sessionId":"b"}}));
        assert_eq!(request.unwrap().session_id.unwrap().as_str(), "b");
        let request = parse(json!({"question":"q","sessionId":"a"})).unwrap();
        assert_eq!(request.settle_chat_id().as_str(), "a");
    }

    #[test]
    fn a_stream_is_asked_for_by_true_or_the_word_true() {
        for (value, expected) in
            [(json!(true), true), (json!("true"), true), (json!(1), false), (json!("yes"), false)]
        {
            assert_eq!(parse(json!({"streaming": value})).unwrap().streaming, expected);
        }
    }

    #[test]
    fn wrong_types_are_refused_by_the_name_of_their_field() {
        for (body, field) in [
            (json!([]), "object"),
            (json!({"question": {}}), "question"),
            (json!({"overrideConfig": {"sessionId": {"$ne": 1}}}), "overrideConfig.sessionId"),
            (json!({"overrideConfig": [1]}), "overrideConfig"),
            (json!({"chatId": 7}), "chatId"),
            (json!({"chatId": "a\u{0}b"}), "chatId"),
            (json!({"history": "x"}), "history"),
            (json!({"history": [{"role": "system", "content": "x"}]}), "history[0].role"),
            (json!({"uploads": {}}), "uploads"),
        ] {
            let fault = parse(body.clone()).unwrap_err();
            assert_eq!(fault.code, ErrorCode::BadRequest);
            assert!(fault.message.contains(field), "{body} -> {fault}");
        }
    }

    #[test]
    fn history_takes_both_pairs_of_names() {
        let request = parse(json!({"history": [
            {"role": "user", "content": "a", "type": null, "message": null},
            {"type": "apiMessage", "message": "b"},
        ]}));
        let roles: Vec<_> = request.unwrap().history.iter().map(|item| item.role).collect();
        assert_eq!(roles, [Role::UserMessage, Role::ApiMessage]);
    }
}
