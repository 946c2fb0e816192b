//! The example flows of Flowise 2.2.8 run unmodified but for credentials and
//! base path, against a model server that was not written here.

use serde_json::{Value, json};

use crate::support::{Aimock, Flow, Options, Parlor, sse};

const ANSWER: &str = "This answer is long enough to come in several pieces.";

/// A server with a flow, and the model server behind it.
struct Stage {
    server: Parlor,
    model: Aimock,
    flow: String,
}

impl Stage {
    async fn with_openai(flow: Flow, model: Aimock) -> Self {
        let server = Parlor::start();
        let credential = server.openai_credential().await;
        let flow = flow.with_openai(&credential, &model.basepath());
        let flow = server.install("template", &flow).await;
        Self { server, model, flow }
    }

    /// Asks once for JSON and once for a stream; both must give `answer`.
    async fn ask_both_ways(&self, question: &str, answer: &str) {
        let body = json!({"question": question});
        let reply = self.server.ask(&self.flow, &body).await.expect(200).json();
        assert_eq!(reply["text"], answer);
        assert_eq!(reply["question"], question);
        assert_eq!(reply["isStreamValid"], false);
        let body = json!({"question": question, "streaming": true});
        let events = self.server.ask(&self.flow, &body).await.expect(200).events();
        assert_eq!(sse::outline(&events), ["start", "token", "metadata", "end"]);
        assert_eq!(sse::text(&events), answer);
        assert!(events.len() > 5, "the answer came in one piece: {events:?}");
        assert_eq!(sse::only(&events, "metadata")["question"], question);
    }

    /// What the model was asked, call by call; both ways must ask the same.
    async fn asked(&self) -> Vec<Vec<(String, String)>> {
        let calls: Vec<_> = self.model.received().await.iter().map(|c| c.messages()).collect();
        let (as_json, as_stream) = calls.split_at(calls.len() / 2);
        assert_eq!(as_json, as_stream, "a streamed answer was asked for in other words");
        as_json.to_vec()
    }
}

fn message(role: &str, content: &str) -> (String, String) {
    (role.to_owned(), content.to_owned())
}

#[tokio::test]
async fn conversation_chain_runs() {
    let flow = Flow::template("Conversation Chain");
    let stage = Stage::with_openai(flow, Aimock::saying(ANSWER)).await;
    stage.ask_both_ways("Hello there", ANSWER).await;
    let asked = stage.asked().await;
    assert_eq!(asked.len(), 1);
    assert_eq!(asked[0].len(), 2, "{asked:?}");
    assert!(asked[0][0].1.starts_with("The following is a friendly conversation"), "{asked:?}");
    assert_eq!(asked[0][1], message("user", "Hello there"));
}

#[tokio::test]
async fn a_flow_in_the_style_of_llm_chain_runs() {
    let stage = Stage::with_openai(Flow::golden("a-llmchain"), Aimock::saying(ANSWER)).await;
    stage.ask_both_ways("socks", ANSWER).await;
    let expected = message("user", "What is a good name for a company that makes socks?");
    assert_eq!(stage.asked().await, [[expected]]);
}

#[tokio::test]
async fn llm_chain_runs_on_a_deployment_in_azure() {
    let model = Aimock::saying(ANSWER);
    let deployments = format!("{}/openai/deployments", model.base());
    let server = Parlor::start_with(Options::default().provider("azure", &deployments));
    let secrets = json!({
        "azureOpenAIApiKey": "az-mock",
        "azureOpenAIApiInstanceName": "acme",
        "azureOpenAIApiDeploymentName": "chat-prod",
        "azureOpenAIApiVersion": "2024-10-21",
    });
    let credential = server.credential("azureOpenAIApi", secrets).await;
    let flow = Flow::template("LLM Chain").with_credential("azureChatOpenAI", &credential);
    let flow = server.install("template", &flow).await;
    let stage = Stage { server, model, flow };
    stage.ask_both_ways("socks", ANSWER).await;
    for call in stage.model.received().await {
        let path = "/openai/deployments/chat-prod/chat/completions?api-version=2024-10-21";
        assert_eq!(call.path, path);
        assert_eq!(call.body["model"], "gpt-35-turbo");
        assert_eq!(call.body["temperature"], 0.9);
    }
    let expected = message("user", "What is a good name for a company that makes socks?");
    assert_eq!(stage.asked().await, [[expected]]);
}

