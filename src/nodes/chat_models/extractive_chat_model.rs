//! Parlor's own `extractiveChatModel`, version 1: answers offline with what
//! its prompt already says.
//!
//! It writes nothing of its own: the answer is made of sentences of the system
//! message, of documents in the prompt and of the conversation. It is
//! deterministic, calls nobody, costs no tokens, and has no use for tools,
//! stop words or an output schema.

use std::sync::Arc;

use futures::future::BoxFuture;

use super::passages::Search;
use crate::bm25::rank;
use crate::ctx::TurnCtx;
use crate::error::NodeError;
use crate::inputs::Inputs;
use crate::instance::{ChatModel, Instance, ModelProfile};
use crate::model::{ChatReply, ChatRequest, ModelMessage};
use crate::spec::{Kind, NodeSpec, Param};

/// The node.
pub const SPEC: NodeSpec = NodeSpec {
    name: "extractiveChatModel",
    category: "Chat Models",
    version: 1.0,
    about: "Answers offline with the sentences of its context that fit the question.",
    params: &[Param::open("maxPassages", Kind::Integer)],
    credential: None,
    build,
};

const DEFAULT_MAX_PASSAGES: i64 = 2;
/// More than this is no answer but a copy of the context.
const MOST_PASSAGES: usize = 20;
const NOTHING: &str = "I found nothing about that in my context.";

fn build(inputs: &Inputs) -> Result<Instance, NodeError> {
    let most = inputs.integer("maxPassages", 1)?.unwrap_or(DEFAULT_MAX_PASSAGES);
    let max_passages = usize::try_from(most).unwrap_or(usize::MAX);
    if max_passages > MOST_PASSAGES {
        return Err(inputs.bad("maxPassages", format!("must be at most {MOST_PASSAGES}")));
    }
    Ok(Instance::ChatModel(Arc::new(ExtractiveChatModel { max_passages })))
}

struct ExtractiveChatModel {
    max_passages: usize,
}

impl ExtractiveChatModel {
    /// The best passages, one a line, or the sentence that says there are none.
    fn answer(&self, messages: &[ModelMessage], asked: &str) -> String {
        let Search { question, mut passages } = Search::new(messages, asked);
        passages.retain(|passage| *passage != NOTHING && !is_same(passage, question));
        let mut chosen: Vec<&str> = Vec::new();
        for index in rank(question, &passages) {
            let passage = passages[index];
            // An earlier answer repeats the passage that it was made of.
            if !chosen.iter().any(|other| is_same(other, passage)) {
                chosen.push(passage);
            }
            if chosen.len() == self.max_passages {
                break;
            }
        }
        if chosen.is_empty() { NOTHING.to_owned() } else { chosen.join("\n") }
    }
}

/// Whether two texts differ only in case and in what stands round their words.
fn is_same(one: &str, other: &str) -> bool {
    fn core(text: &str) -> impl Iterator<Item = char> {
        let text = text.trim_matches(|ch: char| !ch.is_alphanumeric());
        text.chars().flat_map(char::to_lowercase)
    }
    core(one).eq(core(other))
}

impl ChatModel for ExtractiveChatModel {
    fn profile(&self) -> ModelProfile {
        ModelProfile { images: None, images_apart: false }
    }

    fn writes(&self) -> bool {
        false
    }

    fn call<'a>(
        &'a self,
        request: ChatRequest,
        ctx: &'a TurnCtx,
        stream: bool,
    ) -> BoxFuture<'a, Result<ChatReply, NodeError>> {
        Box::pin(async move {
            let text = self.answer(&request.messages, &ctx.question);
            if stream {
                let sending = send_words(&text, ctx);
                let sent = ctx.cancel.run_until_cancelled(sending).await;
                sent.unwrap_or(Err(NodeError::Cancelled))?;
            }
            Ok(ChatReply { text, ..ChatReply::default() })
        })
    }
}

