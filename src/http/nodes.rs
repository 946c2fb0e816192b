//! What the server knows of nodes: the registry as `/api/v1/nodes`, what a
//! chatflow lets requests change, and a neutral picture for each node.

use actix_web::http::header;
use actix_web::{HttpResponse, web};
use parlor_nodes::spec::Param;
use parlor_nodes::{Kind, NodeSpec, registry};
use parlor_schemas::ErrorCode;
use serde_json::{Value, json};

use super::chatflows;
use super::error::ApiError;
use super::icons;
use super::state::AppState;
use crate::flow::{changeable, file};

/// Every node that Parlor runs.
#[utoipa::path(
    get, path = "/api/v1/nodes", tag = "Nodes",
    responses((status = 200, description = "Every node that runs here", body = Vec<Value>))
)]
pub async fn list() -> HttpResponse {
    HttpResponse::Ok().json(registry::all().map(shown).collect::<Vec<_>>())
}

/// One node.
///
/// # Errors
/// 404 for a node that Parlor does not run.
#[utoipa::path(
    get, path = "/api/v1/nodes/{name}", tag = "Nodes",
    params(("name" = String, Path, description = "chatOpenAI, say")),
    responses((status = 200, description = "The node", body = Value))
)]
pub async fn get(name: web::Path<String>) -> Result<HttpResponse, ApiError> {
    Ok(HttpResponse::Ok().json(shown(find(&name)?)))
}

/// The picture of a node.
///
/// # Errors
/// 404 for a node that Parlor does not run.
#[utoipa::path(
    get, path = "/api/v1/node-icon/{name}", tag = "Nodes",
    params(("name" = String, Path, description = "The node")),
    responses(
        (status = 200, description = "A picture", body = String, content_type = "image/svg+xml"),
    )
)]
pub async fn icon(name: web::Path<String>) -> Result<HttpResponse, ApiError> {
    Ok(picture(icons::of_category(find(&name)?.category)))
}

/// The picture of a credential.
///
/// # Errors
/// 404 for a credential that no node here uses.
#[utoipa::path(
    get, path = "/api/v1/components-credentials-icon/{name}", tag = "Nodes",
    params(("name" = String, Path, description = "The kind of credential")),
    responses(
        (status = 200, description = "A picture", body = String, content_type = "image/svg+xml"),
    )
)]
pub async fn credential_icon(name: web::Path<String>) -> Result<HttpResponse, ApiError> {
    let mut kinds = registry::all().filter_map(|spec| spec.credential);
    if kinds.any(|credential| credential.takes(&name)) {
        return Ok(picture(icons::CREDENTIAL));
    }
    Err(unknown("Credential", &name))
}

/// What requests can change in a chatflow, and what of it is open now.
///
/// # Errors
/// 404; 422 for a flow that cannot be read.
#[utoipa::path(
    get, path = "/api/v1/flow-config/{id}", tag = "Chatflows",
    params(("id" = parlor_schemas::ChatflowId, Path, description = "The chatflow")),
    responses((status = 200, description = "What requests may change", body = Vec<Value>))
)]
pub async fn flow_config(
    id: web::Path<String>,
    state: web::Data<AppState>,
) -> Result<HttpResponse, ApiError> {
    let chatflow = chatflows::find(&id, &state)?;
    let flow = file::parse_flow(&chatflow.flow_data)
        .map_err(|error| ApiError::new(ErrorCode::InvalidFlow, error.to_string()))?;
    let ready = state.flows.get(chatflow.id)?;
    let rows = changeable::changeable(&flow, &ready.policy);
    Ok(HttpResponse::Ok().json(rows))
}

fn find(name: &str) -> Result<&'static NodeSpec, ApiError> {
    registry::find(name).ok_or_else(|| unknown("Node", name))
}

fn unknown(what: &str, name: &str) -> ApiError {
    let name = parlor_schemas::shown(name, 60);
    ApiError::new(ErrorCode::NotFound, format!("{what} {name} not found"))
}

/// A version as its author wrote it: 8.1, which is no number of 32 bits.
fn version(spec: &NodeSpec) -> Option<f64> {
    spec.version.to_string().parse().ok()
}

/// A node in Flowise's words, as far as Parlor knows it.
fn shown(spec: &NodeSpec) -> Value {
    let mut node = json!({
        "label": label(spec.name),
        "name": spec.name,
        "version": version(spec),
        "type": capitalized(spec.name),
        "category": spec.category,
        "description": spec.about,
        "baseClasses": [capitalized(spec.name)],
        "inputs": spec.params.iter().map(input).collect::<Vec<_>>(),
    });
    if let Some(credential) = spec.credential {
        node["credential"] = json!({
            "label": "Connect Credential",
            "name": "credential",
            "type": "credential",
            "credentialNames": [credential.kind],
        });
    }
    node
}

fn input(param: &Param) -> Value {
    let mut input = json!({
        "label": label(param.name),
        "name": param.name,
        "type": changeable::word(param.kind),
        "list": param.kind == Kind::Nodes,
    });
    if let Kind::Choice(words) = param.kind {
        let option = |word: &&str| json!({"label": word, "name": word});
        input["type"] = json!("options");
        input["options"] = words.iter().map(option).collect();
    }
    input
}

/// `chatOpenAI` as `Chat Open AI`.
fn label(name: &str) -> String {
    let mut label = String::with_capacity(name.len() + 4);
    let mut before = ' ';
    for letter in capitalized(name).chars() {
        if letter.is_uppercase() && before.is_lowercase() {
            label.push(' ');
        }
        label.push(letter);
        before = letter;
    }
    label
}

fn capitalized(name: &str) -> String {
    let mut letters = name.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

fn picture(svg: &'static str) -> HttpResponse {
    HttpResponse::Ok()
        .insert_header((header::CONTENT_TYPE, "image/svg+xml"))
        .insert_header((header::CACHE_CONTROL, "public, max-age=86400"))
        .insert_header((header::X_CONTENT_TYPE_OPTIONS, "nosniff"))
        .body(svg)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_is_shown_with_its_inputs_and_its_credential() {
        let node = shown(find("chatOpenAI").unwrap());
        assert_eq!((&node["label"], &node["type"]), (&json!("Chat Open AI"), &json!("ChatOpenAI")));
        assert_eq!(node["credential"]["credentialNames"], json!(["openAIApi"]));
        let inputs = node["inputs"].as_array().unwrap();
        let temperature = inputs.iter().find(|input| input["name"] == "temperature").unwrap();
        assert_eq!(temperature["type"], "number");
        let choice = inputs.iter().find(|input| input["type"] == "options").unwrap();
        assert!(choice["options"][0]["name"].is_string(), "{choice}");
    }
}