#[tokio::test]
async fn translator_runs() {
    let stage = Stage::with_openai(Flow::template("Translator"), Aimock::saying(ANSWER)).await;
    stage.ask_both_ways("I love programming", ANSWER).await;
    let expected = [
        message("system", "You are a helpful assistant that translates English to French."),
        message("user", "I love programming"),
    ];
    assert_eq!(stage.asked().await, [expected]);
}

#[tokio::test]
async fn antonym_runs() {
    let stage = Stage::with_openai(Flow::template("Antonym"), Aimock::saying(ANSWER)).await;
    stage.ask_both_ways("cheerful", ANSWER).await;
    let asked = stage.asked().await;
    assert_eq!((asked.len(), asked[0].len()), (1, 1), "{asked:?}");
    let (role, prompt) = &asked[0][0];
    assert_eq!(role, "user");
    let mut rest = prompt.as_str();
    for part in ["Give the antonym of every input", "happy", "sad", "tall", "short", "cheerful"] {
        let (_, after) = rest.split_once(part).unwrap_or_else(|| panic!("{part}: {prompt}"));
        rest = after;
    }
    assert!(rest.ends_with("Antonym:"), "{prompt}");
}

#[tokio::test]
async fn prompt_chaining_runs_and_the_second_chain_reads_the_first() {
    let plan = "I would ask the neighbours first.";
    let model = Aimock::start(&json!([
        {"match": {"userMessage": "performs one task"}, "response": {"content": plan}},
        {"match": {"userMessage": "task creation AI"}, "response": {"content": ANSWER}},
    ]));
    let stage = Stage::with_openai(Flow::template("Prompt Chaining"), model).await;
    stage.ask_both_ways("find my cat", ANSWER).await;
    let asked = stage.asked().await;
    assert_eq!(asked.len(), 2, "{asked:?}");
    let first =
        "You are an AI who performs one task based on the following objective: find my cat.";
    assert!(asked[0][0].1.starts_with(first), "{asked:?}");
    let second = &asked[1][0].1;
    assert!(second.contains("with the following objective: find my cat."), "{second}");
    assert!(second.contains(&format!("has the result: {plan}.")), "{second}");
}

#[tokio::test]
async fn transcript_summarization_runs_on_anthropic_with_the_whole_transcript() {
    let model = Aimock::saying(ANSWER);
    let server = Parlor::start_with(Options::default().provider("anthropic", model.base()));
    let secrets = json!({"anthropicApiKey": "sk-ant-mock"});
    let credential = server.credential("anthropicApi", secrets).await;
    let mut flow = Flow::template("Transcript Summarization");
    let transcript = flow.data("plainText_0")["inputs"]["text"].as_str().unwrap().to_owned();
    let flow = flow.with_credential("chatAnthropic", &credential);
    let flow = server.install("template", &flow).await;
    let stage = Stage { server, model, flow };
    stage.ask_both_ways("Can you summarize the key points?", ANSWER).await;
    for call in stage.model.received().await {
        assert_eq!(call.path, "/v1/messages");
        assert_eq!(call.body["model"], "claude-3-haiku-20240307");
    }
    let asked = stage.asked().await;
    assert_eq!((asked.len(), asked[0].len()), (1, 2), "{asked:?}");
    let (role, system) = &asked[0][0];
    assert_eq!(role, "system");
    assert!(system.starts_with("Act as an expert copywriter"), "{system}");
    // A loader's text output ends each document with a line break.
    let expected = format!("{transcript}\n");
    assert!(system.ends_with(&expected), "the transcript is not there as it was typed");
    assert_eq!(asked[0][1], message("user", "Can you summarize the key points?"));
}

#[tokio::test]
async fn a_flow_leaves_as_it_entered() {
    let server = Parlor::start();
    for name in ["Conversation Chain", "LLM Chain", "Transcript Summarization"] {
        let flow = Flow::template(name);
        let id = server.install(name, &flow).await;
        let row = server.operator().get(&format!("/api/v1/chatflows/{id}")).await.expect(200);
        let stored = row.json()["flowData"].as_str().unwrap().to_owned();
        assert_eq!(serde_json::from_str::<Value>(&stored).unwrap(), flow.0, "{name}");
    }
}
