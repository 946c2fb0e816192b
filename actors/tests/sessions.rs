//! The promises that the actors keep by themselves, over a store in memory.

#![allow(missing_docs, reason = "a test is described by its name")]

#[allow(dead_code, reason = "other files of tests use the rest")]
mod support;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures::future::join_all;
use parlor_actors::{Limits, Load, view};
use parlor_schemas::{ChatflowId, ErrorCode};
use support::{Script, ask, chat, key, run, turn};

fn limits() -> Limits {
    Limits { n_shards: 2, ..Limits::default() }
}

/// Polls until a condition holds, at most a minute.
async fn eventually(mut condition: impl AsyncFnMut() -> bool) {
    for _ in 0..6_000 {
        if condition().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    unreachable!("the condition did not come to hold");
}

#[test]
fn turns_of_one_session_run_in_order_and_each_sees_all_before_it() {
    run(limits(), |handle, store| async move {
        let asked = (0..20).map(|n| {
            let handle = handle.clone();
            async move {
                ask(&handle, "s", &n.to_string(), Script::Wait(Duration::from_millis(1))).await
            }
        });
        let seen: Vec<String> = join_all(asked).await.into_iter().map(Result::unwrap).collect();
        assert_eq!(seen[19].split(',').count(), 19);
        assert_eq!(store.questions(&key("s")).len(), 20);
    });
}

#[test]
fn sessions_never_mix() {
    run(limits(), |handle, _| async move {
        for round in 0..3 {
            let asked = (0..64).map(|n| {
                let handle = handle.clone();
                async move {
                    let session = format!("s{n}");
                    let seen = ask(&handle, &session, &session, Script::Answer).await.unwrap();
                    let expected = vec![session; round].join(",");
                    assert_eq!(seen, expected);
                }
            });
            join_all(asked).await;
        }
    });
}

#[test]
fn p5_a_panic_is_an_error_of_its_turn_and_the_next_one_remembers_all() {
    run(limits(), |handle, store| async move {
        ask(&handle, "s", "one", Script::Answer).await.unwrap();
        let fault = ask(&handle, "s", "two", Script::Panic).await.unwrap_err();
        assert_eq!(fault.code, ErrorCode::Internal);
        assert_eq!(ask(&handle, "s", "three", Script::Answer).await.unwrap(), "one");
        assert_eq!(store.questions(&key("s")), ["one", "three"]);
    });
}

#[test]
fn p6_a_session_that_panics_again_and_again_is_paused_and_no_other_suffers() {
    run(limits(), |handle, _| async move {
        for _ in 0..5 {
            let fault = ask(&handle, "poison", "x", Script::Panic).await.unwrap_err();
            assert_eq!(fault.code, ErrorCode::Internal);
        }
        let fault = ask(&handle, "poison", "x", Script::Answer).await.unwrap_err();
        assert_eq!(fault.code, ErrorCode::Overloaded);
        assert!(fault.retry_after_s.is_some());
        assert!(ask(&handle, "healthy", "x", Script::Answer).await.is_ok());
    });
}

#[test]
fn a_caller_who_leaves_stores_nothing_and_frees_the_session() {
    run(limits(), |handle, store| async move {
        let pending = handle.run_turn(key("s"), turn("gone", Script::UntilCancelled)).unwrap();
        drop(pending);
        assert_eq!(ask(&handle, "s", "next", Script::Answer).await.unwrap(), "");
        assert_eq!(store.questions(&key("s")), ["next"]);
        assert_eq!(handle.turns_in_flight(), 0);
    });
}

#[test]
fn an_abort_is_heard_while_the_turn_runs_and_by_those_that_wait() {
    run(limits(), |handle, store| async move {
        let of_other_flow = ChatflowId::from_bytes([8; 16]);
        let turns: Vec<_> = ["one", "two"]
            .map(|question| turn(question, Script::UntilCancelled))
            .into_iter()
            .map(|turn| handle.run_turn(key("s"), turn).unwrap())
            .collect();
        assert!(!handle.abort_chat(of_other_flow, chat()), "another chatflow's chat was aborted");
        assert!(handle.abort_chat(key("s").chatflow, chat()));
        for aborted in join_all(turns).await {
            assert_eq!(aborted.unwrap_err().code, ErrorCode::Cancelled);
        }
        assert!(store.questions(&key("s")).is_empty());
        assert!(!handle.abort_chat(key("s").chatflow, chat()), "nothing runs any more");
        assert_eq!(ask(&handle, "s", "next", Script::Answer).await.unwrap(), "");
    });
}

#[test]
fn a_busy_server_shows_its_busiest_sessions_and_no_sleeping_one() {
    let limits = Limits { n_shards: 2, max_turns: 9, ..limits() };
    run(limits, |handle, _| async move {
        ask(&handle, "asleep", "x", Script::Answer).await.unwrap();
        let busy = ["a", "b", "b", "b", "c", "c"];
        let pending: Vec<_> = busy
            .map(|name| handle.run_turn(key(name), turn("x", Script::UntilCancelled)).unwrap())
            .into();
        let shown = async |most| {
            let shards = handle.describe(most).await;
            let all = shards.iter().flat_map(|shard| shard.busiest.clone()).collect();
            let busiest = view::busiest(all, most).into_iter();
            busiest.map(|busy| (busy.what, busy.n_pending)).collect::<Vec<_>>()
        };
        let expected = [(key("b"), 3), (key("c"), 2), (key("a"), 1)];
        assert_eq!(shown(100).await, expected);
        assert_eq!(shown(1).await, expected[..1]);
        let shards = handle.describe(1).await;
        assert_eq!(shards.len(), 2);
        assert_eq!(shards.iter().map(|shard| shard.n_live).sum::<usize>(), 4);
        assert_eq!(shards.iter().map(|shard| shard.n_pending).sum::<usize>(), 6);
        eventually(async || handle.load().n_running == 3).await;
        assert_eq!(handle.load(), Load { n_running: 3, n_waiting: 3, max: 9 });
        drop(pending);
        eventually(async || handle.load().n_running == 0).await;
    });
}

#[test]
fn a21_a_full_server_refuses_at_once_and_a_full_session_only_its_own() {
    let limits = Limits { max_turns: 4, max_session_queue: 2, ..limits() };
    run(limits, |handle, _| async move {
        let mut waiting: Vec<_> = (0..3)
            .map(|_| handle.run_turn(key("s"), turn("x", Script::UntilCancelled)).unwrap())
            .collect();
        let refused = handle.run_turn(key("s"), turn("x", Script::Answer)).unwrap().await;
        let fault = refused.unwrap_err();
        assert_eq!((fault.code, fault.retry_after_s), (ErrorCode::LimitExceeded, Some(1)));
        assert!(ask(&handle, "other", "x", Script::Answer).await.is_ok());

        waiting.push(handle.run_turn(key("o"), turn("x", Script::UntilCancelled)).unwrap());
        let full = handle.run_turn(key("p"), turn("x", Script::Answer)).err().unwrap();
        assert_eq!(full.code, ErrorCode::Overloaded);
        drop(waiting);
        assert!(ask(&handle, "p", "x", Script::Answer).await.is_ok());
    });
}

#[test]
fn p5_an_idle_session_is_passivated_and_wakes_with_the_same_memory() {
    let limits = Limits { idle_after: Duration::from_millis(40), ..limits() };
    run(limits, |handle, store| async move {
        ask(&handle, "s", "one", Script::Answer).await.unwrap();
        let live = || handle.stats().live_sessions.load(std::sync::atomic::Ordering::Relaxed);
        eventually(async || live() == 0).await;
        assert_eq!(ask(&handle, "s", "two", Script::Answer).await.unwrap(), "one");
        assert_eq!(*store.n_loads.lock().unwrap(), 2);
    });
}

#[test]
fn p5_a_session_that_always_sleeps_remembers_what_one_that_never_does_remembers() {
    let limits = Limits { max_tail_bytes: 700, ..limits() };
    run(limits, |handle, store| async move {
        let seen = async |session, sleeps| {
            let mut seen = Vec::new();
            for n in 0..40 {
                if sleeps {
                    handle.drop_memory(key(session).chatflow).await;
                }
                let question = format!("{n}{}", "🦊 é\u{0}".repeat(n % 7));
                seen.push(ask(&handle, session, &question, Script::Answer).await.unwrap());
            }
            seen
        };
        let awake = seen("awake", false).await;
        assert_eq!(seen("asleep", true).await, awake);
        assert_eq!(*store.n_loads.lock().unwrap(), 1 + 40);
        assert!(awake[2].starts_with("0,1") && !awake[39].contains("1🦊"), "{awake:?}");
    });
}

#[test]
fn a21_a_full_shard_lets_an_idle_session_go_to_start_another() {
    let limits = Limits { n_shards: 1, max_live_sessions: 8, ..limits() };
    run(limits, |handle, _| async move {
        for n in 0..100 {
            ask(&handle, &format!("s{n}"), "x", Script::Answer).await.unwrap();
        }
        let count = |of: &AtomicUsize| of.load(Ordering::Relaxed);
        let stats = handle.stats();
        assert_eq!((count(&stats.live_sessions), count(&stats.passivated)), (8, 92));
        assert_eq!(ask(&handle, "s0", "y", Script::Answer).await.unwrap(), "x");
    });
}

#[test]
fn a_turn_that_cannot_be_stored_is_an_error_and_the_next_reads_the_store_again() {
    run(limits(), |handle, store| async move {
        ask(&handle, "s", "one", Script::Answer).await.unwrap();
        *store.fail_appends.lock().unwrap() = true;
        let fault = ask(&handle, "s", "two", Script::Answer).await.unwrap_err();
        assert_eq!(fault.code, ErrorCode::StoreFailed);
        *store.fail_appends.lock().unwrap() = false;
        assert_eq!(ask(&handle, "s", "three", Script::Answer).await.unwrap(), "one");
    });
}

#[test]
fn deleting_a_session_waits_for_its_turn_and_clears_the_live_memory() {
    run(limits(), |handle, _| async move {
        let wait = Script::Wait(Duration::from_millis(20));
        let pending = handle.run_turn(key("s"), turn("one", wait)).unwrap();
        let deleted = handle.forget_session(key("s"));
        let (reply, deleted) = futures::join!(pending, deleted);
        assert!(reply.is_ok());
        assert_eq!(deleted.unwrap(), 2);
        assert_eq!(ask(&handle, "s", "two", Script::Answer).await.unwrap(), "");
    });
}
