//! What a built node is to its neighbours: a typed value, not JSON.

use std::sync::Arc;

use futures::future::BoxFuture;
use serde_json::{Map, Value};

use crate::ctx::TurnCtx;
use crate::error::NodeError;
use crate::model::{ChatReply, ChatRequest, ImageDetail, ModelMessage, ToolDefinition};
use crate::prompts::{ChatPrompt, TextPrompt};
pub use crate::retrieval::Document;
use crate::retrieval::{DocumentLoader, Embeddings, RecordManager, Retriever, TextSplitter};
use crate::vector_stores::VectorStore;

/// A built node.
#[derive(Clone)]
pub enum Instance {
    /// A chat model.
    ChatModel(Arc<dyn ChatModel>),
    /// A memory: a policy over the transcript.
    Memory(Arc<dyn Memory>),
    /// A prompt of one text.
    Prompt(Arc<TextPrompt>),
    /// A prompt of messages.
    ChatPrompt(Arc<ChatPrompt>),
    /// What loads documents, before it has loaded them.
    Loader(Arc<dyn DocumentLoader>),
    /// Documents of a loader or retriever.
    Documents(Arc<[Document]>),
    /// Text: a loader's output `text`, a chain's `outputPrediction`.
    Text(Arc<str>),
    /// A chain or an agent: what can end a flow.
    Runnable(Arc<dyn Runnable>),
    /// Something that an agent may call.
    Tool(Arc<dyn Tool>),
    /// A shape for a model's answer.
    OutputParser(Arc<dyn OutputParser>),
    /// A check of what people write.
    Moderation(Arc<dyn Moderation>),
    /// What cuts texts into chunks.
    Splitter(Arc<dyn TextSplitter>),
    /// What turns texts into vectors.
    Embeddings(Arc<dyn Embeddings>),
    /// A vector store; also a retriever.
    VectorStore(Arc<VectorStore>),
    /// What finds documents.
    Retriever(Arc<dyn Retriever>),
    /// What remembers the chunks of a vector store.
    RecordManager(Arc<dyn RecordManager>),
    /// Nothing: a note on the canvas.
    Note,
}

impl Instance {
    /// What the instance is, in words for an error message.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::ChatModel(_) => "a chat model",
            Self::Memory(_) => "a memory",
            Self::Prompt(_) => "a prompt template",
            Self::ChatPrompt(_) => "a chat prompt template",
            Self::Loader(_) => "a document loader",
            Self::Documents(_) => "documents",
            Self::Text(_) => "a text",
            Self::Runnable(_) => "a chain or agent",
            Self::Tool(_) => "a tool",
            Self::OutputParser(_) => "an output parser",
            Self::Moderation(_) => "a moderation",
            Self::Splitter(_) => "a text splitter",
            Self::Embeddings(_) => "embeddings",
            Self::VectorStore(_) => "a vector store",
            Self::Retriever(_) => "a retriever",
            Self::RecordManager(_) => "a record manager",
            Self::Note => "a note",
        }
    }
}

/// A chat model of any provider.
pub trait ChatModel: Send + Sync {
    /// What chains need to know of the model before they call it.
    fn profile(&self) -> ModelProfile;

    /// Whether it can be given a task in words, such as rephrasing a question.
    /// False for one that only quotes its prompt.
    fn writes(&self) -> bool {
        true
    }

    /// Asks the model. With `stream`, each piece of the answer's text goes to
    /// the client as it arrives, and the provider is asked to stream; without,
    /// one reply comes back whole.
    fn call<'a>(
        &'a self,
        request: ChatRequest,
        ctx: &'a TurnCtx,
        stream: bool,
    ) -> BoxFuture<'a, Result<ChatReply, NodeError>>;
}

/// What chains need to know of a model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ModelProfile {
    /// Set when the node allows image uploads.
    pub images: Option<ImageDetail>,
    /// OpenAI's own chat node takes a conversation's images as a message of
    /// their own; the others take them inside the user's message (contract of
    /// Flowise 2.2.8, recorded).
    pub images_apart: bool,
}

/// A memory is a policy, not a storage: it chooses from the transcript that
/// the session's actor owns.
pub trait Memory: Send + Sync {
    /// Name of the placeholder that the history fills, `chat_history` by default.
    fn memory_key(&self) -> &str;

