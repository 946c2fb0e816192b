//! A chatflow as strangers may see it: the widget's settings, and the row
//! without anything that opens something. What is not known to be harmless is
//! left out.

use parlor_schemas::Chatflow;
use parlor_schemas::flow_file::{FlowData, NodeData};
use serde_json::{Map, Value};

use super::file::{FileError, parse_flow};

/// The key of `chatbotConfig` that is the server's business: code that runs on
/// its answers.
const POST_PROCESSING: &str = "postProcessing";

/// Types of parameters whose values are secrets, code or files of the operator's.
const CLOSED_TYPES: [&str; 5] = ["code", "credential", "password", "file", "folder"];

/// Inputs that may carry a secret, or lead to a house that is not open to
/// strangers, although their type does not say so.
const CLOSED_NAMES: [&str; 14] = [
    "apikey",
    "authorization",
    "baseoptions",
    "basepath",
    "baseurl",
    "configuration",
    "connection",
    "cookie",
    "credential",
    "endpoint",
    "header",
    "password",
    "proxy",
    "secret",
];

/// What the widget reads of `chatbotConfig`.
pub fn widget_settings(chatflow: &Chatflow) -> Map<String, Value> {
    let Value::Object(mut settings) = Chatflow::settings(chatflow.chatbot_config.as_deref()) else {
        return Map::new();
    };
    settings.shift_remove(POST_PROCESSING);
    settings
}

/// The row of a public chatflow. Columns that only the server needs are null.
///
/// # Errors
/// Where its `flowData` cannot be read.
pub fn public_row(mut chatflow: Chatflow) -> Result<Chatflow, FileError> {
    chatflow.flow_data = public_flow(&chatflow.flow_data)?;
    chatflow.chatbot_config = chatflow.chatbot_config.as_deref().map(without_code);
    for column in [
        &mut chatflow.apikeyid,
        &mut chatflow.api_config,
        &mut chatflow.analytic,
        &mut chatflow.speech_to_text,
        &mut chatflow.follow_up_prompts,
    ] {
        *column = None;
    }
    Ok(chatflow)
}

/// The text as it was saved, unless it holds code.
fn without_code(column: &str) -> String {
    match serde_json::from_str(column) {
        Ok(Value::Object(mut settings)) if settings.contains_key(POST_PROCESSING) => {
            settings.shift_remove(POST_PROCESSING);
            Value::Object(settings).to_string()
        }
        Ok(Value::Object(_)) => column.to_owned(),
        _ => "{}".to_owned(),
    }
}

fn public_flow(text: &str) -> Result<String, FileError> {
    let mut flow: FlowData = parse_flow(text)?;
    flow.nodes.iter_mut().for_each(|node| strip(&mut node.data));
    serde_json::to_string(&flow).map_err(|error| FileError::BadFlow(error.to_string()))
}

/// Takes the credential and every input that may hold a secret out of a node.
fn strip(data: &mut NodeData) {
    data.credential = None;
    let mut inputs = std::mem::take(&mut data.inputs);
    inputs.retain(|name, _| is_open(data, name));
    data.inputs = inputs;
}

fn is_open(data: &NodeData, name: &str) -> bool {
    let Some(definition) = data.definition(name) else { return false };
    let lower = name.to_lowercase();
    !CLOSED_TYPES.contains(&definition.kind.as_str())
        && !CLOSED_NAMES.iter().any(|closed| lower.contains(closed))
        // Not by its middle: `maxTokens` is no secret.
        && !lower.ends_with("token")
}

#[cfg(test)]
mod tests {
    use parlor_schemas::{ChatflowId, Timestamp};
    use serde_json::json;

    use super::*;

    fn row(flow: &Value) -> Chatflow {
        let now = Timestamp::from_millis(0);
        Chatflow::new(ChatflowId::random(), "x".into(), flow.to_string(), now)
    }

    #[test]
    fn nothing_of_a_public_row_opens_anything() {
        let flow = json!({"nodes": [{"id": "n", "data": {
            "id": "n", "name": "x", "credential": "hush-1",
            "inputParams": [
                {"name": "credential", "type": "credential"}, {"name": "pass", "type": "password"},
                {"name": "txtFile", "type": "file"}, {"name": "baseOptions", "type": "json"},
                {"name": "accessToken", "type": "string"}, {"name": "maxTokens", "type": "number"},
                {"name": "systemMessage", "type": "string"}
            ],
            "inputs": {
                "credential": "hush-2", "pass": "hush-3", "txtFile": "hush-4",
                "baseOptions": {"Authorization": "hush-5"}, "accessToken": "hush-6",
                "undefined": "hush-7", "maxTokens": 5, "systemMessage": "hello"
            }
        }}], "edges": []});
        let mut row = row(&flow);
        row.apikeyid = Some("hush-8".into());
        row.api_config = Some("hush-9".into());
        row.analytic = Some("hush-10".into());
        row.speech_to_text = Some("hush-11".into());
        row.follow_up_prompts = Some("hush-12".into());
        row.chatbot_config = Some(json!({"title": "t", "postProcessing": "hush-13"}).to_string());
        let shown = serde_json::to_string(&public_row(row).unwrap()).unwrap();
        assert!(!shown.contains("hush"), "{shown}");
        for kept in ["maxTokens", "systemMessage", "hello", "title"] {
            assert!(shown.contains(kept), "{kept}: {shown}");
        }
    }

    #[test]
    fn a_row_that_holds_no_secret_is_shown_as_it_was_saved() {
        let mut plain = row(&json!({"nodes": [], "edges": []}));
        plain.chatbot_config =
            Some("{\"a\": 1, \"allowedOrigins\": [\"https://ok.example\"]}".into());
        assert_eq!(public_row(plain.clone()).unwrap(), plain);
    }

    #[test]
    fn the_widget_reads_its_settings_and_no_code() {
        let mut row = row(&json!({"nodes": []}));
        assert!(widget_settings(&row).is_empty());
        row.chatbot_config = Some(
            json!({"title": "t", "allowedOrigins": ["x"], "allowedOriginsError": "e",
                   "postProcessing": {}})
            .to_string(),
        );
        let shown = json!({"title": "t", "allowedOrigins": ["x"], "allowedOriginsError": "e"});
        assert_eq!(Value::Object(widget_settings(&row)), shown);
    }
}
