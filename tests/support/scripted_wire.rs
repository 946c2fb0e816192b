//! The bytes of OpenAI's chat completions, right ones and wrong ones.

use serde_json::{Value, json};
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;

use super::scripted::{Answer, Received};

/// Reads the next request of a connection; `None` when the caller has left.
/// What came after it stays in `unread`.
pub async fn read_request(socket: &mut TcpStream, unread: &mut Vec<u8>) -> Option<Received> {
    loop {
        if let Some((request, n_used)) = parse_request(unread) {
            unread.drain(..n_used);
            return Some(request);
        }
        let mut piece = [0_u8; 16 * 1024];
        let n = socket.read(&mut piece).await.ok().filter(|n| *n > 0)?;
        unread.extend_from_slice(&piece[..n]);
    }
}

fn parse_request(bytes: &[u8]) -> Option<(Received, usize)> {
    let end = bytes.windows(4).position(|four| four == b"\r\n\r\n")?;
    let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
    let mut lines = head.lines();
    let path = lines.next()?.split(' ').nth(1)?.to_owned();
    let headers: Vec<(String, String)> = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
        .collect();
    let length = headers.iter().find(|(name, _)| name == "content-length");
    let length: usize = length.map_or(Some(0), |(_, value)| value.parse().ok())?;
    let body = bytes.get(end + 4..end + 4 + length)?;
    let text = String::from_utf8_lossy(body).into_owned();
    let body = serde_json::from_slice(body).unwrap_or(Value::Null);
    Some((Received { path, headers, body, text }, end + 4 + length))
}

/// The messages of a request as (role, content).
pub fn messages(body: &Value) -> Vec<(String, String)> {
    let text = |value: &Value| match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    let messages = body["messages"].as_array().into_iter().flatten();
    messages.map(|message| (text(&message["role"]), text(&message["content"]))).collect()
}

/// The contents of all messages but the system's.
pub fn echo(body: &Value) -> String {
    let contents = messages(body).into_iter().filter(|(role, _)| role != "system");
    contents.map(|(_, content)| content).collect::<Vec<_>>().join(" | ")
}

/// A whole good answer in the form that the request asks for.
pub fn good(request: &Received, tokens: &[String]) -> Vec<u8> {
    if !request.streams() {
        return whole(200, &[("content-type", "application/json".to_owned())], &completion(tokens));
    }
    let mut bytes = beginning(request, tokens);
    let stop = chunk(&json!([{"index": 0, "delta": {}, "finish_reason": "stop"}]));
    push_chunk(&mut bytes, &stop);
    if request.body["stream_options"]["include_usage"] == true {
        let mut usage: Value = serde_json::from_str(&chunk(&json!([]))).expect("JSON");
        usage["usage"] = self::usage(tokens);
        push_chunk(&mut bytes, &usage.to_string());
    }
    push_chunk(&mut bytes, "[DONE]");
    bytes.extend_from_slice(b"0\r\n\r\n");
    bytes
}

/// A whole answer that calls a tool, in the form that the request asks for.
pub fn call(request: &Received, id: &str, name: &str, arguments: &str) -> Vec<u8> {
    let call = json!({
        "index": 0, "id": id, "type": "function",
        "function": {"name": name, "arguments": arguments},
    });
    let message = json!({"role": "assistant", "content": null, "tool_calls": [call]});
    if !request.streams() {
        let choice = json!({"index": 0, "finish_reason": "tool_calls", "message": message});
        let body = json!({"object": "chat.completion", "choices": [choice], "usage": usage(&[])});
        let json = [("content-type", "application/json".to_owned())];
        return whole(200, &json, &body.to_string());
    }
    let mut bytes = stream_head();
    push_chunk(&mut bytes, &chunk(&json!([{"index": 0, "delta": message}])));
    let end = json!([{"index": 0, "delta": {}, "finish_reason": "tool_calls"}]);
    push_chunk(&mut bytes, &chunk(&end));
    push_chunk(&mut bytes, "[DONE]");
    bytes.extend_from_slice(b"0\r\n\r\n");
    bytes
}

/// A good answer up to the last token, whose end is still to come.
pub fn beginning(request: &Received, tokens: &[String]) -> Vec<u8> {
    if !request.streams() {
        let body = completion(tokens);
        let promised = body.len() + 1;
        let half = &body[..body.len() / 2];
        return format!(
            "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {promised}\r\n\r\n{half}"
        )
        .into_bytes();
    }
    let mut bytes = stream_head();
    let role = json!([{"index": 0, "delta": {"role": "assistant", "content": ""}}]);
    push_chunk(&mut bytes, &chunk(&role));
    for token in tokens {
        let delta = json!([{"index": 0, "delta": {"content": token}, "finish_reason": null}]);
        push_chunk(&mut bytes, &chunk(&delta));
    }
    bytes
}

/// The head of a good answer and a body that is not what it says.
pub fn nonsense(request: &Received) -> Vec<u8> {
    if !request.streams() {
        let json = [("content-type", "application/json".to_owned())];
        return whole(200, &json, "{\"choices\": [{\"message\"");
    }
    let mut bytes = stream_head();
    push_chunk(&mut bytes, "{\"choices\": [{\"delta\"");
    bytes.extend_from_slice(b"0\r\n\r\n");
    bytes
}

/// An answer with its length.
pub fn whole(status: u16, headers: &[(&'static str, String)], body: &str) -> Vec<u8> {
    let mut head = format!("HTTP/1.1 {status} Scripted\r\ncontent-length: {}\r\n", body.len());
    for (name, value) in headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    format!("{head}\r\n{body}").into_bytes()
}

/// The answer to a request for embeddings: each text's vector, in OpenAI's form.
pub fn embeddings(request: &Received, vector: fn(&str) -> Vec<f64>) -> Answer {
    let input = &request.body["input"];
    let texts = input.as_array().map_or(std::slice::from_ref(input), Vec::as_slice);
    let rows = texts.iter().enumerate().map(|(index, text)| {
        let vector = vector(text.as_str().expect("a text to embed"));
        json!({"object": "embedding", "index": index, "embedding": vector})
    });
    let usage = json!({"prompt_tokens": 1, "total_tokens": 1});
    let body = json!({"object": "list", "data": rows.collect::<Vec<_>>(), "usage": usage});
    let headers = vec![("content-type", "application/json".to_owned())];
    Answer::Whole { status: 200, headers, body: body.to_string() }
}

fn stream_head() -> Vec<u8> {
    b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
        .to_vec()
}

fn push_chunk(bytes: &mut Vec<u8>, data: &str) {
    let event = format!("data: {data}\n\n");
    bytes.extend_from_slice(format!("{:x}\r\n{event}\r\n", event.len()).as_bytes());
}

fn chunk(choices: &Value) -> String {
    json!({
        "id": "chatcmpl-scripted", "object": "chat.completion.chunk", "created": 0,
        "model": "scripted", "choices": choices,
    })
    .to_string()
}

fn completion(tokens: &[String]) -> String {
    json!({
        "id": "chatcmpl-scripted", "object": "chat.completion", "created": 0, "model": "scripted",
        "choices": [{
            "index": 0, "finish_reason": "stop",
            "message": {"role": "assistant", "content": tokens.concat()},
        }],
        "usage": usage(tokens),
    })
    .to_string()
}

fn usage(tokens: &[String]) -> Value {
    let n_tokens = tokens.len();
    json!({"prompt_tokens": 1, "completion_tokens": n_tokens, "total_tokens": n_tokens + 1})
}
