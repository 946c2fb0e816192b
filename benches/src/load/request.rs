//! The bytes of one request: all but the session's name is made once.

use serde_json::Value;

use super::plan::{Plan, Shape, Target};

/// What is asked in every turn.
const QUESTION: &str = "Which room keeps the old maps?";

/// Makes the requests of one plan.
#[derive(Debug)]
pub struct RequestMaker {
    /// The head up to the value of `content-length`.
    head: String,
    before_session: String,
    after_session: String,
}

impl RequestMaker {
    /// For a plan's target and address.
    pub fn new(plan: &Plan) -> Self {
        let path = match &plan.target {
            Target::Flow(id) => format!("/api/v1/prediction/{id}"),
            Target::Path(path) => path.clone(),
            Target::Model => "/v1/chat/completions".to_owned(),
            Target::Shaped(shape) => shape.path.clone(),
        };
        let key = plan.key.as_ref();
        let key = key.map(|key| format!("authorization: Bearer {key}\r\n")).unwrap_or_default();
        let own = match &plan.target {
            Target::Shaped(shape) => headers_of(shape),
            _ => String::new(),
        };
        let head = format!(
            "POST {path} HTTP/1.1\r\nhost: {}\r\n{key}{own}content-type: application/json\r\n\
             content-length: ",
            plan.address
        );
        let question = Value::from(QUESTION);
        if let Target::Shaped(shape) = &plan.target {
            let (before_session, after_session) = body_of(shape, plan.stream);
            return Self { head, before_session, after_session };
        }
        if let Target::Model = plan.target {
            let before_session = format!(
                r#"{{"stream":{},"messages":[{{"role":"user","content":{question}}}],"user":""#,
                plan.stream
            );
            return Self { head, before_session, after_session: r#""}"#.into() };
        }
        let streaming = if plan.stream { r#""streaming":true,"# } else { "" };
        let before_session =
            format!(r#"{{"question":{question},{streaming}"overrideConfig":{{"sessionId":""#);
        Self { head, before_session, after_session: r#""}}"#.into() }
    }

    /// Writes the request for a session over what `to` held. Sessions are named by the
    /// plan, in characters that need no escape.
    pub fn write(&self, session: &str, to: &mut Vec<u8>) {
        let length = self.before_session.len() + session.len() + self.after_session.len();
        to.clear();
        to.extend_from_slice(self.head.as_bytes());
        to.extend_from_slice(length.to_string().as_bytes());
        to.extend_from_slice(b"\r\n\r\n");
        to.extend_from_slice(self.before_session.as_bytes());
        to.extend_from_slice(session.as_bytes());
        to.extend_from_slice(self.after_session.as_bytes());
    }
}

fn headers_of(shape: &Shape) -> String {
    shape.headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect()
}

/// What comes before the session's name and what comes after it.
fn body_of(shape: &Shape, stream: bool) -> (String, String) {
    let question = Value::from(QUESTION).to_string();
    let stream = if stream { "true" } else { "false" };
    let body = shape.body.replace("{question}", &question).replace("{stream}", stream);
    // The plan was checked to name the session.
    let (before, after) = body.split_once("{session}").unwrap_or((&body, ""));
    (before.to_owned(), after.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http;
    use std::time::Duration;

    #[test]
    fn a_request_is_json_of_the_length_that_it_says() {
        let address = std::net::SocketAddr::from(([127, 0, 0, 1], 1));
        let target = Target::Flow("f1".into());
        let mut plan = Plan::closed(address, target, 1, Duration::from_secs(1));
        plan.stream = true;
        let mut bytes = Vec::new();
        RequestMaker::new(&plan).write("s-1", &mut bytes);
        let end = http::head_end(&bytes).unwrap();
        let length = http::BodyLength::Exactly(bytes.len() - end);
        assert_eq!(http::body_length(&bytes[..end]), Some(length));
        assert!(bytes.starts_with(b"POST /api/v1/prediction/f1 HTTP/1.1\r\n"));
        let body: Value = serde_json::from_slice(&bytes[end..]).unwrap();
        assert_eq!(body["overrideConfig"]["sessionId"], "s-1");
        assert_eq!(body["streaming"], true);
    }

    #[test]
    fn the_request_of_another_server_brings_its_headers_and_the_session() {
        let address = std::net::SocketAddr::from(([127, 0, 0, 1], 1));
        let shape = Shape {
            path: "/chat".into(),
            headers: vec![("x-who".into(), "me".into())],
            body: r#"{"stream":{stream},"ask":{question},"user":"{session}"}"#.into(),
        };
        let plan = Plan::closed(address, Target::Shaped(shape), 1, Duration::from_secs(1));
        let mut bytes = Vec::new();
        RequestMaker::new(&plan).write("s-1", &mut bytes);
        let end = http::head_end(&bytes).unwrap();
        assert_eq!(http::header(&bytes[..end], "x-who"), Some(&b"me"[..]));
        let body: Value = serde_json::from_slice(&bytes[end..]).unwrap();
        assert_eq!((&body["stream"], &body["user"]), (&Value::from(false), &Value::from("s-1")));
        assert_eq!(body["ask"], QUESTION);
    }
}
