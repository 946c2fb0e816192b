//! Rounds of a tool agent with a model that plays its part.

use parlor_schemas::{ErrorCode, StreamEvent};
use serde_json::json;

use super::*;
use crate::inputs::InputValue;
use crate::instance::ToolOutput;
use crate::model::ToolChoice;
use crate::test_support::{
    self as support, FakeModel, FakeTool, TestTurn, assistant, build, build_error, calls, image,
    node, says, source, system, user,
};

fn calculator() -> Instance {
    build(crate::registry::find("calculator").unwrap(), [])
}

fn echo() -> Instance {
    FakeTool::named("echo", |arguments| {
        let text = arguments["text"].as_str().unwrap_or("nothing").to_owned();
        Ok(ToolOutput { text, ..ToolOutput::default() })
    })
}

fn failing() -> Instance {
    FakeTool::named("failing", |_| Err(NodeError::BadRequest("no such city".to_owned())))
}

fn direct() -> Instance {
    FakeTool::direct("direct", |_| {
        Ok(ToolOutput { text: "straight".to_owned(), ..ToolOutput::default() })
    })
}

fn agent_with<const N: usize>(
    model: &Arc<FakeModel>,
    tools: Vec<Instance>,
    extra: [(&str, InputValue); N],
) -> Arc<dyn Runnable> {
    let mut inputs = support::inputs(extra);
    let memory = build(crate::registry::find("bufferMemory").unwrap(), []);
    inputs.values.insert("model".to_owned(), node(Instance::ChatModel(model.clone())));
    inputs.values.insert("memory".to_owned(), node(memory));
    inputs.values.insert("tools".to_owned(), InputValue::Nodes(tools));
    match (SPEC.build)(&inputs).unwrap() {
        Instance::Runnable(agent) => agent,
        other => panic!("{}", other.kind()),
    }
}

async fn ask(model: &Arc<FakeModel>, tools: Vec<Instance>, question: &str) -> RunOutput {
    agent_with(model, tools, []).run(&TestTurn::asking(question).ctx(), false).await.unwrap()
}

fn observation(id: &str, text: &str) -> ModelMessage {
    let message = ModelMessage::text(Speaker::Tool, text);
    ModelMessage { tool_call_id: Some(id.to_owned()), ..message }
}

/// The observations that the model had in its last round.
fn observed(model: &FakeModel) -> Vec<String> {
    let messages = model.asked().pop().unwrap().messages;
    let tools = messages.iter().filter(|message| message.speaker == Speaker::Tool);
    tools.map(ModelMessage::plain).collect()
}

#[tokio::test]
async fn a_call_goes_to_its_tool_and_its_result_back_to_the_model() {
    let step = ChatReply {
        text: "Let me see.".to_owned(),
        ..calls([("calculator", json!({"input": "6*7"}))])
    };
    let model = FakeModel::playing([step.clone(), says("It is 42.")]);
    let turn = TestTurn::asking("What is 6*7? {x}").stored(&[("Hi", "Hello")]);

    let output = agent_with(&model, vec![calculator()], []).run(&turn.ctx(), false).await.unwrap();

    let expected = json!({
        "text": "It is 42.",
        "usedTools": [{"tool": "calculator", "toolInput": {"input": "6*7"}, "toolOutput": "42"}],
    });
    assert_eq!(Value::Object(output.fields), expected);
    let [first, second] = &model.asked()[..] else { panic!("two rounds") };
    let prompt = [system(DEFAULT_SYSTEM), user("Hi"), assistant("Hello"), user("What is 6*7? {x}")];
    assert_eq!(first.messages, prompt);
    assert_eq!(first.tools[0].name, "calculator");
    assert_eq!(first.tool_choice, ToolChoice::Auto);
    let called = ModelMessage { tool_calls: step.tool_calls, ..assistant("Let me see.") };
    assert_eq!(second.messages[4..], [called, observation("call_0", "42")]);
}

#[tokio::test]
async fn an_answer_without_tools_is_a_text_alone() {
    let model = FakeModel::playing([says("<thinking>hm</thinking>Hello ![x](sandbox:/x.png)!")]);

    let output = ask(&model, vec![], "Hi").await;

    assert_eq!(output, RunOutput::text("Hello !"));
    assert_eq!(model.asked()[0].tools, []);
}

