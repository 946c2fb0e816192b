//! The table of all routes. A path matches exactly or not at all, and each
//! line says who may call it.

use actix_web::guard;
use actix_web::http::Method;
use actix_web::http::header::HeaderValue;
use actix_web::middleware::from_fn;
use actix_web::{Route, web};
use parlor_schemas::Scope;

use super::gate::{self, Policy};
use super::{
    abort, apikey, attachments, care, chatflow_import, chatflows, chatmessage, chatmessage_create,
    credentials, feedback, files, key_import, leads, metrics, misc, nodes, openapi, prediction,
    probes, row_import, runtime, upsert_history, upserts, variables, vector, widget,
};

/// One line of the table.
pub struct Entry {
    /// `GET`, `POST`, ...
    pub method: &'static str,
    /// The path, `{id}` for a part that varies.
    pub path: &'static str,
    /// Who may call it.
    pub policy: Policy,
    handler: fn(Route) -> Route,
}

const OPERATOR: Policy = Policy::Operator(Scope::Operator);
const MESSAGES: Policy = Policy::Operator(Scope::Messages);
const UPSERT: Policy = Policy::LimitedFlowKey(Scope::Upsert);
const PREDICTION: Policy = Policy::LimitedFlowKey(Scope::Predict);

macro_rules! route {
    ($method:literal, $path:literal, $policy:expr, $handler:path) => {
        Entry { method: $method, path: $path, policy: $policy, handler: |r| r.to($handler) }
    };
}

