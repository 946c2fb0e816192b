//! Flowise `RedisBackedChatMemory`, version 2: a conversation that lives in
//! Redis, in the form that Flowise gives it: a list named by the session's id,
//! newest message first.
//!
//! Redis and Parlor's own store are two places: what was written to Redis
//! stays there when the turn then fails, and deleting messages at Parlor does
//! not delete them there.

use std::sync::Arc;

use futures::future::BoxFuture;
use redis::Pipeline;
use serde_json::Value;

use super::redis_link::{Server, broken};
use super::{MEMORY_KEY, SESSION_ID, memory_key, recall, stored_message};
use crate::ctx::TurnCtx;
use crate::error::NodeError;
use crate::inputs::Inputs;
use crate::instance::{Instance, Memory};
use crate::model::ModelMessage;
use crate::spec::{CredentialSpec, Kind, NodeSpec, Param};

/// The node.
pub const SPEC: NodeSpec = NodeSpec {
    name: "RedisBackedChatMemory",
    category: "Memory",
    version: 2.0,
    about: "Remembers the conversation in a Redis server.",
    params: &[
        SESSION_ID,
        MEMORY_KEY,
        Param::closed("sessionTTL", Kind::Integer),
        Param::open("windowSize", Kind::Integer),
    ],
    credential: Some(&CredentialSpec {
        kind: "redisCacheUrlApi|redisCacheApi",
        fields: &[
            ("redisUrl", Some("REDIS_URL")),
            ("redisCacheHost", None),
            ("redisCachePort", None),
            ("redisCacheUser", None),
            ("redisCachePwd", None),
            ("redisCacheSslEnabled", None),
        ],
    }),
    build,
};

/// So many messages are read at most: a list of another program may be endless.
const MOST_MESSAGES: i64 = 10_000;
const DEFAULT_PORT: u16 = 6379;

fn build(inputs: &Inputs) -> Result<Instance, NodeError> {
    // Flowise counts the window in messages and, the list being newest first,
    // takes the oldest; its own words promise the last k exchanges.
    let n_turns = inputs.integer("windowSize", 0)?.filter(|k| *k > 0);
    Ok(Instance::Memory(Arc::new(RedisMemory {
        key: memory_key(inputs),
        server: server(inputs)?,
        n_messages: n_turns.map_or(MOST_MESSAGES, |k| k.saturating_mul(2).min(MOST_MESSAGES)),
        ttl_seconds: inputs.integer("sessionTTL", 0)?.filter(|seconds| *seconds > 0),
    })))
}

fn server(inputs: &Inputs) -> Result<Server, NodeError> {
    if let Some((url, _)) = inputs.optional_secret("redisUrl") {
        return Ok(Server::Url(url));
    }
    let host = inputs.secret("redisCacheHost")?;
    Ok(Server::Fields {
        host,
        port: port(inputs).unwrap_or(DEFAULT_PORT),
        user: inputs.optional_secret("redisCacheUser").map(|(user, _)| user),
        password: inputs.optional_secret("redisCachePwd").map(|(password, _)| password),
        tls: matches!(field(inputs, "redisCacheSslEnabled"), Some(Value::Bool(true)))
            || matches!(field(inputs, "redisCacheSslEnabled"), Some(Value::String(word)) if word == "true"),
    })
}

/// A port typed as a number or as text.
fn port(inputs: &Inputs) -> Option<u16> {
    match field(inputs, "redisCachePort")? {
        Value::Number(port) => port.as_u64().and_then(|port| port.try_into().ok()),
        Value::String(port) => port.trim().parse().ok(),
        _ => None,
    }
}

fn field<'a>(inputs: &'a Inputs, name: &str) -> Option<&'a Value> {
    inputs.secrets.as_ref()?.as_ref().ok()?.fields.get(name)
}

struct RedisMemory {
    key: String,
    server: Server,
    n_messages: i64,
    ttl_seconds: Option<i64>,
}

impl RedisMemory {
    async fn stored(&self, ctx: &TurnCtx) -> Result<Vec<ModelMessage>, NodeError> {
        let mut range = Pipeline::new();
        range.cmd("LRANGE").arg(ctx.session.as_str()).arg(0).arg(self.n_messages - 1);
        let (items,): (Vec<Vec<u8>>,) = self.server.ask(&range, ctx).await?;
        // A list of something else is neither shown to the model nor added to.
        let message = |item: &Vec<u8>| {
            let message = std::str::from_utf8(item).ok().and_then(stored_message::read);
            message.ok_or_else(|| {
                broken("holds something else than chat messages under this session's id")
            })
        };
        items.iter().rev().map(message).collect()
    }
}

impl Memory for RedisMemory {
    fn memory_key(&self) -> &str {
        &self.key
    }

    fn messages<'a>(
        &'a self,
        ctx: &'a TurnCtx,
    ) -> BoxFuture<'a, Result<Vec<ModelMessage>, NodeError>> {
        Box::pin(async move {
            let mut messages = recall(ctx, Some(0)).await?;
            messages.extend(self.stored(ctx).await?);
            Ok(messages)
        })
    }

    fn remember<'a>(
        &'a self,
        answer: &'a str,
        ctx: &'a TurnCtx,
    ) -> BoxFuture<'a, Result<(), NodeError>> {
        Box::pin(async move {
            let session = ctx.session.as_str();
            let (question, answer) =
                (stored_message::human(&ctx.question), stored_message::ai(answer));
            let mut turn = Pipeline::new();
            turn.atomic().cmd("LPUSH").arg(session).arg(question).arg(answer).ignore();
            if let Some(seconds) = self.ttl_seconds {
                turn.cmd("EXPIRE").arg(session).arg(seconds).ignore();
            }
            self.server.tell(&turn, ctx).await
        })
    }
}
