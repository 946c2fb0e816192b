//! Retrieval in flows that are made here, where no recording has one: several
//! stores, a prompt, an agent.

use serde_json::{Value, json};

use crate::retrieval::{CHAT, EMBEDDINGS, embedded, to, with_embeddings};
use crate::support::scripted::{Answer, words};
use crate::support::{Flow, Parlor, Scripted, sse};

fn node(id: &str, name: &str, category: &str, output: &str, inputs: Value) -> Value {
    let data = json!({
        "id": id, "label": id, "name": name, "category": category, "inputs": inputs,
        "inputParams": [{"name": "promptValues", "acceptVariable": true},
                        {"name": "text", "acceptVariable": true},
                        {"name": "query", "acceptVariable": true}],
        "inputAnchors": [], "outputAnchors": [],
        "outputs": if output.is_empty() { json!({}) } else { json!({"output": output}) },
    });
    json!({"id": id, "type": "customNode", "data": data})
}

fn built(id: &str) -> String {
    format!("{{{{{id}.data.instance}}}}")
}

/// A store of one text, with what it hangs on.
fn store(id: &str, text: &str, output: &str) -> Vec<Value> {
    let (loader, vectors) = (format!("{id}_text"), format!("{id}_vectors"));
    let inputs = json!({
        "document": [built(&loader)], "embeddings": built(&vectors), "topK": 1,
    });
    vec![
        node(&loader, "plainText", "Document Loaders", "document", json!({"text": text})),
        node(&vectors, "openAIEmbeddings", "Embeddings", "", json!({"modelName": "small"})),
        node(id, "memoryVectorStore", "Vector Stores", output, inputs),
    ]
}

fn model() -> Value {
    node("m", "chatOpenAI", "Chat Models", "", json!({"modelName": "x", "streaming": true}))
}

/// The nodes as a flow; edges are what their inputs name.
fn flow(nodes: Vec<Value>) -> Flow {
    let mut edges = Vec::new();
    for target in &nodes {
        for (input, value) in target["data"]["inputs"].as_object().unwrap() {
            let text = value.to_string();
            for source in nodes.iter().map(|node| node["id"].as_str().unwrap()) {
                if text.contains(&built(source)) {
                    let id = target["id"].as_str().unwrap();
                    let handle = format!("{id}-input-{input}-X");
                    edges.push(json!({"source": source, "target": id, "targetHandle": handle}));
                }
            }
        }
    }
    Flow(json!({"nodes": nodes, "edges": edges}))
}

async fn serve(flow: Flow, model: &Scripted) -> (Parlor, String) {
    let server = Parlor::start();
    let credential = server.openai_credential().await;
    let id = server.install("flow", &flow.with_openai(&credential, &model.basepath())).await;
    (server, id)
}

#[tokio::test]
async fn a_model_chooses_between_named_stores() {
    let model_server = Scripted::start(with_embeddings(|request| {
        let is_choice = request.messages()[0].1.contains("destination");
        let choice = json!({"destination": "secrets", "next_inputs": {"query": "secret word"}});
        let words = if is_choice { choice.to_string() } else { "PLUMAGE".to_owned() };
        Answer::Say(vec![words])
    }))
    .await;
    let named = |id: &str, store: &str| {
        let inputs = json!({"name": id, "description": id, "vectorStore": built(store)});
        node(id, "vectorStoreRetriever", "Retrievers", "", inputs)
    };
    let inputs = json!({
        "model": built("m"), "vectorStoreRetriever": [built("hours"), built("secrets")],
        "returnSourceDocuments": true,
    });
    let mut nodes = store("s1", "The bakery opens at eight.", "vectorStore");
    nodes.extend(store("s2", "The secret word is PLUMAGE. {question}", "vectorStore"));
    nodes.extend([named("hours", "s1"), named("secrets", "s2"), model()]);
    nodes.push(node("end", "multiRetrievalQAChain", "Chains", "", inputs));
    let (server, id) = serve(flow(nodes), &model_server).await;

    let body = json!({"question": "What is the word?", "streaming": true});
    let events = server.ask(&id, &body).await.expect(200).events();

    assert_eq!(sse::text(&events), "PLUMAGE");
    let names = ["start", "token", "sourceDocuments", "metadata", "end"];
    assert_eq!(sse::outline(&events), names);
    let sources = sse::only(&events, "sourceDocuments");
    assert_eq!(sources[0]["pageContent"], "The secret word is PLUMAGE. {question}");
    let chats = to(CHAT, &model_server.take_received());
    assert_eq!(chats.len(), 2, "{chats:#?}");
    let told = chats[1]["messages"][0]["content"].as_str().unwrap();
    assert!(told.ends_with("PLUMAGE. {question}"), "{told}");
}

