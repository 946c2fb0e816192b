//! Flowise's `chatOpenAI`, version 8.1: Chat Completions of OpenAI, or of any
//! server that speaks them at `basepath`.

use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use serde_json::Value;

use super::provider;
use crate::error::NodeError;
use crate::inputs::Inputs;
use crate::instance::{Instance, ModelProfile};
use crate::model::ImageDetail;
use crate::spec::{CredentialSpec, Kind, NodeSpec, Param};
use crate::wire::openai::{OpenAi, Settings};
use crate::wire::{Endpoint, Key, timeout};

/// The node.
pub const SPEC: NodeSpec = NodeSpec {
    name: "chatOpenAI",
    category: "Chat Models",
    version: 8.1,
    about: "Asks a model of OpenAI, or of a server that speaks its protocol.",
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
        Param::closed("strictToolCalling", Kind::Boolean),
        Param::open("stopSequence", Kind::Text),
        Param::closed("basepath", Kind::Text),
        Param::closed("proxyUrl", Kind::Text),
        Param::closed("baseOptions", Kind::Json),
        Param::closed("openAIApiKey", Kind::Text),
        Param::closed("allowImageUploads", Kind::Boolean),
        Param::closed("imageResolution", Kind::Choice(&["low", "high", "auto"])),
        Param::open("reasoningEffort", Kind::Choice(&["low", "medium", "high"])),
    ],
    credential: Some(&CredentialSpec {
        kind: "openAIApi",
        fields: &[("openAIApiKey", Some("OPENAI_API_KEY"))],
    }),
    build,
};

const DEFAULT_MODEL: &str = "gpt-4o-mini";

fn build(inputs: &Inputs) -> Result<Instance, NodeError> {
    if inputs.text("proxyUrl").is_some() {
        return Err(NodeError::Unsupported(format!(
            "{} ({}): proxyUrl is not supported; clear it, and set HTTPS_PROXY for the server",
            inputs.label, inputs.id
        )));
    }
    let client = OpenAi {
        name: "OpenAI",
        endpoint: Endpoint {
            provider: "openai",
            public: "https://api.openai.com/v1",
            typed: inputs.text("basepath"),
            key: Key::of(inputs, "openAIApiKey", "openAIApiKey"),
        },
        headers: headers(inputs)?,
        timeout: timeout(inputs)?,
        settings: settings(inputs)?,
    };
    let images = images(inputs)?;
    provider::model(inputs, client, ModelProfile { images, images_apart: true })
}

fn settings(inputs: &Inputs) -> Result<Settings, NodeError> {
    let model = inputs.text("modelName").unwrap_or_else(|| DEFAULT_MODEL.to_owned());
    let (is_o1, is_o3) = (model.contains("o1"), model.contains("o3"));
    Ok(Settings {
        // These models refuse a temperature.
        temperature: inputs.number("temperature")?.filter(|_| !is_o3),
        max_tokens: inputs.integer("maxTokens", 1)?,
        top_p: inputs.number("topP")?,
        frequency_penalty: inputs.number("frequencyPenalty")?,
        presence_penalty: inputs.number("presencePenalty")?,
        stop: stop_words(inputs, "stopSequence"),
        reasoning_effort: inputs.text("reasoningEffort").filter(|_| is_o1 || is_o3),
        strict_tools: inputs.boolean("strictToolCalling")?.unwrap_or(false),
        model,
    })
}

/// Stop words typed with commas between them.
pub(super) fn stop_words(inputs: &Inputs, name: &str) -> Vec<String> {
    let text = inputs.text(name).unwrap_or_default();
    text.split(',').map(str::trim).filter(|word| !word.is_empty()).map(str::to_owned).collect()
}

fn images(inputs: &Inputs) -> Result<Option<ImageDetail>, NodeError> {
    if inputs.boolean("allowImageUploads")? != Some(true) {
        return Ok(None);
    }
    match inputs.text("imageResolution").as_deref() {
        None | Some("low") => Ok(Some(ImageDetail::Low)),
        Some("high") => Ok(Some(ImageDetail::High)),
        Some("auto") => Ok(Some(ImageDetail::Auto)),
        Some(_) => Err(inputs.bad("imageResolution", "must be low, high or auto")),
    }
}

fn headers(inputs: &Inputs) -> Result<HeaderMap, NodeError> {
    let mut headers = HeaderMap::new();
    for (name, value) in inputs.object("baseOptions")? {
        let Value::String(value) = value else { continue };
        let problem = || inputs.bad("baseOptions", "must hold names and values of HTTP headers");
        let name: HeaderName = name.parse().map_err(|_| problem())?;
        // These belong to the connection, and a wrong one breaks it.
        if ["host", "content-length", "transfer-encoding", "connection"].contains(&name.as_str()) {
            return Err(inputs.bad("baseOptions", format!("must not set {name}; remove it")));
        }
        let mut value = HeaderValue::from_str(&value).map_err(|_| problem())?;
        value.set_sensitive(true);
        headers.insert(name, value);
    }
    Ok(headers)
}
