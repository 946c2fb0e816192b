//! The resolved inputs that a node is built from, read by type.
//!
//! An absent input and an empty text are the same; each node has the fallback
//! of Flowise's code, since the palette's defaults do not apply at run time.

use std::collections::HashMap;
use std::sync::Arc;

use serde_json::{Map, Value};

use crate::error::NodeError;
use crate::files::{self, InputFile};
use crate::instance::{ChatModel, Instance, Memory, Runnable, Tool};
use crate::prompts::ChatPrompt;
use crate::retrieval::{DocumentLoader, Embeddings, RecordManager, Retriever, TextSplitter};
use crate::rich_text::RichText;
use crate::vector_stores::VectorStore;

/// One resolved input.
#[derive(Clone)]
pub enum InputValue {
    /// Text, the author's words and inserted data apart.
    Text(RichText),
    /// A number, a boolean or a tree, all references resolved.
    Json(Value),
    /// Connected nodes, one or several.
    Nodes(Vec<Instance>),
    /// Files of a multipart body.
    Files(Arc<[InputFile]>),
}

/// The secrets bound to a node.
#[derive(Clone, Default)]
pub struct Secrets {
    /// Values by field.
    pub fields: Map<String, Value>,
    /// True when they come from the environment rather than from a stored
    /// credential: such a key goes to its provider's own address only.
    pub from_environment: bool,
}

/// The inputs of one node.
#[derive(Clone, Default)]
pub struct Inputs {
    /// Id of the node, `chatOpenAI_0`.
    pub id: String,
    /// Label of the node, for errors.
    pub label: String,
    /// Name of the chosen output.
    pub output: Option<String>,
    /// Whether the request changed an input of this node or of one that feeds
    /// it, or an input reads the request: what it makes is this request's alone.
    pub is_overridden: bool,
    /// The values by name.
    pub values: HashMap<String, InputValue>,
    /// The secrets, or the sentence that says how to provide them.
    pub secrets: Option<Result<Secrets, String>>,
}

impl Inputs {
    /// The node as errors name it: its label and its id.
    pub fn title(&self) -> String {
        format!("{} ({})", self.label, self.id)
    }

    /// An error about one input of this node.
    pub fn bad(&self, input: &str, problem: impl Into<String>) -> NodeError {
        NodeError::BadInput { node: self.title(), input: input.to_owned(), problem: problem.into() }
    }

    /// A text with its pieces apart; `None` when absent or empty.
    pub fn rich(&self, name: &str) -> Option<RichText> {
        match self.values.get(name)? {
            InputValue::Text(text) if text.is_empty() => None,
            InputValue::Text(text) => Some(text.clone()),
            InputValue::Json(Value::Null) => None,
            InputValue::Json(Value::String(text)) => Some(RichText::data(text.clone())),
            InputValue::Json(value) => Some(RichText::data(value.to_string())),
            // A text output that is connected is data: another node wrote it.
            InputValue::Nodes(nodes) => match nodes.as_slice() {
                [Instance::Text(text)] => Some(RichText::data(text.as_ref())),
                _ => None,
            },
            InputValue::Files(_) => None,
        }
    }

    /// A text in one piece; `None` when absent or empty.
    pub fn text(&self, name: &str) -> Option<String> {
        self.rich(name).map(|text| text.plain()).filter(|text| !text.is_empty())
    }

    /// A text that must be there.
    ///
    /// # Errors
    /// [`NodeError::BadInput`] when it is not.
    pub fn required_text(&self, name: &str) -> Result<String, NodeError> {
        self.text(name).ok_or_else(|| self.bad(name, "is empty; fill it in"))
    }

    /// A number, typed in as one or as text.
    ///
    /// # Errors
    /// [`NodeError::BadInput`] when it is neither absent nor finite.
    pub fn number(&self, name: &str) -> Result<Option<f64>, NodeError> {
        let Some(text) = self.text(name) else { return Ok(None) };
        match text.trim().parse::<f64>() {
            Ok(number) if number.is_finite() => Ok(Some(number)),
            _ if text.trim().is_empty() => Ok(None),
            _ => Err(self.bad(name, format!("must be a number, not \"{}\"", shorten(&text)))),
        }
    }

    /// A whole number of at least `least`.
    ///
    /// # Errors
    /// [`NodeError::BadInput`] for anything else that is not absent.
    pub fn integer(&self, name: &str, least: i64) -> Result<Option<i64>, NodeError> {
        let Some(number) = self.number(name)? else { return Ok(None) };
        // The comparison with 2^53 keeps the cast exact.
        if number.fract() == 0.0 && number >= least as f64 && number.abs() < 9e15 {
            return Ok(Some(number as i64));
        }
        Err(self.bad(name, format!("must be a whole number of at least {least}")))
    }

