//! How far back a summary is looked for, and what a long past does.

use parlor_schemas::ErrorCode;
use serde_json::{Value, json};

use super::*;
use crate::test_support::{FakeModel, TestTurn};

/// A turn's context after this many turns, with these states kept by place.
fn ctx(n_turns: usize, kept: &[(usize, Value)]) -> TurnCtx {
    let words: Vec<_> = (0..n_turns).map(|n| (format!("q{n}"), format!("a{n}"))).collect();
    let words: Vec<_> = words.iter().map(|(q, a)| (q.as_str(), a.as_str())).collect();
    TestTurn::asking("now").stored(&words).keeping(kept).ctx()
}

fn state(through: u64) -> Value {
    json!({"summary": "so far", "through": through})
}

#[tokio::test]
async fn only_the_turns_after_the_last_summary_are_read_again() {
    for (n_turns, kept, through, n_rest) in [
        (3, vec![(1, state(0)), (2, state(1))], Some(1), 1),
        // A turn whose memory kept nothing is not lost.
        (6, vec![(2, state(1))], Some(1), 4),
        (300, vec![(299, state(298))], Some(298), 1),
        (300, vec![(100, state(99))], Some(99), 200),
        (300, vec![(20, state(19))], Some(19), 280),
        // The turns between the summary and its record count too.
        (300, vec![(290, state(200))], Some(200), 99),
        (300, vec![], None, 300),
        (0, vec![], None, 0),
    ] {
        let story = Story::read(&ctx(n_turns, &kept)).await.unwrap();
        assert_eq!(story.summary.map(|summary| summary.through), through, "{kept:?}");
        assert_eq!(story.rest.len(), n_rest, "{kept:?}");
        let seqs = story.rest.iter().map(|turn| turn.seq);
        assert_eq!(seqs.last(), (n_rest > 0).then(|| n_turns as u64 - 1));
    }
}

#[tokio::test]
async fn what_another_memory_kept_is_no_summary() {
    for odd in [json!({"other": 1}), json!("text"), state(7)] {
        let story = Story::read(&ctx(3, &[(2, odd)])).await.unwrap();
        assert_eq!((story.summary, story.rest.len()), (None, 3));
    }
}

#[tokio::test]
async fn new_turns_are_folded_into_the_summary_that_was_kept() {
    let model = FakeModel::saying("longer");
    let ctx = ctx(4, &[(2, state(1))]);
    let mut story = Story::read(&ctx).await.unwrap();

    story.fold(2, &*model, &ctx).await.unwrap();

    assert_eq!(story.summary, Some(Summary { text: "longer".to_owned(), through: 3 }));
    let task = model.only_prompt()[0].plain();
    let lines = "Summary so far:\nso far\n\nNew lines:\nHuman: q2\nAI: a2\nHuman: q3\nAI: a3\n";
    assert!(task.contains(lines), "{task}");
}

#[tokio::test]
async fn a_long_past_is_caught_up_with_in_bounded_calls_and_nothing_is_lost() {
    let model = FakeModel::saying("s");
    let long = "x".repeat(9_000);
    let words: Vec<_> = (0..14).map(|_| (long.as_str(), long.as_str())).collect();
    let ctx = TestTurn::asking("now").stored(&words).ctx();
    let mut story = Story::read(&ctx).await.unwrap();

    story.fold(14, &*model, &ctx).await.unwrap();

    // Two turns of 18,000 characters go into a call, and four calls into a turn.
    assert_eq!((model.n_calls(), story.rest.len()), (4, 6));
    assert_eq!(story.summary.as_ref().unwrap().through, 7);
    assert_eq!(story.messages(&ctx).await.unwrap().len(), 1 + 12);
}

#[tokio::test]
async fn a_turn_that_no_model_could_read_is_shortened() {
    let model = FakeModel::saying("s");
    let long = format!("begin {} end", "x".repeat(1_000_000));
    let ctx = TestTurn::asking("now").stored(&[(&long, "ok")]).ctx();
    let mut story = Story::read(&ctx).await.unwrap();

    story.fold(1, &*model, &ctx).await.unwrap();

    let task = model.only_prompt()[0].plain();
    assert!(task.len() < 12_000, "{} bytes", task.len());
    assert!(task.contains("Human: begin ") && task.contains(" end\nAI: ok"));
}

#[tokio::test]
async fn an_empty_summary_is_an_error_rather_than_a_loss() {
    let model = FakeModel::saying(" \n");
    let ctx = ctx(1, &[]);
    let error = Story::read(&ctx).await.unwrap().fold(1, &*model, &ctx).await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::UpstreamFailed);
    assert!(error.to_string().contains("an empty summary"), "{error}");
}
