//! Flowise's `azureOpenAIEmbeddings`, version 2: a deployment of an embedding
//! model of OpenAI in Azure.

use super::compatible::{self, BATCH_SIZE};
use super::open_ai_embeddings::DEFAULT_MODEL;
use crate::chat_models::azure_chat_open_ai::{CREDENTIAL, DEPLOYMENT, VERSION, endpoint, part};
use crate::chat_models::compatible::client;
use crate::error::NodeError;
use crate::inputs::Inputs;
use crate::instance::Instance;
use crate::spec::{Kind, NodeSpec, Param};
use crate::wire::openai::Dialect;
use crate::wire::rest::public_address;

/// The node.
pub const SPEC: NodeSpec = NodeSpec {
    name: "azureOpenAIEmbeddings",
    category: "Embeddings",
    version: 2.0,
    about: "Vectors by a model of OpenAI that is deployed in Azure.",
    params: &[
        BATCH_SIZE,
        Param::open("timeout", Kind::Integer),
        Param::closed("basepath", Kind::Text),
        Param::closed("baseOptions", Kind::Json),
        Param::closed("azureOpenAIApiKey", Kind::Text),
        Param::closed("azureOpenAIApiInstanceName", Kind::Text),
        Param::closed(DEPLOYMENT, Kind::Text),
        Param::closed(VERSION, Kind::Text),
    ],
    credential: Some(&CREDENTIAL),
    build,
};

/// What the palette types into every export.
const DEFAULT_BATCH_SIZE: usize = 100;

fn build(inputs: &Inputs) -> Result<Instance, NodeError> {
    let deployment = part(inputs, DEPLOYMENT)?;
    let version = part(inputs, VERSION)?;
    // Azure looks at the deployment; the body names LangChain's default model.
    let model = DEFAULT_MODEL.to_owned();
    let endpoint = endpoint(inputs)?;
    // Two instances may have different models under one name.
    let at = public_address(endpoint.typed.as_deref().unwrap_or(&endpoint.public));
    let mut client = client(inputs, "Azure OpenAI", endpoint, model)?;
    client.dialect = Dialect::Azure { counts_streams: false };
    client.path = format!("/{deployment}/embeddings?api-version={version}").into();
    let provider = format!("azure {deployment} at {at}");
    compatible::embeddings(inputs, &provider, client, DEFAULT_BATCH_SIZE)
}