    /// A boolean: a JSON one, or the words `true` and `false`.
    ///
    /// # Errors
    /// [`NodeError::BadInput`] for any other word.
    pub fn boolean(&self, name: &str) -> Result<Option<bool>, NodeError> {
        match self.text(name).as_deref() {
            None => Ok(None),
            Some("true") => Ok(Some(true)),
            Some("false") => Ok(Some(false)),
            Some(_) => Err(self.bad(name, "must be true or false")),
        }
    }

    /// A JSON tree, typed in as one or as text.
    ///
    /// # Errors
    /// [`NodeError::BadInput`] for text that is no JSON.
    pub fn json(&self, name: &str) -> Result<Option<Value>, NodeError> {
        if let Some(InputValue::Json(value)) = self.values.get(name)
            && !value.is_string()
        {
            return Ok(Some(value.clone()).filter(|value| !value.is_null()));
        }
        let Some(text) = self.text(name).filter(|text| !text.trim().is_empty()) else {
            return Ok(None);
        };
        serde_json::from_str(&text)
            .map(Some)
            .map_err(|error| self.bad(name, format!("is no valid JSON ({error})")))
    }

    /// A JSON object; empty when absent.
    ///
    /// # Errors
    /// [`NodeError::BadInput`] for anything but an object.
    pub fn object(&self, name: &str) -> Result<Map<String, Value>, NodeError> {
        match self.json(name)? {
            None => Ok(Map::new()),
            Some(Value::Object(map)) => Ok(map),
            Some(_) => Err(self.bad(name, "must be a JSON object")),
        }
    }

    /// The nodes connected to an input, in order.
    pub fn nodes(&self, name: &str) -> &[Instance] {
        match self.values.get(name) {
            Some(InputValue::Nodes(nodes)) => nodes,
            _ => &[],
        }
    }

    /// The one node connected to an input.
    pub fn node(&self, name: &str) -> Option<&Instance> {
        self.nodes(name).first()
    }

    /// The chat model connected to an input.
    ///
    /// # Errors
    /// [`NodeError::BadInput`] when none is connected, or something else.
    pub fn chat_model(&self, name: &str) -> Result<Arc<dyn ChatModel>, NodeError> {
        match self.node(name) {
            Some(Instance::ChatModel(model)) => Ok(model.clone()),
            other => Err(self.wrong_node(name, "a chat model", other)),
        }
    }

    /// The memory connected to an input.
    ///
    /// # Errors
    /// [`NodeError::BadInput`] when none is connected, or something else.
    pub fn memory(&self, name: &str) -> Result<Arc<dyn Memory>, NodeError> {
        match self.node(name) {
            Some(Instance::Memory(memory)) => Ok(memory.clone()),
            other => Err(self.wrong_node(name, "a memory", other)),
        }
    }

    /// The chat prompt connected to an input, if one is.
    ///
    /// # Errors
    /// [`NodeError::BadInput`] when something else is connected.
    pub fn chat_prompt(&self, name: &str) -> Result<Option<Arc<ChatPrompt>>, NodeError> {
        match self.node(name) {
            None => Ok(None),
            Some(Instance::ChatPrompt(prompt)) => Ok(Some(prompt.clone())),
            other => Err(self.wrong_node(name, "a chat prompt template", other)),
        }
    }

    /// The tools connected to an input, in order.
    ///
    /// # Errors
    /// [`NodeError::BadInput`] when something else is connected.
    pub fn tools(&self, name: &str) -> Result<Vec<Arc<dyn Tool>>, NodeError> {
        let tool = |node: &Instance| match node {
            Instance::Tool(tool) => Ok(Arc::clone(tool)),
            other => Err(self.wrong_node(name, "a tool", Some(other))),
        };
        self.nodes(name).iter().map(tool).collect()
    }

    /// The chain or agent connected to an input.
    ///
    /// # Errors
    /// [`NodeError::BadInput`] when none is connected, or something else.
    pub fn runnable(&self, name: &str) -> Result<Arc<dyn Runnable>, NodeError> {
        match self.node(name) {
            Some(Instance::Runnable(chain)) => Ok(chain.clone()),
            other => Err(self.wrong_node(name, "a chain or an agent", other)),
        }
    }

