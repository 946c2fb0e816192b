//! Memories that sum a conversation up: what the model is asked turn by turn,
//! and that nothing is lost, not even by a kill.

use serde_json::{Value, json};

use crate::support::scripted::{Received, words};
use crate::support::{Answer, Flow, Parlor, Scripted};

const HEAD: &str = "Summary of the conversation so far:\n";

/// A model that answers `Answer to QUESTION`, and whose summaries are the
/// summary before with the new questions in a row.
async fn model() -> Scripted {
    Scripted::start(|request| {
        Answer::Say(words(&match summary_task(request) {
            Some((before, lines)) => {
                let before = Some(before.as_str()).filter(|before| *before != "(none yet)");
                let asked = lines.lines().filter_map(|line| line.strip_prefix("Human: "));
                before.into_iter().chain(asked).collect::<Vec<_>>().join(" > ")
            }
            None => format!("Answer to {}", request.messages().pop().unwrap().1),
        }))
    })
    .await
}

/// The summary and the lines that a request asks to sum up.
fn summary_task(request: &Received) -> Option<(String, String)> {
    let (_, task) = request.messages().pop()?;
    let (before, lines) = task.split_once("Summary so far:\n")?.1.split_once("\n\nNew lines:\n")?;
    let lines = lines.strip_suffix("\n\nNew summary:")?;
    Some((before.to_owned(), lines.to_owned()))
}

/// The recorded conversation with another memory in its place.
async fn install(server: &Parlor, model: &Scripted, memory: &str, limit: Option<u64>) -> String {
    let credential = server.openai_credential().await;
    let mut flow = Flow::golden("b-conversation").with_openai(&credential, &model.basepath());
    let data = flow.data("bufferMemory_0");
    data["name"] = json!(memory);
    data["inputs"]["model"] = json!("{{chatOpenAI_0.data.instance}}");
    data["inputs"]["maxTokenLimit"] = json!(limit);
    let edge = json!({"source": "chatOpenAI_0", "target": "bufferMemory_0"});
    flow.0["edges"].as_array_mut().unwrap().push(edge);
    server.install(memory, &flow).await
}

async fn ask(server: &Parlor, flow: &str, question: &str) -> Value {
    let body = json!({"question": question, "overrideConfig": {"sessionId": "ann"}});
    server.ask(flow, &body).await.expect(200).json()
}

/// What the chain's model saw between its system text and the question, and
/// the lines that were summed up for it.
fn seen(model: &Scripted) -> (Vec<String>, Vec<String>) {
    let (tasks, chains): (Vec<_>, Vec<_>) =
        model.take_received().into_iter().partition(|request| summary_task(request).is_some());
    let [chain] = &chains[..] else { panic!("one call of the chain: {chains:#?}") };
    let mut messages: Vec<_> = chain.messages().into_iter().map(|(_, content)| content).collect();
    messages.pop();
    let lines = tasks.iter().filter_map(summary_task).map(|(_, lines)| lines);
    (messages.split_off(1), lines.collect())
}

fn line(question: &str) -> String {
    format!("Human: {question}\nAI: Answer to {question}")
}

#[tokio::test]
async fn a_summary_rolls_along_and_survives_kill_9() {
    let model = model().await;
    let mut server = Parlor::start();
    let flow = install(&server, &model, "conversationSummaryMemory", None).await;

    ask(&server, &flow, "one").await;
    assert_eq!(seen(&model), (vec![], vec![]), "there is nothing to sum up before the first turn");
    ask(&server, &flow, "two").await;
    assert_eq!(seen(&model), (vec![format!("{HEAD}one")], vec![line("one")]));
    let reply = ask(&server, &flow, "three").await;
    assert_eq!(seen(&model), (vec![format!("{HEAD}one > two")], vec![line("two")]));
    // One token for each prompt: the summary's call is counted beside the chain's.
    assert_eq!(reply["usage"], json!({"inputTokens": 2, "outputTokens": 3 + 3}));

    server.kill9();
    let server = server.restart();
    ask(&server, &flow, "four").await;
    let everything = vec![format!("{HEAD}one > two > three")];
    assert_eq!(seen(&model), (everything, vec![line("three")]));
    assert_eq!(server.messages(&flow, "sessionId=ann").await.len(), 8);
}

#[tokio::test]
async fn a_failed_turn_costs_the_summary_nothing() {
    let model = model().await;
    let server = Parlor::start();
    let flow = install(&server, &model, "conversationSummaryMemory", None).await;
    for question in ["one", "two"] {
        ask(&server, &flow, question).await;
    }
    model.take_received();
    model.answer(|request| match summary_task(request) {
        Some(_) => Answer::Say(words("a summary that must not stay")),
        None => Answer::Whole { status: 400, headers: Vec::new(), body: "{}".to_owned() },
    });
    let body = json!({"question": "lost", "overrideConfig": {"sessionId": "ann"}});
    server.ask(&flow, &body).await.expect_error(502);
    model.take_received();
    model.answer(|_| Answer::Say(words("fine")));

    ask(&server, &flow, "three").await;

    let received = model.take_received();
    let (before, lines) = summary_task(&received[0]).unwrap();
    assert_eq!((before.as_str(), lines), ("one", line("two")));
}

#[tokio::test]
async fn the_newest_turns_stay_word_for_word_and_older_ones_are_summed_up() {
    let model = model().await;
    let mut server = Parlor::start();
    // A turn of these words takes five or six tokens: two of them fit.
    let flow = install(&server, &model, "conversationSummaryBufferMemory", Some(12)).await;
    let turn = |question: &str| [question.to_owned(), format!("Answer to {question}")];

    ask(&server, &flow, "one").await;
    assert_eq!(seen(&model), (vec![], vec![]));
    ask(&server, &flow, "two").await;
    assert_eq!(seen(&model), (turn("one").to_vec(), vec![]));
    ask(&server, &flow, "six").await;
    assert_eq!(seen(&model), ([turn("one"), turn("two")].concat(), vec![]));
    ask(&server, &flow, "ten").await;
    let expected = [vec![format!("{HEAD}one")], turn("two").to_vec(), turn("six").to_vec()];
    assert_eq!(seen(&model), (expected.concat(), vec![line("one")]));

    server.kill9();
    let server = server.restart();
    ask(&server, &flow, "end").await;
    let expected = [vec![format!("{HEAD}one > two")], turn("six").to_vec(), turn("ten").to_vec()];
    assert_eq!(seen(&model), (expected.concat(), vec![line("two")]));
}

#[tokio::test]
async fn deleting_a_session_deletes_its_summary() {
    let model = model().await;
    let server = Parlor::start();
    let flow = install(&server, &model, "conversationSummaryMemory", None).await;
    for question in ["one", "two", "three"] {
        ask(&server, &flow, question).await;
    }
    let path = format!("/api/v1/chatmessage/{flow}?sessionId=ann");
    server.operator().delete(&path).await.expect(200);
    model.take_received();

    ask(&server, &flow, "four").await;

    assert_eq!(seen(&model), (vec![], vec![]));
}
