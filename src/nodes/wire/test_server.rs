//! A server that answers with what a test wrote down, connection by connection.

use std::sync::{Arc, Mutex};

use futures::future::BoxFuture;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use crate::ctx::{Services, TurnCtx};

/// The server; it stops when it is dropped.
pub(crate) struct TestServer {
    /// Its address without a path.
    pub(crate) url: String,
    requests: Arc<Mutex<Vec<String>>>,
    task: JoinHandle<()>,
}

impl TestServer {
    /// Answers the first connection with the first of these, and so on; the
    /// last connection after an empty answer stays open and silent.
    pub(crate) async fn answering(answers: &[String]) -> Self {
        Self::answering_bytes(answers.iter().map(|answer| answer.as_bytes().to_vec()).collect())
            .await
    }

    /// The same with answers that are no text.
    pub(crate) async fn answering_bytes(answers: Vec<Vec<u8>>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let requests = Arc::new(Mutex::new(Vec::new()));
        let seen = requests.clone();
        let task = tokio::spawn(async move {
            for answer in answers {
                let (mut stream, _) = listener.accept().await.unwrap();
                let request = read_request(&mut stream).await;
                seen.lock().unwrap().push(request);
                stream.write_all(&answer).await.unwrap();
                if answer.is_empty() {
                    std::future::pending::<()>().await;
                }
                stream.shutdown().await.unwrap();
            }
        });
        Self { url, requests, task }
    }

    /// Answers every request with these pieces, a moment apart, and keeps its
    /// connections open; a connection's requests count once.
    pub(crate) async fn keeping_alive(pieces: &'static [&'static [u8]]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let requests = Arc::new(Mutex::new(Vec::new()));
        let seen = requests.clone();
        let task = tokio::spawn(async move {
            let mut connections = tokio::task::JoinSet::new();
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                seen.lock().unwrap().push(String::new());
                connections.spawn(keep_answering(stream, pieces));
            }
        });
        Self { url, requests, task }
    }

    /// How many requests came.
    pub(crate) fn n_requests(&self) -> usize {
        self.requests.lock().unwrap().len()
    }

    /// All requests as they came.
    pub(crate) fn requests(&self) -> Vec<String> {
        self.requests.lock().unwrap().clone()
    }

    /// The head of the first request, in lower case.
    pub(crate) fn head(&self) -> String {
        let requests = self.requests.lock().unwrap();
        requests[0].split("\r\n\r\n").next().unwrap().to_lowercase()
    }

    /// The body of the first request.
    pub(crate) fn body(&self) -> Value {
        let requests = self.requests.lock().unwrap();
        serde_json::from_str(requests[0].split_once("\r\n\r\n").unwrap().1).unwrap()
    }

    /// The context with this server as every provider's address.
    pub(crate) fn serving(&self, mut ctx: TurnCtx) -> TurnCtx {
        ctx.services = Arc::new(Serving { client: ctx.services.http(), url: self.url.clone() });
        ctx
    }
}

impl Drop for TestServer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn keep_answering(mut stream: TcpStream, pieces: &[&[u8]]) {
    stream.set_nodelay(true).unwrap();
    let mut request = vec![0; 1 << 16];
    while stream.read(&mut request).await.is_ok_and(|n_bytes| n_bytes > 0) {
        for piece in pieces {
            stream.write_all(piece).await.unwrap();
            tokio::time::sleep(std::time::Duration::from_millis(1)).await;
        }
    }
}

async fn read_request(stream: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head.to_lowercase();
            let length = length
                .split("content-length: ")
                .nth(1)
                .map_or("0", |rest| rest.split("\r\n").next().unwrap());
            if body.len() >= length.parse::<usize>().unwrap() {
                return text;
            }
        }
        assert_ne!(stream.read_buf(&mut bytes).await.unwrap(), 0, "the request broke off");
    }
}

/// A whole answer.
pub(crate) fn answer(status: &str, headers: &str, body: &str) -> String {
    format!(
        "HTTP/1.1 {status} X\r\n{headers}content-length: {}\r\nconnection: close\r\n\r\n{body}",
        body.len()
    )
}

/// An answer that ends with its connection.
pub(crate) fn stream(body: &str) -> String {
    format!("HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n{body}")
}

struct Serving {
    client: reqwest::Client,
    url: String,
}

impl Services for Serving {
    fn http(&self) -> reqwest::Client {
        self.client.clone()
    }

    fn provider_url(&self, _provider: &str) -> Option<String> {
        Some(self.url.clone())
    }
}

/// Runs a test's work on one thread.
pub(crate) fn run(work: BoxFuture<'_, ()>) {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(work);
}