    /// The files of an input: those of a multipart body, else those that its
    /// text names; none when it is empty.
    ///
    /// # Errors
    /// [`NodeError::BadInput`] for a text that names no files.
    pub fn files(&self, name: &str) -> Result<Vec<InputFile>, NodeError> {
        if let Some(InputValue::Files(files)) = self.values.get(name) {
            return Ok(files.to_vec());
        }
        let Some(text) = self.text(name) else { return Ok(Vec::new()) };
        files::parse(&text).map_err(|problem| self.bad(name, problem))
    }

    /// The document loaders connected to an input, in order.
    ///
    /// # Errors
    /// [`NodeError::BadInput`] when something else is connected.
    pub fn loaders(&self, name: &str) -> Result<Vec<Arc<dyn DocumentLoader>>, NodeError> {
        let loader = |node: &Instance| match node {
            Instance::Loader(loader) => Ok(Arc::clone(loader)),
            other => Err(self.wrong_node(name, "a document loader", Some(other))),
        };
        self.nodes(name).iter().map(loader).collect()
    }

    /// The text splitter connected to an input, if one is.
    ///
    /// # Errors
    /// [`NodeError::BadInput`] when something else is connected.
    pub fn splitter(&self, name: &str) -> Result<Option<Arc<dyn TextSplitter>>, NodeError> {
        match self.node(name) {
            None => Ok(None),
            Some(Instance::Splitter(splitter)) => Ok(Some(splitter.clone())),
            other => Err(self.wrong_node(name, "a text splitter", other)),
        }
    }

    /// The embeddings connected to an input.
    ///
    /// # Errors
    /// [`NodeError::BadInput`] when none are connected, or something else.
    pub fn embeddings(&self, name: &str) -> Result<Arc<dyn Embeddings>, NodeError> {
        match self.node(name) {
            Some(Instance::Embeddings(embeddings)) => Ok(embeddings.clone()),
            other => Err(self.wrong_node(name, "embeddings", other)),
        }
    }

    /// The record manager connected to an input, if one is.
    ///
    /// # Errors
    /// [`NodeError::BadInput`] when something else is connected.
    pub fn record_manager(&self, name: &str) -> Result<Option<Arc<dyn RecordManager>>, NodeError> {
        match self.node(name) {
            None => Ok(None),
            Some(Instance::RecordManager(records)) => Ok(Some(records.clone())),
            other => Err(self.wrong_node(name, "a record manager", other)),
        }
    }

    /// The vector store connected to an input.
    ///
    /// # Errors
    /// [`NodeError::BadInput`] when none is connected, or something else.
    pub fn vector_store(&self, name: &str) -> Result<Arc<VectorStore>, NodeError> {
        match self.node(name) {
            Some(Instance::VectorStore(store)) => Ok(store.clone()),
            other => Err(self.wrong_node(name, "a vector store", other)),
        }
    }

    /// The retriever connected to an input; a vector store is one.
    ///
    /// # Errors
    /// [`NodeError::BadInput`] when none is connected, or something else.
    pub fn retriever(&self, name: &str) -> Result<Arc<dyn Retriever>, NodeError> {
        match self.node(name) {
            Some(Instance::Retriever(retriever)) => Ok(retriever.clone()),
            Some(Instance::VectorStore(store)) => Ok(store.clone()),
            other => Err(self.wrong_node(name, "a retriever or a vector store", other)),
        }
    }

    /// The error for a missing or wrong connection.
    pub fn wrong_node(&self, name: &str, wanted: &str, found: Option<&Instance>) -> NodeError {
        match found {
            None => self.bad(name, format!("is not connected; connect {wanted}")),
            Some(other) => {
                self.bad(name, format!("needs {wanted}, but {} is connected", other.kind()))
            }
        }
    }

    /// A secret that must be there.
    ///
    /// # Errors
    /// [`NodeError::MissingCredential`], with the ways to provide it.
    pub fn secret(&self, field: &str) -> Result<String, NodeError> {
        match &self.secrets {
            Some(Err(how)) => Err(NodeError::MissingCredential(how.clone())),
            _ => self.optional_secret(field).map(|(secret, _)| secret).ok_or_else(|| {
                NodeError::MissingCredential(format!(
                    "the credential of {} has no {field}; store it again with that field",
                    self.title()
                ))
            }),
        }
    }

    /// A secret if there is one, and whether it comes from the environment.
    pub fn optional_secret(&self, field: &str) -> Option<(String, bool)> {
        let Some(Ok(secrets)) = &self.secrets else { return None };
        let text = secrets.fields.get(field)?.as_str().filter(|text| !text.is_empty())?;
        Some((text.to_owned(), secrets.from_environment))
    }
}

fn shorten(text: &str) -> String {
    text.chars().take(40).collect()
}
