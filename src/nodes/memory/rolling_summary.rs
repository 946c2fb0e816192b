//! A summary that rolls along with a conversation: it is kept beside the turn
//! that needed it, and only the turns after it are read again.

use parlor_schemas::{Exchange, Exchanges, Role};
use serde::{Deserialize, Serialize};

use super::recall;
use crate::ctx::TurnCtx;
use crate::error::NodeError;
use crate::instance::ChatModel;
use crate::model::{ChatRequest, ModelMessage, Speaker};

/// What a summary is looked for in, newest turns first; then in all of them.
const LOOK_BACK: [usize; 2] = [16, 256];
/// So much text goes into one call of the model.
const BATCH_CHARS: usize = 40_000;
/// A longer turn is shortened for the summary, so that no turn can make it fail.
const TURN_CHARS: usize = 20_000;
/// A conversation that was never summarised catches up over several turns.
const MOST_CALLS: usize = 4;

/// What is kept: `{"summary", "through"}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Summary {
    /// The words.
    #[serde(rename = "summary")]
    pub(super) text: String,
    /// Sequence number of the last turn that they tell of.
    pub(super) through: u64,
}

/// A stored conversation: the summary of its beginning, and the turns after it.
pub(super) struct Story {
    /// The summary, once there is one.
    pub(super) summary: Option<Summary>,
    /// What it does not tell of, oldest first.
    pub(super) rest: Exchanges,
}

impl Story {
    /// Reads the conversation back to its last summary.
    ///
    /// # Errors
    /// [`NodeError::History`] when it cannot be read.
    pub(super) async fn read(ctx: &TurnCtx) -> Result<Self, NodeError> {
        for n_turns in LOOK_BACK {
            let turns = ctx.transcript.last(Some(n_turns)).await.map_err(NodeError::History)?;
            let is_all = turns.len() < n_turns;
            let summary = last_summary(&turns);
            let reaches = summary.as_ref().is_some_and(|summary| {
                turns.iter().next().is_some_and(|turn| turn.seq <= summary.through + 1)
            });
            if is_all || reaches {
                return Ok(Self::after(summary, turns));
            }
        }
        let turns = ctx.transcript.last(None).await.map_err(NodeError::History)?;
        Ok(Self::after(last_summary(&turns), turns))
    }

    fn after(summary: Option<Summary>, turns: Exchanges) -> Self {
        let is_told = |seq| summary.as_ref().is_some_and(|summary| seq <= summary.through);
        let n_told = turns.iter().take_while(|turn| is_told(turn.seq)).count();
        Self { summary, rest: turns.skip(n_told) }
    }

    /// Folds the oldest `n_turns` of the rest into the summary. What is too
    /// much for one turn stays in the rest, word for word.
    ///
    /// # Errors
    /// Those of the model; [`NodeError::UpstreamBroken`] when it says nothing.
    pub(super) async fn fold(
        &mut self,
        n_turns: usize,
        model: &dyn ChatModel,
        ctx: &TurnCtx,
    ) -> Result<(), NodeError> {
        let mut n_left = n_turns.min(self.rest.len());
        for _ in 0..MOST_CALLS {
            let turns: Vec<_> = self.rest.iter().take(n_left).collect();
            let n_batch = batch(&turns);
            let Some(last) = turns[..n_batch].last() else { break };
            let through = last.seq;
            let before = self.summary.as_ref().map(|summary| summary.text.as_str());
            let text = summarise(before, &turns[..n_batch], model, ctx).await?;
            self.summary = Some(Summary { text, through });
            self.rest = self.rest.skip(n_batch);
            n_left -= n_batch;
        }
        Ok(())
    }

    /// The prompt's messages: the request's history, the summary as one
    /// message of the system, the rest word for word. The summary is kept for
    /// the next turn.
    ///
    /// # Errors
    /// [`NodeError::History`] when the conversation cannot be read.
    pub(super) async fn messages(self, ctx: &TurnCtx) -> Result<Vec<ModelMessage>, NodeError> {
        let mut messages = recall(ctx, Some(self.rest.len())).await?;
        if let Some(summary) = self.summary {
            let text = format!("Summary of the conversation so far:\n{}", summary.text);
            messages.insert(ctx.history.len(), ModelMessage::text(Speaker::System, text));
            ctx.kept.put(serde_json::json!(summary));
        }
        Ok(messages)
    }
}

/// The newest summary among these turns. One that claims to tell of its own
/// turn or a later one is none of ours.
fn last_summary(turns: &Exchanges) -> Option<Summary> {
    let summary = |turn: Exchange<'_>| {
        let summary = serde_json::from_str::<Summary>(turn.memory_state?).ok()?;
        (summary.through < turn.seq).then_some(summary)
    };
    let kept: Vec<_> = turns.iter().filter(|turn| turn.memory_state.is_some()).collect();
    kept.into_iter().rev().find_map(summary)
}

/// How many of these turns go into one call: at least one, if there is one.
fn batch(turns: &[Exchange<'_>]) -> usize {
    let mut n_chars = 0;
    let fits = turns.iter().take_while(|turn| {
        let n_before = n_chars;
        n_chars += shortened(turn).chars().count();
        n_before == 0 || n_chars <= BATCH_CHARS
    });
    fits.count()
}

async fn summarise(
    before: Option<&str>,
    turns: &[Exchange<'_>],
    model: &dyn ChatModel,
    ctx: &TurnCtx,
) -> Result<String, NodeError> {
    let lines: String = turns.iter().map(shortened).collect();
    let task = format!(
        "Below are the summary of a conversation so far and the lines that were said after it. \
         Write one new summary of both, in the language of the conversation. Keep names, facts, \
         numbers, wishes, decisions and open questions. Write the summary and nothing else.\n\n\
         Summary so far:\n{}\n\nNew lines:\n{lines}\nNew summary:",
        before.unwrap_or("(none yet)")
    );
    let request = ChatRequest::new(vec![ModelMessage::text(Speaker::User, task)]);
    let reply = model.call(request, ctx, false).await?;
    match reply.text.trim() {
        // Going on with nothing would lose the turns.
        "" => Err(NodeError::UpstreamBroken {
            provider: "the memory's model".to_owned(),
            problem: "wrote an empty summary of the conversation".to_owned(),
        }),
        text => Ok(text.to_owned()),
    }
}

/// Both lines of a turn, each cut in its middle where it is too long.
fn shortened(turn: &Exchange<'_>) -> String {
    let cut = |text: &str| {
        let n_chars = text.chars().count();
        if n_chars <= TURN_CHARS / 2 {
            return text.to_owned();
        }
        let head: String = text.chars().take(TURN_CHARS / 4).collect();
        let tail: String = text.chars().skip(n_chars - TURN_CHARS / 4).collect();
        format!("{head} [...] {tail}")
    };
    let line = |(role, text): (Role, &str)| match role {
        Role::UserMessage => format!("Human: {}\n", cut(text)),
        Role::ApiMessage => format!("AI: {}\n", cut(text)),
    };
    turn.said().map(line).collect()
}

#[cfg(test)]
mod tests;
