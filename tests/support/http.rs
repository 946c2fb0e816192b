//! A thin HTTP client: who calls, what is called, what came back.

use std::sync::Once;
use std::time::Duration;

use base64::Engine;
use reqwest::Method;
use serde_json::Value;

use super::sse::{self, Event};

/// Someone who calls a server, with the headers that tell who it is.
#[derive(Clone)]
pub struct Caller {
    client: reqwest::Client,
    base: String,
    headers: Vec<(String, String)>,
}

/// An answer, read to its end.
#[derive(Debug, Clone)]
pub struct Reply {
    /// The HTTP status.
    pub status: u16,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    /// The body as text.
    pub body: String,
}

/// A client for loopback addresses.
pub fn client() -> reqwest::Client {
    static PROVIDER: Once = Once::new();
    PROVIDER.call_once(|| {
        // The client wants to know who would do TLS even when nobody asks for it.
        let _ = rustls::crypto::ring::default_provider().install_default();
    });
    reqwest::Client::builder()
        .no_proxy()
        .timeout(Duration::from_secs(180))
        .build()
        .expect("a client can be built")
}

impl Caller {
    /// Somebody without credentials.
    pub fn new(base: &str) -> Self {
        Self { client: client(), base: base.to_owned(), headers: Vec::new() }
    }

    /// The same caller with one more header.
    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// The same caller with Basic auth.
    pub fn basic(self, username: &str, password: &str) -> Self {
        let pair = base64::prelude::BASE64_STANDARD.encode(format!("{username}:{password}"));
        self.with("authorization", &format!("Basic {pair}"))
    }

    /// The same caller with an API key.
    pub fn bearer(self, key: &str) -> Self {
        self.with("authorization", &format!("Bearer {key}"))
    }

    /// `GET path`.
    pub async fn get(&self, path: &str) -> Reply {
        self.send(Method::GET, path, None).await
    }

    /// `GET path` whose answer is read piece by piece, or left.
    pub async fn open_get(&self, path: &str) -> reqwest::Response {
        self.open(Method::GET, path, None).await
    }

    /// `DELETE path`.
    pub async fn delete(&self, path: &str) -> Reply {
        self.send(Method::DELETE, path, None).await
    }

    /// `POST path` with a JSON body.
    pub async fn post(&self, path: &str, body: &Value) -> Reply {
        self.send(Method::POST, path, Some(body.to_string())).await
    }

    /// `PUT path` with a JSON body.
    pub async fn put(&self, path: &str, body: &Value) -> Reply {
        self.send(Method::PUT, path, Some(body.to_string())).await
    }

    /// `POST path` with a multipart form: fields, then files as (name, type, bytes).
    pub async fn post_form(
        &self,
        path: &str,
        fields: &[(&str, &str)],
        files: &[(&str, &str, &[u8])],
    ) -> Reply {
        let form = reqwest::multipart::Form::new();
        let form = fields
            .iter()
            .fold(form, |form, (name, value)| form.text((*name).to_owned(), (*value).to_owned()));
        let form = files.iter().fold(form, |form, (name, mime, bytes)| {
            let part =
                reqwest::multipart::Part::bytes(bytes.to_vec()).file_name((*name).to_owned());
            form.part("files", part.mime_str(mime).expect("a MIME type"))
        });
        let mut request = self.client.post(format!("{}{path}", self.base)).multipart(form);
        for (name, value) in &self.headers {
            request = request.header(name, value);
        }
        read(request.send().await.expect("the server answers")).await
    }

    /// Any request; a body is sent as JSON, whatever it holds.
    pub async fn send(&self, method: Method, path: &str, body: Option<String>) -> Reply {
        read(self.open(method, path, body).await).await
    }

    /// `POST path` whose answer is read piece by piece, or left.
    pub async fn open_post(&self, path: &str, body: &Value) -> reqwest::Response {
        self.open(Method::POST, path, Some(body.to_string())).await
    }

    async fn open(&self, method: Method, path: &str, body: Option<String>) -> reqwest::Response {
        let url = format!("{}{path}", self.base);
        let mut request = self.client.request(method.clone(), &url);
        for (name, value) in &self.headers {
            request = request.header(name, value);
        }
        if let Some(body) = body {
            if !self.headers.iter().any(|(name, _)| name == "content-type") {
                request = request.header("content-type", "application/json");
            }
            request = request.body(body);
        }
        request.send().await.unwrap_or_else(|error| panic!("{method} {url}: {error:?}"))
    }
}

/// Reads an answer to its end.
pub async fn read(response: reqwest::Response) -> Reply {
    let status = response.status().as_u16();
    let text = |value: &reqwest::header::HeaderValue| {
        String::from_utf8_lossy(value.as_bytes()).into_owned()
    };
    let headers =
        response.headers().iter().map(|(name, value)| (name.to_string(), text(value))).collect();
    let body = response.text().await.unwrap_or_else(|error| panic!("body cut off: {error:?}"));
    Reply { status, headers, body }
}

impl Reply {
    /// A header by its lower-case name.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(own, _)| own == name).map(|(_, value)| value.as_str())
    }

    /// The media type without its parameters.
    pub fn media_type(&self) -> &str {
        self.header("content-type").unwrap_or("").split(';').next().unwrap_or("").trim()
    }

    /// The body as JSON.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body)
            .unwrap_or_else(|error| panic!("no JSON ({error}) in {self:?}"))
    }

    /// The body as events of a stream.
    pub fn events(&self) -> Vec<Event> {
        assert_eq!(self.media_type(), "text/event-stream", "{self:?}");
        sse::parse(&self.body).unwrap_or_else(|error| panic!("{error} in {self:?}"))
    }

    /// The same reply, after a look at its status.
    pub fn expect(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{self:?}");
        self
    }

    /// Checks status and body of an error and gives its message.
    pub fn expect_error(&self, status: u16) -> String {
        assert_eq!(self.status, status, "{self:?}");
        self.error_message()
    }

    /// Checks that an operator's route turned its caller away, in Flowise's
    /// words; in which of its two bodies they stand is no concern of a client.
    pub fn assert_turned_away(&self, why: &str) {
        assert_eq!(self.status, 401, "{why}: {self:?}");
        assert_eq!(self.error_message(), "Unauthorized Access", "{why}");
    }

    /// Checks that the body is Flowise's error body and gives its message.
    pub fn error_message(&self) -> String {
        assert_eq!(self.media_type(), "application/json", "{self:?}");
        let body = self.json();
        let keys: Vec<_> = body.as_object().expect("an object").keys().cloned().collect();
        assert_eq!(keys, ["statusCode", "success", "message", "stack"], "{self:?}");
        assert_eq!(body["statusCode"], self.status, "{self:?}");
        assert_eq!(body["success"], false, "{self:?}");
        assert_eq!(body["stack"], serde_json::json!({}), "{self:?}");
        let message = body["message"].as_str().expect("a message").to_owned();
        assert!(!message.is_empty(), "{self:?}");
        message
    }
}
