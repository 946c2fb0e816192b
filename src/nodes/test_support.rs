//! What the tests of nodes share: a turn without a server, a model that
//! remembers what it was asked, and short ways to write inputs.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::future::BoxFuture;
use parlor_schemas::{
    ChatId, ChatType, ChatflowId, Exchanges, Fault, HistoryItem, NewTurn, Role, StreamEvent,
    Timestamp, Turn, Upload, Usage,
};
use serde_json::{Map, Value};
use tokio::sync::mpsc;
use uuid::Uuid;

use crate::ctx::{Services, Transcript, TurnCtx};
use crate::error::NodeError;
use crate::events::{Crowd, EventSink};
use crate::inputs::{InputValue, Inputs};
use crate::instance::{ChatModel, Instance, ModelProfile, Tool, ToolOutput};

use crate::model::{
    ChatReply, ChatRequest, FinishReason, ImageDetail, ModelMessage, Part, Speaker, ToolCall,
    ToolDefinition,
};
use crate::rich_text::RichText;
use crate::spec::NodeSpec;
pub(crate) use crate::test_retrieval::{FakeRetriever, FakeStore};

/// Builds the context of one turn.
pub(crate) struct TestTurn {
    ctx: TurnCtx,
    turns: Vec<Turn>,
}

impl TestTurn {
    /// A turn with this question, no history, no uploads and no listener.
    pub(crate) fn asking(question: &str) -> Self {
        let (chatflow, chat) = (ChatflowId::random(), ChatId::random());
        let ctx = TurnCtx::apart(chatflow, chat, question, Arc::new(FakeServices));
        Self { ctx, turns: Vec::new() }
    }

    /// Messages that the request brings.
    pub(crate) fn history(mut self, items: &[(Role, &str)]) -> Self {
        let item = |(role, content): &(Role, &str)| HistoryItem {
            role: *role,
            content: (*content).to_owned(),
        };
        self.ctx.history = items.iter().map(item).collect();
        self
    }

    /// The stored turns, question and answer.
    pub(crate) fn stored(mut self, turns: &[(&str, &str)]) -> Self {
        let turns = turns
            .iter()
            .enumerate()
            .map(|(seq, (question, answer))| Turn::whole(seq as u64, new_turn(question, answer)));
        self.turns = turns.collect();
        self.ctx.transcript = Arc::new(FakeTranscript(self.turns.iter().collect()));
        self
    }

    /// What memories kept beside stored turns, by the turn's place.
    pub(crate) fn keeping(mut self, kept: &[(usize, Value)]) -> Self {
        for (at, state) in kept {
            self.turns[*at].body.memory_state = Some(state.clone());
        }
        self.ctx.transcript = Arc::new(FakeTranscript(self.turns.iter().collect()));
        self
    }

    /// What the person uploaded: type, data and MIME type.
    pub(crate) fn uploads(mut self, items: &[(&str, Option<&str>, &str)]) -> Self {
        let upload = |(kind, data, mime): &(&str, Option<&str>, &str)| Upload {
            kind: (*kind).to_owned(),
            data: data.map(str::to_owned),
            name: "picture".to_owned(),
            mime: (*mime).to_owned(),
        };
        self.ctx.uploads = items.iter().map(upload).collect();
        self
    }

    /// The context.
    pub(crate) fn ctx(self) -> TurnCtx {
        self.ctx
    }

    /// The context and the end where its client reads.
    pub(crate) fn streaming(self) -> (TurnCtx, mpsc::Receiver<StreamEvent>) {
        self.streaming_among(Arc::new(Crowd::new(u64::MAX)))
    }

    /// The same, one more of a crowd.
    pub(crate) fn streaming_among(
        mut self,
        crowd: Arc<Crowd>,
    ) -> (TurnCtx, mpsc::Receiver<StreamEvent>) {
        let (sender, receiver) = mpsc::channel(256);
        self.ctx.events = EventSink::new(sender, Duration::from_secs(30), crowd);
        (self.ctx, receiver)
    }
}

