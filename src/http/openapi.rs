//! The OpenAPI document of this API, and the pages that show it.
//!
//! What a route takes and gives stands at its handler (`#[utoipa::path]`); who
//! may call it, and its error body, come from the table of routes. A handler
//! is described once its name stands in the list below; a test compares both.

use std::sync::{Arc, LazyLock};

use actix_web::http::header;
use actix_web::{HttpResponse, web};
use parlor_schemas::ErrorCode;
use serde::Serialize;
use serde_json::{Value, json};
use utoipa::openapi::path::Operation;
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme};
use utoipa::openapi::{self, Content, Ref, RefOr, ResponseBuilder};
use utoipa::{OpenApi, ToSchema};
use utoipa_swagger_ui::Config;

use super::error::ApiError;
use super::gate::Policy;
use super::routes::{Entry, TABLE};
use super::{
    abort, apikey, attachments, care, chatflow_import, chatflows, chatmessage, chatmessage_create,
    credentials, feedback, files, key_import, leads, metrics, misc, nodes, prediction, probes,
    row_import, runtime, upsert_history, upserts, variables, vector, widget,
};

/// Where the document is.
const PATH: &str = "/api/v1/openapi.json";

/// The pages load what this server gives them, and nothing from elsewhere.
const CONTENT_POLICY: &str =
    "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:";

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Parlor",
        description = "Serves exported Flowise chatflows over Flowise's REST API.",
        license(name = "MIT OR Apache-2.0", identifier = "MIT OR Apache-2.0")
    ),
    // In the order of what most callers look for.
    tags(
        (name = "Predictions"),
        (name = "Vectors"),
        (name = "Widget"),
        (name = "Messages"),
        (name = "Feedback"),
        (name = "Leads"),
        (name = "Chatflows"),
        (name = "Nodes"),
        (name = "Credentials"),
        (name = "Variables"),
        (name = "API keys"),
        (name = "Server"),
    ),
    components(schemas(ErrorBody, chatmessage::Direction)),
    paths(
        abort::abort,
        apikey::create,
        apikey::delete,
        apikey::list,
        apikey::rotate,
        apikey::update,
        attachments::create,
        apikey::verify,
        care::backup,
        care::export,
        care::incoming::import,
        care::verify,
        chatflow_import::import,
        chatflows::create,
        chatflows::delete,
        chatflows::get,
        chatflows::list,
        chatflows::of_key,
        chatflows::update,
        chatmessage::delete,
        chatmessage::delete_without_id,
        chatmessage::list,
        chatmessage::list_internal,
        chatmessage::list_without_id,
        chatmessage_create::create,
        chatmessage_create::create_in_flow,
        chatmessage::stats,
        credentials::create,
        credentials::delete,
        credentials::list,
        credentials::update,
        document,
        files::get,
        feedback::create,
        feedback::create_in_flow,
        feedback::list,
        feedback::update,
        key_import::import,
        leads::create,
        leads::list,
        row_import::import,
        runtime::runtime,
        metrics::metrics,
        misc::ip,
        misc::ping,
        misc::streaming,
        misc::version,
        nodes::credential_icon,
        nodes::flow_config,
        nodes::get,
        nodes::icon,
        nodes::list,
        prediction::external,
        prediction::internal,
        prediction::without_id,
        probes::healthz,
        probes::readyz,
        upsert_history::all,
        upsert_history::delete,
        upsert_history::of_chatflow,
        upserts::get,
        upserts::list,
        upserts::stop,
        variables::create,
        variables::delete,
        variables::list,
        variables::update,
        vector::external,
        vector::internal,
        vector::removal::remove,
        vector::without_id,
        widget::chatbot_config,
        widget::public_chatflow,
        widget::uploads,
    )
)]
struct Described;

/// The body of every error.
#[derive(ToSchema)]
pub struct ErrorBody {
    /// The HTTP status.
    #[schema(rename = "statusCode", minimum = 400, maximum = 599)]
    pub status_code: u16,
    /// Always false.
    pub success: bool,
    /// What is wrong and what to do about it.
    pub message: String,
    /// Always empty.
    pub stack: Value,
}

/// What a deletion did.
#[derive(Serialize, ToSchema)]
pub struct Deleted {
    /// Always empty.
    pub raw: Vec<Value>,
    /// How many rows are gone.
    pub affected: u64,
}

impl Deleted {
    /// The answer to a deletion of so many rows.
    pub fn answer(affected: u64) -> HttpResponse {
        HttpResponse::Ok().json(Self { raw: Vec::new(), affected })
    }
}

/// This document.
#[utoipa::path(
    get, path = "/api/v1/openapi.json", tag = "Server",
    responses((status = 200, description = "OpenAPI 3.1", body = Value))
)]
pub async fn document() -> HttpResponse {
    static DOCUMENT: LazyLock<String> = LazyLock::new(|| json!(describe()).to_string());
    HttpResponse::Ok().content_type("application/json").body(DOCUMENT.as_str())
}

