//! What the server lends to nodes.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use parlor_nodes::ctx::StoredFile;
use parlor_nodes::retrieval::IndexShelf;
use parlor_nodes::{NodeError, Services};

use crate::store::blobs::{BlobFolder, BlobName, Blobs};
use crate::store::vectors::Shelf;

/// Connecting to a provider may take this long.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

thread_local! {
    // The connections of a pool are driven by the runtime that opened them, and
    // every arbiter has its own: so every arbiter has its own client.
    static CLIENT: reqwest::Client = client();
}

/// Clients per thread, and the operator's addresses of providers.
pub struct NodeServices {
    provider_urls: HashMap<String, String>,
    blobs: Blobs,
    shelf: Shelf,
}

impl NodeServices {
    /// With the addresses that the operator set, the uploaded files and the
    /// vector indexes.
    pub fn new(
        provider_urls: impl IntoIterator<Item = (String, String)>,
        blobs: Blobs,
        shelf: Shelf,
    ) -> Self {
        Self { provider_urls: provider_urls.into_iter().collect(), blobs, shelf }
    }
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
