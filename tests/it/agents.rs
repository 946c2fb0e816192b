//! Agents and their tools on the protocols of three providers, against a model
//! server that was not written here.

use serde_json::{Value, json};

use crate::support::scripted::Answer;
use crate::support::{Aimock, Flow, Options, Parlor, Scripted, sse};

const QUESTION: &str = "How much is 6*7?";
const ANSWER: &str = "It is forty-two, of course.";

/// Calls the calculator once, then answers.
fn calculating() -> Aimock {
    let call = json!({"name": "calculator", "arguments": {"input": "6*7"}});
    Aimock::start(&json!([
        {"match": {"hasToolResult": false}, "response": {"toolCalls": [call]}},
        {"match": {"hasToolResult": true}, "response": {"content": ANSWER}},
    ]))
}

/// The recorded tool agent with another model in place of its own.
fn agent_on(name: &str, inputs: Value) -> Flow {
    let mut flow = Flow::golden("d-toolagent");
    let data = flow.data("chatOpenAI_0");
    data["name"] = json!(name);
    data["inputs"] = inputs;
    flow
}

/// A server with a flow.
struct Stage {
    server: Parlor,
    flow: String,
}

impl Stage {
    async fn on_openai(flow: Flow, basepath: &str) -> Self {
        let server = Parlor::start();
        let credential = server.openai_credential().await;
        let flow = server.install("agent", &flow.with_openai(&credential, basepath)).await;
        Self { server, flow }
    }

    async fn on_anthropic(model: &Aimock) -> Self {
        let server = Parlor::start_with(Options::default().provider("anthropic", model.base()));
        let secrets = json!({"anthropicApiKey": "sk-ant-mock"});
        let credential = server.credential("anthropicApi", secrets).await;
        let flow = agent_on("chatAnthropic", json!({"modelName": "claude-3-haiku-20240307"}))
            .with_credential("chatAnthropic", &credential);
        let flow = server.install("agent", &flow).await;
        Self { server, flow }
    }

    async fn on_ollama(model: &Aimock) -> Self {
        let server = Parlor::start_with(Options::default().provider("ollama", model.base()));
        let flow = agent_on("chatOllama", json!({"modelName": "llama3.2"}));
        let flow = server.install("agent", &flow).await;
        Self { server, flow }
    }

    async fn ask(&self, question: &str) -> Value {
        self.server.ask(&self.flow, &json!({"question": question})).await.expect(200).json()
    }

    async fn stream(&self, question: &str) -> Vec<sse::Event> {
        let body = json!({"question": question, "streaming": true});
        self.server.ask(&self.flow, &body).await.expect(200).events()
    }
}

fn used_calculator() -> Value {
    json!([{"tool": "calculator", "toolInput": {"input": "6*7"}, "toolOutput": "42"}])
}

/// Asks for JSON and for a stream; both must calculate and answer.
async fn assert_calculates(stage: &Stage, model: &Aimock, path: &str) {
    let reply = stage.ask(QUESTION).await;
    assert_eq!(reply["text"], ANSWER);
    assert_eq!(reply["usedTools"], used_calculator());
    let events = stage.stream(QUESTION).await;
    assert_eq!(sse::outline(&events), ["start", "token", "usedTools", "metadata", "end"]);
    assert_eq!(sse::text(&events), ANSWER);
    assert_eq!(sse::only(&events, "usedTools"), &used_calculator());
    let calls = model.received().await;
    assert_eq!(calls.len(), 4, "{calls:#?}");
    for call in &calls {
        assert_eq!(call.path, path);
        assert_eq!(call.body["tools"][0]["function"]["name"], "calculator");
    }
    let (role, result) = calls[1].messages().pop().unwrap();
    assert_eq!((role.as_str(), result.as_str()), ("tool", "42"));
}

#[tokio::test]
async fn a_tool_agent_calculates_on_openai() {
    let model = calculating();
    let stage = Stage::on_openai(Flow::golden("d-toolagent"), &model.basepath()).await;
    assert_calculates(&stage, &model, "/v1/chat/completions").await;
}

#[tokio::test]
async fn a_tool_agent_calculates_on_anthropic() {
    let model = calculating();
    let stage = Stage::on_anthropic(&model).await;
    assert_calculates(&stage, &model, "/v1/messages").await;
}

#[tokio::test]
async fn a_tool_agent_calculates_on_ollama() {
    let model = calculating();
    let stage = Stage::on_ollama(&model).await;
    assert_calculates(&stage, &model, "/api/chat").await;
}

