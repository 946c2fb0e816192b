//! Flowise's `chatOpenAICustom`, version 4: a model of OpenAI by its typed
//! name, such as a fine-tuned one, or of a server that speaks its protocol.

use super::chat_open_ai::OPENAI;
use super::compatible;
use crate::error::NodeError;
use crate::inputs::Inputs;
use crate::instance::Instance;
use crate::spec::{CredentialSpec, Kind, NodeSpec, Param};

/// The node.
pub const SPEC: NodeSpec = NodeSpec {
    name: "chatOpenAICustom",
    category: "Chat Models",
    version: 4.0,
    about: "Asks a fine-tuned model of OpenAI, or any model of a server that speaks its protocol.",
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
        Param::closed("basepath", Kind::Text),
        Param::closed("baseOptions", Kind::Json),
        Param::closed("openAIApiKey", Kind::Text),
    ],
    credential: Some(&CredentialSpec {
        kind: "openAIApi",
        fields: &[("openAIApiKey", Some("OPENAI_API_KEY"))],
    }),
    build,
};

fn build(inputs: &Inputs) -> Result<Instance, NodeError> {
    let name = inputs.required_text("modelName")?;
    compatible::model(inputs, OPENAI.client(inputs, name, Some("basepath"))?)
}