fn new_turn(question: &str, answer: &str) -> NewTurn {
    NewTurn {
        question_id: Uuid::nil(),
        answer_id: Uuid::nil(),
        question: question.to_owned(),
        answer: answer.to_owned(),
        asked_at: Timestamp::default(),
        answered_at: Timestamp::default(),
        chat_id: ChatId::random(),
        chat_type: ChatType::External,
        memory_type: String::new(),
        lead_email: None,
        file_uploads: None,
        answer_columns: Map::new(),
        usage: Usage::default(),
        memory_state: None,
        follow_up_prompts: None,
    }
}

#[derive(Default)]
struct FakeTranscript(Exchanges);

impl Transcript for FakeTranscript {
    fn last(&self, n_turns: Option<usize>) -> BoxFuture<'_, Result<Exchanges, Fault>> {
        let turns = self.0.last(n_turns.unwrap_or(usize::MAX));
        Box::pin(async move { Ok(turns) })
    }
}

struct FakeServices;

impl Services for FakeServices {
    fn http(&self) -> reqwest::Client {
        // Fails when it is installed already, which is just as well.
        let _ = rustls::crypto::ring::default_provider().install_default();
        reqwest::Client::new()
    }

    fn provider_url(&self, _provider: &str) -> Option<String> {
        None
    }
}

/// A chat model that says what it was told to and keeps what it was asked.
pub(crate) struct FakeModel {
    /// What it says, call by call; the last one again and again.
    replies: Vec<ChatReply>,
    profile: ModelProfile,
    asked: Mutex<Vec<ChatRequest>>,
}

impl FakeModel {
    /// A model without images.
    pub(crate) fn saying(answer: &'static str) -> Arc<Self> {
        Self::with_profile(answer, ModelProfile { images: None, images_apart: false })
    }

    /// A model that takes images, apart from the text or beside it.
    pub(crate) fn seeing(images_apart: bool) -> Arc<Self> {
        let images = Some(ImageDetail::Low);
        Self::with_profile("a picture", ModelProfile { images, images_apart })
    }

    /// A model without images that plays a list of replies.
    pub(crate) fn playing<const N: usize>(replies: [ChatReply; N]) -> Arc<Self> {
        let profile = ModelProfile { images: None, images_apart: false };
        Arc::new(Self { replies: replies.to_vec(), profile, asked: Mutex::new(Vec::new()) })
    }

    fn with_profile(answer: &'static str, profile: ModelProfile) -> Arc<Self> {
        Arc::new(Self { replies: vec![says(answer)], profile, asked: Mutex::new(Vec::new()) })
    }

    /// All that it was asked.
    pub(crate) fn asked(&self) -> Vec<ChatRequest> {
        self.asked.lock().unwrap().clone()
    }

    /// The messages of its only call.
    pub(crate) fn only_prompt(&self) -> Vec<ModelMessage> {
        let asked = self.asked.lock().unwrap();
        assert_eq!(asked.len(), 1, "the model is called once");
        asked[0].messages.clone()
    }

    /// The messages of all its calls.
    pub(crate) fn prompts(&self) -> Vec<Vec<ModelMessage>> {
        let asked = self.asked.lock().unwrap();
        asked.iter().map(|request| request.messages.clone()).collect()
    }

    /// How often it was called.
    pub(crate) fn n_calls(&self) -> usize {
        self.asked.lock().unwrap().len()
    }
}

impl ChatModel for FakeModel {
    fn profile(&self) -> ModelProfile {
        self.profile
    }

    fn call<'a>(
        &'a self,
        request: ChatRequest,
        ctx: &'a TurnCtx,
        stream: bool,
    ) -> BoxFuture<'a, Result<ChatReply, NodeError>> {
        let mut asked = self.asked.lock().unwrap();
        let reply = self.replies[asked.len().min(self.replies.len() - 1)].clone();
        asked.push(request);
        Box::pin(async move {
            if stream && !reply.text.is_empty() {
                ctx.events.token(&reply.text).await?;
            }
            Ok(reply)
        })
    }
}

