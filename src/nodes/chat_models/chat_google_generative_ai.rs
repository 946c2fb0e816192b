//! Flowise's `chatGoogleGenerativeAI`, version 3: the Gemini API of Google.

use serde_json::Value;

use super::provider;
use crate::error::NodeError;
use crate::inputs::Inputs;
use crate::instance::{Instance, ModelProfile};
use crate::model::ImageDetail;
use crate::spec::{CredentialSpec, Kind, NodeSpec, Param};
use crate::wire::gemini::{Gemini, Safety, Settings};
use crate::wire::{Endpoint, Key};

/// The node.
pub const SPEC: NodeSpec = NodeSpec {
    name: "chatGoogleGenerativeAI",
    category: "Chat Models",
    version: 3.0,
    about: "Asks a Gemini model of Google.",
    params: &[
        Param::closed("cache", Kind::Node),
        Param::closed("contextCache", Kind::Node),
        Param::open("modelName", Kind::Text),
        Param::open("customModelName", Kind::Text),
        Param::open("temperature", Kind::Number),
        Param::closed("streaming", Kind::Boolean),
        Param::open("maxOutputTokens", Kind::Integer),
        Param::open("topP", Kind::Number),
        Param::open("topK", Kind::Integer),
        // What is blocked protects the operator, so a caller does not change it.
        Param::closed("harmCategory", Kind::Json),
        Param::closed("harmBlockThreshold", Kind::Json),
        Param::closed("baseUrl", Kind::Text),
        Param::closed("allowImageUploads", Kind::Boolean),
    ],
    credential: Some(&CredentialSpec {
        kind: "googleGenerativeAI",
        fields: &[("googleGenerativeAPIKey", Some("GOOGLE_API_KEY"))],
    }),
    build,
};

const DEFAULT_MODEL: &str = "gemini-1.5-flash-latest";

fn build(inputs: &Inputs) -> Result<Instance, NodeError> {
    let model = inputs.text("customModelName").or_else(|| inputs.text("modelName"));
    let client = Gemini {
        endpoint: Endpoint {
            provider: "gemini",
            public: "https://generativelanguage.googleapis.com".into(),
            typed: inputs.text("baseUrl"),
            key: Key::of(inputs, "googleGenerativeAPIKey", "googleGenerativeAPIKey"),
        },
        settings: Settings {
            model: model.unwrap_or_else(|| DEFAULT_MODEL.to_owned()),
            temperature: inputs.number("temperature")?,
            top_p: inputs.number("topP")?,
            top_k: inputs.integer("topK", 0)?,
            max_tokens: inputs.integer("maxOutputTokens", 1)?,
            safety: safety(inputs)?,
        },
    };
    let images = (inputs.boolean("allowImageUploads")? == Some(true)).then(ImageDetail::default);
    provider::model(inputs, client, ModelProfile { images, images_apart: false })
}

/// The first category with the first threshold, and so on.
fn safety(inputs: &Inputs) -> Result<Vec<Safety>, NodeError> {
    let categories = words(inputs, "harmCategory")?;
    let thresholds = words(inputs, "harmBlockThreshold")?;
    if categories.len() != thresholds.len() {
        let problem = "must have as many values as harmCategory, one threshold for each";
        return Err(inputs.bad("harmBlockThreshold", problem));
    }
    let pairs = categories.into_iter().zip(thresholds);
    Ok(pairs.map(|(category, threshold)| Safety { category, threshold }).collect())
}

/// The chosen words: exports hold them as a JSON array in a text.
fn words(inputs: &Inputs, name: &str) -> Result<Vec<String>, NodeError> {
    let problem = || inputs.bad(name, "must be a JSON array of words");
    let words = match inputs.json(name)? {
        None => return Ok(Vec::new()),
        Some(Value::Array(words)) => words,
        Some(_) => return Err(problem()),
    };
    let texts = words.into_iter().map(|word| match word {
        Value::String(word) => Ok(word),
        _ => Err(problem()),
    });
    texts.collect()
}
