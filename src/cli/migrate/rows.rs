//! The rows of Flowise as those of Parlor: chatflows, credentials, variables,
//! API keys, feedback and leads.

use parlor_schemas::Timestamp;
use parlor_schemas::feedback::Rating;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::database::{Record, text};
use crate::store::ApiKeys;

/// Characters of a key that stay visible, as in keys that are made here.
const PREFIX_CHARS: usize = 6;

/// Columns of a chatflow that come as they are.
const SETTINGS: [&str; 7] = [
    "chatbotConfig",
    "apiConfig",
    "analytic",
    "speechToText",
    "followUpPrompts",
    "category",
    "type",
];

/// Columns of 3.x that mean nothing here.
pub(super) const LEFT_SETTINGS: [&str; 3] = ["textToSpeech", "mcpServerConfig", "webhookSecret"];

/// A chatflow.
pub(super) fn chatflow(record: &Record) -> Value {
    let mut row = json!({
        "id": text(record, "id"),
        "name": text(record, "name").unwrap_or("Chatflow of Flowise"),
        "flowData": text(record, "flowData").unwrap_or_default(),
        "deployed": flag(record, "deployed"),
        "isPublic": flag(record, "isPublic"),
        "apikeyid": text(record, "apikeyid").map(key_id),
        "createdDate": date(record, "createdDate"),
        "updatedDate": date(record, "updatedDate"),
    });
    for column in SETTINGS {
        row[column] = json!(text(record, column));
    }
    row
}

/// A credential with its decrypted fields.
pub(super) fn credential(record: &Record, fields: Record) -> Value {
    json!({
        "id": text(record, "id"),
        "name": text(record, "name"),
        "credentialName": text(record, "credentialName"),
        "plainData": fields,
        "createdDate": date(record, "createdDate"),
        "updatedDate": date(record, "updatedDate"),
    })
}

/// A variable. Flowise takes every type but `runtime` for static.
pub(super) fn variable(record: &Record) -> Value {
    let is_runtime = text(record, "type") == Some("runtime");
    json!({
        "id": text(record, "id"),
        "name": text(record, "name"),
        "value": text(record, "value").unwrap_or_default(),
        "type": if is_runtime { "runtime" } else { "static" },
        "createdDate": date(record, "createdDate"),
        "updatedDate": date(record, "updatedDate"),
    })
}

/// Feedback on a message, and the name of the kind. A rating that is no thumb
/// is none.
pub(super) fn feedback(record: &Record) -> (&'static str, Value) {
    let row = json!({
        "id": text(record, "id"),
        "chatflowid": text(record, "chatflowid"),
        "chatId": text(record, "chatId"),
        "messageId": text(record, "messageId"),
        "rating": text(record, "rating").and_then(Rating::parse),
        "content": text(record, "content"),
        "createdDate": date(record, "createdDate"),
    });
    ("feedback", row)
}

/// A lead, and the name of the kind.
pub(super) fn lead(record: &Record) -> (&'static str, Value) {
    let row = json!({
        "id": text(record, "id"),
        "chatflowid": text(record, "chatflowid"),
        "chatId": text(record, "chatId"),
        "name": text(record, "name"),
        "email": text(record, "email"),
        "phone": text(record, "phone"),
        "createdDate": date(record, "createdDate"),
    });
    ("lead", row)
}

/// An API key by its digest; the key itself does not leave this process.
/// `None` where the row holds no key.
pub(super) fn api_key(record: &Record) -> Option<Value> {
    let plain = text(record, "apiKey")?;
    let created = text(record, "createdAt").and_then(Timestamp::from_short_date);
    let column = if record.contains_key("createdDate") { "createdDate" } else { "updatedDate" };
    Some(json!({
        "id": key_id(text(record, "id")?),
        "keyName": text(record, "keyName").unwrap_or("Key of Flowise"),
        "digest": ApiKeys::digest(plain),
        "prefix": plain.chars().take(PREFIX_CHARS).collect::<String>(),
        "scopes": scopes(record),
        "createdDate": created.unwrap_or_else(|| date(record, column)),
    }))
}