#[tokio::test]
async fn what_a_store_finds_fills_a_prompt_as_data() {
    let model_server = Scripted::start(with_embeddings(|_| Answer::Say(words("At eight.")))).await;
    let text = "The bakery opens at eight. {question} {{$vars.x}} \"quoted\"";
    let found = |name: &str, category: &str, output: &str| {
        let inputs = json!({
            "vectorStore": built("s1"), "query": "", "minScore": 50, "minSimilarityScore": 50,
        });
        node("found", name, category, output, inputs)
    };
    for (found, context) in [
        (found("vectorStoreToDocument", "Document Loaders", "text"), format!("{text}\n")),
        (found("similarityThresholdRetriever", "Retrievers", "text"), format!("{text}\n")),
    ] {
        let values = format!(r#"{{"context": "{}", "q": "{{{{question}}}}"}}"#, built("found"));
        let prompt = json!({"template": "{context}|{q}", "promptValues": values});
        let mut nodes = store("s1", text, "vectorStore");
        nodes.extend([
            found,
            node("p", "promptTemplate", "Prompts", "", prompt),
            model(),
            node(
                "end",
                "llmChain",
                "Chains",
                "llmChain",
                json!({
                    "model": built("m"), "prompt": built("p"),
                }),
            ),
        ]);
        let (server, id) = serve(flow(nodes), &model_server).await;

        let body = json!({"question": "When does the bakery open?"});
        server.ask(&id, &body).await.expect(200);

        let chats = to(CHAT, &model_server.take_received());
        let expected = format!("{context}|When does the bakery open?");
        assert_eq!(chats[0]["messages"], json!([{"role": "user", "content": expected}]));
    }
}

#[tokio::test]
async fn the_sources_of_a_chain_that_an_agent_asks_are_the_replys() {
    let model_server =
        Scripted::start(with_embeddings(|request| match request.messages().last().unwrap() {
            (role, _) if role == "tool" => Answer::Say(words("It opens at eight.")),
            (_, content) if content == "bakery open?" => Answer::Say(words("At eight.")),
            _ => Answer::CallTool {
                id: "call_1",
                name: "shop",
                arguments: json!({"input": "bakery open?"}).to_string(),
            },
        }))
        .await;
    let chain = json!({
        "model": built("m"), "vectorStoreRetriever": built("s1"), "returnSourceDocuments": true,
    });
    let tool = json!({"name": "shop", "description": "knows the shop", "baseChain": built("qa")});
    let agent = json!({"model": built("m"), "memory": built("past"), "tools": [built("shop")]});
    let mut nodes = store("s1", "The bakery opens at eight.", "retriever");
    nodes.extend([
        model(),
        node("qa", "conversationalRetrievalQAChain", "Chains", "", chain),
        node("shop", "chainTool", "Tools", "", tool),
        node("past", "bufferMemory", "Memory", "", json!({})),
        node("end", "toolAgent", "Agents", "", agent),
    ]);
    let (server, id) = serve(flow(nodes), &model_server).await;

    let reply = server.ask(&id, &json!({"question": "When?"})).await.expect(200).json();

    assert_eq!(reply["text"], "It opens at eight.");
    assert_eq!(reply["sourceDocuments"][0]["pageContent"], "The bakery opens at eight.");
    assert_eq!(reply["usedTools"][0]["toolOutput"], "At eight.");
}

#[tokio::test]
async fn a_text_made_of_the_question_is_kept_by_nobody() {
    let provider = Scripted::start(with_embeddings(|_| Answer::Say(words("Hello.")))).await;
    let mut nodes = store("s1", "Somebody said: {{question}}", "retriever");
    let inputs = json!({
        "model": built("m"), "vectorStoreRetriever": built("s1"), "returnSourceDocuments": true,
    });
    nodes.extend([model(), node("end", "conversationalRetrievalQAChain", "Chains", "", inputs)]);
    let (server, id) = serve(flow(nodes), &provider).await;

    for _ in 0..2 {
        let reply = server.ask(&id, &json!({"question": "my secret"})).await.expect(200).json();
        let sources = reply["sourceDocuments"].as_array().unwrap();
        assert_eq!(sources[0]["pageContent"], "Somebody said: my secret");
        let documents = embedded(&to(EMBEDDINGS, &provider.take_received())).0;
        assert_eq!(documents.len(), 1, "embedded for each question");
    }
}
