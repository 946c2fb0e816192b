use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};

use proptest::prelude::*;

use super::{Place, begin, chunk, ctx, hits, ids, upsert};

/// Says that the writer has ended, also when it ended by a panic: readers that
/// went on would keep their scope, and the test, for ever.
struct Ended<'a>(&'a AtomicBool);

impl Drop for Ended<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

#[test]
fn readers_never_see_half_of_an_upsert_while_a_writer_works() {
    const N_CHUNKS: u128 = 12;
    let place = Place::new();
    let runtime = || tokio::runtime::Builder::new_current_thread().build().unwrap();
    let done = AtomicBool::new(false);
    let generation = |n: usize| {
        (0..N_CHUNKS).map(|id| chunk(id, &[1.0, id as f32], &n.to_string())).collect::<Vec<_>>()
    };
    let index = runtime().block_on(place.open("docs"));
    runtime().block_on(upsert(&index, generation(0), &[]));
    std::thread::scope(|scope| {
        let readers: Vec<_> = (0..3)
            .map(|_| {
                scope.spawn(|| {
                    let (mut n_reads, mut newest) = (0, 0);
                    while !done.load(Ordering::SeqCst) || n_reads == 0 {
                        let hits = runtime().block_on(hits(&index, &[1.0, 0.0]));
                        let seen: BTreeSet<usize> = hits
                            .iter()
                            .map(|hit| hit.document.page_content.parse().unwrap())
                            .collect();
                        assert_eq!((hits.len(), seen.len()), (N_CHUNKS as usize, 1), "{seen:?}");
                        let seen = seen.into_iter().next().unwrap();
                        assert!(seen >= newest, "{seen} after {newest}");
                        newest = seen;
                        n_reads += 1;
                    }
                })
            })
            .collect();
        let ended = Ended(&done);
        for n in 1..=25 {
            runtime().block_on(upsert(&index, generation(n), &[]));
        }
        drop(ended);
        readers.into_iter().for_each(|reader| reader.join().unwrap());
    });
    let last = runtime().block_on(hits(&index, &[1.0, 0.0]));
    assert!(last.iter().all(|hit| hit.document.page_content == "25"));
}

#[derive(Debug, Clone)]
enum Step {
    Upsert { chunks: Vec<(u128, i8)>, stale: Vec<u128>, is_given_up: bool },
    Delete(Vec<u128>),
    Restart,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let id = 0_u128..12;
    let chunks = proptest::collection::vec((id.clone(), -9_i8..9), 0..8);
    let stale = proptest::collection::vec(id.clone(), 0..4);
    let upsert = (chunks, stale, proptest::bool::weighted(0.2))
        .prop_map(|(chunks, stale, is_given_up)| Step::Upsert { chunks, stale, is_given_up });
    let delete = proptest::collection::vec(id, 0..6).prop_map(Step::Delete);
    let step = prop_oneof![4 => upsert, 2 => delete, 1 => Just(Step::Restart)];
    proptest::collection::vec(step, 1..25)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn whatever_is_done_the_index_holds_what_a_plain_map_would(steps in steps()) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let mut place = Place::new();
            let mut model: BTreeMap<u128, i8> = BTreeMap::new();
            for step in steps {
                let index = place.open("docs").await;
                match step {
                    Step::Upsert { chunks, stale, is_given_up } => {
                        let made = chunks.iter()
                            .map(|(id, y)| chunk(*id, &[1.0, f32::from(*y)], &y.to_string()));
                        let writer = begin(&index, made.collect()).await;
                        if !is_given_up {
                            writer.commit(ids(&stale), &ctx()).await.unwrap();
                            model.extend(chunks);
                            stale.iter().for_each(|id| { model.remove(id); });
                        }
                    }
                    Step::Delete(gone) => {
                        let n = gone.iter().filter(|id| model.remove(id).is_some()).count();
                        assert_eq!(index.delete(&ids(&gone)).await.unwrap(), n as u64);
                    }
                    Step::Restart => place.restart(),
                }
                drop(index);
                let index = place.open("docs").await;
                let seen: BTreeMap<u128, i8> = hits(&index, &[1.0, 0.0]).await.iter()
                    .map(|hit| (hit.id.as_u128(), hit.document.page_content.parse().unwrap()))
                    .collect();
                assert_eq!(seen, model);
                let all: Vec<_> = (0..12).collect();
                assert_eq!(index.known(&ids(&all)).await.unwrap().len(), model.len());
            }
        });
    }
}
