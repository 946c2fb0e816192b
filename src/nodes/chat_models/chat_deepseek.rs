//! Flowise's `chatDeepseek`, version 1: the models of DeepSeek.

use serde_json::{Map, Value};

use super::compatible::{self, Provider};
use crate::error::NodeError;
use crate::inputs::Inputs;
use crate::instance::Instance;
use crate::spec::{CredentialSpec, Kind, NodeSpec, Param};

/// The node.
pub const SPEC: NodeSpec = NodeSpec {
    name: "chatDeepseek",
    category: "Chat Models",
    version: 1.0,
    about: "Asks a model of DeepSeek.",
    params: &[
        Param::closed("cache", Kind::Node),
        Param::open("modelName", Kind::Text),
        Param::open("temperature", Kind::Number),
        Param::closed("streaming", Kind::Boolean),
        Param::open("maxTokens", Kind::Integer),
        Param::open("topP", Kind::Number),
        Param::open("frequencyPenalty", Kind::Number),
        Param::open("presencePenalty", Kind::Number),
        Param::open("timeout", Kind::Integer),
        Param::open("stopSequence", Kind::Text),
        Param::closed("baseOptions", Kind::Json),
        Param::closed("deepseekApiKey", Kind::Text),
    ],
    credential: Some(&CredentialSpec {
        kind: "deepseekApi",
        fields: &[("deepseekApiKey", Some("DEEPSEEK_API_KEY"))],
    }),
    build,
};

const DEEPSEEK: Provider = Provider {
    title: "DeepSeek",
    name: "deepseek",
    url: "https://api.deepseek.com",
    key: "deepseekApiKey",
};
const DEFAULT_MODEL: &str = "deepseek-chat";

fn build(inputs: &Inputs) -> Result<Instance, NodeError> {
    let name = inputs.text("modelName").unwrap_or_else(|| DEFAULT_MODEL.to_owned());
    let mut client = DEEPSEEK.client(inputs, name, None)?;
    client.headers = compatible::headers(inputs, &default_headers(inputs)?)?;
    compatible::model(inputs, client)
}

/// Unlike the other nodes' `baseOptions`, this one's holds options of a client
/// library, and the headers are one of them. An address among them is ignored.
fn default_headers(inputs: &Inputs) -> Result<Map<String, Value>, NodeError> {
    match inputs.object("baseOptions")?.remove("defaultHeaders") {
        None | Some(Value::Null) => Ok(Map::new()),
        Some(Value::Object(headers)) => Ok(headers),
        Some(_) => Err(inputs.bad("baseOptions", "must hold an object as defaultHeaders")),
    }
}
