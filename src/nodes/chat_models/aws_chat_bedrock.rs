//! Flowise's `awsChatBedrock`, version 6: a model that Amazon Bedrock serves.

use super::provider;
use crate::error::NodeError;
use crate::inputs::Inputs;
use crate::instance::{Instance, ModelProfile};
use crate::model::ImageDetail;
use crate::spec::{CredentialSpec, Kind, NodeSpec, Param};
use crate::wire::bedrock::{Auth, Bedrock, Settings};
use crate::wire::sigv4::Signer;

/// The node.
pub const SPEC: NodeSpec = NodeSpec {
    name: "awsChatBedrock",
    category: "Chat Models",
    version: 6.0,
    about: "Asks a model on Amazon Bedrock.",
    params: &[
        Param::closed("cache", Kind::Node),
        Param::closed("region", Kind::Text),
        Param::open("model", Kind::Text),
        Param::open("customModel", Kind::Text),
        Param::closed("streaming", Kind::Boolean),
        Param::open("temperature", Kind::Number),
        Param::open("max_tokens_to_sample", Kind::Integer),
        Param::closed("allowImageUploads", Kind::Boolean),
    ],
    credential: Some(&CredentialSpec {
        kind: "awsApi",
        fields: &[
            ("awsKey", Some("AWS_ACCESS_KEY_ID")),
            ("awsSecret", Some("AWS_SECRET_ACCESS_KEY")),
            ("awsSession", Some("AWS_SESSION_TOKEN")),
            (BEARER, Some("AWS_BEARER_TOKEN_BEDROCK")),
        ],
    }),
    build,
};

/// A field that Flowise's credential does not have: a key of Bedrock's own.
const BEARER: &str = "awsBedrockApiKey";
const DEFAULT_MODEL: &str = "anthropic.claude-3-haiku-20240307-v1:0";
const DEFAULT_REGION: &str = "us-east-1";

fn build(inputs: &Inputs) -> Result<Instance, NodeError> {
    let client = Bedrock {
        region: region(inputs)?,
        auth: auth(inputs),
        settings: Settings {
            model: model(inputs)?,
            temperature: inputs.number("temperature")?,
            max_tokens: inputs.integer("max_tokens_to_sample", 1)?,
        },
    };
    let images = (inputs.boolean("allowImageUploads")? == Some(true)).then(ImageDetail::default);
    provider::model(inputs, client, ModelProfile { images, images_apart: false })
}

/// The region, which becomes part of a host that keys are sent to.
fn region(inputs: &Inputs) -> Result<String, NodeError> {
    let region = inputs.text("region").unwrap_or_else(|| DEFAULT_REGION.to_owned());
    let is_plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    if region.len() > 40 || !region.bytes().all(is_plain) {
        return Err(inputs.bad("region", "must be a region of AWS such as us-east-1"));
    }
    Ok(region)
}

/// The model. Two dots are the one name that a path cannot hold, encoded or not.
fn model(inputs: &Inputs) -> Result<String, NodeError> {
    let name = if inputs.text("customModel").is_some() { "customModel" } else { "model" };
    let model = inputs.text(name).unwrap_or_else(|| DEFAULT_MODEL.to_owned());
    if matches!(model.as_str(), "." | "..") {
        return Err(inputs.bad(name, "must be the id of a model on Bedrock"));
    }
    Ok(model)
}

/// The key of Bedrock's own comes first, as in AWS's tools.
fn auth(inputs: &Inputs) -> Auth {
    let field = |name: &str| inputs.optional_secret(name).map(|(secret, _)| secret);
    if let Some(key) = field(BEARER) {
        return Auth::Bearer(key);
    }
    match (field("awsKey"), field("awsSecret")) {
        (Some(key_id), Some(secret)) => {
            Auth::Signed(Signer { key_id, secret, session: field("awsSession") })
        }
        _ => Auth::Missing(NodeError::MissingCredential(format!(
            "{} ({}) has no usable awsApi credential: store one with awsKey and awsSecret with \
             POST /api/v1/credentials, or set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or \
             AWS_BEARER_TOKEN_BEDROCK",
            inputs.label, inputs.id
        ))),
    }
}
