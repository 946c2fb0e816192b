//! Nodes without a server around them: their inputs, a turn, and embeddings
//! that were written down.

use std::sync::Arc;

use futures::FutureExt;
use futures::future::BoxFuture;
use parlor_nodes::ctx::{AgentBudget, Kept, Services, Transcript, UsageMeter};
use parlor_nodes::inputs::Secrets;
use parlor_nodes::retrieval::{Embeddings, RecordManager};
use parlor_nodes::vector_stores::VectorStore;
use parlor_nodes::{EventSink, InputValue, Inputs, Instance, NodeError, TurnCtx, registry};
use parlor_schemas::{ChatId, ChatflowId, Exchanges, Fault, SessionId};
use serde_json::Value;
use tokio_util::sync::CancellationToken;

/// A turn in which every provider is at one address, or at its own.
pub fn turn(provider_url: Option<&str>) -> TurnCtx {
    let url = provider_url.map(str::to_owned);
    turn_at(move |_| url.clone())
}

/// A turn in which each provider is where this says, or at its own address.
pub fn turn_at(provider_url: impl Fn(&str) -> Option<String> + Send + Sync + 'static) -> TurnCtx {
    // Fails when it is installed already, which is just as well.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let services = Lent { client: reqwest::Client::new(), provider_url };
    TurnCtx {
        chatflow: ChatflowId::random(),
        chat_id: ChatId::random(),
        session: SessionId::random(),
        question: "".into(),
        history: Arc::new([]),
        uploads: Arc::new([]),
        sees_images: false,
        transcript: Arc::new(Nothing),
        events: EventSink::none(),
        cancel: CancellationToken::new(),
        meter: Arc::new(UsageMeter::default()),
        kept: Arc::new(Kept::default()),
        agents: AgentBudget::default(),
        services: Arc::new(services),
    }
}

/// A vector store node with these inputs and secrets.
pub fn vector_store(name: &str, inputs: &Value, secrets: &Value) -> Arc<VectorStore> {
    match build(name, inputs, secrets) {
        Ok(Instance::VectorStore(store)) => store,
        Ok(other) => panic!("built {}", other.kind()),
        Err(error) => panic!("{error}"),
    }
}

/// A record manager node with these inputs and secrets.
pub fn record_manager(name: &str, inputs: &Value, secrets: &Value) -> Arc<dyn RecordManager> {
    match build(name, inputs, secrets) {
        Ok(Instance::RecordManager(records)) => records,
        Ok(other) => panic!("built {}", other.kind()),
        Err(error) => panic!("{error}"),
    }
}

/// A node with these inputs and secrets; embeddings are connected to it.
pub fn build(name: &str, inputs: &Value, secrets: &Value) -> Result<Instance, NodeError> {
    let spec = registry::find(name).unwrap_or_else(|| panic!("no node is named {name}"));
    let values = inputs.as_object().expect("inputs are an object").iter();
    let mut values: std::collections::HashMap<_, _> =
        values.map(|(name, value)| (name.clone(), InputValue::Json(value.clone()))).collect();
    let embeddings = Instance::Embeddings(Arc::new(Written));
    values.insert("embeddings".to_owned(), InputValue::Nodes(vec![embeddings]));
    let fields = secrets.as_object().cloned().unwrap_or_default();
    (spec.build)(&Inputs {
        id: format!("{name}_0"),
        label: "The store".to_owned(),
        values,
        secrets: Some(match fields.is_empty() {
            true => Err(format!("{name} has no credential")),
            false => Ok(Secrets { fields, from_environment: false }),
        }),
        ..Inputs::default()
    })
}

struct Lent<F> {
    client: reqwest::Client,
    provider_url: F,
}

impl<F: Fn(&str) -> Option<String> + Send + Sync> Services for Lent<F> {
    fn http(&self) -> reqwest::Client {
        self.client.clone()
    }

    fn provider_url(&self, provider: &str) -> Option<String> {
        (self.provider_url)(provider)
    }
}

struct Nothing;

impl Transcript for Nothing {
    fn last(&self, _n_turns: Option<usize>) -> BoxFuture<'_, Result<Exchanges, Fault>> {
        std::future::ready(Ok(Exchanges::default())).boxed()
    }
}

/// Texts that are vectors already: `[1, 0, 0]`.
struct Written;

impl Embeddings for Written {
    fn identity(&self) -> String {
        "written".to_owned()
    }

    fn batch_size(&self) -> usize {
        100
    }

    fn embed<'a>(
        &'a self,
        texts: &'a [&'a str],
        _ctx: &'a TurnCtx,
    ) -> BoxFuture<'a, Result<Vec<Vec<f32>>, NodeError>> {
        let read = |text: &&str| serde_json::from_str(text).expect("a vector is written there");
        std::future::ready(Ok(texts.iter().map(read).collect())).boxed()
    }

    fn embed_query<'a>(
        &'a self,
        text: &'a str,
        _ctx: &'a TurnCtx,
    ) -> BoxFuture<'a, Result<Vec<f32>, NodeError>> {
        let vector = serde_json::from_str(text).expect("a vector is written there");
        std::future::ready(Ok(vector)).boxed()
    }
}
