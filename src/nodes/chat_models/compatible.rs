//! What the nodes share whose providers speak OpenAI's protocol: one way from
//! their inputs to a client. An input that a node does not list in its params
//! never gets here, so that each node has exactly the settings it lists.

use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use serde_json::{Map, Value};

use super::provider;
use crate::error::NodeError;
use crate::inputs::Inputs;
use crate::instance::{Instance, ModelProfile};
use crate::model::ImageDetail;
use crate::wire::openai::{Dialect, OpenAi, Settings, reasons};
use crate::wire::{Endpoint, Key, timeout};

/// A provider whose models are at one address.
pub(crate) struct Provider {
    /// Its name in error texts.
    pub(crate) title: &'static str,
    /// Its name in [`crate::PROVIDERS`].
    pub(crate) name: &'static str,
    /// Its own address, up to `/chat/completions`.
    pub(crate) url: &'static str,
    /// The secret that holds the key.
    pub(crate) key: &'static str,
}

impl Provider {
    /// The client of a node; `address` is the input that holds an address
    /// typed into the node, if the node has one. The palette types a provider's
    /// own address into some nodes; that is nobody's choice, and counts as none.
    pub(crate) fn client(
        &self,
        inputs: &Inputs,
        model: String,
        address: Option<&str>,
    ) -> Result<OpenAi, NodeError> {
        let endpoint = Endpoint {
            provider: self.name,
            public: self.url.into(),
            typed: address
                .and_then(|input| inputs.text(input))
                .filter(|typed| typed.trim_end_matches('/') != self.url),
            key: Key::of(inputs, self.key, self.key),
        };
        client(inputs, self.title, endpoint, model)
    }
}

/// A client with the settings among the inputs.
pub(crate) fn client(
    inputs: &Inputs,
    title: &'static str,
    endpoint: Endpoint,
    model: String,
) -> Result<OpenAi, NodeError> {
    Ok(OpenAi {
        name: title,
        endpoint,
        path: "/chat/completions".into(),
        dialect: Dialect::OpenAi,
        headers: headers(inputs, &inputs.object("baseOptions")?)?,
        timeout: timeout(inputs)?,
        settings: settings(inputs, model)?,
    })
}

/// The instance of a model that sees images only inside the user's message,
/// and only where the node allows it.
pub(super) fn model(inputs: &Inputs, client: OpenAi) -> Result<Instance, NodeError> {
    let images = images(inputs)?;
    provider::model(inputs, client, ModelProfile { images, images_apart: false })
}

fn settings(inputs: &Inputs, model: String) -> Result<Settings, NodeError> {
    Ok(Settings {
        temperature: inputs.number("temperature")?,
        max_tokens: inputs.integer("maxTokens", 1)?,
        top_p: inputs.number("topP")?,
        frequency_penalty: inputs.number("frequencyPenalty")?,
        presence_penalty: inputs.number("presencePenalty")?,
        stop: provider::stop_words(inputs, "stopSequence"),
        // Exports hold an effort for every model; only these take one.
        reasoning_effort: inputs.text("reasoningEffort").filter(|_| reasons(&model)),
        strict_tools: inputs.boolean("strictToolCalling")?.unwrap_or(false),
        model,
        ..Settings::default()
    })
}

/// How closely the model should look at images, where the node allows them.
pub(super) fn images(inputs: &Inputs) -> Result<Option<ImageDetail>, NodeError> {
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

/// The headers that the operator typed into `baseOptions`.
pub(super) fn headers(inputs: &Inputs, typed: &Map<String, Value>) -> Result<HeaderMap, NodeError> {
    let mut headers = HeaderMap::new();
    for (name, value) in typed {
        let Value::String(value) = value else { continue };
        let problem = || inputs.bad("baseOptions", "must hold names and values of HTTP headers");
        let name: HeaderName = name.parse().map_err(|_| problem())?;
        // These belong to the connection, and a wrong one breaks it.
        if ["host", "content-length", "transfer-encoding", "connection"].contains(&name.as_str()) {
            return Err(inputs.bad("baseOptions", format!("must not set {name}; remove it")));
        }
        let mut value = HeaderValue::from_str(value).map_err(|_| problem())?;
        value.set_sensitive(true);
        headers.insert(name, value);
    }
    Ok(headers)
}

#[cfg(test)]
mod tests;
