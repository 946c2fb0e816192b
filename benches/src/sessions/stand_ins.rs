//! A store that keeps nothing, and a turn that asks no model.

use futures::future::{BoxFuture, LocalBoxFuture, ready};
use parlor_actors::{Append, HistoryStore, LoadedSession, SessionTail, TurnOutcome, TurnRunner};
use parlor_schemas::{
    ChatId, ChatType, ErrorCode, Fault, NewTurn, SessionKey, Timestamp, TraceId, TurnReply, Usage,
};
use serde_json::Map;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// Says yes to every turn.
pub(super) struct Forgetful;

impl HistoryStore for Forgetful {
    fn load(&self, _: SessionKey, _: usize) -> BoxFuture<'static, Result<LoadedSession, Fault>> {
        let tail = SessionTail { complete: true, ..SessionTail::default() };
        Box::pin(ready(Ok(LoadedSession { tail, ..LoadedSession::default() })))
    }

    fn append(&self, _: Append) -> BoxFuture<'static, Result<(), Fault>> {
        Box::pin(ready(Ok(())))
    }

    fn forget(&self, _: SessionKey) -> BoxFuture<'static, Result<u64, Fault>> {
        Box::pin(ready(Ok(0)))
    }
}

/// A turn that fails unless its session remembers as many turns as it had.
pub(super) struct ShortTurn {
    pub(super) number: u128,
    pub(super) n_before: usize,
}

impl TurnRunner for ShortTurn {
    fn run(
        self: Box<Self>,
        tail: SessionTail,
        _: CancellationToken,
    ) -> LocalBoxFuture<'static, Result<TurnOutcome, Fault>> {
        // A long conversation says itself that its beginning is only in the store.
        let outcome = match tail.turns.len() == self.n_before || !tail.complete {
            true => Ok(self.outcome()),
            false => Err(Fault::new(ErrorCode::Internal, "a session forgot a turn")),
        };
        Box::pin(ready(outcome))
    }
}

impl ShortTurn {
    fn outcome(&self) -> TurnOutcome {
        let chat_id = ChatId::random();
        let (question_id, answer_id) = (Uuid::new_v4(), Uuid::new_v4());
        let question = format!("{:>40}", self.number);
        let reply = TurnReply {
            result: Map::new(),
            question: question.clone(),
            chat_id: chat_id.clone(),
            chat_message_id: answer_id,
            follow_up_prompts: None,
            is_stream_valid: false,
            session_id: String::new(),
            memory_type: "Buffer Memory".to_owned(),
            usage: Usage::default(),
            trace_id: TraceId::random(),
        };
        let record = NewTurn {
            question_id,
            answer_id,
            question,
            answer: format!("{:>80}", self.n_before),
            asked_at: Timestamp::now(),
            answered_at: Timestamp::now(),
            chat_id,
            chat_type: ChatType::External,
            memory_type: reply.memory_type.clone(),
            lead_email: None,
            file_uploads: None,
            answer_columns: Map::new(),
            usage: Usage { input_tokens: 100, output_tokens: 20 },
            memory_state: None,
            follow_up_prompts: None,
        };
        TurnOutcome { record: Some(record), reply, remembered: None, held: None }
    }
}
