//! The prompts of a conversation, most of them as recorded with Flowise 2.2.8.

use parlor_schemas::{ErrorCode, Role};
use serde_json::{Value, json};

use super::*;
use crate::inputs::InputValue;
use crate::memory;
use crate::model::Part;
use crate::test_support::{
    FakeModel, TestTurn, assistant, build, build_error, image, node, source, system, user,
};

const PNG: (&str, Option<&str>, &str) = ("file", Some("data:image/png;base64,QUJD"), "image/png");

fn buffer_memory() -> InputValue {
    node(build(memory::NODES[0], []))
}

fn chain<const N: usize>(
    model: &Arc<FakeModel>,
    extra: [(&str, InputValue); N],
) -> Arc<dyn Runnable> {
    let mut inputs = crate::test_support::inputs(extra);
    inputs.values.insert("model".to_owned(), node(Instance::ChatModel(model.clone())));
    inputs.values.insert("memory".to_owned(), buffer_memory());
    match (SPEC.build)(&inputs).unwrap() {
        Instance::Runnable(chain) => chain,
        other => panic!("{}", other.kind()),
    }
}

fn chat_prompt(messages: &[(Speaker, &str)], values: Value) -> InputValue {
    let parse =
        |(speaker, text): &(Speaker, &str)| (*speaker, Template::parse(&RichText::source(*text)));
    let messages = messages.iter().map(parse).collect();
    let values = values.as_object().unwrap().clone();
    node(Instance::ChatPrompt(Arc::new(ChatPrompt { messages, values })))
}

#[tokio::test]
async fn the_requests_history_and_the_stored_turns_go_between_system_and_question() {
    let model = FakeModel::saying("Ann");
    let turn = TestTurn::asking("What is my {name}?")
        .history(&[(Role::ApiMessage, "Hello how can I help?"), (Role::UserMessage, "Hi")])
        .stored(&[("My name is Ann", "The quick brown fox")]);

    let output = chain(&model, []).run(&turn.ctx(), false).await.unwrap();

    assert_eq!(output, RunOutput::text("Ann"));
    let expected = [
        system(DEFAULT_SYSTEM),
        assistant("Hello how can I help?"),
        user("Hi"),
        user("My name is Ann"),
        assistant("The quick brown fox"),
        user("What is my {name}?"),
    ];
    assert_eq!(model.only_prompt(), expected);
}

#[tokio::test]
async fn the_authors_system_message_replaces_the_default_one() {
    for (typed, expected) in [
        ("", DEFAULT_SYSTEM),
        ("You are OVERRIDDEN.", "You are OVERRIDDEN."),
        // An unresolved reference loses one pair of braces, as recorded.
        ("You are {{$vars.persona}}.", "You are {$vars.persona}."),
        ("Answer {input} well", "Answer hi well"),
    ] {
        let model = FakeModel::saying("x");
        let chain = chain(&model, [("systemMessagePrompt", source(typed))]);

        chain.run(&TestTurn::asking("hi").ctx(), false).await.unwrap();

        assert_eq!(model.only_prompt(), [system(expected), user("hi")]);
    }
}

#[tokio::test]
async fn a_connected_prompt_lends_its_first_and_last_message() {
    let model = FakeModel::saying("x");
    let prompt = chat_prompt(
        &[
            (Speaker::System, "Act as {role}. {empty}"),
            (Speaker::Assistant, "never sent {nothing}"),
            (Speaker::User, "Q: {input}"),
        ],
        json!({"role": "a poet", "input": "", "empty": ""}),
    );
    let turn = TestTurn::asking("why?").stored(&[("q1", "a1")]);

    chain(&model, [("chatPromptTemplate", prompt)]).run(&turn.ctx(), false).await.unwrap();

    let expected = [system("Act as a poet. "), user("q1"), assistant("a1"), user("Q: why?")];
    assert_eq!(model.only_prompt(), expected);
}

#[tokio::test]
async fn a_prompt_of_one_message_is_sent_once() {
    let model = FakeModel::saying("x");
    let prompt = chat_prompt(&[(Speaker::User, "{input}")], json!({"input": "fixed"}));

    let chain = chain(&model, [("chatPromptTemplate", prompt)]);
    chain.run(&TestTurn::asking("q").ctx(), false).await.unwrap();

    assert_eq!(model.only_prompt(), [user("fixed")]);
}

#[tokio::test]
async fn a_variable_without_a_value_is_named_before_the_model_is_asked() {
    let model = FakeModel::saying("x");
    let prompt = chat_prompt(&[(Speaker::User, "{text}")], json!({"text": null}));

    let chain = chain(&model, [("chatPromptTemplate", prompt)]);
    let error = chain.run(&TestTurn::asking("q").ctx(), false).await.unwrap_err();

    assert_eq!(error.code(), ErrorCode::InvalidFlow);
    assert_eq!(
        error.to_string(),
        "Test node (test_0): prompt has no value for {text}; write {input} for the question, \
         or add text to the prompt values"
    );
    assert_eq!(model.n_calls(), 0);
}

#[tokio::test]
async fn images_follow_the_text_apart_or_stand_before_it_by_the_models_habit() {
    let words = Part::Text("What is this?".into());
    let picture = image("data:image/png;base64,QUJD");
    for (apart, expected) in [
        (true, vec![vec![words.clone()], vec![picture.clone()]]),
        (false, vec![vec![picture, words]]),
    ] {
        let model = FakeModel::seeing(apart);
        let turn = TestTurn::asking("What is this?").uploads(&[PNG]);

        chain(&model, []).run(&turn.ctx(), false).await.unwrap();

        let prompt = model.only_prompt();
        let parts: Vec<_> = prompt[1..].iter().map(|message| message.parts.clone()).collect();
        assert_eq!(parts, expected);
    }
}

#[tokio::test]
async fn an_objection_is_the_answer_and_the_model_is_not_asked() {
    let values = [("denyList", source("cats")), ("moderationErrorMessage", source("No cats."))];
    let moderation = build(crate::moderation::NODES[0], values);
    let model = FakeModel::saying("x");

    let chain = chain(&model, [("inputModeration", node(moderation))]);
    let output = chain.run(&TestTurn::asking("about CATS").ctx(), false).await.unwrap();

    assert_eq!(output, RunOutput::text("No cats."));
    assert_eq!(model.n_calls(), 0);
}

#[test]
fn a_model_and_a_memory_are_required() {
    let model = node(Instance::ChatModel(FakeModel::saying("x")));

    let no_memory = build_error(&SPEC, [("model", model)]).to_string();
    let no_model = build_error(&SPEC, [("memory", buffer_memory())]).to_string();

    assert!(no_memory.contains("memory is not connected"), "{no_memory}");
    assert!(no_model.contains("model is not connected"), "{no_model}");
}
