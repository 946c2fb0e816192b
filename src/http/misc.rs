//! Small routes: signs of life, the version, the caller's address, and whether
//! a chatflow streams.

use actix_web::http::header;
use actix_web::{HttpRequest, HttpResponse, web};
use parlor_schemas::{ChatflowId, ErrorCode};
use serde_json::json;

use super::error::ApiError;
use super::state::AppState;
use crate::flow::cache::not_found;

/// The version of Flowise whose API is served; clients compare it.
const FLOWISE_VERSION: &str = "2.2.8";

/// `pong`.
pub async fn ping() -> HttpResponse {
    HttpResponse::Ok().content_type("text/html; charset=utf-8").body("pong")
}

/// The version that clients compare, and Parlor's own.
pub async fn version() -> HttpResponse {
    HttpResponse::Ok()
        .json(json!({"version": FLOWISE_VERSION, "parlor": env!("CARGO_PKG_VERSION")}))
}

/// The address that a call comes from, for people who set up a proxy.
pub async fn ip(request: HttpRequest) -> HttpResponse {
    let address = request.peer_addr().map(|peer| peer.ip().to_canonical());
    let message = "This is the address that your request came from, as the server sees it. \
                   If it is a proxy's and not your own, limits count all its users as one.";
    HttpResponse::Ok().json(json!({"ip": address, "msg": message}))
}

/// Whether a chatflow's answers can be streamed.
///
/// # Errors
/// 404; what is wrong with the flow.
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
        .insert_header((header::ACCESS_CONTROL_ALLOW_METHODS, "GET,HEAD,PUT,PATCH,POST,DELETE"));
    if let Some(wanted) = request.headers().get(header::ACCESS_CONTROL_REQUEST_HEADERS) {
        response.insert_header((header::ACCESS_CONTROL_ALLOW_HEADERS, wanted.clone()));
    }
    response.finish()
}

/// Everything that is no route.
pub async fn not_found_route() -> Result<HttpResponse, ApiError> {
    Err(ApiError::new(ErrorCode::NotFound, "there is no such route"))
}
