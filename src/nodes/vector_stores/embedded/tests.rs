use std::collections::HashSet;
use std::sync::{Arc, Mutex};

use futures::FutureExt;
use futures::future::{BoxFuture, ready};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::ctx::Services;
use crate::error::NodeError;
use crate::inputs::InputValue;
use crate::instance::Instance;
use crate::retrieval::fakes::FakeEmbeddings;
use crate::retrieval::{EmbeddedIndex, Hit, IndexShelf, IndexWriter, VectorIndex, VectorQuery};
use crate::spec::NodeSpec;
use crate::test_support::{TestTurn, build, build_error, node, source};
use crate::vector_stores::VectorStore;

/// Embeddings of this identity.
pub(in crate::vector_stores) fn embeddings(identity: &str) -> Instance {
    Instance::Embeddings(FakeEmbeddings::of_model(identity, 1))
}

pub(in crate::vector_stores) fn store<const N: usize>(
    spec: &NodeSpec,
    values: [(&str, InputValue); N],
) -> VectorStore {
    let Instance::VectorStore(store) = build(spec, values) else { panic!("a vector store") };
    Arc::into_inner(store).unwrap()
}

pub(in crate::vector_stores) fn store_error<const N: usize>(
    spec: &NodeSpec,
    values: [(&str, InputValue); N],
) -> NodeError {
    build_error(spec, values)
}

/// A shelf whose collections refuse everything, and which remembers their names.
#[derive(Default)]
struct Refusing(Mutex<Vec<String>>);

struct Refused;

fn refused() -> NodeError {
    NodeError::BadRequest("no".to_owned())
}

impl IndexShelf for Refusing {
    fn open<'a>(
        &'a self,
        name: &'a str,
    ) -> BoxFuture<'a, Result<Arc<dyn EmbeddedIndex>, NodeError>> {
        self.0.lock().unwrap().push(name.to_owned());
        let index: Arc<dyn EmbeddedIndex> = Arc::new(Refused);
        ready(Ok(index)).boxed()
    }
}

impl EmbeddedIndex for Refused {
    fn known<'a>(&'a self, ids: &'a [Uuid]) -> BoxFuture<'a, Result<HashSet<Uuid>, NodeError>> {
        ready(Ok(ids.iter().copied().collect())).boxed()
    }

    fn writer(&self, _n_dimensions: usize) -> Result<Box<dyn IndexWriter>, NodeError> {
        Err(refused())
    }

    fn delete<'a>(&'a self, ids: &'a [Uuid]) -> BoxFuture<'a, Result<u64, NodeError>> {
        ready(Ok(ids.len() as u64)).boxed()
    }

    fn matching<'a>(
        &'a self,
        _filter: &'a Value,
        _most: usize,
    ) -> BoxFuture<'a, Result<Vec<Uuid>, NodeError>> {
        ready(Err(refused())).boxed()
    }

    fn query<'a>(
        &'a self,
        _query: &'a VectorQuery<'a>,
    ) -> BoxFuture<'a, Result<Vec<Hit>, NodeError>> {
        ready(Err(refused())).boxed()
    }
}

struct WithShelf(Arc<Refusing>);

impl Services for WithShelf {
    fn http(&self) -> reqwest::Client {
        unreachable!("an index in the data folder calls nobody")
    }

    fn provider_url(&self, _provider: &str) -> Option<String> {
        None
    }

    fn shelf(&self) -> Result<Arc<dyn IndexShelf>, NodeError> {
        Ok(self.0.clone())
    }
}

#[tokio::test]
async fn an_embedded_collection_is_opened_by_its_name_and_errors_name_the_node() {
    let shelf = Arc::new(Refusing::default());
    let mut turn = TestTurn::asking("").ctx();
    turn.services = Arc::new(WithShelf(shelf.clone()));
    let values = [("embeddings", node(embeddings("m1"))), ("basePath", source("docs"))];
    let store = store(&crate::vector_stores::faiss::SPEC, values);
    let index: &dyn VectorIndex = store.index.as_ref();
    let id = Uuid::from_u128(1);

    assert_eq!(index.known(&[id], &turn).await.unwrap(), [id].into());
    index.delete(&[id], &turn).await.unwrap();
    let errors = [
        index.writer(1, &turn).await.err().unwrap(),
        index.matching(&json!({}), 1, &turn).await.unwrap_err(),
        store.hits("question", None, &turn).await.unwrap_err(),
    ];

    for error in errors {
        assert_eq!(error.to_string(), "Test node (test_0): no");
    }
    assert!(shelf.0.lock().unwrap().iter().all(|name| name == "faiss/docs"));
}