/// All routes.
pub const TABLE: &[Entry] = &[
    route!("GET", "/healthz", Policy::Public, probes::healthz),
    route!("GET", "/readyz", Policy::Public, probes::readyz),
    route!("GET", "/metrics", Policy::Metrics, metrics::metrics),
    // First, because paths are tried in this order.
    route!("POST", "/api/v1/prediction/{id}", PREDICTION, prediction::external),
    route!("OPTIONS", "/api/v1/prediction/{id}", Policy::Public, misc::preflight),
    route!("POST", "/api/v1/prediction", Policy::Public, prediction::without_id),
    route!("OPTIONS", "/api/v1/prediction", Policy::Public, misc::preflight),
    route!("POST", "/api/v1/vector/upsert/{id}", UPSERT, vector::external),
    route!("OPTIONS", "/api/v1/vector/upsert/{id}", Policy::Public, misc::preflight),
    // Before `vector/{id}`, which would match it.
    route!("POST", "/api/v1/vector/upsert", Policy::Public, vector::without_id),
    route!("OPTIONS", "/api/v1/vector/upsert", Policy::Public, misc::preflight),
    route!("POST", "/api/v1/vector/internal-upsert/{id}", OPERATOR, vector::internal),
    route!("DELETE", "/api/v1/vector/{id}", OPERATOR, vector::removal::remove),
    route!("GET", "/api/v1/upserts", OPERATOR, upserts::list),
    route!("GET", "/api/v1/upserts/{job}", Policy::FlowKeyInHandler, upserts::get),
    route!("DELETE", "/api/v1/upserts/{job}", Policy::FlowKeyInHandler, upserts::stop),
    route!("OPTIONS", "/api/v1/upserts/{job}", Policy::Public, misc::preflight),
    route!("GET", "/api/v1/upsert-history", OPERATOR, upsert_history::all),
    route!("PATCH", "/api/v1/upsert-history", OPERATOR, upsert_history::delete),
    route!("GET", "/api/v1/upsert-history/{id}", OPERATOR, upsert_history::of_chatflow),
    route!("GET", "/api/v1/ping", Policy::Public, misc::ping),
    route!("GET", "/api/v1/version", Policy::Public, misc::version),
    route!("GET", "/api/v1/runtime", OPERATOR, runtime::runtime),
    route!("GET", "/api/v1/openapi.json", Policy::Public, openapi::document),
    route!("GET", "/api-docs", Policy::Public, openapi::to_pages),
    route!("GET", "/api-docs/", Policy::Public, openapi::index),
    route!("GET", "/api-docs/{file}", Policy::Public, openapi::file),
    route!("GET", "/api/v1/ip", Policy::Public, misc::ip),
    route!("GET", "/api/v1/chatflows-streaming/{id}", Policy::Public, misc::streaming),
    route!("OPTIONS", "/api/v1/chatflows-streaming/{id}", Policy::Public, misc::preflight),
    route!("GET", "/api/v1/verify/apikey/{apikey}", Policy::Public, apikey::verify),
    route!("GET", "/api/v1/chatflows/apikey/{apikey}", Policy::Public, chatflows::of_key),
    route!("POST", "/api/v1/internal-prediction/{id}", OPERATOR, prediction::internal),
    route!("GET", "/api/v1/chatflows-uploads/{id}", Policy::Public, widget::uploads),
    route!("OPTIONS", "/api/v1/chatflows-uploads/{id}", Policy::Public, misc::preflight),
    route!("GET", "/api/v1/public-chatbotConfig/{id}", Policy::Public, widget::chatbot_config),
    route!("OPTIONS", "/api/v1/public-chatbotConfig/{id}", Policy::Public, misc::preflight),
    route!("GET", "/api/v1/public-chatflows/{id}", Policy::Public, widget::public_chatflow),
    route!("OPTIONS", "/api/v1/public-chatflows/{id}", Policy::Public, misc::preflight),
    route!("POST", "/api/v1/feedback", Policy::FlowKeyInHandler, feedback::create),
    route!("OPTIONS", "/api/v1/feedback", Policy::Public, misc::preflight),
    // The chatflow for POST and GET, the feedback for PUT: as in Flowise.
    route!("POST", "/api/v1/feedback/{id}", Policy::FlowKey, feedback::create_in_flow),
    route!("PUT", "/api/v1/feedback/{id}", Policy::FlowKeyInHandler, feedback::update),
    route!("GET", "/api/v1/feedback/{id}", OPERATOR, feedback::list),
    route!("OPTIONS", "/api/v1/feedback/{id}", Policy::Public, misc::preflight),
    route!("POST", "/api/v1/leads", Policy::FlowKeyInHandler, leads::create),
    route!("OPTIONS", "/api/v1/leads", Policy::Public, misc::preflight),
    // The widget sends the slash.
    route!("POST", "/api/v1/leads/", Policy::FlowKeyInHandler, leads::create),
    route!("OPTIONS", "/api/v1/leads/", Policy::Public, misc::preflight),
    route!("GET", "/api/v1/leads/{id}", OPERATOR, leads::list),
    route!("PUT", "/api/v1/chatmessage/abort/{id}/{chat}", Policy::FlowKeyInHandler, abort::abort),
    route!("OPTIONS", "/api/v1/chatmessage/abort/{id}/{chat}", Policy::Public, misc::preflight),
    route!("GET", "/api/v1/get-upload-file", Policy::Public, files::get),
    route!("OPTIONS", "/api/v1/get-upload-file", Policy::Public, misc::preflight),
    route!("POST", "/api/v1/attachments/{id}/{chatId}", Policy::FlowKey, attachments::create),
    route!("OPTIONS", "/api/v1/attachments/{id}/{chatId}", Policy::Public, misc::preflight),
    route!("POST", "/api/v1/chatmessage", OPERATOR, chatmessage_create::create),
    route!("GET", "/api/v1/chatmessage", MESSAGES, chatmessage::list_without_id),
    route!("DELETE", "/api/v1/chatmessage", MESSAGES, chatmessage::delete_without_id),
    route!("GET", "/api/v1/chatmessage/{id}", MESSAGES, chatmessage::list),
    route!("POST", "/api/v1/chatmessage/{id}", OPERATOR, chatmessage_create::create_in_flow),
    route!("DELETE", "/api/v1/chatmessage/{id}", MESSAGES, chatmessage::delete),
    route!("GET", "/api/v1/internal-chatmessage/{id}", MESSAGES, chatmessage::list_internal),
    route!("GET", "/api/v1/stats/{id}", MESSAGES, chatmessage::stats),
    route!("POST", "/api/v1/rows/import", OPERATOR, row_import::import),
    route!("GET", "/api/v1/chatflows", OPERATOR, chatflows::list),
    route!("POST", "/api/v1/chatflows", OPERATOR, chatflows::create),
    // Before `{id}`, which would match it.
    route!("POST", "/api/v1/chatflows/importchatflows", OPERATOR, chatflow_import::import),
    route!("GET", "/api/v1/chatflows/{id}", OPERATOR, chatflows::get),
    route!("PUT", "/api/v1/chatflows/{id}", OPERATOR, chatflows::update),
    route!("DELETE", "/api/v1/chatflows/{id}", OPERATOR, chatflows::delete),
    route!("GET", "/api/v1/messages/export", MESSAGES, care::export),
    route!("POST", "/api/v1/messages/import", OPERATOR, care::incoming::import),
    route!("GET", "/api/v1/backup", OPERATOR, care::backup),
    route!("GET", "/api/v1/verify", OPERATOR, care::verify),
    route!("GET", "/api/v1/flow-config/{id}", OPERATOR, nodes::flow_config),
    route!("GET", "/api/v1/nodes", OPERATOR, nodes::list),
    route!("GET", "/api/v1/nodes/{name}", OPERATOR, nodes::get),
    route!("GET", "/api/v1/node-icon/{name}", Policy::Public, nodes::icon),
    route!(
        "GET",
        "/api/v1/components-credentials-icon/{name}",
        Policy::Public,
        nodes::credential_icon
    ),
    route!("GET", "/api/v1/credentials", OPERATOR, credentials::list),
    route!("POST", "/api/v1/credentials", OPERATOR, credentials::create),
    route!("PUT", "/api/v1/credentials/{id}", OPERATOR, credentials::update),
    route!("DELETE", "/api/v1/credentials/{id}", OPERATOR, credentials::delete),
    route!("GET", "/api/v1/apikey", OPERATOR, apikey::list),
    route!("POST", "/api/v1/apikey", OPERATOR, apikey::create),
    // Before `{id}`, which would take its place.
    route!("POST", "/api/v1/apikey/import", OPERATOR, key_import::import),
    route!("PUT", "/api/v1/apikey/{id}", OPERATOR, apikey::update),
    route!("DELETE", "/api/v1/apikey/{id}", OPERATOR, apikey::delete),
    route!("POST", "/api/v1/apikey/{id}/rotate", OPERATOR, apikey::rotate),
    route!("GET", "/api/v1/variables", OPERATOR, variables::list),
    route!("POST", "/api/v1/variables", OPERATOR, variables::create),
    route!("PUT", "/api/v1/variables/{id}", OPERATOR, variables::update),
    route!("DELETE", "/api/v1/variables/{id}", OPERATOR, variables::delete),
];