/// A reply of words.
pub(crate) fn says(text: &str) -> ChatReply {
    ChatReply { text: text.to_owned(), ..ChatReply::default() }
}

/// A reply that calls tools; the first call's id is `call_0`.
pub(crate) fn calls<const N: usize>(calls: [(&str, Value); N]) -> ChatReply {
    let call = |(at, (name, arguments)): (usize, (&str, Value))| ToolCall {
        id: format!("call_{at}"),
        name: name.to_owned(),
        arguments,
    };
    let tool_calls = calls.into_iter().enumerate().map(call).collect();
    ChatReply { tool_calls, finish: FinishReason::ToolCalls, ..ChatReply::default() }
}

/// A tool that answers every call with what a function makes of its arguments.
pub(crate) struct FakeTool<F> {
    name: &'static str,
    returns_direct: bool,
    run: F,
}

impl<F> FakeTool<F>
where
    F: Fn(&Value) -> Result<ToolOutput, NodeError> + Send + Sync + 'static,
{
    /// An instance of this name.
    pub(crate) fn named(name: &'static str, run: F) -> Instance {
        Instance::Tool(Arc::new(Self { name, returns_direct: false, run }))
    }

    /// An instance whose output is the answer.
    pub(crate) fn direct(name: &'static str, run: F) -> Instance {
        Instance::Tool(Arc::new(Self { name, returns_direct: true, run }))
    }
}

impl<F> Tool for FakeTool<F>
where
    F: Fn(&Value) -> Result<ToolOutput, NodeError> + Send + Sync,
{
    fn definition(&self) -> ToolDefinition {
        ToolDefinition {
            name: self.name.to_owned(),
            description: format!("Is {}.", self.name),
            parameters: serde_json::json!({"type": "object", "properties": {}}),
            strict: false,
        }
    }

    fn returns_direct(&self) -> bool {
        self.returns_direct
    }

    fn call<'a>(
        &'a self,
        arguments: Value,
        _ctx: &'a TurnCtx,
    ) -> BoxFuture<'a, Result<ToolOutput, NodeError>> {
        Box::pin(async move { (self.run)(&arguments) })
    }
}

/// A text that the flow's author typed.
pub(crate) fn source(text: &str) -> InputValue {
    InputValue::Text(RichText::source(text))
}

/// A JSON tree.
pub(crate) fn json(value: Value) -> InputValue {
    InputValue::Json(value)
}

/// A connected node.
pub(crate) fn node(instance: Instance) -> InputValue {
    InputValue::Nodes(vec![instance])
}

/// The inputs of a node labelled `Test node`.
pub(crate) fn inputs<const N: usize>(values: [(&str, InputValue); N]) -> Inputs {
    Inputs {
        is_overridden: false,
        id: "test_0".to_owned(),
        label: "Test node".to_owned(),
        values: values.into_iter().map(|(name, value)| (name.to_owned(), value)).collect(),
        ..Inputs::default()
    }
}

/// Builds a node that must be buildable.
pub(crate) fn build<const N: usize>(spec: &NodeSpec, values: [(&str, InputValue); N]) -> Instance {
    (spec.build)(&inputs(values)).unwrap()
}

/// Builds a node that must not be buildable.
pub(crate) fn build_error<const N: usize>(
    spec: &NodeSpec,
    values: [(&str, InputValue); N],
) -> NodeError {
    match (spec.build)(&inputs(values)) {
        Ok(instance) => panic!("built {}", instance.kind()),
        Err(error) => error,
    }
}

/// A message of the system.
pub(crate) fn system(text: &str) -> ModelMessage {
    ModelMessage::text(Speaker::System, text)
}

/// A message of the person.
pub(crate) fn user(text: &str) -> ModelMessage {
    ModelMessage::text(Speaker::User, text)
}

/// A message of the model.
pub(crate) fn assistant(text: &str) -> ModelMessage {
    ModelMessage::text(Speaker::Assistant, text)
}

/// A picture at low detail.
pub(crate) fn image(url: &str) -> Part {
    Part::Image { url: url.to_owned(), detail: ImageDetail::Low }
}
