//! Flowise's `azureChatOpenAI`, version 7: a deployment of an OpenAI model in
//! a resource ("instance") of Azure.

use super::compatible;
use crate::error::NodeError;
use crate::inputs::Inputs;
use crate::instance::Instance;
use crate::spec::{CredentialSpec, Kind, NodeSpec, Param};
use crate::wire::openai::{Dialect, OpenAi};
use crate::wire::{Endpoint, Key};

/// The node.
pub const SPEC: NodeSpec = NodeSpec {
    name: "azureChatOpenAI",
    category: "Chat Models",
    version: 7.0,
    about: "Asks a model of OpenAI that is deployed in Azure.",
    params: &[
        Param::closed("cache", Kind::Node),
        Param::open("modelName", Kind::Text),
        Param::open("temperature", Kind::Number),
        Param::open("maxTokens", Kind::Integer),
        Param::closed("streaming", Kind::Boolean),
        Param::open("topP", Kind::Number),
        Param::open("frequencyPenalty", Kind::Number),
        Param::open("presencePenalty", Kind::Number),
        Param::open("timeout", Kind::Integer),
        Param::closed("basepath", Kind::Text),
        Param::closed("baseOptions", Kind::Json),
        Param::closed("allowImageUploads", Kind::Boolean),
        Param::closed("imageResolution", Kind::Choice(&["low", "high", "auto"])),
        Param::open("reasoningEffort", Kind::Choice(&["low", "medium", "high"])),
        Param::closed(KEY, Kind::Text),
        Param::closed(INSTANCE, Kind::Text),
        Param::closed(DEPLOYMENT, Kind::Text),
        Param::closed(VERSION, Kind::Text),
    ],
    credential: Some(&CREDENTIAL),
    build,
};

/// The key, and where the deployment is.
pub(crate) const CREDENTIAL: CredentialSpec = CredentialSpec {
    kind: "azureOpenAIApi",
    fields: &[
        (KEY, Some("AZURE_OPENAI_API_KEY")),
        (INSTANCE, Some("AZURE_OPENAI_API_INSTANCE_NAME")),
        (DEPLOYMENT, Some("AZURE_OPENAI_API_DEPLOYMENT_NAME")),
        (VERSION, Some("AZURE_OPENAI_API_VERSION")),
    ],
};

const KEY: &str = "azureOpenAIApiKey";
const INSTANCE: &str = "azureOpenAIApiInstanceName";
/// The deployment, a name in the path.
pub(crate) const DEPLOYMENT: &str = "azureOpenAIApiDeploymentName";
/// The version of the API, a date.
pub(crate) const VERSION: &str = "azureOpenAIApiVersion";

/// From here on a stream can be asked for its usage; before, the request is
/// refused. Versions are dates, and `preview` and `latest` come after all.
const FIRST_WITH_USAGE: &str = "2024-09-01";

fn build(inputs: &Inputs) -> Result<Instance, NodeError> {
    compatible::model(inputs, client(inputs)?)
}

fn client(inputs: &Inputs) -> Result<OpenAi, NodeError> {
    let deployment = part(inputs, DEPLOYMENT)?;
    let version = part(inputs, VERSION)?;
    // Azure knows the model by its deployment, which is often named after it.
    let model = inputs.text("modelName").unwrap_or_else(|| deployment.clone());
    let mut client = compatible::client(inputs, "Azure OpenAI", endpoint(inputs)?, model)?;
    client.dialect = Dialect::Azure { counts_streams: version.as_str() >= FIRST_WITH_USAGE };
    client.path = format!("/{deployment}/chat/completions?api-version={version}").into();
    Ok(client)
}

/// Where the deployments are: at `basepath` if there is one, else in the
/// instance (the rule of LangChain.js, whose base path ends before the
/// deployment's name). An instance that is typed into the node is an address
/// like any other; one that comes with the key may have the key.
pub(crate) fn endpoint(inputs: &Inputs) -> Result<Endpoint, NodeError> {
    let deployments = |name| format!("https://{name}.openai.azure.com/openai/deployments");
    let typed = inputs.text("basepath");
    let in_instance = match typed {
        Some(_) => String::new(),
        None => deployments(part(inputs, INSTANCE)?),
    };
    let is_typed = typed.is_none() && inputs.text(INSTANCE).is_some();
    Ok(Endpoint {
        provider: "azure",
        typed: if is_typed { Some(in_instance.clone()) } else { typed },
        public: in_instance.into(),
        key: Key::of(inputs, KEY, KEY),
    })
}

/// A part of the address, from the node or from the credential. It must be a
/// plain name, so that it cannot lead elsewhere.
pub(crate) fn part(inputs: &Inputs, field: &str) -> Result<String, NodeError> {
    let text = match inputs.text(field) {
        Some(text) => text,
        None => inputs.secret(field)?,
    };
    let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if text.chars().all(is_plain) && text.starts_with(|c: char| c.is_ascii_alphanumeric()) {
        return Ok(text);
    }
    Err(NodeError::MissingCredential(format!(
        "{field} of {} ({}) must be a name alone, not an address; store it again",
        inputs.label, inputs.id
    )))
}

#[cfg(test)]
mod tests {
    use serde_json::{Map, json};

    use super::*;
    use crate::inputs::Secrets;
    use crate::test_support::{TestTurn, inputs, source};

    #[test]
    fn an_instance_is_an_address_and_gets_only_a_key_that_belongs_to_it() {
        let theirs = "https://theirs.openai.azure.com/openai/deployments";
        let ours = "https://ours.openai.azure.com/openai/deployments";
        for (input, value, from_environment, expected) in [
            ("cache", "", false, (ours, Some("the-key"))),
            ("cache", "", true, (ours, Some("the-key"))),
            (INSTANCE, "theirs", false, (theirs, Some("the-key"))),
            (INSTANCE, "theirs", true, (theirs, None)),
            ("basepath", "https://gateway.example/d/", true, ("https://gateway.example/d", None)),
        ] {
            let fields =
                [(KEY, "the-key"), (INSTANCE, "ours"), (DEPLOYMENT, "chat"), (VERSION, "v")];
            let fields = fields.map(|(field, value)| (field.to_owned(), json!(value)));
            let secrets = Secrets { fields: Map::from_iter(fields), from_environment };
            let inputs = Inputs { secrets: Some(Ok(secrets)), ..inputs([(input, source(value))]) };

            let client = client(&inputs).unwrap();

            let ctx = TestTurn::asking("hi").ctx();
            let (address, key) = client.endpoint.resolve(&ctx).unwrap();
            assert_eq!((address.as_str(), key), expected);
            assert_eq!(client.path, "/chat/chat/completions?api-version=v");
            assert_eq!(client.settings.model, "chat", "named after its deployment");
        }
    }
}
