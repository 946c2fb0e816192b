//! What load balancers and schedulers ask: does the process live, and does it
//! take requests. Cheap, open to everybody, and silent about everything else.

use actix_web::http::header;
use actix_web::{HttpResponse, web};
use parlor_schemas::{ErrorCode, Fault};

use super::error;
use super::state::AppState;
use crate::drain;

/// Says that the process lives.
#[utoipa::path(
    get, path = "/healthz", tag = "Server",
    responses((status = 200, description = "ok", body = str, content_type = "text/plain"))
)]
pub async fn healthz() -> HttpResponse {
    ok()
}

/// Says whether the server takes requests: not while it stops, and not while
/// the store opens its database again after a failed write.
#[utoipa::path(
    get, path = "/readyz", tag = "Server",
    responses(
        (status = 200, description = "ok", body = str, content_type = "text/plain"),
        (status = 503, description = "Send requests elsewhere", body = super::openapi::ErrorBody),
    )
)]
pub async fn readyz(state: web::Data<AppState>) -> HttpResponse {
    if state.drain.is_draining() {
        return not_ready(drain::stopping());
    }
    if !state.store.is_open() {
        let message = "the store opens its database again; try again soon";
        return not_ready(Fault::new(ErrorCode::StoreFailed, message).retry_after(1));
    }
    ok()
}

fn ok() -> HttpResponse {
    HttpResponse::Ok()
        .content_type("text/plain; charset=utf-8")
        .insert_header((header::CACHE_CONTROL, "no-store"))
        .body("ok")
}

/// Not through the error's own way, which writes a line of the log: probes
/// come every second.
fn not_ready(fault: Fault) -> HttpResponse {
    let mut response = error::render(&fault);
    response
        .headers_mut()
        .insert(header::CACHE_CONTROL, header::HeaderValue::from_static("no-store"));
    response
}
