//! `GET /api/v1/get-upload-file`: a file that somebody uploaded, to save, not
//! to show: what it is is not what its uploader says.

use std::fs::File;
use std::io::Read;

use actix_web::body::SizedStream;
use actix_web::http::header;
use actix_web::{HttpResponse, web};
use bytes::Bytes;
use futures::stream::{self, Stream};
use parlor_schemas::{ChatId, ChatflowId, ErrorCode};

use super::error::ApiError;
use super::state::{AppState, off_arbiter};
use crate::store::blobs::{BlobFolder, BlobName};

/// What is read and sent at once.
const PIECE_BYTES: usize = 64 * 1024;

/// Kept as pairs, so that a parameter that comes twice is noticed.
type Query = web::Query<Vec<(String, String)>>;

/// Sends a file.
///
/// # Errors
/// 400 naming the parameter; 404.
#[utoipa::path(
    get, path = "/api/v1/get-upload-file", tag = "Widget",
    params(
        ("chatflowId" = parlor_schemas::ChatflowId, Query, description = "The chatflow"),
        ("chatId" = String, Query, description = "The chat"),
        ("fileName" = String, Query, description = "Its name"),
    ),
    responses((status = 200, description = "The file", content_type = "application/octet-stream"))
)]
pub async fn get(query: Query, state: web::Data<AppState>) -> Result<HttpResponse, ApiError> {
    let text = |name: &str| {
        let mut found = query.iter().filter(|(key, _)| key == name);
        match (found.next(), found.next()) {
            (Some((_, value)), None) => Ok(value.as_str()),
            _ => Err(ApiError::bad(format!("{name} must be given once"))),
        }
    };
    let bad = |name: &str, why: &dyn std::fmt::Display| ApiError::bad(format!("{name}: {why}"));
    let flow = ChatflowId::parse(text("chatflowId")?).map_err(|why| bad("chatflowId", &why))?;
    let chat = ChatId::parse(text("chatId")?).map_err(|why| bad("chatId", &why))?;
    let folder = BlobFolder::checked(flow, &chat).map_err(|why| bad("chatId", &why))?;
    let name = BlobName::of_request(text("fileName")?).map_err(|why| bad("fileName", &why))?;
    let missing = format!("File {name} not found");
    let disposition = disposition(name.as_str());
    let blobs = state.store.blobs().clone();
    let found = off_arbiter(move || blobs.file(&folder, &name).map(open)).await??;
    let (file, length, head) = found.ok_or_else(|| ApiError::new(ErrorCode::NotFound, missing))?;
    let response = HttpResponse::Ok()
        .insert_header((header::CONTENT_DISPOSITION, disposition))
        .insert_header((header::CONTENT_TYPE, media_type(&head)))
        .insert_header((header::X_CONTENT_TYPE_OPTIONS, "nosniff"))
        .insert_header((header::CONTENT_SECURITY_POLICY, "default-src 'none'; sandbox"))
        .insert_header((header::CACHE_CONTROL, "private"))
        .body(SizedStream::new(length, pieces(file, head, length)));
    Ok(response)
}

/// A file with its first piece.
fn open(found: Option<(File, u64)>) -> Option<(File, u64, Bytes)> {
    let (mut file, length) = found?;
    let head = piece(&mut file, length).ok()?;
    Some((file, length, head))
}

fn piece(file: &mut File, left: u64) -> std::io::Result<Bytes> {
    let mut bytes = Vec::new();
    file.take(left.min(PIECE_BYTES as u64)).read_to_end(&mut bytes)?;
    Ok(bytes.into())
}

/// The file piece by piece: a large one never stands in memory.
fn pieces(
    file: File,
    head: Bytes,
    length: u64,
) -> impl Stream<Item = Result<Bytes, actix_web::Error>> {
    let first = (file, Some(head), length);
    stream::try_unfold(first, |(mut file, head, left)| async move {
        if left == 0 {
            return Ok(None);
        }
        let (file, bytes) = match head {
            Some(head) => (file, head),
            None => {
                let read = move || piece(&mut file, left).map(|bytes| (file, bytes));
                web::block(read).await.map_err(actix_web::Error::from)??
            }
        };
        let left = left.saturating_sub(bytes.len() as u64);
        // A file that became shorter ends early, and its client notices.
        Ok((!bytes.is_empty()).then_some((bytes, (file, None, left))))
    })
}

/// Pictures that a browser draws and does nothing else with, by their first
/// bytes; anything else is bytes.
fn media_type(head: &[u8]) -> &'static str {
    match head {
        [0x89, b'P', b'N', b'G', ..] => "image/png",
        [0xff, 0xd8, 0xff, ..] => "image/jpeg",
        [b'G', b'I', b'F', b'8', ..] => "image/gif",
        [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'E', b'B', b'P', ..] => "image/webp",
        _ => "application/octet-stream",
    }
}

/// The name twice (RFC 6266): plain for old clients, and percent-encoded with
/// all its characters.
fn disposition(name: &str) -> String {
    let plain: String = name
        .chars()
        .map(|ch| if ch.is_ascii_graphic() || ch == ' ' { ch } else { '_' })
        .map(|ch| if matches!(ch, '"' | '\\' | '%') { '_' } else { ch })
        .collect();
    let encoded: String = name
        .bytes()
        .map(|byte| match byte {
            b'0'..=b'9' | b'a'..=b'z' | b'A'..=b'Z' | b'-' | b'.' | b'_' => {
                char::from(byte).to_string()
            }
            _ => format!("%{byte:02X}"),
        })
        .collect();
    if plain == name {
        return format!("attachment; filename=\"{plain}\"");
    }
    format!("attachment; filename=\"{plain}\"; filename*=UTF-8''{encoded}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_cannot_leave_its_header() {
        assert_eq!(disposition("dot.png"), "attachment; filename=\"dot.png\"");
        let expected = "attachment; filename=\"Gr__e ___.txt\"; \
             filename*=UTF-8''Gr%C3%BC%C3%9Fe%20%22%5C%25.txt";
        assert_eq!(disposition("Grüße \"\\%.txt"), expected);
    }

    #[test]
    fn only_pictures_have_a_type_and_only_by_their_bytes() {
        assert_eq!(media_type(b"\x89PNG\r\n"), "image/png");
        assert_eq!(media_type(b"<html><script>"), "application/octet-stream");
        assert_eq!(media_type(b"<svg onload=x>"), "application/octet-stream");
        assert_eq!(media_type(b""), "application/octet-stream");
    }
}