/// The pages' address without the slash that their links need.
pub async fn to_pages() -> HttpResponse {
    HttpResponse::PermanentRedirect().insert_header((header::LOCATION, "/api-docs/")).finish()
}

/// The first page.
///
/// # Errors
/// None: the page is always there.
pub async fn index() -> Result<HttpResponse, ApiError> {
    page("index.html")
}

/// A file of the pages.
///
/// # Errors
/// 404.
pub async fn file(name: web::Path<String>) -> Result<HttpResponse, ApiError> {
    page(&name)
}

fn page(name: &str) -> Result<HttpResponse, ApiError> {
    let config = Config::new([PATH]).validator_url("none");
    let found = utoipa_swagger_ui::serve(name, Arc::new(config)).ok().flatten();
    let file = found.ok_or_else(|| ApiError::new(ErrorCode::NotFound, "there is no such page"))?;
    let mut response = HttpResponse::Ok();
    response
        .content_type(file.content_type)
        .insert_header((header::CONTENT_SECURITY_POLICY, CONTENT_POLICY))
        .insert_header((header::X_CONTENT_TYPE_OPTIONS, "nosniff"));
    if file.gzpipped {
        response.insert_header((header::CONTENT_ENCODING, "gzip"));
    }
    Ok(response.body(file.bytes.into_owned()))
}

/// The handlers' descriptions with what the table of routes says.
fn describe() -> openapi::OpenApi {
    let mut document = Described::openapi();
    let http = |scheme, text: &str| {
        SecurityScheme::Http(HttpBuilder::new().scheme(scheme).description(Some(text)).build())
    };
    let components = document.components.get_or_insert_default();
    let basic = http(HttpAuthScheme::Basic, "FLOWISE_USERNAME and FLOWISE_PASSWORD");
    components.add_security_scheme("basic", basic);
    components.add_security_scheme("key", http(HttpAuthScheme::Bearer, "An API key"));
    for entry in TABLE.iter().filter(|entry| is_described(entry)) {
        if let Some(operation) = operation(&mut document, entry) {
            finish(operation, entry.policy);
        }
    }
    document
}

/// Preflights and the pages are no part of the API, and a path with a slash at
/// its end is only another spelling.
fn is_described(entry: &Entry) -> bool {
    let is_page = entry.path.starts_with("/api-docs") || entry.path.ends_with('/');
    !is_page && entry.method != "OPTIONS"
}

fn operation<'d>(document: &'d mut openapi::OpenApi, entry: &Entry) -> Option<&'d mut Operation> {
    let item = document.paths.paths.get_mut(entry.path)?;
    match entry.method {
        "GET" => item.get.as_mut(),
        "POST" => item.post.as_mut(),
        "PUT" => item.put.as_mut(),
        "PATCH" => item.patch.as_mut(),
        "DELETE" => item.delete.as_mut(),
        _ => None,
    }
}

fn finish(operation: &mut Operation, policy: Policy) {
    // Handlers of different files have the same name; ids must not.
    let tag =
        operation.tags.iter().flatten().next().map(|tag| tag.to_lowercase().replace(' ', "_"));
    let name = operation.operation_id.take();
    operation.operation_id = Some([tag, name].into_iter().flatten().collect::<Vec<_>>().join("_"));
    operation.security = security(policy);
    let content = Content::new(Some(Ref::from_schema_name("ErrorBody")));
    let error =
        ResponseBuilder::new().description("What is wrong").content("application/json", content);
    operation.responses.responses.insert("default".to_owned(), RefOr::T(error.build()));
}

fn security(policy: Policy) -> Option<Vec<SecurityRequirement>> {
    let with = |scheme: &str| SecurityRequirement::new::<_, [&str; 0], &str>(scheme, []);
    match policy {
        Policy::Public => None,
        Policy::Operator(_) | Policy::Metrics => Some(vec![with("basic"), with("key")]),
        // Whether a chatflow wants its key is its operator's choice.
        _ => Some(vec![SecurityRequirement::default(), with("key")]),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_route_is_described_and_nothing_else_is() {
        let routes: BTreeSet<(String, String)> = TABLE
            .iter()
            .filter(|entry| is_described(entry))
            .map(|entry| (entry.method.to_lowercase(), entry.path.to_owned()))
            .collect();
        let document = json!(describe());
        let paths = document["paths"].as_object().unwrap().iter();
        let described: BTreeSet<(String, String)> = paths
            .flat_map(|(path, item)| {
                let methods = item.as_object().unwrap().keys();
                methods.map(move |method| (method.clone(), path.clone()))
            })
            .collect();
        let missing: Vec<_> = routes.difference(&described).collect();
        assert!(
            missing.is_empty(),
            "routes that no `#[utoipa::path]` in the list describes: {missing:?}"
        );
        let extra: Vec<_> = described.difference(&routes).collect();
        assert!(extra.is_empty(), "described, but no route: {extra:?}");
    }
}