#[tokio::test]
async fn used_tools_are_stored_with_the_answer_and_the_usage_adds_up() {
    let model = Scripted::start(|request| match request.messages().last() {
        Some((role, _)) if role == "tool" => Answer::Say(vec![ANSWER.to_owned()]),
        _ => Answer::CallTool {
            id: "call_1",
            name: "calculator",
            arguments: json!({"input": "6*7"}).to_string(),
        },
    })
    .await;
    let stage = Stage::on_openai(Flow::golden("d-toolagent"), &model.basepath()).await;

    let reply = stage.ask(QUESTION).await;

    // The scripted server counts one token of input for each call.
    assert_eq!(reply["usage"]["inputTokens"], 2, "{reply}");
    let path = format!("/api/v1/chatmessage/{}", stage.flow);
    let rows = stage.server.operator().get(&path).await.expect(200).json();
    let [question, answer] = &rows.as_array().unwrap()[..] else { panic!("{rows}") };
    assert_eq!(question["usedTools"], Value::Null);
    assert_eq!(answer["content"], ANSWER);
    assert_eq!(answer["usedTools"], used_calculator());
    // The next turn remembers the words, not the calls.
    model.take_received();
    model.answer(|_| Answer::Say(vec!["Yes.".to_owned()]));
    let body = json!({"question": "Sure?", "chatId": reply["chatId"]});
    stage.server.ask(&stage.flow, &body).await.expect(200);
    let talk: Vec<_> = model.received()[0].messages().into_iter().skip(1).collect();
    let expected = [("user", QUESTION), ("assistant", ANSWER), ("user", "Sure?")];
    assert_eq!(talk, expected.map(|(role, text)| (role.to_owned(), text.to_owned())));
}

#[tokio::test]
async fn broken_arguments_and_endless_rounds_do_not_fail_the_turn() {
    let model = Scripted::start(|request| match request.messages().last() {
        Some((role, content)) if role == "tool" => {
            assert!(content.contains("no JSON object"), "{content}");
            Answer::Say(vec!["Sorry.".to_owned()])
        }
        _ => Answer::CallTool { id: "c", name: "calculator", arguments: "{\"input".to_owned() },
    })
    .await;
    let flow = Flow::golden("d-toolagent").with_input("toolAgent_0", "maxIterations", json!("3"));
    let stage = Stage::on_openai(flow, &model.basepath()).await;

    let reply = stage.ask(QUESTION).await;
    assert_eq!(reply["text"], "Sorry.");
    assert!(reply["usedTools"][0]["error"].is_string(), "{reply}");

    model.take_received();
    model.answer(|_| Answer::CallTool { id: "c", name: "calculator", arguments: "{}".to_owned() });
    let stopped = "Agent stopped due to max iterations.";
    assert_eq!(stage.ask(QUESTION).await["text"], stopped);
    assert_eq!(model.take_received().len(), 3);
    let events = stage.stream(QUESTION).await;
    assert_eq!(sse::text(&events), stopped);
}

/// The flow of the recorded agent with a chain tool between it and a second
/// model: `chatOpenAI_0` is the agent's, `chatOpenAI_1` the chain's.
fn agent_with_a_chain_tool(returns_direct: bool) -> Flow {
    let mut flow = Flow::golden("d-toolagent");
    let mut nodes = vec![
        node("chatOpenAI_1", "chatOpenAI", "Chat Models", json!({"modelName": "poet"})),
        node("promptTemplate_0", "promptTemplate", "Prompts", json!({"template": "Rhyme on {x}"})),
        node(
            "llmChain_0",
            "llmChain",
            "Chains",
            json!({
                "model": "{{chatOpenAI_1.data.instance}}",
                "prompt": "{{promptTemplate_0.data.instance}}",
            }),
        ),
        node(
            "chainTool_0",
            "chainTool",
            "Tools",
            json!({
                "name": "the poet", "description": "Writes poems.",
                "returnDirect": returns_direct, "baseChain": "{{llmChain_0.data.instance}}",
            }),
        ),
    ];
    nodes[2]["data"]["outputs"] = json!({"output": "llmChain"});
    flow.data("toolAgent_0")["inputs"]["tools"] =
        json!(["{{calculator_0.data.instance}}", "{{chainTool_0.data.instance}}"]);
    flow.0["nodes"].as_array_mut().unwrap().extend(nodes);
    let ends = [
        ("chatOpenAI_1", "llmChain_0"),
        ("promptTemplate_0", "llmChain_0"),
        ("llmChain_0", "chainTool_0"),
        ("chainTool_0", "toolAgent_0"),
    ];
    let edges = ends.map(|(source, target)| json!({"source": source, "target": target}));
    flow.0["edges"].as_array_mut().unwrap().extend(edges);
    flow
}

