//! `DELETE /api/v1/vector/{id}`: chunks of one vector store, by exactly one
//! selector. What cannot be understood deletes nothing.

use actix_web::{HttpRequest, HttpResponse, web};
use parlor_nodes::vector_stores::Selection;
use parlor_schemas::shown;
use serde_json::{Map, Value};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::flow::targets;
use crate::flow::upsert;
use crate::flow::upsert_work::StoreRemoval;
use crate::http::body;
use crate::http::chatflows::{self, object};
use crate::http::error::ApiError;
use crate::http::openapi::Deleted;
use crate::http::state::AppState;

/// Largest body in bytes.
const MAX_BODY: usize = 1 << 20;
/// Most ids at once.
const MAX_IDS: usize = 10_000;
/// Characters of a selector's name that an error repeats.
const MAX_SHOWN: usize = 40;
/// Longest origin in bytes.
const MAX_ORIGIN_BYTES: usize = 2_048;

/// Which chunks are deleted; exactly one of the last four.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
pub struct Selectors {
    /// The vector store by the id of its node, where the chatflow has several.
    pub stop_node_id: Option<String>,
    /// Chunks by their ids.
    pub ids: Option<Vec<Uuid>>,
    /// Chunks by their metadata, in the store's own language.
    #[schema(value_type = Option<Map<String, Value>>)]
    pub filter: Option<Map<String, Value>>,
    /// Chunks of a file, an address or a loader, by its name.
    pub origin: Option<String>,
    /// All that this chatflow put there: `true`.
    pub all: Option<bool>,
}

/// Takes chunks out of a vector store. The body's selectors may also stand in
/// the query: `ids` with commas, `filter` as JSON text.
///
/// # Errors
/// 400 for none, two, an empty or an unknown selector, and then nothing is
/// deleted; 404; 429 when too many upserts wait.
#[utoipa::path(
    delete, path = "/api/v1/vector/{id}", tag = "Vectors",
    params(("id" = parlor_schemas::ChatflowId, Path, description = "The chatflow")),
    request_body = Option<Selectors>,
    responses((status = 200, description = "How many are gone", body = Deleted))
)]
pub async fn remove(
    request: HttpRequest,
    id: web::Path<String>,
    query: web::Query<Vec<(String, String)>>,
    payload: web::Payload,
    state: web::Data<AppState>,
) -> Result<HttpResponse, ApiError> {
    let id = chatflows::find(&id, &state)?.id;
    let mut fields = object(body::read(&request, payload, MAX_BODY).await?)?;
    for (name, value) in query.into_inner() {
        let value = from_query(&name, value)?;
        if fields.insert(name.clone(), value).is_some() {
            return Err(ApiError::bad(format!("{} comes twice", shown(&name, MAX_SHOWN))));
        }
    }
    let wanted = targets::stop_nodes(fields.remove("stopNodeId").as_ref())?;
    let selection = selection(fields)?;
    let flow = state.flows.get(id)?;
    let handle = state.upserts.handle();
    // Before the work that it stands for: compiling large files is some.
    let permit = handle.admit()?;
    let targets = super::find_targets(&state, &flow, wanted).await?;
    let [target] = targets.as_slice() else {
        return Err(ApiError::bad("stopNodeId must name one vector store"));
    };
    let built = upsert::saved(&flow, target, &state.services).await?;
    let store = built.identity();
    let removal = handle.upsert(&permit, store, Box::new(StoreRemoval { built, selection }))?;
    let n_deleted = removal.await?.num_deleted;
    Ok(Deleted::answer(n_deleted))
}

fn from_query(name: &str, value: String) -> Result<Value, ApiError> {
    match name {
        "ids" => Ok(value.split(',').map(str::trim).collect()),
        "filter" => serde_json::from_str(&value).map_err(|_| ApiError::bad("filter must be JSON")),
        "all" if value == "true" => Ok(Value::Bool(true)),
        _ => Ok(Value::String(value)),
    }
}

