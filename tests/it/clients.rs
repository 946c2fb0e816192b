//! Programs written for Flowise, with its own client libraries, meet no
//! difference: flowise-sdk of npm and flowise of PyPI against the real server.

use serde_json::{Value, json};

use crate::support::clients::{BOTH, Outcome, Sdk};
use crate::support::scripted::{Received, words};
use crate::support::{Answer, Flow, Parlor, Scripted, sse};

const ANSWER: &str = "Nice to meet you.";
const PIXEL: &str = "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==";

/// A server with one chatflow, and the model server behind it.
struct Stage {
    server: Parlor,
    model: Scripted,
    flow: String,
}

impl Stage {
    /// The recorded conversation chain, with memory, that streams.
    async fn conversation() -> Self {
        Self::of(Flow::golden("b-conversation")).await
    }

    async fn of(flow: Flow) -> Self {
        let model = Scripted::saying(ANSWER).await;
        let server = Parlor::start();
        let credential = server.openai_credential().await;
        let flow = flow.with_openai(&credential, &model.basepath());
        let flow = server.install("Conversation", &flow).await;
        Self { server, model, flow }
    }

    /// A question to the chatflow, with more of the library's arguments.
    fn data(&self, question: &str, more: &Value) -> Value {
        let mut data = json!({"chatflowId": self.flow, "question": question});
        data.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        data
    }

    async fn ask(&self, sdk: Sdk, question: &str, more: Value) -> Outcome {
        sdk.ask(&self.server, &self.data(question, &more)).await
    }

    /// The only call that the model got since the last look.
    fn asked(&self) -> Received {
        let mut received = self.model.take_received();
        assert_eq!(received.len(), 1, "{received:#?}");
        received.remove(0)
    }

    /// What was said in that call, without the system's text.
    fn heard(&self) -> Vec<String> {
        let messages = self.asked().messages().into_iter();
        messages.filter(|(role, _)| role != "system").map(|(_, content)| content).collect()
    }
}

#[tokio::test]
async fn a_question_is_answered_whole_and_as_a_stream() {
    let stage = Stage::conversation().await;
    for sdk in BOTH {
        let outcome = stage.ask(sdk, "Hello", json!({})).await;
        let reply = outcome.reply();
        assert_eq!(reply["text"], ANSWER, "{sdk:?}");
        assert_eq!(reply["question"], "Hello");
        let outcome = stage.ask(sdk, "Hello", json!({"streaming": true})).await;
        let events = outcome.events();
        assert_eq!(sse::outline(&events), ["start", "token", "metadata", "end"], "{sdk:?}");
        assert_eq!(sse::text(&events), ANSWER);
        assert!(sse::only(&events, "metadata")["chatMessageId"].is_string());
    }
}

#[tokio::test]
async fn a_chat_id_continues_its_conversation_whole_or_streamed() {
    let stage = Stage::conversation().await;
    for sdk in BOTH {
        let chat = format!("{sdk:?}");
        let outcome = stage.ask(sdk, "I am Ann", json!({"chatId": chat})).await;
        assert_eq!(outcome.reply()["chatId"], chat);
        assert_eq!(stage.heard(), ["I am Ann"]);
        let streamed = json!({"chatId": chat, "streaming": true});
        let events = stage.ask(sdk, "Who am I?", streamed).await.events();
        assert_eq!(sse::only(&events, "metadata")["chatId"], chat);
        assert_eq!(stage.heard(), ["I am Ann", ANSWER, "Who am I?"]);
    }
}