/// Registers the table.
pub fn configure(config: &mut web::ServiceConfig) {
    let mut paths: Vec<&str> = TABLE.iter().map(|entry| entry.path).collect();
    paths.dedup();
    for path in paths {
        let mut resource = web::resource(path);
        let entries = || TABLE.iter().filter(move |entry| entry.path == path);
        if entries().all(|entry| matches!(entry.policy, Policy::Operator(_))) {
            resource = resource.route(web::method(Method::OPTIONS).to(misc::operator_preflight));
        }
        for entry in entries() {
            let policy = entry.policy;
            let method = match entry.method {
                // Whoever may read may ask for the head alone.
                "GET" => web::route().guard(guard::Any(guard::Get()).or(guard::Head())),
                "POST" => web::post(),
                "PUT" => web::put(),
                "PATCH" => web::patch(),
                "DELETE" => web::delete(),
                _ => web::method(Method::OPTIONS),
            };
            let guard = from_fn(move |request, next| gate::guard(policy, request, next));
            resource = resource.route((entry.handler)(method).wrap(guard));
        }
        let allowed = allowed(path);
        let refuse = move || futures::future::ready(misc::wrong_method(&allowed));
        config.service(resource.default_service(web::to(refuse)));
    }
    config.app_data(web::QueryConfig::default().error_handler(|_, _| misc::bad_query()));
    config.default_service(web::to(misc::not_found_route));
}

