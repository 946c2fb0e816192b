//! Frames put together into answers.

use std::time::Duration;

use bytes::Bytes;
use futures::future::LocalBoxFuture;
use tokio::runtime::Builder;

use super::super::eventstream::test_support::event;
use super::super::http::test_support::reply;
use super::super::http::{Call, Reply};
use super::super::{anthropic, bedrock, gemini, ollama, openai};
use crate::error::NodeError;
use crate::model::ChatReply;
use crate::test_support::TestTurn;

type Read = for<'a> fn(Reply<'a>) -> LocalBoxFuture<'a, Result<ChatReply, NodeError>>;

/// What the provider's bytes are read as, in pieces of this size. Ids that the
/// provider left out are made up, so they are not told.
fn read(bytes: &[u8], size: usize, read: Read) -> Result<(String, String), String> {
    let runtime = Builder::new_current_thread().enable_time().build().unwrap();
    let ctx = TestTurn::asking("hi").ctx();
    let call = Call::new("Provider", &ctx, Duration::from_secs(60), &[]);
    let pieces = bytes.chunks(size.max(1)).map(Bytes::copy_from_slice).collect();
    let found = runtime.block_on(read(reply(call, pieces))).map_err(|error| error.to_string())?;
    let calls = found.tool_calls.iter().map(|call| (&call.name, &call.arguments));
    let calls = format!("{:?} {:?} {:?}", calls.collect::<Vec<_>>(), found.finish, found.usage);
    Ok((found.text, calls))
}

/// The first byte is the size of the pieces.
fn check(bytes: &[u8], stream: Read, whole: Read) {
    let Some((size, body)) = bytes.split_first() else { return };
    let streamed = read(body, body.len(), stream);
    assert_eq!(read(body, usize::from(*size), stream), streamed, "in pieces of {size}");
    for (text, _) in streamed.into_iter().chain(read(body, body.len(), whole)) {
        assert!(text.len() <= body.len() * 3);
    }
}

/// The first seed is a whole answer, or the target would try errors alone.
macro_rules! target {
    ($name:ident, $provider:ident, $seeds:expr $(, $schema:expr)?) => {
        #[test]
        fn $name() {
            let stream: Read = |reply| Box::pin($provider::reply::read_stream(reply $(, $schema)?));
            let whole: Read = |reply| Box::pin($provider::reply::read_whole(reply $(, $schema)?));
            let seeds: Vec<Vec<u8>> = $seeds;
            let (_, told) = read(&seeds[0][1..], 9, stream).unwrap();
            assert!(told.contains("\"t\""), "{told}");
            parlor_fuzz::check!(seeds, |bytes: &[u8]| check(bytes, stream, whole));
        }
    };
}

fn texts(seeds: &[&str]) -> Vec<Vec<u8>> {
    seeds.iter().map(|seed| seed.as_bytes().to_vec()).collect()
}

target!(
    an_answer_of_openai_is_the_same_wherever_it_is_cut,
    openai,
    texts(&[
        "\u{7}data: {\"choices\":[{\"delta\":{\"content\":\"Hi\"}}]}\n\ndata: {\"choices\":[{\"delta\":\
         {\"tool_calls\":[{\"index\":0,\"id\":\"a\",\"function\":{\"name\":\"t\",\"arguments\":\"{}\"}}]},\
         \"finish_reason\":\"tool_calls\"}],\"usage\":{\"prompt_tokens\":1}}\n\ndata: [DONE]\n\n",
        "\u{3}{\"choices\":[{\"message\":{\"content\":[{\"type\":\"text\",\"text\":\"Hi\"}]},\
         \"finish_reason\":\"stop\"}]}",
        "\u{3}data: {\"error\":{\"message\":\"no\",\"code\":429}}\n\n",
    ])
);

target!(
    an_answer_of_anthropic_is_the_same_wherever_it_is_cut,
    anthropic,
    texts(&[
        "\u{7}data: {\"type\":\"message_start\",\"message\":{\"usage\":{\"input_tokens\":5}}}\n\n\
         data: {\"type\":\"content_block_start\",\"index\":0,\"content_block\":{\"type\":\"tool_use\",\
         \"id\":\"a\",\"name\":\"t\"}}\n\ndata: {\"type\":\"content_block_delta\",\"index\":0,\"delta\":\
         {\"type\":\"input_json_delta\",\"partial_json\":\"{}\"}}\n\ndata: {\"type\":\"content_block_delta\"\
         ,\"index\":1,\"delta\":{\"type\":\"text_delta\",\"text\":\"Hi\"}}\n\ndata: {\"type\":\
         \"message_delta\",\"delta\":{\"stop_reason\":\"end_turn\"}}\n\ndata: {\"type\":\"message_stop\"}\n\n",
        "\u{3}{\"content\":[{\"type\":\"text\",\"text\":\"Hi\"}],\"stop_reason\":\"end_turn\"}",
    ]),
    None
);

target!(
    an_answer_of_gemini_is_the_same_wherever_it_is_cut,
    gemini,
    texts(&[
        "\u{7}data: {\"candidates\":[{\"content\":{\"parts\":[{\"text\":\"Hi\"},{\"functionCall\":\
         {\"name\":\"t\",\"args\":{\"a\":1}},\"thoughtSignature\":\"s\"}]},\"finishReason\":\"STOP\"}],\
         \"usageMetadata\":{\"promptTokenCount\":1}}\n\n",
        "\u{3}{\"candidates\":[{\"finishReason\":\"SAFETY\"}],\"promptFeedback\":{\"blockReason\":\"X\"}}",
    ])
);

target!(
    an_answer_of_ollama_is_the_same_wherever_it_is_cut,
    ollama,
    texts(&[
        "\u{7}{\"message\":{\"content\":\"Hi\",\"tool_calls\":[{\"function\":{\"name\":\"t\",\
         \"arguments\":{\"a\":1}}}]}}\n{\"done\":true,\"done_reason\":\"stop\",\"eval_count\":3}\n",
        "\u{3}{\"error\":\"no\"}\n",
    ])
);

fn bedrock_events() -> Vec<Vec<u8>> {
    let start = r#"{"start":{"toolUse":{"toolUseId":"a","name":"t"}},"contentBlockIndex":0}"#;
    let more = r#"{"delta":{"toolUse":{"input":"{}"}},"contentBlockIndex":0}"#;
    let stream = [
        vec![7],
        event("contentBlockStart", start),
        event("contentBlockDelta", more),
        event("contentBlockDelta", r#"{"delta":{"text":"Hi"}}"#),
        event("messageStop", r#"{"stopReason":"end_turn"}"#),
        event("metadata", r#"{"usage":{"inputTokens":1}}"#),
    ];
    let whole = br#"2{"output":{"message":{"content":[{"text":"Hi"}]}},"stopReason":"end_turn"}"#;
    vec![stream.concat(), whole.to_vec()]
}

target!(an_answer_of_bedrock_is_the_same_wherever_it_is_cut, bedrock, bedrock_events(), None);
