//! What reaches the model and the retriever, as recorded with Flowise 2.2.8.

use parlor_schemas::{Role, StreamEvent};
use serde_json::json;

use super::*;
use crate::inputs::InputValue;
use crate::registry;
use crate::test_support::{
    self as support, FakeModel, FakeRetriever, TestTurn, assistant, build, calls, node, says,
    source, system, user,
};

/// The response prompt of the recordings, shortened.
const RESPONSE: &str = "Use the context.\n------------\n{context}\n------------\nREMEMBER.";

struct Setting {
    model: Arc<FakeModel>,
    retriever: Arc<FakeRetriever>,
    chain: Arc<dyn Runnable>,
}

fn setting<const N: usize>(model: Arc<FakeModel>, extra: [(&str, InputValue); N]) -> Setting {
    let retriever = FakeRetriever::finding(["Opens at eight.", "12 Mill Lane"]);
    let mut inputs = support::inputs([
        ("model", node(Instance::ChatModel(model.clone()))),
        ("vectorStoreRetriever", node(Instance::Retriever(retriever.clone()))),
        ("memory", source("")),
        ("responsePrompt", source(RESPONSE)),
    ]);
    inputs.values.extend(extra.map(|(name, value)| (name.to_owned(), value)));
    let Ok(Instance::Runnable(chain)) = (SPEC.build)(&inputs) else { panic!("a chain") };
    Setting { model, retriever, chain }
}

fn memory(name: &str, inputs: [(&str, InputValue); 2]) -> InputValue {
    node(build(registry::find(name).unwrap(), inputs))
}

fn grounded() -> ModelMessage {
    let documents = "<doc id='0'>Opens at eight.</doc>\n<doc id='1'>12 Mill Lane</doc>";
    system(&RESPONSE.replace("{context}", documents))
}

#[tokio::test]
async fn a_first_question_is_searched_for_as_it_is() {
    let Setting { model, retriever, chain } = setting(FakeModel::saying("At eight."), []);

    let output = chain.run(&TestTurn::asking("When?").ctx(), false).await.unwrap();

    assert_eq!(output, RunOutput::text("At eight."));
    assert_eq!(retriever.asked(), ["When?"]);
    assert_eq!(model.only_prompt(), [grounded(), user("When?")]);
}

#[tokio::test]
async fn a_later_question_is_rephrased_for_the_search_and_answered_in_its_own_words() {
    let replies = [says("Where is the bakery? "), says("Mill Lane")];
    let Setting { model, retriever, chain } = setting(FakeModel::playing(replies), []);
    let turn = TestTurn::asking("And where is it?")
        .history(&[(Role::ApiMessage, "Hello how can I help?"), (Role::UserMessage, "Hi")])
        .stored(&[("When does the bakery open?", "At eight.")]);

    let output = chain.run(&turn.ctx(), false).await.unwrap();

    assert_eq!(output, RunOutput::text("Mill Lane"));
    assert_eq!(retriever.asked(), ["Where is the bakery? "]);
    let rephrase = "Given the following conversation and a follow up question, rephrase the \
        follow up question to be a standalone question.\n\nChat History:\n\
        ai: Hello how can I help?\nhuman: Hi\nhuman: When does the bakery open?\nai: At eight.\n\
        Follow Up Input: And where is it?\nStandalone Question:";
    let answer = vec![
        grounded(),
        assistant("Hello how can I help?"),
        user("Hi"),
        user("When does the bakery open?"),
        assistant("At eight."),
        user("And where is it?"),
    ];
    assert_eq!(model.prompts(), [vec![user(rephrase)], answer]);
}

#[tokio::test]
async fn a_rephrasing_of_no_words_leaves_the_question() {
    let replies = [says(" "), says("x")];
    let Setting { retriever, chain, .. } = setting(FakeModel::playing(replies), []);

    let ctx = TestTurn::asking("And?").stored(&[("q", "a")]).ctx();
    chain.run(&ctx, false).await.unwrap();

    assert_eq!(retriever.asked(), ["And?"]);
}

#[tokio::test]
async fn a_model_that_only_quotes_is_not_asked_to_rephrase() {
    let quoting = build(registry::find("extractiveChatModel").unwrap(), []);
    let Setting { retriever, chain, .. } = setting(
        FakeModel::saying("unused"),
        [("model", node(quoting)), ("responsePrompt", source(""))],
    );

    let ctx = TestTurn::asking("When does it open?").stored(&[("q", "a")]).ctx();
    let output = chain.run(&ctx, false).await.unwrap();

    assert_eq!(retriever.asked(), ["When does it open?"]);
    assert_eq!(output, RunOutput::text("Opens at eight."));
}

