//! What handlers share.

use std::sync::Arc;
use std::time::Duration;

use actix_web::web;
use parlor_actors::SupervisorHandle;
use parlor_nodes::{Crowd, Services};
use parlor_schemas::{ChatflowId, Fault, MessageFilter};
use uuid::Uuid;

use super::arrival::Arrivals;
use super::error::ApiError;
use super::limits::Limits;
use super::origins::Origins;
use crate::drain::{Drain, stopping};
use crate::flow::cache::FlowCache;
use crate::metrics::Metrics;
use crate::running_keys::RunningKeys;
use crate::store::{Store, StoreError};
use crate::upserts::Upserts;

/// How streams are kept alive and given up.
#[derive(Debug, Clone, Copy)]
pub struct StreamLimits {
    /// Silence after which a comment is sent, for proxies that cut silent connections.
    pub heartbeat: Duration,
    /// How long a reader may take nothing.
    pub patience: Duration,
}

/// The server's parts, seen from a handler.
pub struct AppState {
    /// Everything on disk.
    pub store: Arc<Store>,
    /// Compiled chatflows.
    pub flows: FlowCache,
    /// The conversations.
    pub supervisor: SupervisorHandle,
    /// The jobs that fill vector stores.
    pub upserts: Upserts,
    /// What nodes may use.
    pub services: Arc<dyn Services>,
    /// User and password of Basic authentication, if both are set.
    pub basic: Option<(String, String)>,
    /// How streams are kept alive and given up.
    pub streams: StreamLimits,
    /// The streams that are open.
    pub crowd: Arc<Crowd>,
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// Whether anybody may read the metrics.
    pub metrics_are_public: bool,
    /// The `Idempotency-Key`s whose first request still runs.
    pub running_keys: RunningKeys,
    /// Whether requests are still taken.
    pub drain: Arc<Drain>,
    /// How often who may call.
    pub limits: Limits,
    /// Pages that may read answers of the public routes.
    pub public_origins: Origins,
    /// Pages that may read answers of the operator's routes.
    pub operator_origins: Origins,
    /// How bodies arrive.
    pub arrivals: Arrivals,
    /// Largest body in bytes.
    pub body_limit: usize,
    /// Largest uploaded image in bytes.
    pub image_limit: usize,
}

impl AppState {
    /// Deletes the messages that are meant, their feedback, and what live
    /// sessions remember of them; their number.
    ///
    /// # Errors
    /// What the store says.
    pub async fn delete_messages(
        &self,
        chatflow: ChatflowId,
        filter: MessageFilter,
    ) -> Result<u64, StoreError> {
        let (history, chat) = (self.store.history(), filter.chat.clone());
        let n_deleted = history.delete_messages(chatflow, filter).await?;
        if n_deleted > 0 {
            self.supervisor.drop_memory(chatflow).await;
            self.store.feedback().delete_orphans(chatflow, chat, history).await?;
        }
        Ok(n_deleted)
    }

    /// Deletes single messages, and then once for all of them their feedback
    /// and what live sessions remember; their number.
    ///
    /// # Errors
    /// What the store says.
    pub async fn delete_each(
        &self,
        chatflow: ChatflowId,
        messages: impl IntoIterator<Item = Uuid>,
    ) -> Result<u64, StoreError> {
        let (history, mut n_deleted) = (self.store.history(), 0);
        let mut result = Ok(());
        for message in messages {
            let one = MessageFilter { message: Some(message), ..MessageFilter::default() };
            match history.delete_messages(chatflow, one).await {
                Ok(n_now) => n_deleted += n_now,
                Err(error) => {
                    result = Err(error);
                    break;
                }
            }
        }
        // Also of those that went before one failed.
        if n_deleted > 0 {
            self.supervisor.drop_memory(chatflow).await;
            self.store.feedback().delete_orphans(chatflow, None, history).await?;
        }
        result.map(|()| n_deleted)
    }

    /// Writes to the small tables, which waits for the disk, off the arbiter.
    ///
    /// # Errors
    /// What the store says; 503 when the server is stopping.
    pub async fn write<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Store) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, ApiError> {
        let store = self.store.clone();
        Ok(off_arbiter(move || work(&store)).await??)
    }
}

/// Does what takes long, or reads files, off the arbiter.
///
/// # Errors
/// 503 when the server is stopping.
pub async fn off_arbiter<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Fault> {
    web::block(work).await.map_err(|_| stopping())
}