fn node(id: &str, name: &str, category: &str, inputs: Value) -> Value {
    let data = json!({
        "id": id, "label": id, "name": name, "category": category, "inputs": inputs,
        "inputParams": [], "inputAnchors": [], "outputAnchors": [], "outputs": {},
    });
    json!({"id": id, "type": "customNode", "data": data})
}

/// The agent's model asks the poet, the poet's model rhymes.
async fn poets() -> Scripted {
    Scripted::start(|request| match request.messages().last() {
        Some((_, content)) if content == "Rhyme on socks" => {
            Answer::Say(vec!["Socks ".to_owned(), "in a box.".to_owned()])
        }
        Some((role, content)) if role == "tool" => Answer::Say(vec![format!("He says: {content}")]),
        _ => Answer::CallTool {
            id: "call_1",
            name: "the_poet",
            arguments: json!({"input": "socks"}).to_string(),
        },
    })
    .await
}

#[tokio::test]
async fn a_chain_answers_an_agent_without_a_word_to_the_client() {
    let model = poets().await;
    let stage = Stage::on_openai(agent_with_a_chain_tool(false), &model.basepath()).await;

    let events = stage.stream("Poems, please").await;

    assert_eq!(sse::outline(&events), ["start", "token", "usedTools", "metadata", "end"]);
    assert_eq!(sse::text(&events), "He says: Socks in a box.");
    let used = json!([
        {"tool": "the_poet", "toolInput": {"input": "socks"}, "toolOutput": "Socks in a box."}
    ]);
    assert_eq!(sse::only(&events, "usedTools"), &used);
    assert_eq!(model.received().len(), 3);
}

#[tokio::test]
async fn the_output_of_a_direct_tool_is_one_token_after_the_used_tools() {
    let model = poets().await;
    let stage = Stage::on_openai(agent_with_a_chain_tool(true), &model.basepath()).await;

    let events = stage.stream("Poems, please").await;

    assert_eq!(sse::outline(&events), ["start", "usedTools", "token", "metadata", "end"]);
    assert_eq!(sse::text(&events), "Socks in a box.");
    assert_eq!(stage.ask("Poems, please").await["text"], "Socks in a box.");
    assert_eq!(model.received().len(), 4);
}

#[tokio::test]
async fn a_conversational_agent_uses_its_tool_and_answers_json_to_a_client_that_asks_for_a_stream()
{
    let model = Scripted::start(|request| {
        let (_, last) = request.messages().pop().unwrap();
        let (action, input) = if last.contains("\n42\n") {
            ("Final Answer", ANSWER)
        } else {
            assert!(last.ends_with(QUESTION), "{last}");
            ("calculator", "6*7")
        };
        let blob = json!({"action": action, "action_input": input});
        Answer::Say(vec![format!("```json\n{blob:#}\n```")])
    })
    .await;
    let mut flow = Flow::golden("d-toolagent");
    flow.data("toolAgent_0")["name"] = json!("conversationalAgent");
    let stage = Stage::on_openai(flow, &model.basepath()).await;

    let body = json!({"question": QUESTION, "streaming": true});
    let reply = stage.server.ask(&stage.flow, &body).await.expect(200);

    assert_eq!(reply.media_type(), "application/json");
    let reply = reply.json();
    assert_eq!((&reply["text"], &reply["isStreamValid"]), (&json!(ANSWER), &json!(false)));
    let used = json!([{"tool": "calculator", "toolInput": "6*7", "toolOutput": "42"}]);
    assert_eq!(reply["usedTools"], used);
    let path = format!("/api/v1/chatflows-streaming/{}", stage.flow);
    let streaming = stage.server.anyone().get(&path).await.expect(200).json();
    assert_eq!(streaming, json!({"isStreaming": false}));
    assert_eq!(model.received().len(), 2);
}

#[tokio::test]
async fn a_client_that_leaves_while_the_model_decides_takes_the_run_with_it() {
    let model = Scripted::start(|request| match request.messages().last() {
        Some((role, _)) if role == "tool" => Answer::Hang,
        _ => {
            Answer::CallTool { id: "c", name: "calculator", arguments: "{\"input\":\"1\"}".into() }
        }
    })
    .await;
    let stage = Stage::on_openai(Flow::golden("d-toolagent"), &model.basepath()).await;

    let asking = stage.ask(QUESTION);
    let second_round = crate::support::eventually(std::time::Duration::from_secs(60), || async {
        model.received().len() == 2
    });
    tokio::select! {
        _ = asking => panic!("the model hangs"),
        arrived = second_round => assert!(arrived, "the second round never came"),
    }

    let limit = std::time::Duration::from_secs(60);
    let is_over = crate::support::eventually(limit, || async { model.n_open() == 0 }).await;
    assert!(is_over, "the call of the second round is still open");
    assert_eq!(stage.server.messages(&stage.flow, "").await, []);
}
