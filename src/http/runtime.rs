//! `GET /api/v1/runtime`: the supervisors and what they have to do, for the
//! operator. Names only of the busiest; never a word of a conversation.

use std::time::UNIX_EPOCH;

use actix_web::http::header;
use actix_web::{HttpResponse, web};
use parlor_actors::Load;
use parlor_actors::view::{Busy, ShardView, busiest};
use parlor_schemas::{ChatflowId, SessionKey, Timestamp};
use serde::Serialize;
use utoipa::ToSchema;

use super::state::AppState;
use crate::metrics::process;

/// Sessions and stores that are shown by name.
const MOST_SHOWN: usize = 100;

/// The server at one moment.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Runtime {
    /// Parlor's own version.
    pub version: &'static str,
    /// When the server started.
    pub started_date: Timestamp,
    /// Seconds since then.
    pub uptime_s: u64,
    /// Memory in use, where the system tells it.
    pub resident_bytes: Option<u64>,
    /// Whether it finishes what runs and takes nothing new.
    pub draining: bool,
    /// False while the store opens its database again after a failed write.
    pub store_open: bool,
    /// Predictions and upserts that are not answered yet.
    pub unanswered: usize,
    /// Streams that are open.
    pub open_streams: u64,
    /// The turns.
    pub turns: Work,
    /// The arbiters of sessions.
    pub shards: Vec<Shard>,
    /// The sessions with the most work, at most 100.
    pub busiest_sessions: Vec<Session>,
    /// The upserts.
    pub upserts: Work,
    /// Upserts of each vector store that is being filled, at most 100.
    pub upserts_by_store: Vec<Store>,
    /// How much is taken on.
    pub limits: Bounds,
}

/// Work of one kind.
#[derive(Serialize, ToSchema)]
pub struct Work {
    /// What runs.
    pub running: usize,
    /// What waits.
    pub waiting: usize,
    /// How much may run or wait.
    pub limit: usize,
}

/// The sessions of one arbiter.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Shard {
    /// Sessions in memory.
    pub live_sessions: usize,
    /// Work that runs or waits in them.
    pub pending: usize,
}

/// A session that has work.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Session {
    /// Its chatflow.
    pub chatflow_id: ChatflowId,
    /// Its id.
    pub session_id: String,
    /// What runs or waits in it.
    pub pending: usize,
}

/// A vector store that is being filled.
#[derive(Serialize, ToSchema)]
pub struct Store {
    /// Its type, address and collection.
    pub store: String,
    /// What runs or waits for it.
    pub pending: usize,
}

/// How much is taken on, but for what stands at its work.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Bounds {
    /// Turns of one chatflow that run or wait.
    pub chatflow_turns: usize,
    /// Turns that one API key opened.
    pub key_turns: usize,
    /// Turns that may wait in one session.
    pub session_queue: usize,
    /// Sessions that one arbiter keeps in memory.
    pub live_sessions_per_shard: usize,
    /// Seconds of rest after which a session leaves memory.
    pub session_idle_s: u64,
    /// Upserts that run at the same time.
    pub running_upserts: usize,
    /// Bytes of a body.
    pub body_bytes: usize,
    /// Bytes of an uploaded image.
    pub image_bytes: usize,
}

/// The server at this moment.
#[utoipa::path(
    get, path = "/api/v1/runtime", tag = "Server",
    responses((status = 200, description = "The supervisors and their work", body = Runtime))
)]
pub async fn runtime(state: web::Data<AppState>) -> HttpResponse {
    let shards = state.supervisor.describe(MOST_SHOWN).await;
    let stores = state.upserts.handle().describe(MOST_SHOWN).await;
    let started = state.metrics.started;
    let started_ms = started.duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
    let view = Runtime {
        version: env!("CARGO_PKG_VERSION"),
        started_date: Timestamp::from_millis(started_ms as i64),
        uptime_s: started.elapsed().unwrap_or_default().as_secs(),
        resident_bytes: process::resident_bytes(),
        draining: state.drain.is_draining(),
        store_open: state.store.is_open(),
        unanswered: state.drain.n_visits(),
        open_streams: state.metrics.streams.now(),
        turns: state.supervisor.load().into(),
        shards: shards.iter().map(Shard::from).collect(),
        busiest_sessions: sessions(shards),
        upserts: state.upserts.handle().load().into(),
        upserts_by_store: stores
            .into_iter()
            .map(|busy| Store { store: busy.what.to_string(), pending: busy.n_pending })
            .collect(),
        limits: bounds(&state),
    };
    HttpResponse::Ok().insert_header((header::CACHE_CONTROL, "no-store")).json(view)
}

/// The busiest of all shards together.
fn sessions(shards: Vec<ShardView>) -> Vec<Session> {
    let all = shards.into_iter().flat_map(|shard| shard.busiest).collect();
    busiest(all, MOST_SHOWN).into_iter().map(Session::from).collect()
}

fn bounds(state: &AppState) -> Bounds {
    let (turns, upserts) = (state.supervisor.limits(), state.upserts.handle().limits());
    Bounds {
        chatflow_turns: turns.max_chatflow_turns,
        key_turns: turns.max_key_turns,
        session_queue: turns.max_session_queue,
        live_sessions_per_shard: turns.max_live_sessions,
        session_idle_s: turns.idle_after.as_secs(),
        running_upserts: upserts.max_running,
        body_bytes: state.body_limit,
        image_bytes: state.image_limit,
    }
}

impl From<Load> for Work {
    fn from(load: Load) -> Self {
        Self { running: load.n_running, waiting: load.n_waiting, limit: load.max }
    }
}

impl From<&ShardView> for Shard {
    fn from(shard: &ShardView) -> Self {
        Self { live_sessions: shard.n_live, pending: shard.n_pending }
    }
}

impl From<Busy<SessionKey>> for Session {
    fn from(busy: Busy<SessionKey>) -> Self {
        let (chatflow_id, session_id) = (busy.what.chatflow, busy.what.session.to_string());
        Self { chatflow_id, session_id, pending: busy.n_pending }
    }
}
