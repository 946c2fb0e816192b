//! Errors as Flowise's JSON body, with the right status.

use actix_web::http::{StatusCode, header};
use actix_web::{HttpResponse, ResponseError};
use parlor_schemas::{ErrorCode, Fault};
use serde_json::json;

use super::passage::RequestId;
use crate::store::StoreError;

/// The one error of all handlers.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct ApiError(pub Fault);

impl ApiError {
    /// A new error.
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self(Fault::new(code, message))
    }

    /// A request that names a wrong value.
    pub fn bad(message: impl Into<String>) -> Self {
        Self::new(ErrorCode::BadRequest, message)
    }

    /// A path that lacks its id, in the words of Flowise's function (contract 0.3).
    pub fn no_id(function: &str) -> Self {
        let message = format!("Error: {function} - id not provided!");
        Self::new(ErrorCode::PreconditionFailed, message)
    }
}

impl From<Fault> for ApiError {
    fn from(fault: Fault) -> Self {
        Self(fault)
    }
}

impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> Self {
        Self(error.into())
    }
}

/// The table of statuses.
pub fn status(code: ErrorCode) -> StatusCode {
    match code {
        ErrorCode::BadRequest => StatusCode::BAD_REQUEST,
        ErrorCode::Unauthorized => StatusCode::UNAUTHORIZED,
        ErrorCode::Forbidden => StatusCode::FORBIDDEN,
        ErrorCode::NotFound => StatusCode::NOT_FOUND,
        ErrorCode::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
        ErrorCode::Conflict => StatusCode::CONFLICT,
        ErrorCode::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
        ErrorCode::TooSlow => StatusCode::REQUEST_TIMEOUT,
        ErrorCode::UnsupportedMediaType => StatusCode::UNSUPPORTED_MEDIA_TYPE,
        ErrorCode::PreconditionFailed => StatusCode::PRECONDITION_FAILED,
        ErrorCode::LimitExceeded | ErrorCode::UpstreamLimited => StatusCode::TOO_MANY_REQUESTS,
        ErrorCode::Overloaded | ErrorCode::UpstreamPaused => StatusCode::SERVICE_UNAVAILABLE,
        ErrorCode::UnsupportedNode => StatusCode::NOT_IMPLEMENTED,
        // The chatflow, not the request, is wrong; its operator has to act.
        ErrorCode::InvalidFlow | ErrorCode::MissingCredential | ErrorCode::KeyReused => {
            StatusCode::UNPROCESSABLE_ENTITY
        }
        ErrorCode::UpstreamFailed => StatusCode::BAD_GATEWAY,
        ErrorCode::UpstreamTimeout => StatusCode::GATEWAY_TIMEOUT,
        // No standard status says that the caller aborted; 409 is the nearest.
        ErrorCode::Cancelled => StatusCode::CONFLICT,
        ErrorCode::StoreFailed => StatusCode::SERVICE_UNAVAILABLE,
        ErrorCode::Internal => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

impl ResponseError for ApiError {
    fn status_code(&self) -> StatusCode {
        status(self.0.code)
    }

    fn error_response(&self) -> HttpResponse {
        log(&self.0, RequestId::current().as_ref());
        render(&self.0)
    }
}

/// Writes the log's line of an error that is the server's or its provider's.
pub fn log(fault: &Fault, request: Option<&RequestId>) {
    if status(fault.code).is_server_error() {
        let request = request.map(tracing::field::display);
        tracing::warn!(request, code = ?fault.code, "{}", fault.for_log());
    }
}

/// The answer to an error.
pub fn render(fault: &Fault) -> HttpResponse {
    let status = status(fault.code);
    let mut response = HttpResponse::build(status);
    if let Some(seconds) = fault.retry_after_s {
        response.insert_header((header::RETRY_AFTER, seconds));
    }
    response.json(json!({
        "statusCode": status.as_u16(),
        "success": false,
        "message": fault.message,
        "stack": {},
    }))
}
