//! A store in memory and a runner that tests script.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    missing_docs,
    reason = "tests may; each file of tests uses a part"
)]

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use futures::future::{BoxFuture, FutureExt, LocalBoxFuture};
use parlor_actors::{
    Append, HistoryStore, Limits, LoadedSession, SessionTail, SupervisorHandle, TurnOutcome,
    TurnRunner,
};
use parlor_schemas::{
    ChatId, ChatType, ChatflowId, ErrorCode, Fault, NewTurn, SessionId, SessionKey, Timestamp,
    TraceId, Turn, TurnReply, Usage,
};
use tokio_util::sync::CancellationToken;

/// Turns by session, in memory; fails on demand.
#[derive(Default)]
pub struct MemoryStore {
    pub sessions: Mutex<HashMap<SessionKey, Vec<Arc<Turn>>>>,
    pub fail_appends: Mutex<bool>,
    pub n_loads: Mutex<usize>,
}

impl MemoryStore {
    pub fn questions(&self, key: &SessionKey) -> Vec<String> {
        let sessions = self.sessions.lock().unwrap();
        let turns = sessions.get(key).map(Vec::as_slice).unwrap_or_default();
        turns.iter().map(|turn| turn.body.question.clone()).collect()
    }
}

impl HistoryStore for MemoryStore {
    fn load(&self, key: SessionKey, _: usize) -> BoxFuture<'static, Result<LoadedSession, Fault>> {
        *self.n_loads.lock().unwrap() += 1;
        let turns = self.sessions.lock().unwrap().get(&key).cloned().unwrap_or_default();
        let next_seq = turns.len() as u64;
        let turns = turns.iter().map(AsRef::as_ref).collect();
        let tail = SessionTail { turns, complete: true };
        async move { Ok(LoadedSession { tail, next_seq, epoch: 0 }) }.boxed()
    }

    fn append(&self, append: Append) -> BoxFuture<'static, Result<(), Fault>> {
        if *self.fail_appends.lock().unwrap() {
            return async { Err(Fault::new(ErrorCode::StoreFailed, "disk full")) }.boxed();
        }
        let mut sessions = self.sessions.lock().unwrap();
        let turns = sessions.entry(append.key).or_default();
        assert_eq!(append.seq, turns.len() as u64, "turns arrive in order");
        turns.push(append.turn);
        async { Ok(()) }.boxed()
    }

    fn forget(&self, key: SessionKey) -> BoxFuture<'static, Result<u64, Fault>> {
        let turns = self.sessions.lock().unwrap().remove(&key).unwrap_or_default();
        async move { Ok(turns.len() as u64 * 2) }.boxed()
    }
}

/// What a scripted turn does before it answers with the questions it saw.
pub enum Script {
    Answer,
    Wait(Duration),
    /// Keeps the thread of its shard busy.
    Work(Duration),
    UntilCancelled,
    Panic,
}

pub struct ScriptedTurn {
    pub question: String,
    pub script: Script,
}

impl TurnRunner for ScriptedTurn {
    fn chat_id(&self) -> Option<ChatId> {
        Some(chat())
    }

    fn run(
        self: Box<Self>,
        tail: SessionTail,
        cancel: CancellationToken,
    ) -> LocalBoxFuture<'static, Result<TurnOutcome, Fault>> {
        async move {
            match self.script {
                Script::Answer => {}
                Script::Wait(time) => tokio::time::sleep(time).await,
                Script::Work(time) => {
                    let end = Instant::now() + time;
                    while Instant::now() < end {
                        std::hint::spin_loop();
                    }
                }
                Script::UntilCancelled => cancel.cancelled().await,
                Script::Panic => panic!("scripted"),
            }
            let seen: Vec<_> = tail.turns.iter().map(|turn| turn.question).collect();
            Ok(outcome(&self.question, &seen.join(",")))
        }
        .boxed_local()
    }
}

fn outcome(question: &str, answer: &str) -> TurnOutcome {
    let id = uuid::Uuid::new_v4();
    let chat_id = chat();
    let record = NewTurn {
        question_id: uuid::Uuid::new_v4(),
        answer_id: id,
        question: question.into(),
        answer: answer.into(),
        asked_at: Timestamp::now(),
        answered_at: Timestamp::now(),
        chat_id: chat_id.clone(),
        chat_type: ChatType::External,
        memory_type: String::new(),
        lead_email: None,
        file_uploads: None,
        answer_columns: Default::default(),
        usage: Usage::default(),
        memory_state: None,
        follow_up_prompts: None,
    };
    let mut result = serde_json::Map::new();
    result.insert("text".into(), answer.into());
    let reply = TurnReply {
        result,
        question: question.into(),
        chat_id,
        chat_message_id: id,
        follow_up_prompts: None,
        is_stream_valid: false,
        session_id: "s".into(),
        memory_type: String::new(),
        usage: Usage::default(),
        trace_id: TraceId::random(),
    };
    TurnOutcome { record: Some(record), remembered: None, held: None, reply }
}

/// The chat of all scripted turns, whatever their sessions.
pub fn chat() -> ChatId {
    ChatId::parse("chat").unwrap()
}

pub fn key(session: &str) -> SessionKey {
    SessionKey {
        chatflow: ChatflowId::from_bytes([7; 16]),
        session: SessionId::parse(session).unwrap(),
    }
}

pub fn turn(question: &str, script: Script) -> Box<ScriptedTurn> {
    Box::new(ScriptedTurn { question: question.into(), script })
}

/// Runs a turn and returns the questions that it saw, joined by commas.
pub async fn ask(
    handle: &SupervisorHandle,
    session: &str,
    question: &str,
    script: Script,
) -> Result<String, Fault> {
    let reply = handle.run_turn(key(session), turn(question, script))?.await?;
    Ok(reply.result["text"].as_str().unwrap().to_owned())
}

/// Runs a test inside an actix system with a fresh store.
pub fn run<F: Future<Output = ()>>(
    limits: Limits,
    test: impl FnOnce(SupervisorHandle, Arc<MemoryStore>) -> F,
) {
    actix::System::new().block_on(async {
        let store = Arc::new(MemoryStore::default());
        let handle = SupervisorHandle::start(limits, store.clone()).await;
        test(handle.clone(), store).await;
        handle.stop();
    });
}
