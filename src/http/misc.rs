//! Small routes: signs of life, the version, the caller's address, and whether
//! a chatflow streams.

use actix_web::http::header::{self, HeaderValue};
use actix_web::{HttpRequest, HttpResponse, ResponseError, web};
use parlor_schemas::{ChatflowId, ErrorCode};
use serde_json::json;
use utoipa::ToSchema;

use super::error::ApiError;
use super::state::AppState;
use crate::flow::cache::not_found;

/// The version of Flowise whose API is served; clients compare it.
const FLOWISE_VERSION: &str = "2.2.8";

/// What is served here.
#[derive(ToSchema)]
pub struct Version {
    /// The version of Flowise whose API this is.
    pub version: String,
    /// Parlor's own version.
    pub parlor: String,
}

/// Whether answers come in pieces.
#[derive(ToSchema)]
pub struct Streaming {
    /// True where `streaming: true` of a prediction is heeded.
    #[schema(rename = "isStreaming")]
    pub is_streaming: bool,
}

/// `pong`.
#[utoipa::path(
    get, path = "/api/v1/ping", tag = "Server",
    responses((status = 200, description = "pong", body = str, content_type = "text/html"))
)]
pub async fn ping() -> HttpResponse {
    HttpResponse::Ok().content_type("text/html; charset=utf-8").body("pong")
}

/// The version that clients compare, and Parlor's own.
#[utoipa::path(
    get, path = "/api/v1/version", tag = "Server",
    responses((status = 200, description = "Both versions", body = Version))
)]
pub async fn version() -> HttpResponse {
    HttpResponse::Ok()
        .json(json!({"version": FLOWISE_VERSION, "parlor": env!("CARGO_PKG_VERSION")}))
}

/// The address that rate limits count a caller by, so that an operator can
/// see whether the proxies are counted right.
#[utoipa::path(
    get, path = "/api/v1/ip", tag = "Server",
    responses((status = 200, description = "ip and msg", body = Value))
)]
pub async fn ip(request: HttpRequest, state: web::Data<AppState>) -> HttpResponse {
    let msg = "If this is not the address of the machine that you call from, NUMBER_OF_PROXIES is \
               not the number of proxies in front of the server: raise it by one and ask again.";
    HttpResponse::Ok().json(json!({"ip": state.limits.address(&request), "msg": msg}))
}

/// Whether a chatflow's answers can be streamed.
///
/// # Errors
/// 404; what is wrong with the flow.
#[utoipa::path(
    get, path = "/api/v1/chatflows-streaming/{id}", tag = "Predictions",
    params(("id" = ChatflowId, Path, description = "The chatflow")),
    responses((status = 200, description = "Whether it streams", body = Streaming))
)]
pub async fn streaming(
    id: web::Path<String>,
    state: web::Data<AppState>,
) -> Result<HttpResponse, ApiError> {
    let id = ChatflowId::parse(&id).map_err(|_| ApiError(not_found("with that id")))?;
    let plan = state.flows.get(id)?.plan.clone()?;
    Ok(HttpResponse::Ok().json(json!({"isStreaming": plan.can_stream})))
}

/// The answer to a preflight of a public route. The headers that the page
/// wants to send are allowed; credentials are not.
pub async fn preflight(request: HttpRequest) -> HttpResponse {
    let mut response = HttpResponse::NoContent();
    response
        .insert_header((header::VARY, "Origin, Access-Control-Request-Headers"))
        .insert_header((header::ACCESS_CONTROL_ALLOW_METHODS, "GET,HEAD,PUT,PATCH,POST,DELETE"));
    if let Some(wanted) = request.headers().get(header::ACCESS_CONTROL_REQUEST_HEADERS) {
        response.insert_header((header::ACCESS_CONTROL_ALLOW_HEADERS, wanted.clone()));
    }
    response.finish()
}

/// The same for a route of the operator, which has none unless the operator
/// has listed pages.
///
/// # Errors
/// 404 where no page is listed.
pub async fn operator_preflight(
    request: HttpRequest,
    state: web::Data<AppState>,
) -> Result<HttpResponse, ApiError> {
    if state.operator_origins.is_none() {
        return not_found_route().await;
    }
    let mut response = preflight(request.clone()).await;
    state.operator_origins.write(&request, response.headers_mut());
    Ok(response)
}

/// A path of the table, asked with a method that it does not have. `allowed`
/// are those that it has, with commas.
pub fn wrong_method(allowed: &HeaderValue) -> HttpResponse {
    let list = allowed.to_str().unwrap_or_default();
    let message = format!("this path does not have that method; it has {list}");
    let mut response = ApiError::new(ErrorCode::MethodNotAllowed, message).error_response();
    response.headers_mut().insert(header::ALLOW, allowed.clone());
    response
}

/// A query that cannot be read.
pub fn bad_query() -> actix_web::Error {
    ApiError::bad("the query cannot be read; give each parameter once").into()
}

/// Everything that is no route.
pub async fn not_found_route() -> Result<HttpResponse, ApiError> {
    Err(ApiError::new(ErrorCode::NotFound, "there is no such route"))
}