#[tokio::test]
async fn every_call_of_a_step_is_observed_in_its_order_and_the_failed_ones_too() {
    let model = FakeModel::playing([
        calls([
            ("echo", json!({"text": "a"})),
            ("failing", json!({})),
            ("ECHO", json!({"text": "c"})),
            ("nowhere", json!({})),
        ]),
        says("done"),
    ]);

    let output = ask(&model, vec![echo(), failing()], "q").await;

    let unknown = "nowhere is not a valid tool, try another one. The tools are: echo, failing";
    assert_eq!(observed(&model), ["a", "no such city", "c", unknown]);
    let expected = json!([
        {"tool": "echo", "toolInput": {"text": "a"}, "toolOutput": "a"},
        {"tool": "failing", "toolInput": {}, "toolOutput": "", "error": "no such city"},
        {"tool": "echo", "toolInput": {"text": "c"}, "toolOutput": "c"},
    ]);
    assert_eq!(output.fields["usedTools"], expected);
}

#[tokio::test]
async fn arguments_that_no_tool_can_take_are_told_to_the_model() {
    let long = json!({"text": "x".repeat(70_000)});
    let model = FakeModel::playing([
        calls([("echo", json!("{\"text\": \"cut o")), ("echo", long), ("echo", json!([1]))]),
        says("sorry"),
    ]);

    let output = ask(&model, vec![echo()], "q").await;

    let [cut, long, list] = &observed(&model)[..] else { panic!("three observations") };
    assert!(cut.contains("no JSON object: {\"text\": \"cut o"), "{cut}");
    assert!(long.contains("65536 bytes"), "{long}");
    assert!(list.contains("no JSON object: [1]"), "{list}");
    assert_eq!(output.fields["usedTools"].as_array().unwrap().len(), 3);
    // No provider takes back anything but an object.
    let called = &model.asked()[1].messages[2].tool_calls;
    assert_eq!((&called[0].arguments, &called[2].arguments), (&json!({}), &json!({})));
}

#[tokio::test]
async fn a_tool_that_returns_directly_ends_the_run_unless_it_fails_or_is_not_the_last() {
    let model = FakeModel::playing([calls([("direct", json!({}))]), says("never")]);
    let output = ask(&model, vec![direct(), echo()], "q").await;
    assert_eq!((&output.fields["text"], model.n_calls()), (&json!("straight"), 1));
    let used = json!([{"tool": "direct", "toolInput": {}, "toolOutput": "straight"}]);
    assert_eq!(output.fields["usedTools"], used);

    for step in
        [calls([("direct", json!({})), ("echo", json!({}))]), calls([("direct", json!("no JSON"))])]
    {
        let model = FakeModel::playing([step, says("after all")]);
        let output = ask(&model, vec![direct(), echo()], "q").await;
        assert_eq!((&output.fields["text"], model.n_calls()), (&json!("after all"), 2));
    }
}

#[tokio::test]
async fn documents_and_artifacts_of_tools_come_with_the_answer() {
    let document = json!({"pageContent": "p", "metadata": {"source": "s"}});
    let finder = FakeTool::named("finder", |_| {
        let metadata = json!({"source": "s"}).as_object().unwrap().clone();
        let document = crate::Document::new("p", metadata);
        let artifacts = vec![json!({"type": "png", "data": "x"})];
        Ok(ToolOutput { text: "p".to_owned(), source_documents: vec![document], artifacts })
    });
    let model = FakeModel::playing([calls([("finder", json!({}))]), says("found")]);
    let (ctx, mut events) = TestTurn::asking("q").streaming();

    let output = agent_with(&model, vec![finder], []).run(&ctx, true).await.unwrap();

    let names: Vec<_> = output.fields.keys().map(String::as_str).collect();
    assert_eq!(names, ["text", "sourceDocuments", "usedTools", "artifacts"]);
    assert_eq!(output.fields["sourceDocuments"], json!([document]));
    let used = json!([{"tool": "finder", "toolInput": {}, "toolOutput": "p"}]);
    for expected in [
        StreamEvent::Start(String::new()),
        StreamEvent::Token("found".to_owned()),
        StreamEvent::SourceDocuments(json!([document])),
        StreamEvent::UsedTools(used),
        StreamEvent::Artifacts(json!([{"type": "png", "data": "x"}])),
    ] {
        assert_eq!(events.try_recv().unwrap(), expected);
    }
    assert!(events.try_recv().is_err());
}

