//! What a chatflow lets people upload, as the widget asks for it before it
//! shows its buttons. A pure function of the stored row.
//!
//! The rule is that of Flowise 2.2.8, `GET /api/v1/chatflows-uploads/{id}`.

use parlor_schemas::Chatflow;
use parlor_schemas::flow_file::{FlowData, FlowNode};
use serde::Serialize;
use serde_json::Value;

use super::file::{FileError, parse_flow};

/// Nodes that hand images on to their model.
const TAKE_IMAGES: [&str; 7] = [
    "llmChain",
    "conversationChain",
    "reactAgentChat",
    "conversationalAgent",
    "toolAgent",
    "supervisor",
    "seqStart",
];

/// MIME types of images; clients know the empty one at the end from Flowise.
const IMAGE_TYPES: [&str; 5] = ["image/gif", "image/jpeg", "image/png", "image/webp", ""];

const MAX_IMAGE_MB: u32 = 5;
const MAX_FILE_MB: u32 = 500;

/// The body of `GET /api/v1/chatflows-uploads/{id}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct UploadConfig {
    /// Whether recorded speech becomes a question.
    pub is_speech_to_text_enabled: bool,
    /// Whether a model sees images.
    pub is_image_upload_allowed: bool,
    /// Whether files can be put into the vector store.
    #[serde(rename = "isRAGFileUploadAllowed")]
    pub is_rag_file_upload_allowed: bool,
    /// One entry for each model that sees images.
    pub img_upload_size_and_types: Vec<SizeAndTypes>,
    /// One entry for each loader of the vector store that takes files.
    pub file_upload_size_and_types: Vec<SizeAndTypes>,
}

/// What may be uploaded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct SizeAndTypes {
    /// MIME types of images, endings of files.
    pub file_types: Vec<String>,
    /// In MB; a hint to clients.
    pub max_upload_size: u32,
}

/// What this chatflow lets people upload.
///
/// # Errors
/// Where its `flowData` cannot be read.
pub fn upload_config(chatflow: &Chatflow) -> Result<UploadConfig, FileError> {
    let flow = parse_flow(&chatflow.flow_data)?;
    let images = images(&flow);
    let files = files(&flow);
    Ok(UploadConfig {
        is_speech_to_text_enabled: hears_speech(chatflow),
        is_image_upload_allowed: !images.is_empty(),
        is_rag_file_upload_allowed: !files.is_empty(),
        img_upload_size_and_types: images,
        file_upload_size_and_types: files,
    })
}

/// `speechToText` is an object of providers, of which one may be switched on.
fn hears_speech(chatflow: &Chatflow) -> bool {
    let settings = Chatflow::settings(chatflow.speech_to_text.as_deref());
    let providers = settings.as_object().into_iter().flatten();
    providers
        .into_iter()
        .any(|(name, provider)| name != "none" && is_truthy(provider.get("status")))
}

fn images(flow: &FlowData) -> Vec<SizeAndTypes> {
    let takes_images = |node: &FlowNode| TAKE_IMAGES.contains(&node.data.name.as_str());
    if !flow.nodes.iter().any(takes_images) {
        return Vec::new();
    }
    let sees = |node: &&FlowNode| {
        node.data.category == "Chat Models"
            && node.data.inputs.get("allowImageUploads") == Some(&Value::Bool(true))
            && node.data.input_params.iter().any(|param| param.name == "allowImageUploads")
    };
    let entry = |_| SizeAndTypes {
        file_types: IMAGE_TYPES.map(str::to_owned).to_vec(),
        max_upload_size: MAX_IMAGE_MB,
    };
    flow.nodes.iter().filter(sees).map(entry).collect()
}

/// The loaders of the first vector store that takes uploads.
fn files(flow: &FlowData) -> Vec<SizeAndTypes> {
    let takes_files = |node: &&FlowNode| {
        node.data.category == "Vector Stores" && is_truthy(node.data.inputs.get("fileUpload"))
    };
    let Some(store) = flow.nodes.iter().find(takes_files) else { return Vec::new() };
    let handle = format!("{}-input-document-Document", store.id);
    let edges = flow
        .edges
        .iter()
        .filter(|edge| edge.target == store.id && edge.target_handle.as_str() == Some(&handle));
    let loader = |id: &str| flow.nodes.iter().find(|node| node.id == id);
    edges.filter_map(|edge| loader_types(loader(&edge.source)?)).collect()
}

fn loader_types(loader: &FlowNode) -> Option<SizeAndTypes> {
    let types = |param: &parlor_schemas::flow_file::InputParam| {
        let types = param.extra.get("fileType")?.as_str()?;
        (param.kind == "file" && !types.is_empty()).then(|| types.to_owned())
    };
    let types = loader.data.input_params.iter().find_map(types)?;
    Some(SizeAndTypes {
        file_types: types.split(", ").map(str::to_owned).collect(),
        max_upload_size: MAX_FILE_MB,
    })
}

