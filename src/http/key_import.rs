//! `POST /api/v1/apikey/import`: keys of Flowise's `api.json`.

use actix_web::{HttpRequest, HttpResponse, web};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use parlor_schemas::{ErrorCode, Scope, Timestamp};
use serde_json::{Map, Value};

use super::chatflows::{object, text};
use super::error::ApiError;
use super::state::AppState;
use super::{apikey, body, key_fields};
use crate::store::{ImportMode, ImportOutcome, ImportedKey, ImportedSecret};

const BODY_LIMIT: usize = 1024 * 1024;

/// Each of these makes the first use of every other one slower.
const MOST_HASHES: usize = 50;

/// Keys to import.
#[derive(utoipa::ToSchema)]
#[schema(rename_all = "camelCase")]
pub struct KeyImport {
    /// `data:application/json;base64,...`: the rows of Flowise's `api.json`.
    pub json_file: String,
    /// `replaceAll`, `overwriteIfExist`, `ignoreIfExist` or `errorIfExist`.
    pub import_mode: String,
    /// What the keys open; everything without it.
    pub scopes: Option<Vec<Scope>>,
}

/// Imports keys: `{jsonFile, importMode, scopes?}`. Keys in clear go on
/// working; where there is only Flowise's hash, the key is known after its
/// first use. Without scopes they open everything, as they did in Flowise.
///
/// # Errors
/// 400 naming the row; 409 where a key exists and that is an error.
#[utoipa::path(
    post, path = "/api/v1/apikey/import", tag = "API keys",
    request_body = KeyImport,
    responses((status = 200, description = "All keys", body = Vec<apikey::ApiKeyRow>))
)]
pub async fn import(
    request: HttpRequest,
    payload: web::Payload,
    state: web::Data<AppState>,
) -> Result<HttpResponse, ApiError> {
    let mut fields = object(body::read(&request, payload, BODY_LIMIT).await?)?;
    let mode = mode(&mut fields)?;
    let scopes = key_fields::scopes(&mut fields)?.unwrap_or_else(|| Scope::ALL.to_vec());
    let keys = rows(&mut fields, &scopes)?;
    match state.write(move |store| store.api_keys().import(keys, mode)).await? {
        ImportOutcome::Done => apikey::all(&state, None),
        ImportOutcome::Exists(name) => {
            let message = format!("Key with name {name} already exists; nothing was imported");
            Err(ApiError::new(ErrorCode::Conflict, message))
        }
        ImportOutcome::Twice(name) => {
            let message = format!("the key {name} has the id or the secret of another in the file");
            Err(ApiError::bad(message))
        }
    }
}

fn mode(fields: &mut Map<String, Value>) -> Result<ImportMode, ApiError> {
    match text(fields, "importMode")?.as_deref() {
        Some("replaceAll") => Ok(ImportMode::ReplaceAll),
        Some("overwriteIfExist") => Ok(ImportMode::OverwriteIfExist),
        Some("ignoreIfExist") => Ok(ImportMode::IgnoreIfExist),
        Some("errorIfExist") => Ok(ImportMode::ErrorIfExist),
        _ => Err(ApiError::bad(
            "importMode must be replaceAll, overwriteIfExist, ignoreIfExist or errorIfExist",
        )),
    }
}

fn rows(fields: &mut Map<String, Value>, scopes: &[Scope]) -> Result<Vec<ImportedKey>, ApiError> {
    let file = text(fields, "jsonFile")?.ok_or_else(|| ApiError::bad("jsonFile is missing"))?;
    let bad =
        || ApiError::bad("jsonFile must be data:application/json;base64,... with a list of keys");
    let encoded = file.strip_prefix("data:application/json").ok_or_else(bad)?;
    let (_, encoded) = encoded.split_once(";base64,").ok_or_else(bad)?;
    let bytes = BASE64_STANDARD.decode(encoded.trim()).map_err(|_| bad())?;
    let Ok(Value::Array(rows)) = serde_json::from_slice(&bytes) else { return Err(bad()) };
    let hashed = |row: &&Value| row["apiKey"].as_str().unwrap_or("").is_empty();
    if rows.iter().filter(hashed).count() > MOST_HASHES {
        let message = format!("at most {MOST_HASHES} keys can be imported without their apiKey");
        return Err(ApiError::bad(message));
    }
    let numbered = rows.into_iter().zip(1..);
    numbered
        .map(|(row, number)| {
            row_of(row, scopes)
                .map_err(|why| ApiError::bad(format!("key {number} of jsonFile: {why}")))
        })
        .collect()
}

/// One row: `{keyName, apiKey, apiSecret, createdAt, id}`. What else a row has
/// is left alone.
fn row_of(row: Value, scopes: &[Scope]) -> Result<ImportedKey, &'static str> {
    let field = |name: &str| row[name].as_str().filter(|text| !text.is_empty());
    let id = field("id");
    let is_id = |id: &str| matches!(id.len(), 32 | 36) && uuid::Uuid::try_parse(id).is_ok();
    if id.is_some_and(|id| !is_id(id)) {
        return Err("id must be 32 hex digits or a UUID");
    }
    let name = field("keyName").filter(|name| name.len() <= 200);
    let created = field("createdAt")
        .and_then(|date| Timestamp::from_short_date(date).or_else(|| Timestamp::parse(date)));
    Ok(ImportedKey {
        id: id.map(str::to_owned),
        name: name.ok_or("keyName is missing or too long")?.to_owned(),
        secret: secret(field("apiKey"), field("apiSecret"))?,
        scopes: scopes.to_vec(),
        created_date: created.unwrap_or_else(Timestamp::now),
    })
}

fn secret(plain: Option<&str>, hash: Option<&str>) -> Result<ImportedSecret, &'static str> {
    match (plain, hash) {
        (Some(plain), _) if plain.ends_with("...") => Err("apiKey is masked, not the key itself"),
        (Some(plain), _)
            if plain.len() > 512 || plain.bytes().any(|byte| !byte.is_ascii_graphic()) =>
        {
            Err("apiKey is no key")
        }
        (Some(plain), _) => Ok(ImportedSecret::plain(plain)),
        (None, Some(hash)) => {
            ImportedSecret::flowise_hash(hash).ok_or("apiSecret is no hash of Flowise")
        }
        (None, None) => Err("apiKey is missing"),
    }
}
