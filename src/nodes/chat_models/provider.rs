//! What every provider's chat model has in common once its client is set up.

use std::sync::Arc;

use futures::future::{BoxFuture, FutureExt};

use crate::ctx::TurnCtx;
use crate::error::NodeError;
use crate::inputs::Inputs;
use crate::instance::{ChatModel, Instance, ModelProfile};
use crate::model::{ChatReply, ChatRequest};
use crate::spans;
use crate::wire::ChatClient;

/// A chat model that is a client and a few facts about it.
struct ProviderModel<C> {
    client: C,
    profile: ModelProfile,
    streams: bool,
}

/// The instance of a client; the node's `streaming` input, true where it is
/// absent, says whether the provider may be asked to stream.
pub(super) fn model(
    inputs: &Inputs,
    client: impl ChatClient + 'static,
    profile: ModelProfile,
) -> Result<Instance, NodeError> {
    let streams = inputs.boolean("streaming")?.unwrap_or(true);
    Ok(Instance::ChatModel(Arc::new(ProviderModel { client, profile, streams })))
}

/// Stop words typed with commas between them.
pub(super) fn stop_words(inputs: &Inputs, name: &str) -> Vec<String> {
    let text = inputs.text(name).unwrap_or_default();
    text.split(',').map(str::trim).filter(|word| !word.is_empty()).map(str::to_owned).collect()
}

impl<C: ChatClient> ChatModel for ProviderModel<C> {
    fn profile(&self) -> ModelProfile {
        self.profile
    }

    fn call<'a>(
        &'a self,
        request: ChatRequest,
        ctx: &'a TurnCtx,
        stream: bool,
    ) -> BoxFuture<'a, Result<ChatReply, NodeError>> {
        async move {
            let asks_to_stream = stream && self.streams;
            let span = spans::chat(self.client.asked(), asks_to_stream);
            let asking = self.client.call(&request, ctx, asks_to_stream);
            let reply = spans::within(span.clone(), asking).await?;
            spans::answered(&span, &reply);
            // The provider was not asked to stream, but the client was promised the text.
            if stream && !self.streams {
                ctx.events.token(&reply.text).await?;
            }
            Ok(reply)
        }
        .boxed()
    }
}