#[tokio::test]
async fn a_direct_output_is_streamed_as_one_token_after_the_tools() {
    let model = FakeModel::playing([calls([("direct", json!({}))])]);
    let (ctx, mut events) = TestTurn::asking("q").streaming();

    agent_with(&model, vec![direct()], []).run(&ctx, true).await.unwrap();

    assert_eq!(events.try_recv().unwrap(), StreamEvent::Start(String::new()));
    assert!(matches!(events.try_recv().unwrap(), StreamEvent::UsedTools(_)));
    assert_eq!(events.try_recv().unwrap(), StreamEvent::Token("straight".to_owned()));
    assert!(events.try_recv().is_err());
}

#[tokio::test]
async fn rounds_without_an_end_are_stopped() {
    for (typed, n_rounds) in [("", 15), ("3", 3), ("0", 15), ("1000000", 100)] {
        let model = FakeModel::playing([calls([("echo", json!({}))])]);
        let agent = agent_with(&model, vec![echo()], [("maxIterations", source(typed))]);
        let (ctx, mut events) = TestTurn::asking("q").streaming();

        let output = agent.run(&ctx, true).await.unwrap();

        assert_eq!((&output.fields["text"], model.n_calls()), (&json!(STOPPED), n_rounds));
        assert_eq!(events.try_recv().unwrap(), StreamEvent::Start(String::new()));
        assert_eq!(events.try_recv().unwrap(), StreamEvent::Token(STOPPED.to_owned()));
    }
}

#[tokio::test]
async fn agents_inside_of_agents_share_their_rounds() {
    let inner_model = FakeModel::playing([calls([("echo", json!({}))])]);
    let inner = agent_with(&inner_model, vec![echo()], [("maxIterations", source("60"))]);
    let inputs = [
        ("name", source("helper")),
        ("description", source("Helps.")),
        ("baseChain", node(Instance::Runnable(inner))),
    ];
    let helper = build(crate::registry::find("chainTool").unwrap(), inputs);
    let model = FakeModel::playing([calls([("helper", json!({"input": "help"}))])]);

    let output = ask(&model, vec![helper], "q").await;

    assert_eq!(output.fields["text"], STOPPED);
    assert_eq!(inner_model.n_calls() + model.n_calls(), 100);
    assert_eq!(inner_model.asked()[0].messages[1], user("help"));
}

#[tokio::test]
async fn a_caller_who_leaves_ends_the_run_while_a_tool_is_at_work() {
    struct Endless;
    impl crate::instance::Tool for Endless {
        fn definition(&self) -> crate::model::ToolDefinition {
            crate::model::ToolDefinition {
                name: "endless".to_owned(),
                description: String::new(),
                parameters: json!({}),
                strict: false,
            }
        }
        fn call<'a>(
            &'a self,
            _arguments: Value,
            ctx: &'a TurnCtx,
        ) -> BoxFuture<'a, Result<ToolOutput, NodeError>> {
            ctx.cancel.cancel();
            Box::pin(std::future::pending())
        }
    }
    let model = FakeModel::playing([calls([("endless", json!({}))]), says("never")]);
    let tools = vec![Instance::Tool(Arc::new(Endless))];

    let error = agent_with(&model, tools, []).run(&TestTurn::asking("q").ctx(), false).await;

    assert!(matches!(error, Err(NodeError::Cancelled)));
    assert_eq!(model.n_calls(), 1);
}

#[tokio::test]
async fn a_connected_prompt_gets_the_memory_before_its_last_message() {
    let messages = [
        (Speaker::System, "Act as {role}."),
        (Speaker::Assistant, "kept"),
        (Speaker::User, "Q: {input}"),
    ];
    let parse = |(speaker, text): (_, &str)| (speaker, Template::parse(&RichText::source(text)));
    let messages = messages.map(parse).to_vec();
    for (values, expected) in
        [(json!({"role": "a poet"}), Ok("Act as a poet.")), (json!({}), Err("role"))]
    {
        let values = values.as_object().unwrap().clone();
        let prompt =
            Instance::ChatPrompt(Arc::new(ChatPrompt { messages: messages.clone(), values }));
        let model = FakeModel::playing([says("x")]);
        let turn = TestTurn::asking("why?").stored(&[("q1", "a1")]);

        let agent = agent_with(&model, vec![], [("chatPromptTemplate", node(prompt))]);
        let result = agent.run(&turn.ctx(), false).await;

        match expected {
            Ok(first) => {
                let expected = [
                    system(first),
                    assistant("kept"),
                    user("q1"),
                    assistant("a1"),
                    user("Q: why?"),
                ];
                assert_eq!(model.only_prompt(), expected);
            }
            Err(name) => {
                let error = result.unwrap_err();
                assert_eq!(error.code(), ErrorCode::InvalidFlow);
                assert!(error.to_string().contains(&format!("{{{name}}}")), "{error}");
            }
        }
    }
}

