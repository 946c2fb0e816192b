//! Deletes messages that are older than their chatflow keeps them: at the
//! start of a server and once a day. And every hour the answers that were kept
//! for repetitions of their requests.

use std::time::Duration;

use parlor_schemas::{Chatflow, MessageFilter, Timestamp};

use crate::flow::keeping::Keeping;
use crate::http::state::AppState;
use crate::store::StoreError;

const AN_HOUR: Duration = Duration::from_secs(60 * 60);
const HOURS_A_DAY: u32 = 24;

/// Runs for as long as the server.
pub async fn run(state: actix_web::web::Data<AppState>) {
    loop {
        apply(&state, Timestamp::now()).await;
        for _ in 0..HOURS_A_DAY {
            forget_old_answers(&state, Timestamp::now()).await;
            tokio::time::sleep(AN_HOUR).await;
        }
    }
}

/// Deletes the answers that no repetition gets any more at `now`.
async fn forget_old_answers(state: &AppState, now: Timestamp) {
    if let Err(error) = state.store.history().forget_old_answers(now).await {
        tracing::warn!("remembered answers that are too old are not deleted: {error}");
    }
}

/// Deletes what is too old at `now`, in all chatflows. What fails is logged
/// and tried again the next day.
pub async fn apply(state: &AppState, now: Timestamp) {
    let flows = match state.store.chatflows().list() {
        Ok(flows) => flows,
        Err(error) => return tracing::warn!("old messages are not deleted: {error}"),
    };
    for flow in flows {
        match apply_to(state, &flow, now).await {
            Ok(0) => {}
            Ok(n) => tracing::info!(chatflow = %flow.id, "{n} messages were too old; deleted"),
            Err(error) => {
                tracing::warn!(chatflow = %flow.id, "old messages are not deleted: {error}");
            }
        }
    }
}

async fn apply_to(state: &AppState, flow: &Chatflow, now: Timestamp) -> Result<u64, StoreError> {
    let keeping = Keeping::of(flow).unwrap_or_else(|problem| {
        tracing::warn!(chatflow = %flow.id, "messages are kept for ever: {problem}");
        Keeping { stores: true, retention_days: None }
    });
    let Some(to) = keeping.delete_up_to(now) else { return Ok(0) };
    let filter = MessageFilter { to: Some(to), ..MessageFilter::default() };
    state.delete_messages(flow.id, filter).await
}
