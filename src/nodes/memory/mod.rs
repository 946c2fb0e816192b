//! Memories: which messages of a conversation go before the question. The
//! session's actor owns the transcript; what a memory makes of it is kept
//! beside the turn, and only a memory of another server writes elsewhere.

mod buffer_memory;
mod buffer_window_memory;
mod conversation_summary_buffer_memory;
mod conversation_summary_memory;
mod files;
mod redis_backed_chat_memory;
mod redis_link;
mod rolling_summary;
mod stored_message;

use std::sync::Arc;

use parlor_schemas::{Exchanges, Role};

use crate::ctx::TurnCtx;
use crate::error::NodeError;
use crate::inputs::Inputs;
use crate::instance::Memory;
use crate::model::{ModelMessage, Speaker};
use crate::spec::{Kind, NodeSpec, Param};

/// The memory nodes.
pub const NODES: &[&NodeSpec] = &[
    &buffer_memory::SPEC,
    &buffer_window_memory::SPEC,
    &conversation_summary_memory::SPEC,
    &conversation_summary_buffer_memory::SPEC,
    &redis_backed_chat_memory::SPEC,
];

/// Where a person typed a session into the flow; the engine reads it when it
/// settles the session, a memory does not.
const SESSION_ID: Param = Param::open("sessionId", Kind::Text);
/// The placeholder's name.
const MEMORY_KEY: Param = Param::open("memoryKey", Kind::Text);
/// What it is called where the author says nothing.
const DEFAULT_MEMORY_KEY: &str = "chat_history";

/// The memory of a chain to which none is connected: all that was said.
pub fn whole_conversation() -> Arc<dyn Memory> {
    Arc::new(buffer_memory::BufferMemory { key: DEFAULT_MEMORY_KEY.to_owned() })
}

fn memory_key(inputs: &Inputs) -> String {
    inputs.text("memoryKey").unwrap_or_else(|| DEFAULT_MEMORY_KEY.to_owned())
}

/// The request's `history`, then the last `n_turns` stored turns, or all.
async fn recall(ctx: &TurnCtx, n_turns: Option<usize>) -> Result<Vec<ModelMessage>, NodeError> {
    let turns = match n_turns {
        Some(0) => Exchanges::default(),
        n_turns => ctx.transcript.last(n_turns).await.map_err(NodeError::History)?,
    };
    let mut messages = Vec::with_capacity(ctx.history.len() + 2 * turns.len());
    for item in ctx.history.iter() {
        messages.push(ModelMessage::text(speaker(item.role), item.content.as_str()));
    }
    let given = messages.len();
    let mut room = files::Room::default();
    // From the newest on, which has the first claim on the room for files.
    for turn in turns.iter().collect::<Vec<_>>().into_iter().rev() {
        if turn.halves.answer {
            messages.push(ModelMessage::text(Speaker::Assistant, turn.answer));
        }
        if turn.halves.question {
            messages.push(files::question(&turn, ctx, &mut room).await);
        }
    }
    messages[given..].reverse();
    Ok(messages)
}

fn speaker(role: Role) -> Speaker {
    match role {
        Role::UserMessage => Speaker::User,
        Role::ApiMessage => Speaker::Assistant,
    }
}