async fn send_words(text: &str, ctx: &TurnCtx) -> Result<(), NodeError> {
    for word in text.split_inclusive(char::is_whitespace) {
        ctx.events.token(word).await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use parlor_schemas::StreamEvent;

    use super::*;
    use crate::test_support::{TestTurn, assistant, build, build_error, source, system, user};

    /// The conversation chain's own instruction.
    const INSTRUCTION: &str = "The following is a friendly conversation between a human and an \
        AI. The AI is talkative and provides lots of specific details from its context. If the \
        AI does not know the answer to a question, it truthfully says it does not know.";
    const SHOP: &str = "You help in a shop.\nThe shop opens at nine. The shop closes at six. \
        What do socks cost?\nThree euros.";

    fn model(max_passages: &str) -> Arc<dyn ChatModel> {
        match build(&SPEC, [("maxPassages", source(max_passages))]) {
            Instance::ChatModel(model) => model,
            other => panic!("{}", other.kind()),
        }
    }

    async fn answer(mut messages: Vec<ModelMessage>, question: &str) -> String {
        messages.push(user(question));
        let ctx = TestTurn::asking(question).ctx();
        let reply = model("").call(ChatRequest::new(messages), &ctx, false).await.unwrap();
        assert!(reply.usage.is_empty() && ctx.meter.total().is_empty());
        reply.text
    }

    #[tokio::test]
    async fn an_earlier_sentence_of_the_conversation_answers() {
        let talk = vec![
            system(INSTRUCTION),
            user("Hello! My name is Ann. I like tea."),
            assistant("I found nothing about that in my context."),
            user("What is my name?"),
            assistant("My name is Ann."),
        ];

        assert_eq!(answer(talk.clone(), "What is my name?").await, "My name is Ann.");
        assert_eq!(answer(talk, "And what do I like?").await, "I like tea.");
    }

    #[tokio::test]
    async fn sentences_of_the_system_message_answer() {
        for (question, expected) in [
            ("When does the shop close?", "The shop closes at six."),
            ("How much do socks cost?", "What do socks cost?\nThree euros."),
        ] {
            let text = answer(vec![system(SHOP)], question).await;
            assert!(text.starts_with(expected), "{question} -> {text}");
        }
    }

    #[tokio::test]
    async fn it_says_so_when_nothing_fits() {
        for question in ["Who won the cup in 1998?", "Hello", "What is my name?", "?", ""] {
            let messages = vec![system(INSTRUCTION), user(question), assistant(NOTHING)];
            assert_eq!(answer(messages, question).await, NOTHING, "{question}");
        }
        assert_eq!(answer(Vec::new(), "My name is Ann").await, NOTHING);
    }

    #[tokio::test]
    async fn as_many_passages_are_given_as_the_author_allows() {
        let ctx = TestTurn::asking("the cats").ctx();
        for (most, n_lines) in [("", 2), ("1", 1), ("9", 3)] {
            let prompt =
                vec![system("Cats purr.\nCats jump.\nCats eat.\nDogs bark."), user("cats")];
            let reply = model(most).call(ChatRequest::new(prompt), &ctx, false).await;
            assert_eq!(reply.unwrap().text.lines().count(), n_lines);
        }
        for most in ["0", "21", "many"] {
            let error = build_error(&SPEC, [("maxPassages", source(most))]);
            assert!(error.to_string().contains("maxPassages must be"), "{error}");
        }
    }

    #[tokio::test]
    async fn a_stream_gets_the_answer_word_by_word() {
        let (ctx, mut events) = TestTurn::asking("the name?").streaming();
        let prompt = vec![user("My name is Ann"), user("the name?")];

        let reply = model("").call(ChatRequest::new(prompt), &ctx, true).await.unwrap();

        drop(ctx);
        let mut streamed = String::new();
        assert_eq!(events.recv().await, Some(StreamEvent::Start("My ".into())));
        while let Some(StreamEvent::Token(piece)) = events.recv().await {
            streamed.push_str(&piece);
        }
        assert_eq!((streamed.as_str(), reply.text.as_str()), ("My name is Ann", "My name is Ann"));
    }

    #[tokio::test]
    async fn a_cancelled_stream_stops() {
        let (ctx, _events) = TestTurn::asking("name").streaming();
        ctx.cancel.cancel();

        let prompt = ChatRequest::new(vec![user("My name is Ann"), user("name")]);
        let reply = model("").call(prompt, &ctx, true).await;

        assert!(matches!(reply, Err(NodeError::Cancelled)));
    }
}
