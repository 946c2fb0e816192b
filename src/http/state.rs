//! What handlers share.

use std::sync::Arc;

use parlor_actors::SupervisorHandle;
use parlor_nodes::Services;

use crate::flow::cache::FlowCache;
use crate::store::Store;

/// The server's parts, seen from a handler.
pub struct AppState {
    /// Everything on disk.
    pub store: Arc<Store>,
    /// Compiled chatflows.
    pub flows: FlowCache,
    /// The conversations.
    pub supervisor: SupervisorHandle,
    /// What nodes may use.
    pub services: Arc<dyn Services>,
    /// User and password of Basic authentication, if both are set.
    pub basic: Option<(String, String)>,
    /// Largest body in bytes.
    pub body_limit: usize,
}
