//! What the server lends to nodes.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use parlor_nodes::ctx::StoredFile;
use parlor_nodes::egress::Guard;
use parlor_nodes::retrieval::{IndexShelf, UpsertLedger};
use parlor_nodes::upstream::Breakers;
use parlor_nodes::{NodeError, Services};
use parlor_schemas::ChatflowId;

use crate::store::blobs::{BlobFolder, BlobName, Blobs};
use crate::store::vectors::Shelf;

/// Connecting to a provider may take this long.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

thread_local! {
    // The connections of a pool are driven by the runtime that opened them, and
    // every arbiter has its own: so every arbiter has its own client.
    static CLIENT: reqwest::Client = client();
}

/// What the server has for nodes.
pub struct NodeServices {
    /// The addresses that the operator set for providers.
    pub provider_urls: HashMap<String, String>,
    /// The uploaded files.
    pub blobs: Blobs,
    /// The vector indexes.
    pub shelf: Shelf,
    /// What is remembered of upserts.
    pub ledger: Arc<dyn UpsertLedger>,
    /// Fetches what others steer, but for what the operator opens.
    pub egress: Guard,
    /// Leaves providers alone that keep failing, unless the operator wants otherwise.
    pub breakers: Option<Breakers>,
    /// Folders whose files loaders may read.
    pub loader_roots: Vec<PathBuf>,
    /// The SQLite file of record managers.
    pub records_file: PathBuf,
}

impl Services for NodeServices {
    fn http(&self) -> reqwest::Client {
        CLIENT.with(Clone::clone)
    }

    fn provider_url(&self, provider: &str) -> Option<String> {
        self.provider_urls.get(provider).cloned()
    }

    fn shelf(&self) -> Result<Arc<dyn IndexShelf>, NodeError> {
        Ok(Arc::new(self.shelf.clone()))
    }

    fn ledger(&self) -> Result<Arc<dyn UpsertLedger>, NodeError> {
        Ok(self.ledger.clone())
    }

    fn breakers(&self) -> Option<&Breakers> {
        self.breakers.as_ref()
    }

    fn egress(&self) -> Guard {
        self.egress.clone()
    }

    fn records_file(&self) -> Result<PathBuf, NodeError> {
        Ok(self.records_file.clone())
    }

    fn loader_roots(&self) -> &[PathBuf] {
        &self.loader_roots
    }

    fn chatflow_file<'a>(
        &'a self,
        chatflow: ChatflowId,
        name: &'a str,
        most: usize,
    ) -> BoxFuture<'a, Option<Vec<u8>>> {
        let (blobs, name) = (self.blobs.clone(), BlobName::of_request(name));
        let read = move || {
            let found = blobs.read(&BlobFolder::of_chatflow(chatflow), &name.ok()?, most);
            found.unwrap_or_else(|error| {
                tracing::warn!("a file of a chatflow cannot be read: {error}");
                None
            })
        };
        Box::pin(async move { tokio::task::spawn_blocking(read).await.ok().flatten() })
    }

    fn stored_file<'a>(
        &'a self,
        file: StoredFile<'a>,
        most: usize,
    ) -> BoxFuture<'a, Option<Vec<u8>>> {
        let blobs = self.blobs.clone();
        let folder = BlobFolder::of(file.chatflow, file.chat);
        let name = BlobName::of_upload(file.name);
        let read = move || {
            let name = name.ok()?;
            let found = match file.as_text {
                true => blobs.read_note(&folder, &name, most),
                false => blobs.read(&folder, &name, most),
            };
            found.unwrap_or_else(|error| {
                tracing::warn!("an uploaded file is left out of a prompt: {error}");
                None
            })
        };
        Box::pin(async move { tokio::task::spawn_blocking(read).await.ok().flatten() })
    }
}

fn client() -> reqwest::Client {
    // A provider's API does not redirect, and a redirect would carry the key
    // to a place that nobody chose.
    let builder = reqwest::Client::builder()
        .connect_timeout(CONNECT_TIMEOUT)
        .redirect(reqwest::redirect::Policy::none())
        .tcp_nodelay(true)
        .pool_max_idle_per_host(1024);
    builder.build().unwrap_or_else(|error| {
        tracing::error!("the HTTP client could not be set up: {error}");
        reqwest::Client::new()
    })
}
