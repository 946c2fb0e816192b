//! The table of all routes. A path matches exactly or not at all, and each
//! line says who may call it.

use actix_web::middleware::from_fn;
use actix_web::{Route, web};
use parlor_schemas::Scope;

use super::gate::{self, Policy};
use super::{
    apikey, chatflows, chatmessage, credentials, message_import, misc, prediction, row_import,
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

macro_rules! route {
    ($method:literal, $path:literal, $policy:expr, $handler:path) => {
        Entry { method: $method, path: $path, policy: $policy, handler: |r| r.to($handler) }
    };
}

/// All routes.
pub const TABLE: &[Entry] = &[
    route!("GET", "/api/v1/ping", Policy::Public, misc::ping),
    route!("GET", "/api/v1/version", Policy::Public, misc::version),
    route!("GET", "/api/v1/chatflows-streaming/{id}", Policy::Public, misc::streaming),
    route!("OPTIONS", "/api/v1/chatflows-streaming/{id}", Policy::Public, misc::preflight),
    route!("POST", "/api/v1/prediction/{id}", Policy::FlowKey, prediction::external),
    route!("OPTIONS", "/api/v1/prediction/{id}", Policy::Public, misc::preflight),
    route!("GET", "/api/v1/chatmessage/{id}", MESSAGES, chatmessage::list),
    route!("DELETE", "/api/v1/chatmessage/{id}", MESSAGES, chatmessage::delete),
    route!("POST", "/api/v1/messages/import", OPERATOR, message_import::import),
    route!("POST", "/api/v1/rows/import", OPERATOR, row_import::import),
    route!("GET", "/api/v1/chatflows", OPERATOR, chatflows::list),
    route!("POST", "/api/v1/chatflows", OPERATOR, chatflows::create),
    route!("GET", "/api/v1/chatflows/{id}", OPERATOR, chatflows::get),
    route!("PUT", "/api/v1/chatflows/{id}", OPERATOR, chatflows::update),
    route!("DELETE", "/api/v1/chatflows/{id}", OPERATOR, chatflows::delete),
    route!("GET", "/api/v1/credentials", OPERATOR, credentials::list),
    route!("POST", "/api/v1/credentials", OPERATOR, credentials::create),
    route!("PUT", "/api/v1/credentials/{id}", OPERATOR, credentials::update),
    route!("DELETE", "/api/v1/credentials/{id}", OPERATOR, credentials::delete),
    route!("GET", "/api/v1/apikey", OPERATOR, apikey::list),
    route!("POST", "/api/v1/apikey", OPERATOR, apikey::create),
    route!("PUT", "/api/v1/apikey/{id}", OPERATOR, apikey::update),
    route!("DELETE", "/api/v1/apikey/{id}", OPERATOR, apikey::delete),
];

/// Registers the table.
pub fn configure(config: &mut web::ServiceConfig) {
    let mut paths: Vec<&str> = TABLE.iter().map(|entry| entry.path).collect();
    paths.dedup();
    for path in paths {
        let mut resource = web::resource(path);
        for entry in TABLE.iter().filter(|entry| entry.path == path) {
            let policy = entry.policy;
            let method = match entry.method {
                "GET" => web::get(),
                "POST" => web::post(),
                "PUT" => web::put(),
                "DELETE" => web::delete(),
                _ => web::method(actix_web::http::Method::OPTIONS),
            };
            let guard = from_fn(move |request, next| gate::guard(policy, request, next));
            resource = resource.route((entry.handler)(method).wrap(guard));
        }
        config.service(resource);
    }
    config.default_service(web::to(misc::not_found_route));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_routes_that_anyone_may_call_are_these_and_no_others() {
        let open: Vec<_> = TABLE
            .iter()
            .filter(|entry| !matches!(entry.policy, Policy::Operator(_)))
            .map(|entry| (entry.method, entry.path))
            .collect();
        assert_eq!(
            open,
            [
                ("GET", "/api/v1/ping"),
                ("GET", "/api/v1/version"),
                ("GET", "/api/v1/chatflows-streaming/{id}"),
                ("OPTIONS", "/api/v1/chatflows-streaming/{id}"),
                ("POST", "/api/v1/prediction/{id}"),
                ("OPTIONS", "/api/v1/prediction/{id}"),
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