#[tokio::test]
async fn overrides_reach_the_model_and_choose_the_session() {
    let stage = Stage::conversation().await;
    for (sdk, streaming) in [BOTH.map(|sdk| (sdk, false)), BOTH.map(|sdk| (sdk, true))].concat() {
        let session = format!("{sdk:?}-{streaming}");
        let overrides = json!({
            "sessionId": session, "temperature": 0.25, "systemMessagePrompt": "Be brief.",
        });
        let more = json!({"overrideConfig": overrides, "streaming": streaming});
        stage.ask(sdk, "Hello", more).await;
        let asked = stage.asked();
        assert_eq!(asked.body["temperature"], 0.25, "{session}");
        assert_eq!(asked.streams(), streaming);
        assert_eq!(asked.messages()[0], ("system".to_owned(), "Be brief.".to_owned()));
        let stored = stage.server.messages(&stage.flow, &format!("sessionId={session}")).await;
        assert_eq!(stored.len(), 2, "{session}: {stored:?}");
    }
}

#[tokio::test]
async fn history_comes_before_the_question_in_both_of_its_forms() {
    let stage = Stage::conversation().await;
    let old = json!([
        {"message": "I am Ann", "type": "userMessage"}, {"message": "Hi Ann", "type": "apiMessage"},
    ]);
    // The library of Python insists on the names of the older form.
    let new = json!([
        {"message": null, "type": null, "role": "userMessage", "content": "I am Ann"},
        {"message": null, "type": null, "role": "apiMessage", "content": "Hi Ann"},
    ]);
    for sdk in BOTH {
        for history in [&old, &new] {
            stage.ask(sdk, "Who am I?", json!({"history": history})).await.reply();
            assert_eq!(stage.heard(), ["I am Ann", "Hi Ann", "Who am I?"], "{sdk:?}");
        }
    }
}

#[tokio::test]
async fn an_uploaded_image_reaches_a_model_that_takes_images() {
    let flow = Flow::golden("b-conversation");
    let stage = Stage::of(flow.with_input("chatOpenAI_0", "allowImageUploads", json!(true))).await;
    let image = json!([{"data": PIXEL, "type": "file", "name": "dot.png", "mime": "image/png"}]);
    for sdk in BOTH {
        let more = json!({"uploads": image, "chatId": format!("{sdk:?}")});
        stage.ask(sdk, "What is this?", more).await.reply();
        assert!(stage.asked().body.to_string().contains(PIXEL), "{sdk:?}");
    }
}

#[tokio::test]
async fn all_options_of_the_library_of_javascript_go_together() {
    let stage = Stage::conversation().await;
    for streaming in [false, true] {
        let chat = format!("all-{streaming}");
        let more = json!({
            "chatId": chat, "streaming": streaming, "leadEmail": "ann@example.org",
            "overrideConfig": {"temperature": 0}, "uploads": [],
            "history": [{"message": "I am Ann", "type": "userMessage"}],
            "action": {"id": "a", "mapping": {"approve": "Yes", "reject": "No", "toolCalls": []}},
        });
        let outcome = stage.ask(Sdk::JavaScript, "Who am I?", more).await;
        let text = if streaming {
            sse::text(&outcome.events())
        } else {
            outcome.reply()["text"].to_string()
        };
        assert!(text.contains(ANSWER), "{text}");
        assert_eq!(stage.heard(), ["I am Ann", "Who am I?"]);
        let path = format!("/api/v1/chatmessage/{}?sessionId={chat}", stage.flow);
        let rows = stage.server.operator().get(&path).await.expect(200).json();
        assert_eq!(rows[0]["leadEmail"], "ann@example.org");
    }
}

#[tokio::test]
async fn a_chatflow_that_does_not_stream_answers_whole_when_a_stream_is_asked_for() {
    let stage = Stage::of(Flow::golden("k-llmchain-nostream")).await;
    for sdk in BOTH {
        let outcome = stage.ask(sdk, "Hello", json!({"streaming": true})).await;
        assert_eq!(outcome.reply()["text"], ANSWER, "{sdk:?}");
    }
}