/// JavaScript's idea of true, for the values that exports hold.
fn is_truthy(value: Option<&Value>) -> bool {
    match value {
        None | Some(Value::Null | Value::Bool(false)) => false,
        Some(Value::String(text)) => !text.is_empty(),
        Some(Value::Number(number)) => number.as_f64() != Some(0.0),
        Some(_) => true,
    }
}

#[cfg(test)]
mod tests {
    use parlor_schemas::{ChatflowId, Timestamp};
    use serde_json::json;

    use super::*;

    fn config(flow: &Value, speech: Option<&Value>) -> Value {
        let now = Timestamp::from_millis(0);
        let mut row = Chatflow::new(ChatflowId::random(), "x".into(), flow.to_string(), now);
        row.speech_to_text = speech.map(Value::to_string);
        serde_json::to_value(upload_config(&row).unwrap()).unwrap()
    }

    fn model(id: &str, allow: &Value) -> Value {
        json!({"id": id, "data": {
            "name": "chatOpenAI", "category": "Chat Models", "inputs": {"allowImageUploads": allow},
            "inputParams": [{"name": "allowImageUploads", "type": "boolean"}]
        }})
    }

    fn chain(name: &str) -> Value {
        json!({"id": "chain", "data": {"name": name, "category": "Chains"}})
    }

    #[test]
    fn images_are_allowed_where_a_chain_hands_them_on_to_a_model_that_is_told_to_look() {
        let allowed = |nodes: Value| config(&json!({"nodes": nodes}), None);
        let told = || model("m", &json!(true));
        let yes = allowed(json!([told(), model("n", &json!(true)), chain("llmChain")]));
        assert_eq!(yes["isImageUploadAllowed"], true);
        let entry = json!({
            "fileTypes": ["image/gif", "image/jpeg", "image/png", "image/webp", ""],
            "maxUploadSize": 5
        });
        assert_eq!(yes["imgUploadSizeAndTypes"], json!([entry, entry]));
        let mut undeclared = told();
        undeclared["data"]["inputParams"] = json!([]);
        for nodes in [
            json!([told(), chain("conversationalRetrievalQAChain")]),
            json!([model("m", &json!("true")), chain("llmChain")]),
            json!([model("m", &json!("")), chain("llmChain")]),
            json!([undeclared, chain("llmChain")]),
        ] {
            assert_eq!(allowed(nodes.clone())["isImageUploadAllowed"], false, "{nodes}");
        }
    }

    #[test]
    fn files_are_allowed_where_the_first_store_that_takes_them_has_a_loader_of_files() {
        let flow = |upload: Value, handle: &str| {
            json!({
                "nodes": [
                    {"id": "s", "data": {"category": "Vector Stores", "inputs": {"fileUpload": upload}}},
                    {"id": "pdf", "data": {"inputParams": [{"name": "pdfFile", "type": "file", "fileType": ".pdf, .txt"}]}},
                    {"id": "web", "data": {"inputParams": [{"name": "url", "type": "string"}]}}
                ],
                "edges": [
                    {"source": "web", "target": "s", "targetHandle": handle},
                    {"source": "pdf", "target": "s", "targetHandle": handle}
                ]
            })
        };
        let yes = config(&flow(json!(true), "s-input-document-Document"), None);
        assert_eq!(yes["isRAGFileUploadAllowed"], true);
        let entry = json!([{"fileTypes": [".pdf", ".txt"], "maxUploadSize": 500}]);
        assert_eq!(yes["fileUploadSizeAndTypes"], entry);
        let unasked = config(&flow(json!(""), "s-input-document-Document"), None);
        assert_eq!(unasked["isRAGFileUploadAllowed"], false);
        let elsewhere = config(&flow(json!(true), "s-input-embeddings-Embeddings"), None);
        assert_eq!(elsewhere["isRAGFileUploadAllowed"], false);
    }

    #[test]
    fn speech_is_heard_where_a_provider_is_switched_on() {
        let flow = json!({"nodes": []});
        for (speech, heard) in [
            (json!({"openAIWhisper": {"status": true}}), true),
            (json!({"openAIWhisper": {"status": false}, "localAISTT": {"status": true}}), true),
            (json!({"none": {"status": true}}), false),
            (json!({"openAIWhisper": {}}), false),
            (json!([]), false),
        ] {
            assert_eq!(config(&flow, Some(&speech))["isSpeechToTextEnabled"], heard, "{speech}");
        }
    }
}