/// The methods of a path. The preflight of an operator's path is none of them:
/// only pages that the operator has listed get it.
fn allowed(path: &str) -> HeaderValue {
    let entries = TABLE.iter().filter(|entry| entry.path == path);
    let methods =
        entries.map(|entry| if entry.method == "GET" { "GET, HEAD" } else { entry.method });
    let list = methods.collect::<Vec<_>>().join(", ");
    // Names of methods are always a header's value.
    HeaderValue::from_str(&list).unwrap_or(HeaderValue::from_static(""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a2_the_routes_that_anyone_may_call_are_these_and_no_others() {
        let open: Vec<_> = TABLE
            .iter()
            .filter(|entry| !matches!(entry.policy, Policy::Operator(_)))
            .map(|entry| (entry.method, entry.path))
            .collect();
        assert_eq!(
            open,
            [
                ("GET", "/healthz"),
                ("GET", "/readyz"),
                ("GET", "/metrics"),
                ("POST", "/api/v1/prediction/{id}"),
                ("OPTIONS", "/api/v1/prediction/{id}"),
                ("POST", "/api/v1/prediction"),
                ("OPTIONS", "/api/v1/prediction"),
                ("POST", "/api/v1/vector/upsert/{id}"),
                ("OPTIONS", "/api/v1/vector/upsert/{id}"),
                ("POST", "/api/v1/vector/upsert"),
                ("OPTIONS", "/api/v1/vector/upsert"),
                ("GET", "/api/v1/upserts/{job}"),
                ("DELETE", "/api/v1/upserts/{job}"),
                ("OPTIONS", "/api/v1/upserts/{job}"),
                ("GET", "/api/v1/ping"),
                ("GET", "/api/v1/version"),
                ("GET", "/api/v1/openapi.json"),
                ("GET", "/api-docs"),
                ("GET", "/api-docs/"),
                ("GET", "/api-docs/{file}"),
                ("GET", "/api/v1/ip"),
                ("GET", "/api/v1/chatflows-streaming/{id}"),
                ("OPTIONS", "/api/v1/chatflows-streaming/{id}"),
                ("GET", "/api/v1/verify/apikey/{apikey}"),
                ("GET", "/api/v1/chatflows/apikey/{apikey}"),
                ("GET", "/api/v1/chatflows-uploads/{id}"),
                ("OPTIONS", "/api/v1/chatflows-uploads/{id}"),
                ("GET", "/api/v1/public-chatbotConfig/{id}"),
                ("OPTIONS", "/api/v1/public-chatbotConfig/{id}"),
                ("GET", "/api/v1/public-chatflows/{id}"),
                ("OPTIONS", "/api/v1/public-chatflows/{id}"),
                ("POST", "/api/v1/feedback"),
                ("OPTIONS", "/api/v1/feedback"),
                ("POST", "/api/v1/feedback/{id}"),
                ("PUT", "/api/v1/feedback/{id}"),
                ("OPTIONS", "/api/v1/feedback/{id}"),
                ("POST", "/api/v1/leads"),
                ("OPTIONS", "/api/v1/leads"),
                ("POST", "/api/v1/leads/"),
                ("OPTIONS", "/api/v1/leads/"),
                ("PUT", "/api/v1/chatmessage/abort/{id}/{chat}"),
                ("OPTIONS", "/api/v1/chatmessage/abort/{id}/{chat}"),
                ("GET", "/api/v1/get-upload-file"),
                ("OPTIONS", "/api/v1/get-upload-file"),
                ("POST", "/api/v1/attachments/{id}/{chatId}"),
                ("OPTIONS", "/api/v1/attachments/{id}/{chatId}"),
                ("GET", "/api/v1/node-icon/{name}"),
                ("GET", "/api/v1/components-credentials-icon/{name}"),
            ]
        );
    }

    #[test]
    fn lines_of_one_path_stand_together_so_that_each_path_is_registered_once() {
        let mut paths: Vec<&str> = TABLE.iter().map(|entry| entry.path).collect();
        paths.dedup();
        let n_runs = paths.len();
        paths.sort_unstable();
        paths.dedup();
        assert_eq!(paths.len(), n_runs);
    }
}
