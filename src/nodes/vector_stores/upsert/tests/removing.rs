use std::sync::Arc;

use futures::FutureExt;
use parlor_schemas::ChatflowId;
use serde_json::json;

use super::{Bench, flow_with};
use crate::retrieval::Cleanup;
use crate::retrieval::fakes::{FakeLoader, FakeRecords};
use crate::vector_stores::Selection;

/// A store with what the flow holds, two files of requests that share a chunk,
/// and a record manager.
async fn bench() -> Bench {
    let own = flow_with(&["own"]);
    let files = ["a.pdf", "b.pdf"].map(|name| {
        let file = FakeLoader::of_request(name);
        file.bring("blob", &[name, "shared"]);
        file
    });
    let bench = Bench::new(&[&own, &files[0], &files[1]])
        .recording(Arc::new(FakeRecords::with(Cleanup::None)));
    bench.upsert().await;
    assert_eq!(bench.index.texts(), ["a.pdf", "b.pdf", "own", "shared"]);
    bench
}

async fn remove(bench: &Bench, selection: Selection) -> u64 {
    // Boxed, as an actor or a handler holds it.
    bench.store.remove(&selection, &bench.ctx).boxed().await.unwrap()
}

#[tokio::test]
async fn an_origin_goes_with_what_no_other_has() {
    let bench = bench().await;

    assert_eq!(remove(&bench, Selection::Origin("a.pdf".to_owned())).await, 1);
    assert_eq!(bench.index.texts(), ["b.pdf", "own", "shared"]);

    assert_eq!(remove(&bench, Selection::Origin("b.pdf".to_owned())).await, 2);
    assert_eq!(remove(&bench, Selection::Origin("c.pdf".to_owned())).await, 0);
    assert_eq!(bench.index.texts(), ["own"]);
}

#[tokio::test]
async fn ids_and_filters_go_from_the_index_the_ledger_and_the_records() {
    let bench = bench().await;
    let shared = bench.index.chunk("shared").id;

    assert_eq!(remove(&bench, Selection::Ids(vec![shared])).await, 1);
    assert_eq!(bench.ledger.n_chunks(&bench.identity()), 3);
    assert_eq!(remove(&bench, Selection::Filter(json!({"source": "blob"}))).await, 2);

    assert_eq!(bench.index.texts(), ["own"]);
    assert_eq!(bench.ledger.n_chunks(&bench.identity()), 1);
    assert_eq!(bench.upsert().await.num_added, 3, "nobody remembers them");
}

#[tokio::test]
async fn everything_is_what_this_chatflow_put_there() {
    let mut bench = bench().await;
    let first = bench.ctx.chatflow;
    bench.ctx.chatflow = ChatflowId::random();
    assert_eq!(remove(&bench, Selection::Everything).await, 0, "it put nothing there");

    bench.ctx.chatflow = first;
    assert_eq!(remove(&bench, Selection::Everything).await, 4);

    assert_eq!(bench.index.texts(), [""; 0]);
    assert_eq!(bench.ledger.n_chunks(&bench.identity()), 0);
}
