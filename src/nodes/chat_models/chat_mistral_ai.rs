//! Flowise's `chatMistralAI`, version 4: the models of Mistral AI.

use super::compatible::{self, Provider};
use crate::error::NodeError;
use crate::inputs::Inputs;
use crate::instance::Instance;
use crate::spec::{CredentialSpec, Kind, NodeSpec, Param};
use crate::wire::openai::Dialect;

/// The node.
pub const SPEC: NodeSpec = NodeSpec {
    name: "chatMistralAI",
    category: "Chat Models",
    version: 4.0,
    about: "Asks a model of Mistral AI.",
    params: &[
        Param::closed("cache", Kind::Node),
        Param::open("modelName", Kind::Text),
        Param::open("temperature", Kind::Number),
        Param::closed("streaming", Kind::Boolean),
        Param::open("maxOutputTokens", Kind::Integer),
        Param::open("topP", Kind::Number),
        Param::open("randomSeed", Kind::Integer),
        Param::closed("safeMode", Kind::Boolean),
        Param::closed("overrideEndpoint", Kind::Text),
        Param::closed("mistralAIAPIKey", Kind::Text),
    ],
    credential: Some(&CredentialSpec {
        kind: "mistralAIApi",
        fields: &[("mistralAIAPIKey", Some("MISTRAL_API_KEY"))],
    }),
    build,
};

/// Mistral AI itself.
pub(crate) const MISTRAL: Provider = Provider {
    title: "Mistral AI",
    name: "mistral",
    url: "https://api.mistral.ai/v1",
    key: "mistralAIAPIKey",
};
const DEFAULT_MODEL: &str = "mistral-tiny";

fn build(inputs: &Inputs) -> Result<Instance, NodeError> {
    let name = inputs.text("modelName").unwrap_or_else(|| DEFAULT_MODEL.to_owned());
    let mut client = MISTRAL.client(inputs, name, None)?;
    client.endpoint.typed = inputs.text("overrideEndpoint").map(|server| api_of(&server));
    client.dialect = Dialect::Mistral;
    client.settings.max_tokens = inputs.integer("maxOutputTokens", 1)?;
    client.settings.random_seed = inputs.integer("randomSeed", 0)?;
    client.settings.safe_prompt = inputs.boolean("safeMode")?.unwrap_or(false);
    compatible::model(inputs, client)
}

/// `overrideEndpoint` holds a server, to which the client library of Flowise
/// adds the version; who typed the version too means the same.
pub(crate) fn api_of(server: &str) -> String {
    let server = server.trim_end_matches('/');
    format!("{}/v1", server.strip_suffix("/v1").unwrap_or(server))
}
