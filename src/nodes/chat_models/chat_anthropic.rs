//! Flowise's `chatAnthropic`, version 8: the Messages API of Anthropic.

use std::sync::Arc;

use futures::future::BoxFuture;

use crate::ctx::TurnCtx;
use crate::error::NodeError;
use crate::inputs::Inputs;
use crate::instance::{ChatModel, Instance, ModelProfile};
use crate::model::{ChatReply, ChatRequest, ImageDetail};
use crate::spec::{CredentialSpec, Kind, NodeSpec, Param};
use crate::wire::anthropic::{Anthropic, Settings};
use crate::wire::{Endpoint, Key};

/// The node.
pub const SPEC: NodeSpec = NodeSpec {
    name: "chatAnthropic",
    category: "Chat Models",
    version: 8.0,
    about: "Asks a model of Anthropic.",
    params: &[
        Param::closed("cache", Kind::Node),
        Param::open("modelName", Kind::Text),
        Param::open("temperature", Kind::Number),
        Param::closed("streaming", Kind::Boolean),
        Param::open("maxTokensToSample", Kind::Integer),
        Param::open("topP", Kind::Number),
        Param::open("topK", Kind::Integer),
        Param::open("extendedThinking", Kind::Boolean),
        Param::open("budgetTokens", Kind::Integer),
        Param::closed("allowImageUploads", Kind::Boolean),
        Param::closed("anthropicApiKey", Kind::Text),
    ],
    credential: Some(&CredentialSpec {
        kind: "anthropicApi",
        fields: &[("anthropicApiKey", Some("ANTHROPIC_API_KEY"))],
    }),
    build,
};

const DEFAULT_MODEL: &str = "claude-3-haiku";
/// The client library of Flowise sends this where the node gives no limit.
const DEFAULT_MAX_TOKENS: i64 = 2048;
const DEFAULT_THINKING: i64 = 1024;

fn build(inputs: &Inputs) -> Result<Instance, NodeError> {
    let thinks = inputs.boolean("extendedThinking")? == Some(true);
    let budget = inputs.integer("budgetTokens", 1)?.unwrap_or(DEFAULT_THINKING);
    let client = Anthropic {
        endpoint: Endpoint {
            provider: "anthropic",
            public: "https://api.anthropic.com",
            typed: None,
            key: Key::of(inputs, "anthropicApiKey", "anthropicApiKey"),
        },
        settings: Settings {
            model: inputs.text("modelName").unwrap_or_else(|| DEFAULT_MODEL.to_owned()),
            max_tokens: inputs.integer("maxTokensToSample", 1)?.unwrap_or(DEFAULT_MAX_TOKENS),
            temperature: inputs.number("temperature")?,
            top_p: inputs.number("topP")?,
            top_k: inputs.integer("topK", 0)?,
            thinking_budget: thinks.then_some(budget),
        },
    };
    let images = (inputs.boolean("allowImageUploads")? == Some(true)).then(ImageDetail::default);
    let streams = inputs.boolean("streaming")?.unwrap_or(true);
    Ok(Instance::ChatModel(Arc::new(ChatAnthropic { client, images, streams })))
}

struct ChatAnthropic {
    client: Anthropic,
    images: Option<ImageDetail>,
    streams: bool,
}

impl ChatModel for ChatAnthropic {
    fn profile(&self) -> ModelProfile {
        ModelProfile { images: self.images, images_apart: false }
    }

    fn call<'a>(
        &'a self,
        request: ChatRequest,
        ctx: &'a TurnCtx,
        stream: bool,
    ) -> BoxFuture<'a, Result<ChatReply, NodeError>> {
        Box::pin(async move {
            let reply = self.client.call(&request, ctx, stream && self.streams).await?;
            // The provider was not asked to stream, but the client was promised the text.
            if stream && !self.streams {
                ctx.events.token(&reply.text).await?;
            }
            Ok(reply)
        })
    }
}