/// What a key opens. Before 3.1 a key opened everything. Since then it has a
/// list of permissions: who may make keys and credentials can do everything,
/// all others keep what needs no permission, which is to call chatflows.
fn scopes(record: &Record) -> Vec<&'static str> {
    let list = match record.get("permissions") {
        None | Some(Value::Null) => return vec!["predict", "upsert", "messages", "operator"],
        Some(Value::String(text)) => serde_json::from_str(text).unwrap_or_default(),
        Some(list) => list.clone(),
    };
    let has = |wanted: &str| list.as_array().is_some_and(|all| all.iter().any(|one| one == wanted));
    if has("apikeys:create") && has("credentials:create") {
        vec!["predict", "upsert", "messages", "operator"]
    } else {
        vec!["predict", "upsert"]
    }
}

/// Whether a key of 3.1 opens less here than it did.
pub(super) fn is_narrowed(key: &Value, record: &Record) -> bool {
    let had = record.get("permissions").and_then(Value::as_str).unwrap_or("[]");
    had != "[]" && key["scopes"].as_array().is_some_and(|scopes| scopes.len() < 4)
}

/// The id of a key, here always 32 hex digits as Flowise makes them; another
/// one is replaced in the key and in the chatflows that ask for it alike.
pub(super) fn key_id(id: &str) -> String {
    let is_usual = id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit());
    if is_usual {
        return id.to_ascii_lowercase();
    }
    Sha256::digest(id.as_bytes()).iter().take(16).map(|byte| format!("{byte:02x}")).collect()
}

/// A date of a column; now where there is none that can be read.
fn date(record: &Record, column: &str) -> Timestamp {
    text(record, column).and_then(Timestamp::parse).unwrap_or_else(Timestamp::now)
}

/// SQLite keeps a boolean as a number, an export as itself.
fn flag(record: &Record, column: &str) -> Option<bool> {
    match record.get(column)? {
        Value::Bool(flag) => Some(*flag),
        Value::Number(number) => Some(number.as_i64() != Some(0)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(value: Value) -> Record {
        value.as_object().unwrap().clone()
    }

    #[test]
    fn a_key_of_2_x_opens_everything_and_one_of_3_1_what_it_was_given() {
        let key = |permissions: Value| {
            let mut row = record(json!({"id": "a".repeat(32), "apiKey": "secret-of-flowise"}));
            row.insert("permissions".into(), permissions);
            api_key(&row).unwrap()
        };
        assert_eq!(key(Value::Null)["scopes"].as_array().unwrap().len(), 4);
        assert_eq!(key(json!("[]"))["scopes"], json!(["predict", "upsert"]));
        assert_eq!(key(json!("[\"chatflows:view\"]"))["scopes"], json!(["predict", "upsert"]));
        let all = "[\"apikeys:create\",\"credentials:create\"]";
        assert_eq!(key(json!(all))["scopes"].as_array().unwrap().len(), 4);
        assert!(!key(json!("[]")).to_string().contains("secret-of-flowise"));
    }

    #[test]
    fn ids_of_keys_are_kept_where_they_fit_and_replaced_alike_everywhere() {
        let usual = "0123456789abcdef0123456789abcdef";
        assert_eq!(key_id(usual), usual);
        let uuid = "54d84c37-3f57-4c00-841d-17f95e783c4d";
        let row = record(json!({"id": "f", "apikeyid": uuid}));
        assert_eq!(chatflow(&row)["apikeyid"], key_id(uuid));
        assert_eq!(key_id(uuid).len(), 32);
    }

    #[test]
    fn a_flag_is_read_in_every_way_it_is_written() {
        let row = record(json!({"a": 1, "b": 0, "c": true, "d": null}));
        let flags = ["a", "b", "c", "d", "e"].map(|column| flag(&row, column));
        assert_eq!(flags, [Some(true), Some(false), Some(true), None, None]);
    }
}
