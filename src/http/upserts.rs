//! `/api/v1/upserts`: the jobs that fill vector stores. Who may fill a
//! chatflow's stores and knows the unguessable id of a job may look at it and
//! stop it; listing them is the operator's.

use actix_web::{HttpRequest, HttpResponse, web};
use parlor_schemas::{
    ChatflowId, ErrorCode, JobError, Timestamp, UpsertJob, UpsertProgress, UpsertState,
};
use serde::Serialize;
use serde_json::{Map, Value, json};
use utoipa::ToSchema;
use uuid::Uuid;

use super::error::{ApiError, status};
use super::gate;
use super::listing::{self, Query, Selection};
use super::openapi::Deleted;
use super::state::AppState;
use crate::store::{RowPage, RowPageQuery, StoreError};

/// A job as its watchers see it.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct JobView {
    /// The id.
    pub id: Uuid,
    /// The chatflow.
    pub chatflow_id: ChatflowId,
    /// The vector stores by the ids of their nodes.
    pub stop_node_ids: Vec<String>,
    /// Where it is.
    pub state: UpsertState,
    /// How far it is.
    pub progress: UpsertProgress,
    /// The answer, once it is done. Documents that are too many to be kept are
    /// counted in `addedDocsOmitted`.
    #[schema(value_type = Option<Map<String, Value>>)]
    pub result: Option<Map<String, Value>>,
    /// Why it failed: `statusCode` and `message`, as an answer would have had them.
    #[schema(value_type = Option<Map<String, Value>>)]
    pub error: Option<Value>,
    /// When it arrived.
    pub created_date: Timestamp,
    /// When it ended.
    pub finished_date: Option<Timestamp>,
}

impl From<&UpsertJob> for JobView {
    fn from(job: &UpsertJob) -> Self {
        let error = |error: &JobError| json!({"statusCode": status(error.code).as_u16(), "message": error.message});
        Self {
            id: job.id,
            chatflow_id: job.chatflow_id,
            stop_node_ids: job.stop_node_ids.clone(),
            state: job.progress.state,
            progress: job.progress,
            result: job.result.clone(),
            error: job.error.as_ref().map(error),
            created_date: job.created_date,
            finished_date: job.finished_date,
        }
    }
}

/// The jobs of a chatflow, oldest first unless `order` says `DESC`; without
/// `chatflowId` those of all chatflows that are not over.
///
/// # Errors
/// 400 for an unknown parameter; 404.
#[utoipa::path(
    get, path = "/api/v1/upserts", tag = "Vectors",
    params(
        ("chatflowId" = Option<String>, Query, description = "The chatflow"),
        ("order" = Option<String>, Query, description = "ASC or DESC, by date"),
        ("startDate" = Option<String>, Query, description = "Oldest date"),
        ("endDate" = Option<String>, Query, description = "Newest date"),
    ),
    responses((status = 200, description = "Jobs", body = Vec<JobView>))
)]
pub async fn list(query: Query, state: web::Data<AppState>) -> Result<HttpResponse, ApiError> {
    let (flows, rest): (Vec<_>, Vec<_>) =
        query.into_inner().into_iter().partition(|(name, _)| name == "chatflowId");
    let flow = match flows.as_slice() {
        [] => None,
        [(_, id)] => Some(super::chatflows::find(id, &state)?.id),
        _ => return Err(ApiError::bad("chatflowId comes twice")),
    };
    let page = Selection::by_date(&rest)?;
    Ok(listing::respond(page, move |page| views(state.clone(), flow, page)))
}

async fn views(
    state: web::Data<AppState>,
    flow: Option<ChatflowId>,
    query: RowPageQuery,
) -> Result<RowPage<JobView>, StoreError> {
    // A job's answer may be long: few of them stand in memory together.
    let query = RowPageQuery { limit: 20, ..query };
    let mut page = state.store.upsert_jobs().page(flow, query).await?;
    state.upserts.bring_up_to_date(&mut page.rows);
    Ok(RowPage { rows: page.rows.iter().map(JobView::from).collect(), next: page.next })
}

/// How far a job is, or how it ended.
///
/// # Errors
/// 401 and 403 of the chatflow; 404.
#[utoipa::path(
    get, path = "/api/v1/upserts/{job}", tag = "Vectors",
    params(("job" = Uuid, Path, description = "The job")),
    responses((status = 200, description = "The job", body = JobView))
)]
pub async fn get(
    request: HttpRequest,
    id: web::Path<String>,
    state: web::Data<AppState>,
) -> Result<HttpResponse, ApiError> {
    let job = find(&request, &id, &state).await?;
    Ok(HttpResponse::Ok().json(JobView::from(&job)))
}

/// Stops a job; `affected` is 0 where it was over.
///
/// # Errors
/// 401 and 403 of the chatflow; 404.
#[utoipa::path(
    delete, path = "/api/v1/upserts/{job}", tag = "Vectors",
    params(("job" = Uuid, Path, description = "The job")),
    responses((status = 200, description = "Whether it was stopped", body = Deleted))
)]
pub async fn stop(
    request: HttpRequest,
    id: web::Path<String>,
    state: web::Data<AppState>,
) -> Result<HttpResponse, ApiError> {
    let job = find(&request, &id, &state).await?;
    let was_running = state.upserts.cancel(job.id).await;
    Ok(Deleted::answer(u64::from(was_running)))
}

async fn find(request: &HttpRequest, id: &str, state: &AppState) -> Result<UpsertJob, ApiError> {
    let unknown = || ApiError::new(ErrorCode::NotFound, "there is no upsert with that id");
    let id = Uuid::try_parse(id).map_err(|_| unknown())?;
    let job = state.upserts.get(id)?.ok_or_else(unknown)?;
    gate::check_upserts(request, job.chatflow_id).await?;
    Ok(job)
}