    /// The messages that go before the question: the request's `history`,
    /// then what the policy picks of the stored turns.
    fn messages<'a>(
        &'a self,
        ctx: &'a TurnCtx,
    ) -> BoxFuture<'a, Result<Vec<ModelMessage>, NodeError>>;

    /// Writes a finished turn to a store that is not Parlor's own, before the
    /// caller gets the answer. The other memories have nothing to do: the
    /// session's actor stores the turn.
    fn remember<'a>(
        &'a self,
        _answer: &'a str,
        _ctx: &'a TurnCtx,
    ) -> BoxFuture<'a, Result<(), NodeError>> {
        Box::pin(std::future::ready(Ok(())))
    }
}

/// Something that an agent may call.
pub trait Tool: Send + Sync {
    /// Its name, what it does and its arguments, for the model.
    fn definition(&self) -> ToolDefinition;

    /// Whether its output is the answer, without another word of the model.
    fn returns_direct(&self) -> bool {
        false
    }

    /// Runs the tool. An error is told to the model, which may try otherwise;
    /// only [`NodeError::Cancelled`] ends the turn.
    fn call<'a>(
        &'a self,
        arguments: Value,
        ctx: &'a TurnCtx,
    ) -> BoxFuture<'a, Result<ToolOutput, NodeError>>;
}

/// What a tool returns.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ToolOutput {
    /// What the model reads.
    pub text: String,
    /// The passages behind it: `sourceDocuments` of the reply.
    pub source_documents: Vec<Document>,
    /// Images and files: `artifacts` of the reply.
    pub artifacts: Vec<Value>,
}

/// A shape for a model's answer.
pub trait OutputParser: Send + Sync {
    /// What the model is told of the shape; it goes to the end of the prompt.
    fn instructions(&self) -> String;

    /// The answer in its shape: `json` of the reply.
    ///
    /// # Errors
    /// In a few words what is wrong, for the model to mend it or for the caller.
    fn parse(&self, answer: &str) -> Result<Value, String>;

    /// Whether a model may be asked once to mend an answer that does not fit.
    fn mends(&self) -> bool;
}

/// A check of what people write.
pub trait Moderation: Send + Sync {
    /// The words that are answered in the model's place, or `None` when the
    /// input may pass.
    fn objection<'a>(
        &'a self,
        input: &'a str,
        ctx: &'a TurnCtx,
    ) -> BoxFuture<'a, Result<Option<String>, NodeError>>;
}

/// A chain or an agent.
pub trait Runnable: Send + Sync {
    /// Runs for the question of `ctx`. With `stream`, tokens of the final
    /// answer go to the client.
    fn run<'a>(
        &'a self,
        ctx: &'a TurnCtx,
        stream: bool,
    ) -> BoxFuture<'a, Result<RunOutput, NodeError>>;
}

/// What a chain or an agent returns.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct RunOutput {
    /// Keys of the reply: `text`, or `json`, then `sourceDocuments`, `usedTools`, ...
    pub fields: Map<String, Value>,
}

impl RunOutput {
    /// An answer that is a text and nothing else.
    pub fn text(text: impl Into<String>) -> Self {
        let mut fields = Map::new();
        fields.insert("text".into(), Value::String(text.into()));
        Self { fields }
    }

    /// An answer that an output parser shaped: an object or a list is `json`,
    /// a text is `text`, as in Flowise.
    pub fn json(value: Value) -> Self {
        match value {
            Value::String(text) => Self::text(text),
            value => Self { fields: Map::from_iter([("json".to_owned(), value)]) },
        }
    }

    /// The answer as other nodes read it (`outputPrediction`): `text`; else
    /// the JSON of `json`, without a fence.
    pub fn prediction(&self) -> String {
        match self.fields.get("json") {
            Some(json) if !self.fields.contains_key("text") => json.to_string(),
            _ => self.stored_answer(),
        }
    }

    /// The message that is stored: `text`; else `json` in a fence; else all of it.
    /// The fence has no end, as Flowise 2.2.8 writes it.
    pub fn stored_answer(&self) -> String {
        let pretty = |value: &Value| serde_json::to_string_pretty(value).unwrap_or_default();
        match (self.fields.get("text"), self.fields.get("json")) {
            (Some(Value::String(text)), _) => text.clone(),
            (_, Some(json)) => format!("```json\n{}", pretty(json)),
            _ => pretty(&Value::Object(self.fields.clone())),
        }
    }
}
