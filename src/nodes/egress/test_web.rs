//! A small web for tests: a server that answers by path, and guards that know
//! where it is.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex};

use futures::future::BoxFuture;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};

use super::client::{Guard, Lookup};
use crate::ctx::{Services, TurnCtx};
use crate::test_support::TestTurn;

/// What a path answers.
pub(crate) enum Page {
    /// These bytes, then the end.
    Whole(Vec<u8>),
    /// A head, then this piece again and again as fast as it is taken.
    Endless(&'static [u8]),
    /// A head, then a byte each millisecond.
    Drip,
    /// Nothing, for ever.
    Silence,
}

/// The server; it stops when it is dropped.
pub(crate) struct TestWeb {
    address: SocketAddr,
    seen: Arc<Mutex<Vec<String>>>,
    task: JoinHandle<()>,
}

impl TestWeb {
    /// A server on 127.0.0.1.
    pub(crate) async fn serving(pages: impl Fn(&str) -> Page + Send + Sync + 'static) -> Self {
        Self::on(TcpListener::bind("127.0.0.1:0").await.unwrap(), pages)
    }

    /// A server on a port that is open already.
    pub(crate) fn on(
        listener: TcpListener,
        pages: impl Fn(&str) -> Page + Send + Sync + 'static,
    ) -> Self {
        let address = listener.local_addr().unwrap();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let (log, pages) = (Arc::clone(&seen), Arc::new(pages));
        let task = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                connections.spawn(answer_one(stream, Arc::clone(&log), Arc::clone(&pages)));
            }
        });
        Self { address, seen, task }
    }

    /// The address of a path.
    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    pub(crate) fn port(&self) -> u16 {
        self.address.port()
    }

    /// The heads of all requests, as they came.
    pub(crate) fn heads(&self) -> Vec<String> {
        self.seen.lock().unwrap().clone()
    }

    /// The paths that were asked for, sorted.
    pub(crate) fn paths(&self) -> Vec<String> {
        let path = |head: &String| head.split(' ').nth(1).unwrap().to_owned();
        let mut paths: Vec<String> = self.heads().iter().map(path).collect();
        paths.sort();
        paths
    }

    /// A turn whose operator opened this server, and nothing else.
    pub(crate) fn ctx(&self) -> TurnCtx {
        guarded(Guard::new(self.address.to_string().parse().unwrap()))
    }
}

impl Drop for TestWeb {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn answer_one(
    mut stream: TcpStream,
    log: Arc<Mutex<Vec<String>>>,
    pages: Arc<impl Fn(&str) -> Page>,
) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        if !matches!(stream.read_buf(&mut head).await, Ok(n_bytes) if n_bytes > 0) {
            return;
        }
    }
    let head = String::from_utf8(head).unwrap();
    let page = pages(head.split(' ').nth(1).unwrap());
    log.lock().unwrap().push(head);
    // A client that has seen enough closes its end.
    let _ = write(stream, page).await;
}

async fn write(mut stream: TcpStream, page: Page) -> io::Result<()> {
    const HEAD: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-type: text/html\r\n\r\n";
    match page {
        Page::Whole(bytes) => {
            stream.write_all(&bytes).await?;
            stream.shutdown().await
        }
        Page::Endless(piece) => {
            stream.write_all(HEAD).await?;
            loop {
                stream.write_all(piece).await?;
            }
        }
        Page::Drip => {
            stream.write_all(HEAD).await?;
            loop {
                stream.write_all(b"x").await?;
                tokio::time::sleep(std::time::Duration::from_millis(1)).await;
            }
        }
        Page::Silence => std::future::pending().await,
    }
}

/// A whole answer.
pub(crate) fn whole(status: &str, headers: &str, body: impl AsRef<[u8]>) -> Page {
    let body = body.as_ref();
    let head = format!(
        "HTTP/1.1 {status}\r\n{headers}content-length: {}\r\nconnection: close\r\n\r\n",
        body.len()
    );
    Page::Whole([head.as_bytes(), body].concat())
}

/// A page of HTML in UTF-8.
pub(crate) fn html(body: &str) -> Page {
    whole("200 OK", "content-type: text/html; charset=utf-8\r\n", body)
}

/// A redirect.
pub(crate) fn moved(location: &str) -> Page {
    whole("302 Found", &format!("location: {location}\r\n"), "")
}

/// A missing page.
pub(crate) fn missing() -> Page {
    whole("404 Not Found", "content-type: text/html\r\n", "<p>no such page</p>")
}

/// A turn of a server with this guard.
pub(crate) fn guarded(guard: Guard) -> TurnCtx {
    let mut ctx = TestTurn::asking("").ctx();
    // Makes sure that TLS has its provider.
    let client = ctx.services.http();
    ctx.services = Arc::new(Guarded { client, guard });
    ctx
}

struct Guarded {
    client: reqwest::Client,
    guard: Guard,
}

impl Services for Guarded {
    fn http(&self) -> reqwest::Client {
        self.client.clone()
    }

    fn provider_url(&self, _provider: &str) -> Option<String> {
        None
    }

    fn egress(&self) -> Guard {
        self.guard.clone()
    }
}

/// A name server of a test: each name's answers, the last one again and again.
#[derive(Default, Clone)]
pub(crate) struct Names(Arc<Mutex<HashMap<String, Answers>>>);

/// How often a name was asked for, and its answers.
type Answers = (usize, Vec<Vec<IpAddr>>);

impl Names {
    /// The same with one more name; an answer holds addresses with spaces between.
    pub(crate) fn with(self, name: &str, answers: &[&str]) -> Self {
        let addresses = |answer: &&str| answer.split(' ').map(|ip| ip.parse().unwrap()).collect();
        let answers = answers.iter().map(addresses).collect();
        self.0.lock().unwrap().insert(name.to_owned(), (0, answers));
        self
    }

    /// How often a name was asked for.
    pub(crate) fn n_asked(&self, name: &str) -> usize {
        self.0.lock().unwrap()[name].0
    }

    /// A guard that believes these names.
    pub(crate) fn guard(&self, opened: &str) -> Guard {
        Guard::with_lookup(opened.parse().unwrap(), Box::new(self.clone()))
    }
}

impl Lookup for Names {
    fn addresses(&self, host: String) -> BoxFuture<'static, io::Result<Vec<IpAddr>>> {
        let mut names = self.0.lock().unwrap();
        let found = names.get_mut(&host).map(|(n_asked, answers)| {
            let answer = answers[(*n_asked).min(answers.len() - 1)].clone();
            *n_asked += 1;
            answer
        });
        let found = found.ok_or_else(|| io::Error::from(io::ErrorKind::NotFound));
        Box::pin(std::future::ready(found))
    }
}
