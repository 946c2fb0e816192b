//! The example chatflow of a first start: a conversation with memory whose
//! model works offline, or is a real one where one is at hand.

use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use parlor_schemas::{Chatflow, ChatflowId, Timestamp};
use serde_json::{Value, json};

use crate::store::{Store, StoreError};

/// What the offline model can answer from.
const FACTS: &str = "You answer questions about this server.\n\
Parlor serves chatflows that were exported from Flowise over the same REST API.\n\
Import your own chatflow with the command: parlor import my-flow.json\n\
Each conversation is kept under its sessionId and survives a crash of the server.\n\
Messages of a conversation are read with GET /api/v1/chatmessage and the sessionId.\n\
The offline model quotes passages; set OPENAI_API_KEY or run Ollama to get a language model.";

/// Installs the example where there is no chatflow yet. Returns its id and the
/// model that it took.
///
/// # Errors
/// What the store says.
pub fn install(store: &Store) -> Result<Option<(ChatflowId, &'static str)>, StoreError> {
    if !store.chatflows().list()?.is_empty() {
        return Ok(None);
    }
    let (model, shown) = choose_model();
    let flow = Chatflow {
        kind: Some("CHATFLOW".into()),
        ..Chatflow::new(
            ChatflowId::random(),
            "Example conversation".into(),
            flow_data(&model).to_string(),
            Timestamp::now(),
        )
    };
    store.chatflows().put(&flow)?;
    Ok(Some((flow.id, shown)))
}

fn choose_model() -> (Value, &'static str) {
    let node = |name: &str, label: &str, inputs: Value| {
        json!({"id": format!("{name}_0"), "type": "customNode", "position": {"x": 0, "y": 0}, "data": {
            "id": format!("{name}_0"), "label": label, "name": name, "category": "Chat Models",
            "inputParams": [], "inputAnchors": [], "inputs": inputs, "outputs": {}
        }})
    };
    if std::env::var("OPENAI_API_KEY").is_ok_and(|key| !key.is_empty()) {
        let inputs = json!({"modelName": "gpt-4o-mini", "temperature": 0.7});
        return (
            node("chatOpenAI", "ChatOpenAI", inputs),
            "OpenAI gpt-4o-mini (OPENAI_API_KEY is set)",
        );
    }
    let ollama = SocketAddr::from(([127, 0, 0, 1], 11434));
    if TcpStream::connect_timeout(&ollama, Duration::from_millis(100)).is_ok() {
        let inputs = json!({"modelName": "llama3.2"});
        return (
            node("chatOllama", "ChatOllama", inputs),
            "Ollama llama3.2 (a server answers on port 11434)",
        );
    }
    let inputs = json!({"maxPassages": 2});
    let extractive = node("extractiveChatModel", "Extractive Chat Model", inputs);
    (extractive, "the offline extractive model (it quotes, it does not write)")
}

fn flow_data(model: &Value) -> Value {
    let model_id = model["id"].as_str().unwrap_or_default();
    let edge = |source: &str| json!({"source": source, "target": "conversationChain_0", "type": "buttonedge"});
    json!({
        "nodes": [
            model,
            {"id": "bufferMemory_0", "type": "customNode", "position": {"x": 0, "y": 300}, "data": {
                "id": "bufferMemory_0", "label": "Buffer Memory", "name": "bufferMemory",
                "category": "Memory", "inputParams": [], "inputAnchors": [],
                "inputs": {"sessionId": "", "memoryKey": "chat_history"}, "outputs": {}
            }},
            {"id": "conversationChain_0", "type": "customNode", "position": {"x": 400, "y": 100}, "data": {
                "id": "conversationChain_0", "label": "Conversation Chain",
                "name": "conversationChain", "category": "Chains",
                "inputParams": [], "inputAnchors": [],
                "inputs": {
                    "model": format!("{{{{{model_id}.data.instance}}}}"),
                    "memory": "{{bufferMemory_0.data.instance}}",
                    "systemMessagePrompt": FACTS
                },
                "outputs": {}
            }}
        ],
        "edges": [edge(model_id), edge("bufferMemory_0")]
    })
}
