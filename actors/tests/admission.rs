//! How many turns the actors take on of one chatflow and of one API key.

#![allow(missing_docs, reason = "a test is described by its name")]

#[allow(dead_code, reason = "other files of tests use the rest")]
mod support;

use std::sync::Arc;
use std::time::Duration;

use futures::future::LocalBoxFuture;
use parlor_actors::{Limits, SessionTail, SupervisorHandle, TurnOutcome, TurnRunner, share_of};
use parlor_schemas::{ChatId, ChatflowId, ErrorCode, Fault, SessionKey};
use support::{Script, ScriptedTurn, chat, key, run, turn};
use tokio_util::sync::CancellationToken;

fn limits() -> Limits {
    Limits {
        n_shards: 2,
        max_turns: 4,
        max_chatflow_turns: 3,
        max_key_turns: 2,
        ..Limits::default()
    }
}

fn of(chatflow: u8, session: &str) -> SessionKey {
    SessionKey { chatflow: ChatflowId::from_bytes([chatflow; 16]), ..key(session) }
}

/// A scripted turn that an API key opened.
struct Keyed(Box<ScriptedTurn>, &'static str);

impl TurnRunner for Keyed {
    fn chat_id(&self) -> Option<ChatId> {
        self.0.chat_id()
    }

    fn api_key(&self) -> Option<Arc<str>> {
        Some(self.1.into())
    }

    fn run(
        self: Box<Self>,
        tail: SessionTail,
        cancel: CancellationToken,
    ) -> LocalBoxFuture<'static, Result<TurnOutcome, Fault>> {
        self.0.run(tail, cancel)
    }
}

fn long(key: &'static str) -> Box<Keyed> {
    Box::new(Keyed(turn("long", Script::UntilCancelled), key))
}

fn assert_limited(refused: Result<parlor_actors::PendingTurn, Fault>) {
    let Err(fault) = refused else { unreachable!("the turn was admitted") };
    assert_eq!((fault.code, fault.retry_after_s), (ErrorCode::LimitExceeded, Some(1)));
}

fn assert_empty(handle: &SupervisorHandle) {
    assert_eq!((handle.turns_in_flight(), handle.sharers()), (0, 0));
}

#[test]
fn a_chatflow_may_take_three_quarters_of_the_server_and_at_least_one_turn() {
    for (most, share) in [(4096, 3072), (4, 3), (3, 3), (2, 2), (1, 1)] {
        assert_eq!(share_of(most), share, "of {most}");
    }
    assert_eq!(Limits::default().max_chatflow_turns, share_of(Limits::default().max_turns));
}

#[test]
fn a_flooded_chatflow_leaves_room_for_another_and_its_own_when_its_callers_left() {
    run(limits(), |handle, _| async move {
        let begin = |session| handle.run_turn(of(1, session), turn("x", Script::UntilCancelled));
        // One of them waits behind the other: who waits counts, too.
        let flood = ["a", "a", "b"].map(|session| begin(session).unwrap());
        assert_limited(begin("c"));
        let answer = handle.run_turn(of(2, "a"), turn("x", Script::Answer)).unwrap();
        assert!(answer.await.is_ok());
        drop(flood);
        assert_empty(&handle);
        assert!(begin("c").is_ok());
    });
}

#[test]
fn a_full_server_says_so_before_it_looks_at_shares() {
    run(limits(), |handle, _| async move {
        let begin = |chatflow| handle.run_turn(of(chatflow, "s"), turn("x", Script::Answer));
        let _all = [1, 1, 1, 2].map(|chatflow| begin(chatflow).unwrap());
        for chatflow in [1, 2, 3] {
            assert_eq!(begin(chatflow).err().unwrap().code, ErrorCode::Overloaded);
        }
    });
}

#[test]
fn a_key_is_counted_over_all_chatflows_and_apart_from_other_keys() {
    run(limits(), |handle, _| async move {
        let first = handle.run_turn(of(1, "s"), long("busy")).unwrap();
        let second = handle.run_turn(of(2, "s"), long("busy")).unwrap();
        assert_limited(handle.run_turn(of(3, "s"), long("busy")));
        let other = handle.run_turn(of(3, "s"), long("quiet")).unwrap();
        drop(first);
        let third = handle.run_turn(of(3, "s"), long("busy")).unwrap();
        drop((second, third, other));
        assert_empty(&handle);
    });
}

#[test]
fn places_come_back_from_turns_that_panic_or_are_aborted() {
    run(limits(), |handle, _| async move {
        for round in 0..5 {
            let panics = Box::new(Keyed(turn("x", Script::Panic), "key"));
            let session = format!("p{round}");
            let failed = handle.run_turn(of(1, &session), panics).unwrap().await;
            assert_eq!(failed.unwrap_err().code, ErrorCode::Internal);
            let pending = handle.run_turn(of(1, "a"), long("key")).unwrap();
            assert!(handle.abort_chat(of(1, "a").chatflow, chat()));
            assert_eq!(pending.await.unwrap_err().code, ErrorCode::Cancelled);
            assert_empty(&handle);
        }
    });
}

#[test]
fn a_late_server_takes_no_more_turns_than_it_can_work_on_until_it_is_in_time_again() {
    let limits = Limits { n_shards: 1, ..Limits::default() };
    run(limits, |handle, _| async move {
        let begin = |n: usize, script| handle.run_turn(key(&n.to_string()), turn("x", script));
        let refused = |n: usize| begin(n, Script::UntilCancelled).is_err();
        let waiting: Vec<_> =
            (0..1_023).map(|n| begin(n, Script::UntilCancelled).unwrap()).collect();
        let mut late = 0;
        for _ in 0..20 {
            let work = begin(9_998, Script::Work(Duration::from_millis(300))).unwrap();
            assert!(work.await.is_ok(), "a turn was refused where there is room");
            let next = begin(9_998, Script::Work(Duration::from_millis(300)));
            // The thread finds out that it is late between two turns.
            for _ in 0..40 {
                late += usize::from(refused(9_999));
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            drop(next);
            if late > 0 {
                break;
            }
        }
        assert!(late > 0, "a late server took one turn too many");
        while refused(9_999) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        drop(waiting);
    });
}
