//! Flowise's `chatLocalAI`, version 3: a model on a server of one's own that
//! speaks OpenAI's protocol, with or without a key.

use super::compatible::{self, Provider};
use crate::error::NodeError;
use crate::inputs::Inputs;
use crate::instance::Instance;
use crate::spec::{CredentialSpec, Kind, NodeSpec, Param};
use crate::wire::openai::OpenAi;

/// The node.
pub const SPEC: NodeSpec = NodeSpec {
    name: "chatLocalAI",
    category: "Chat Models",
    version: 3.0,
    about: "Asks a model of LocalAI, or of another server of one's own.",
    params: &[
        Param::closed("cache", Kind::Node),
        Param::closed("basePath", Kind::Text),
        Param::open("modelName", Kind::Text),
        Param::open("temperature", Kind::Number),
        Param::closed("streaming", Kind::Boolean),
        Param::open("maxTokens", Kind::Integer),
        Param::open("topP", Kind::Number),
        Param::open("timeout", Kind::Integer),
        Param::closed("localAIApiKey", Kind::Text),
    ],
    credential: Some(&CredentialSpec { kind: "localAIApi", fields: &[("localAIApiKey", None)] }),
    build,
};

/// A LocalAI at its usual address.
pub(crate) const LOCALAI: Provider = Provider {
    title: "LocalAI",
    name: "localai",
    url: "http://localhost:8080/v1",
    key: "localAIApiKey",
};

fn build(inputs: &Inputs) -> Result<Instance, NodeError> {
    compatible::model(inputs, client(inputs)?)
}

fn client(inputs: &Inputs) -> Result<OpenAi, NodeError> {
    let name = inputs.required_text("modelName")?;
    let mut client = LOCALAI.client(inputs, name, Some("basePath"))?;
    client.endpoint.key = client.endpoint.key.or_none();
    Ok(client)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_support::{TestTurn, inputs, source};

    #[test]
    fn the_usual_address_needs_no_key() {
        let secrets = Some(Err("store a key".to_owned()));
        let inputs = Inputs { secrets, ..inputs([("modelName", source("m"))]) };

        let client = client(&inputs).unwrap();

        let ctx = TestTurn::asking("hi").ctx();
        let resolved = client.endpoint.resolve(&ctx).unwrap();
        assert_eq!(resolved, ("http://localhost:8080/v1".to_owned(), None));
    }
}