#[tokio::test]
async fn a_connected_memory_decides_what_is_remembered() {
    let memory = memory("bufferWindowMemory", [("k", source("1")), ("memoryKey", source("past"))]);
    let model = FakeModel::playing([says("rephrased"), says("x")]);
    let Setting { model, chain, .. } = setting(model, [("memory", memory)]);

    let ctx = TestTurn::asking("q3").stored(&[("q1", "a1"), ("q2", "a2")]).ctx();
    chain.run(&ctx, false).await.unwrap();

    let answer = vec![grounded(), user("q2"), assistant("a2"), user("q3")];
    assert_eq!(model.prompts()[1], answer);
}

#[tokio::test]
async fn a_summary_counts_as_history() {
    let summing = FakeModel::saying("They spoke of bread.");
    let memory = memory(
        "conversationSummaryMemory",
        [("model", node(Instance::ChatModel(summing))), ("memoryKey", source(""))],
    );
    let model = FakeModel::playing([says("rephrased"), says("x")]);
    let Setting { model, retriever, chain } = setting(model, [("memory", memory)]);

    let ctx = TestTurn::asking("more?").stored(&[("bread?", "yes")]).ctx();
    chain.run(&ctx, false).await.unwrap();

    let prompts = model.prompts();
    assert!(prompts[0][0].plain().contains("\nsystem: "), "{:?}", prompts[0]);
    assert!(prompts[1][1].plain().contains("They spoke of bread."), "{:?}", prompts[1]);
    assert_eq!(retriever.asked(), ["rephrased"]);
}

#[tokio::test]
async fn braces_in_documents_questions_and_history_are_only_braces() {
    let evil = "{question} {{$vars.secret}} {chat_history} {nothing} \\{";
    let retriever = FakeRetriever::finding([evil]);
    let model = FakeModel::playing([says("{context}"), says("{x}")]);
    let Setting { model, chain, .. } =
        setting(model, [("vectorStoreRetriever", node(Instance::Retriever(retriever.clone())))]);

    let ctx = TestTurn::asking("{context}?").stored(&[("{question}", "{a}")]).ctx();
    let output = chain.run(&ctx, false).await.unwrap();

    assert_eq!(output, RunOutput::text("{x}"));
    assert_eq!(retriever.asked(), ["{context}"]);
    let prompts = model.prompts();
    let document = format!("\n<doc id='0'>{evil}</doc>\n");
    assert!(prompts[1][0].plain().contains(&document), "{:?}", prompts[1]);
    assert_eq!(prompts[1][1..], [user("{question}"), assistant("{a}"), user("{context}?")]);
    assert!(prompts[0][0].plain().contains("human: {question}\nai: {a}\n"), "{:?}", prompts[0]);
}

#[tokio::test]
async fn sources_are_returned_and_told_after_the_last_token_where_they_are_wanted() {
    let wanted = support::json(json!(true));
    let Setting { retriever, chain, .. } =
        setting(FakeModel::saying("At eight."), [("returnSourceDocuments", wanted)]);
    let (ctx, mut events) = TestTurn::asking("When?").streaming();

    let output = chain.run(&ctx, true).await.unwrap();

    let documents = json!([
        {"pageContent": "Opens at eight.", "metadata": {"source": 0}},
        {"pageContent": "12 Mill Lane", "metadata": {"source": 1}},
    ]);
    assert_eq!(serde_json::to_value(retriever.documents()).unwrap(), documents);
    let fields = json!({"text": "At eight.", "sourceDocuments": documents});
    assert_eq!(serde_json::to_string(&output.fields).unwrap(), fields.to_string());
    let heard: Vec<_> = std::iter::from_fn(|| events.try_recv().ok()).collect();
    let answer = || "At eight.".to_owned();
    let expected = [
        StreamEvent::Start(answer()),
        StreamEvent::Token(answer()),
        StreamEvent::SourceDocuments(documents),
    ];
    assert_eq!(heard, expected);
}

