//! Flowise's `chatOllama`, version 5: a model on a server of one's own.

use serde_json::{Map, Value};

use super::provider;
use crate::error::NodeError;
use crate::inputs::Inputs;
use crate::instance::{Instance, ModelProfile};
use crate::model::ImageDetail;
use crate::spec::{Kind, NodeSpec, Param};
use crate::wire::ollama::Ollama;

/// The node.
pub const SPEC: NodeSpec = NodeSpec {
    name: "chatOllama",
    category: "Chat Models",
    version: 5.0,
    about: "Asks a model that Ollama runs.",
    params: &[
        Param::closed("cache", Kind::Node),
        Param::closed("baseUrl", Kind::Text),
        Param::open("modelName", Kind::Text),
        Param::open("temperature", Kind::Number),
        Param::closed("allowImageUploads", Kind::Boolean),
        Param::closed("streaming", Kind::Boolean),
        Param::open("jsonMode", Kind::Boolean),
        Param::open("keepAlive", Kind::Text),
        Param::open("topP", Kind::Number),
        Param::open("topK", Kind::Integer),
        Param::open("mirostat", Kind::Integer),
        Param::open("mirostatEta", Kind::Number),
        Param::open("mirostatTau", Kind::Number),
        Param::open("numCtx", Kind::Integer),
        Param::open("numGpu", Kind::Integer),
        Param::open("numThread", Kind::Integer),
        Param::open("repeatLastN", Kind::Integer),
        Param::open("repeatPenalty", Kind::Number),
        Param::open("stop", Kind::Text),
        Param::open("tfsZ", Kind::Number),
    ],
    credential: None,
    build,
};

const NUMBERS: &[(&str, &str)] = &[
    ("temperature", "temperature"),
    ("topP", "top_p"),
    ("mirostatEta", "mirostat_eta"),
    ("mirostatTau", "mirostat_tau"),
    ("repeatPenalty", "repeat_penalty"),
    ("tfsZ", "tfs_z"),
];

/// With the least value that Ollama takes; -1 means "all" or "the context".
const INTEGERS: &[(&str, &str, i64)] = &[
    ("topK", "top_k", 0),
    ("mirostat", "mirostat", 0),
    ("numCtx", "num_ctx", 1),
    ("numGpu", "num_gpu", -1),
    ("numThread", "num_thread", 0),
    ("repeatLastN", "repeat_last_n", -1),
];

fn build(inputs: &Inputs) -> Result<Instance, NodeError> {
    let client = Ollama {
        base: inputs.text("baseUrl"),
        model: inputs.required_text("modelName")?,
        options: options(inputs)?,
        keep_alive: inputs.text("keepAlive"),
        json_mode: inputs.boolean("jsonMode")?.unwrap_or(false),
    };
    let images = (inputs.boolean("allowImageUploads")? == Some(true)).then(ImageDetail::default);
    provider::model(inputs, client, ModelProfile { images, images_apart: false })
}

fn options(inputs: &Inputs) -> Result<Map<String, Value>, NodeError> {
    let mut options = Map::new();
    for (input, option) in NUMBERS {
        if let Some(number) = inputs.number(input)? {
            options.insert((*option).to_owned(), number.into());
        }
    }
    for (input, option, least) in INTEGERS {
        if let Some(number) = inputs.integer(input, *least)? {
            options.insert((*option).to_owned(), number.into());
        }
    }
    let stop = provider::stop_words(inputs, "stop");
    if !stop.is_empty() {
        options.insert("stop".to_owned(), stop.into());
    }
    Ok(options)
}