fn selection(fields: Map<String, Value>) -> Result<Selection, ApiError> {
    let none = "name what to delete: one of ids, filter, origin, or all: true";
    let mut fields = fields.into_iter();
    let (name, value) = fields.next().ok_or_else(|| ApiError::bad(none))?;
    if let Some((other, _)) = fields.next() {
        let message = format!(
            "{} and {} are two selectors; {none}",
            shown(&name, MAX_SHOWN),
            shown(&other, MAX_SHOWN)
        );
        return Err(ApiError::bad(message));
    }
    let bad = |what: &str| ApiError::bad(format!("{name} must be {what}"));
    match (name.as_str(), value) {
        ("ids", Value::Array(ids)) if (1..=MAX_IDS).contains(&ids.len()) => {
            body::uuids(&ids).map(Selection::Ids).ok_or_else(|| bad("a list of UUIDs"))
        }
        ("ids", _) => Err(bad(&format!("a list of 1 to {MAX_IDS} UUIDs"))),
        ("filter", Value::Object(filter)) if !filter.is_empty() => {
            Ok(Selection::Filter(Value::Object(filter)))
        }
        ("filter", _) => Err(bad("an object that is not empty")),
        ("origin", Value::String(origin)) => match origin.trim() {
            origin if origin.is_empty() || origin.len() > MAX_ORIGIN_BYTES => {
                Err(bad(&format!("a name of 1 to {MAX_ORIGIN_BYTES} bytes")))
            }
            origin => Ok(Selection::Origin(origin.to_owned())),
        },
        ("origin", _) => Err(bad("a text")),
        ("all", Value::Bool(true)) => Ok(Selection::Everything),
        ("all", _) => Err(bad("true")),
        (other, _) => {
            Err(ApiError::bad(format!("{} selects nothing; {none}", shown(other, MAX_SHOWN))))
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(body: Value) -> Result<Selection, String> {
        let Value::Object(fields) = body else { panic!("an object") };
        selection(fields).map_err(|error| error.0.message)
    }

    #[test]
    fn exactly_one_selector_is_taken() {
        let id = Uuid::from_u128(7);
        let cases = [
            (json!({"ids": [id]}), Selection::Ids(vec![id])),
            (json!({"filter": {"source": "a"}}), Selection::Filter(json!({"source": "a"}))),
            (json!({"origin": " a.txt "}), Selection::Origin("a.txt".into())),
            (json!({"all": true}), Selection::Everything),
        ];
        for (body, expected) in cases {
            assert_eq!(read(body).unwrap(), expected);
        }
    }

    #[test]
    fn what_is_empty_unknown_doubled_or_of_another_type_is_refused_by_name() {
        for (body, part) in [
            (json!({}), "one of ids"),
            (json!({"all": true, "ids": []}), "two selectors"),
            (json!({"ids": []}), "ids must"),
            (json!({"ids": ["x"]}), "ids must"),
            (json!({"ids": "x"}), "ids must"),
            (json!({"filter": {}}), "filter must"),
            (json!({"filter": "x"}), "filter must"),
            (json!({"origin": " "}), "origin must"),
            (json!({"origin": 1}), "origin must"),
            (json!({"all": "true"}), "all must"),
            (json!({"all": false}), "all must"),
            (json!({"sessionId": "x"}), "sessionId selects nothing"),
        ] {
            let message = read(body.clone()).unwrap_err();
            assert!(message.contains(part), "{body}: {message}");
        }
    }

    #[test]
    fn a_query_says_the_same() {
        let id = Uuid::from_u128(7);
        assert_eq!(from_query("ids", format!("{id}, {id}")).unwrap(), json!([id, id]));
        assert_eq!(from_query("filter", "{\"a\":1}".into()).unwrap(), json!({"a": 1}));
        assert_eq!(from_query("all", "true".into()).unwrap(), json!(true));
        assert_eq!(from_query("all", "1".into()).unwrap(), json!("1"));
        assert!(from_query("filter", "{".into()).is_err());
    }
}
