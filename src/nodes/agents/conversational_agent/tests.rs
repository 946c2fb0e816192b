//! Rounds of a conversational agent with a model that plays its part.

use super::*;
use crate::inputs::InputValue;
use crate::instance::ToolOutput;
use crate::model::{ChatReply, Part};
use crate::test_support::{
    self as support, FakeModel, FakeTool, TestTurn, assistant, build, image, node, says, source,
};

fn wants(action: &str, input: &Value) -> ChatReply {
    let blob = json!({"action": action, "action_input": input});
    says(&format!("```json\n{blob:#}\n```"))
}

fn agent<const N: usize>(
    model: &Arc<FakeModel>,
    extra: [(&str, InputValue); N],
) -> Arc<dyn Runnable> {
    let mut inputs = support::inputs(extra);
    let shaped = FakeTool::named("shaped", |arguments| {
        Ok(ToolOutput { text: arguments.to_string(), ..ToolOutput::default() })
    });
    let direct = FakeTool::direct("direct", |_| {
        Ok(ToolOutput { text: "straight".to_owned(), ..ToolOutput::default() })
    });
    let calculator = build(crate::registry::find("calculator").unwrap(), []);
    let memory = build(crate::registry::find("bufferMemory").unwrap(), []);
    inputs.values.insert("model".to_owned(), node(Instance::ChatModel(model.clone())));
    inputs.values.insert("memory".to_owned(), node(memory));
    let tools = InputValue::Nodes(vec![calculator, shaped, direct]);
    inputs.values.insert("tools".to_owned(), tools);
    match (SPEC.build)(&inputs).unwrap() {
        Instance::Runnable(agent) => agent,
        other => panic!("{}", other.kind()),
    }
}

async fn run(model: &Arc<FakeModel>) -> RunOutput {
    agent(model, []).run(&TestTurn::asking("What is 6*7?").ctx(), false).await.unwrap()
}

#[tokio::test]
async fn an_action_runs_its_tool_and_the_final_answer_is_the_text() {
    let step = wants("Calculator", &json!("6*7"));
    let model = FakeModel::playing([step.clone(), wants("Final Answer", &json!("42\nof course"))]);
    let turn = TestTurn::asking("What is {6*7}?").stored(&[("Hi", "Hello")]);

    let output = agent(&model, []).run(&turn.ctx(), false).await.unwrap();

    let expected = json!({
        "text": "42\nof course",
        "usedTools": [{"tool": "calculator", "toolInput": "6*7", "toolOutput": "42"}],
    });
    assert_eq!(Value::Object(output.fields), expected);
    let [first, second] = &model.asked()[..] else { panic!("two rounds") };
    assert_eq!(first.stop, ["\nObservation"]);
    assert_eq!(first.tools, []);
    let texts: Vec<_> = first.messages.iter().map(ModelMessage::plain).collect();
    assert!(texts[0].starts_with(words::DEFAULT_SYSTEM), "{}", texts[0]);
    assert_eq!(texts[1..3], ["Hi", "Hello"]);
    for part in ["calculator: Useful", "shaped: Is shaped.", "\"Final Answer\""] {
        assert!(texts[3].contains(part), "{}", texts[3]);
    }
    assert!(texts[3].ends_with("\nWhat is {6*7}?"), "{}", texts[3]);
    assert_eq!(second.messages[4], assistant(&step.text));
    assert_eq!(second.messages[5].speaker, Speaker::User);
    assert!(second.messages[5].plain().contains("\n42\n"), "{:?}", second.messages[5]);
}

#[tokio::test]
async fn inputs_come_to_a_tool_in_the_shape_that_it_wants() {
    for (tool, input, expected) in [
        ("shaped", json!({"a": 1}), "{\"a\":1}"),
        ("shaped", json!("{\"a\": 1}"), "{\"a\":1}"),
        ("shaped", json!("words"), "{}"),
        ("shaped", json!(null), "{}"),
        ("calculator", json!(12), "12"),
        ("calculator", json!({"input": "3!"}), "6"),
        ("elsewhere", json!("x"), "elsewhere is not a valid tool"),
    ] {
        let model = FakeModel::playing([wants(tool, &input), wants("Final Answer", &json!("ok"))]);
        run(&model).await;
        let observed = model.asked()[1].messages.last().unwrap().plain();
        assert!(observed.contains(&format!("\n{expected}")), "{input}: {observed}");
    }
}

#[tokio::test]
async fn words_in_another_form_are_told_twice_and_then_taken_as_the_answer() {
    let model = FakeModel::playing([says("Hello there")]);
    assert_eq!(run(&model).await, RunOutput::text("Hello there"));
    assert_eq!(model.n_calls(), 3);
    let last = model.asked().pop().unwrap().messages;
    assert_eq!(last.last().unwrap().plain(), words::REMINDER);

    let model = FakeModel::playing([says("Hello"), wants("Final Answer", &json!("Hi"))]);
    assert_eq!(run(&model).await, RunOutput::text("Hi"));
}

#[tokio::test]
async fn a_direct_tool_ends_the_run_and_endless_rounds_are_stopped() {
    let model = FakeModel::playing([wants("direct", &json!(""))]);
    assert_eq!(run(&model).await.fields["text"], "straight");
    assert_eq!(model.n_calls(), 1);

    let model = FakeModel::playing([wants("calculator", &json!("1+1"))]);
    let agent = agent(&model, [("maxIterations", source("4"))]);
    let output = agent.run(&TestTurn::asking("q").ctx(), false).await.unwrap();
    assert_eq!((&output.fields["text"], model.n_calls()), (&json!(STOPPED), 4));
}

#[tokio::test]
async fn the_client_hears_nothing_of_the_models_json() {
    let model = FakeModel::playing([wants("Final Answer", &json!("Hi"))]);
    let (ctx, mut events) = TestTurn::asking("q").streaming();

    agent(&model, []).run(&ctx, true).await.unwrap();

    assert!(events.try_recv().is_err());
}

#[tokio::test]
async fn the_authors_system_message_and_images_find_their_places() {
    let model = FakeModel::seeing(true);
    let upload = ("file", Some("data:image/png;base64,QUJD"), "image/png");
    let turn = TestTurn::asking("q").uploads(&[upload]);
    let system = [("systemMessage", source("You are a pirate. {\"a\": 1}"))];

    agent(&model, system).run(&turn.ctx(), false).await.unwrap();

    let first = &model.asked()[0].messages;
    assert!(first[0].plain().starts_with("You are a pirate. {\"a\": 1} Above all"), "{first:?}");
    assert_eq!(first[1].parts[0], image("data:image/png;base64,QUJD"));
    assert!(matches!(&first[1].parts[1], Part::Text(text) if text.ends_with("\nq")));

    let system = [("systemMessage", source("You are {name}."))];
    let error = agent(&model, system).run(&TestTurn::asking("q").ctx(), false).await.unwrap_err();
    assert!(error.to_string().contains("{name}"), "{error}");
}
