//! Multipart bodies within their limits: fields, and files in the field `files`.

use actix_web::HttpRequest;
use actix_web::http::header;
use actix_web::web::Payload;
use bytes::Bytes;
use parlor_schemas::prediction::MAX_UPLOADS;
use parlor_schemas::{ErrorCode, shown};
use serde_json::{Map, Value};

use super::body;
use super::error::ApiError;
use super::form;
use crate::flow::uploads::FormFile;

/// Longest value of a field that is no file.
const MAX_FIELD_BYTES: usize = 1 << 20;

/// A body of any kind that a prediction may have.
pub struct Incoming {
    /// The body as JSON.
    pub body: Value,
    /// The files that came along.
    pub files: Vec<FormFile>,
}

/// Reads a body of a prediction: JSON, a form, or a form with files.
///
/// # Errors
/// 400, 413 or 415, naming what is wrong.
pub async fn read_any(
    request: &HttpRequest,
    payload: Payload,
    limit: usize,
) -> Result<Incoming, ApiError> {
    if !is_multipart(request) {
        let body = body::read(request, payload, limit).await?;
        return Ok(Incoming { body, files: Vec::new() });
    }
    let (mut body, files) = read(request, payload, limit).await?;
    if !files.is_empty() {
        form::flat_fields_as_overrides(&mut body)?;
    }
    Ok(Incoming { body: Value::Object(body), files })
}

/// Reads a multipart body.
///
/// # Errors
/// As of [`read_any`].
pub async fn read(
    request: &HttpRequest,
    payload: Payload,
    limit: usize,
) -> Result<(Map<String, Value>, Vec<FormFile>), ApiError> {
    let boundary = content_type(request).and_then(|kind| multer::parse_boundary(kind).ok());
    let boundary = boundary.ok_or_else(|| ApiError::bad("the multipart form has no boundary"))?;
    // In one piece: handed over in many, the parser would look at them again and again.
    let bytes = body::read_bytes(request, payload, limit).await?;
    parts(&boundary, bytes).await
}

/// The parts of a whole body.
pub(super) async fn parts(
    boundary: &str,
    bytes: Bytes,
) -> Result<(Map<String, Value>, Vec<FormFile>), ApiError> {
    let broken = |_| ApiError::bad("the body is no valid multipart form");
    let once = futures::stream::once(async move { Ok::<Bytes, std::convert::Infallible>(bytes) });
    let mut parts = multer::Multipart::new(once, boundary);
    let (mut fields, mut files) = (Vec::new(), Vec::new());
    while let Some(part) = parts.next_field().await.map_err(broken)? {
        let name = part.name().unwrap_or_default().to_owned();
        if fields.len() + files.len() >= form::MAX_FIELDS {
            return Err(ApiError::bad(format!(
                "a form may have at most {} parts",
                form::MAX_FIELDS
            )));
        }
        match part.file_name().map(str::to_owned) {
            // A browser sends an empty file where none was chosen.
            Some(file) if file.is_empty() => {}
            Some(file) => {
                check_file(&name, files.len())?;
                let mime = part.headers().get("content-type").and_then(|mime| mime.to_str().ok());
                let mime = mime.unwrap_or("text/plain").to_owned();
                files.push(FormFile {
                    name: file,
                    mime,
                    bytes: part.bytes().await.map_err(broken)?,
                });
            }
            None if name == "files" => {
                return Err(ApiError::bad("files holds a text where a file with a name belongs"));
            }
            None => fields.push((name, field(part).await?)),
        }
    }
    Ok((form::body(fields)?, files))
}

fn check_file(field: &str, n_files: usize) -> Result<(), ApiError> {
    if field != "files" {
        return Err(ApiError::bad(format!(
            "the file in the field \"{}\" is not taken; send files in the field files",
            shown(field, 40)
        )));
    }
    if n_files >= MAX_UPLOADS {
        return Err(ApiError::bad(format!("files holds more than {MAX_UPLOADS} files")));
    }
    Ok(())
}

async fn field(part: multer::Field<'_>) -> Result<String, ApiError> {
    let bytes = part.bytes().await.map_err(|_| ApiError::bad("the multipart form broke off"))?;
    if bytes.len() > MAX_FIELD_BYTES {
        let message = format!("a form field is larger than {} KiB", MAX_FIELD_BYTES / 1024);
        return Err(ApiError::new(ErrorCode::TooLarge, message));
    }
    String::from_utf8(bytes.into()).map_err(|_| ApiError::bad("a form field is no valid UTF-8"))
}

/// Whether the body says that it is a multipart form.
pub fn is_multipart(request: &HttpRequest) -> bool {
    let kind = content_type(request).unwrap_or_default();
    let kind = kind.split(';').next().unwrap_or_default().trim();
    kind.eq_ignore_ascii_case("multipart/form-data")
}

fn content_type(request: &HttpRequest) -> Option<&str> {
    request.headers().get(header::CONTENT_TYPE)?.to_str().ok()
}