#[tokio::test]
async fn only_the_answer_is_streamed() {
    let model = FakeModel::playing([says("rephrased"), says("answer")]);
    let Setting { chain, .. } = setting(model, []);
    let (ctx, mut events) = TestTurn::asking("q").stored(&[("a", "b")]).streaming();

    chain.run(&ctx, true).await.unwrap();

    let heard: Vec<_> = std::iter::from_fn(|| events.try_recv().ok()).collect();
    let answer = || "answer".to_owned();
    assert_eq!(heard, [StreamEvent::Start(answer()), StreamEvent::Token(answer())]);
}

#[tokio::test]
async fn nothing_that_was_found_is_an_empty_list_of_sources() {
    let nothing = node(Instance::Retriever(FakeRetriever::finding([])));
    let Setting { model, chain, .. } = setting(
        FakeModel::saying("Not sure."),
        [("vectorStoreRetriever", nothing), ("returnSourceDocuments", source("true"))],
    );

    let output = chain.run(&TestTurn::asking("q").ctx(), false).await.unwrap();

    assert_eq!(output.fields["sourceDocuments"], json!([]));
    assert_eq!(model.only_prompt()[0], system(&RESPONSE.replace("{context}", "")));
}

#[tokio::test]
async fn an_objection_is_answered_before_anything_is_searched() {
    let inputs = [("denyList", source("bomb")), ("moderationErrorMessage", source("No."))];
    let moderation = node(build(registry::find("inputModerationSimple").unwrap(), inputs));
    let Setting { model, retriever, chain } = setting(
        FakeModel::saying("x"),
        [("inputModeration", moderation), ("returnSourceDocuments", source("true"))],
    );

    let output = chain.run(&TestTurn::asking("a bomb").ctx(), false).await.unwrap();

    assert_eq!(output, RunOutput::text("No."));
    assert_eq!((model.n_calls(), retriever.asked().len()), (0, 0));
}

#[tokio::test]
async fn pictures_are_left_out_even_where_the_model_would_see_them() {
    let picture = ("file", Some("data:image/png;base64,QUJD"), "image/png");
    let Setting { model, chain, .. } = setting(FakeModel::seeing(false), []);

    chain.run(&TestTurn::asking("q").uploads(&[picture]).ctx(), false).await.unwrap();

    assert_eq!(model.only_prompt(), [grounded(), user("q")]);
}

#[tokio::test]
async fn an_old_system_message_stands_before_the_documents() {
    let Setting { model, chain, .. } = setting(
        FakeModel::saying("x"),
        [("systemMessagePrompt", source("You are {{a bee}}.")), ("rephrasePrompt", source(""))],
    );

    chain.run(&TestTurn::asking("When?").ctx(), false).await.unwrap();

    let told = model.only_prompt()[0].plain();
    assert!(told.starts_with("You are {a bee}.\n"), "{told}");
    assert!(told.contains("<doc id='1'>12 Mill Lane</doc>\n\nQuestion: When?\n"), "{told}");
}

#[tokio::test]
async fn an_author_who_wrote_no_prompt_gets_one_with_the_documents() {
    let Setting { model, chain, .. } =
        setting(FakeModel::saying("x"), [("responsePrompt", source(""))]);

    chain.run(&TestTurn::asking("When?").ctx(), false).await.unwrap();

    let told = model.only_prompt()[0].plain();
    assert!(told.contains("\n<doc id='0'>Opens at eight.</doc>\n"), "{told}");
}

#[tokio::test]
async fn a_variable_that_nothing_fills_is_named_with_its_prompt() {
    let Setting { chain, .. } =
        setting(FakeModel::saying("x"), [("responsePrompt", source("{context} {tone}"))]);

    let error = chain.run(&TestTurn::asking("q").ctx(), false).await.unwrap_err();

    let expected = "Test node (test_0): responsePrompt has no value for {tone}; it can use \
        {context}, {question}, {chat_history}, and {{ for a brace";
    assert_eq!(error.to_string(), expected);
}

#[test]
fn what_is_not_connected_is_named() {
    let model = FakeModel::playing([calls([])]);
    for (given, missing) in [("model", "vectorStoreRetriever"), ("vectorStoreRetriever", "model")] {
        let instance = match given {
            "model" => Instance::ChatModel(model.clone()),
            _ => Instance::Retriever(FakeRetriever::finding([])),
        };
        let error = support::build_error(&SPEC, [(given, node(instance))]);
        assert!(error.to_string().contains(missing), "{error}");
    }
}