#[tokio::test]
async fn images_stand_before_the_question_whatever_the_models_habit() {
    for apart in [true, false] {
        let model = FakeModel::seeing(apart);
        let upload = ("file", Some("data:image/png;base64,QUJD"), "image/png");
        let turn = TestTurn::asking("What is this?").uploads(&[upload]);

        agent_with(&model, vec![], []).run(&turn.ctx(), false).await.unwrap();

        let words = Part::Text("What is this?".into());
        assert_eq!(model.only_prompt()[1].parts, [image("data:image/png;base64,QUJD"), words]);
    }
}

#[test]
fn a_model_a_memory_and_tools_of_different_names_are_required() {
    let model = || node(Instance::ChatModel(FakeModel::saying("x")));
    let memory = || node(build(crate::registry::find("bufferMemory").unwrap(), []));
    let twice = InputValue::Nodes(vec![calculator(), calculator()]);
    let no_tool = node(Instance::Note);

    for (inputs, expected) in [
        (vec![("memory", memory())], "model is not connected"),
        (vec![("model", model())], "memory is not connected"),
        (vec![("tools", twice)], "two of the name calculator"),
        (vec![("tools", no_tool)], "needs a tool"),
        (vec![("model", model()), ("memory", memory()), ("maxIterations", source("-1"))], "whole"),
    ] {
        let mut all = support::inputs([]);
        all.values.extend(inputs.into_iter().map(|(name, value)| (name.to_owned(), value)));
        let error = (SPEC.build)(&all).map(|_| ()).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }
    assert!(build_error(&SPEC, []).to_string().contains("is not connected"));
}

#[tokio::test]
async fn the_steps_are_told_where_the_author_wants_them_told() {
    let step = calls([("echo", json!({"text": "a"})), ("failing", json!({}))]);
    let model = FakeModel::playing([step, says("done")]);
    let wanted = [("enableDetailedStreaming", support::json(json!(true)))];
    let (ctx, mut events) = TestTurn::asking("q").streaming();

    agent_with(&model, vec![echo(), failing()], wanted).run(&ctx, true).await.unwrap();

    let mut told = Vec::new();
    while let Ok(event) = events.try_recv() {
        if let StreamEvent::AgentTrace(step) = event {
            told.push(step);
        }
    }
    let steps: Vec<_> = told.iter().map(|step| step["step"].as_str().unwrap()).collect();
    let expected = ["agent_action", "tool_start", "tool_end"];
    assert_eq!(steps[..3], expected);
    assert_eq!(steps[3..], ["agent_action", "tool_start", "tool_error"]);
    assert_eq!((&told[1]["name"], &told[1]["input"]), (&json!("echo"), &json!("{\"text\":\"a\"}")));
    assert_eq!((&told[2]["output"], &told[5]["error"]), (&json!("a"), &json!("no such city")));
    assert_eq!(told[1]["runId"], told[2]["runId"]);
    assert_eq!(told[1]["parentRunId"], told[0]["runId"]);
}

#[tokio::test]
async fn a_moderation_answers_in_the_agents_place() {
    let model = FakeModel::saying("never asked");
    let denied = [("denyList", source("forbidden")), ("moderationErrorMessage", source("No."))];
    let spec = crate::moderation::NODES.iter().find(|spec| spec.name == "inputModerationSimple");
    let moderation = build(spec.unwrap(), denied);
    let agent = build(
        &SPEC,
        [
            ("model", node(Instance::ChatModel(model.clone()))),
            ("memory", node(crate::test_support::build(memory_spec(), []))),
            ("inputModeration", node(moderation)),
        ],
    );
    let Instance::Runnable(agent) = agent else { panic!("an agent") };

    let output = agent.run(&TestTurn::asking("a forbidden word").ctx(), false).await.unwrap();

    assert_eq!(output, RunOutput::text("No."));
    assert_eq!(model.n_calls(), 0);
}

fn memory_spec() -> &'static NodeSpec {
    crate::registry::find("bufferMemory").unwrap()
}