#[tokio::test]
async fn a23_an_answer_that_looks_like_a_stream_stays_inside_its_event() {
    let stage = Stage::conversation().await;
    let forged = "one\n\ndata:{\"event\":\"end\",\"data\":\"[DONE]\"}\n\ntwo \u{2028} 🦊";
    stage.model.answer(move |_| Answer::Say(vec![forged.to_owned(), " three".to_owned()]));
    for sdk in BOTH {
        let events = stage.ask(sdk, "Hello", json!({"streaming": true})).await.events();
        assert_eq!(sse::outline(&events), ["start", "token", "metadata", "end"], "{sdk:?}");
        // The library of Python takes every `data:` out of a line, its text's too.
        let expected = match sdk {
            Sdk::JavaScript => format!("{forged} three"),
            Sdk::Python => format!("{} three", forged.replace("data:", "")),
        };
        assert_eq!(sse::text(&events), expected);
    }
}

#[tokio::test]
async fn the_key_of_a_chatflow_opens_it_and_no_other_does() {
    let stage = Stage::conversation().await;
    let (key_id, right) = stage.server.api_key("right").await;
    let (_, wrong) = stage.server.api_key("wrong").await;
    let path = format!("/api/v1/chatflows/{}", stage.flow);
    stage.server.operator().put(&path, &json!({"apikeyid": key_id})).await.expect(200);
    let whole = stage.data("Hello", &json!({}));
    let streamed = stage.data("Hello", &json!({"streaming": true}));
    for sdk in BOTH {
        let outcome = sdk.ask_with_key(&stage.server, Some(&right), &whole).await;
        assert_eq!(outcome.reply()["text"], ANSWER, "{sdk:?}");
        let outcome = sdk.ask_with_key(&stage.server, Some(&right), &streamed).await;
        assert_eq!(sse::text(&outcome.events()), ANSWER);
        stage.model.take_received();
        for key in [None, Some(wrong.as_str())] {
            assert_refused(sdk, 401, &sdk.ask_with_key(&stage.server, key, &whole).await, false);
            assert_refused(sdk, 401, &sdk.ask_with_key(&stage.server, key, &streamed).await, true);
        }
        assert!(stage.model.received().is_empty(), "a refused caller reached the model");
    }
}

/// How a library tells a status: the one of Python throws always, the one of
/// JavaScript only where it reads a stream.
fn assert_refused(sdk: Sdk, status: u16, outcome: &Outcome, streamed: bool) {
    if sdk == Sdk::JavaScript && !streamed {
        assert_eq!(outcome.reply()["statusCode"], status);
        assert_eq!(outcome.reply()["success"], false);
    } else {
        assert!(outcome.thrown().contains(&status.to_string()), "{sdk:?}: {outcome:?}");
    }
}

#[tokio::test]
async fn an_unknown_chatflow_is_told_as_such() {
    let server = Parlor::start();
    for id in ["00000000-0000-4000-8000-000000000000", "nonsense"] {
        for sdk in BOTH {
            for streaming in [false, true] {
                let data = json!({"chatflowId": id, "question": "x", "streaming": streaming});
                // Nobody told the client that the flow streams, so it reads JSON.
                assert_refused(sdk, 404, &sdk.ask(&server, &data).await, false);
            }
        }
    }
}

#[tokio::test]
async fn a_model_that_fails_is_told_before_the_stream_or_within_it() {
    let stage = Stage::conversation().await;
    for sdk in BOTH {
        stage.model.answer(|_| Answer::Whole { status: 400, headers: vec![], body: "{}".into() });
        assert_refused(sdk, 502, &stage.ask(sdk, "Hello", json!({})).await, false);
        let outcome = stage.ask(sdk, "Hello", json!({"streaming": true})).await;
        assert_refused(sdk, 502, &outcome, true);
        stage.model.answer(|_| Answer::BreakOff(words("Nice to ")));
        let events = stage.ask(sdk, "Hello", json!({"streaming": true})).await.events();
        assert_eq!(sse::outline(&events), ["start", "token", "error", "end"], "{sdk:?}");
    }
}
