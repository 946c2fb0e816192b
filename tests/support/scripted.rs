//! A model server that does what a test tells it to: answer, echo, fail, break
//! off, hang. It speaks OpenAI's chat completions over plain sockets, because
//! a mock that is built to be right cannot be made to break off mid-chunk.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;

use super::scripted_wire as wire;

/// A request that the server received.
#[derive(Debug, Clone)]
pub struct Received {
    /// The path with its query.
    pub path: String,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    /// The JSON body, null where it is none.
    pub body: Value,
    /// The body as text.
    pub text: String,
}

/// What to do with a request.
#[derive(Debug, Clone)]
pub enum Answer {
    /// These tokens, as a stream or as one text, as the request wishes.
    Say(Vec<String>),
    /// One call of a tool: its id, the tool, and JSON in a text.
    CallTool { id: &'static str, name: &'static str, arguments: String },
    /// The contents of all messages but the system's, joined by ` | `.
    Echo,
    /// A whole answer with this status, extra header and body.
    Whole { status: u16, headers: Vec<(&'static str, String)>, body: String },
    /// These tokens, then the connection is closed in the middle of the answer.
    BreakOff(Vec<String>),
    /// The connection is reset before the first byte.
    Reset,
    /// These tokens, then silence for as long as the caller stays.
    Stall(Vec<String>),
    /// These tokens, the second half of the bytes only when the gate is opened.
    Pause(Vec<String>, Gate),
    /// Not even a status line, for as long as the caller stays.
    Hang,
    /// The head of a good answer, then nonsense.
    Nonsense,
}

/// Splits a text as the recorded model did: each word with its blank.
pub fn words(text: &str) -> Vec<String> {
    text.split_inclusive(' ').map(str::to_owned).collect()
}

/// Holds answers back until it is opened.
#[derive(Debug, Clone)]
pub struct Gate(Arc<Semaphore>);

impl Default for Gate {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(0)))
    }
}

impl Gate {
    /// Lets all answers go on, for good.
    pub fn open(&self) {
        self.0.close();
    }

    async fn opened(&self) {
        let _ = self.0.acquire().await;
    }
}

type Script = dyn Fn(&Received) -> Answer + Send + Sync;

#[derive(Default)]
struct State {
    received: Mutex<Vec<Received>>,
    n_open: AtomicUsize,
}

/// The running server; it stops when dropped.
pub struct Scripted {
    address: String,
    state: Arc<State>,
    script: Arc<Mutex<Arc<Script>>>,
    task: JoinHandle<()>,
}

impl Scripted {
    /// Listens on a free loopback port.
    pub async fn start(script: impl Fn(&Received) -> Answer + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("an address").to_string();
        let state = Arc::new(State::default());
        let script: Arc<Mutex<Arc<Script>>> = Arc::new(Mutex::new(Arc::new(script)));
        let (own_state, own_script) = (Arc::clone(&state), Arc::clone(&script));
        let task = tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                tokio::spawn(serve(socket, Arc::clone(&own_state), Arc::clone(&own_script)));
            }
        });
        Self { address, state, script, task }
    }

    /// A server that always says the same sentence.
    pub async fn saying(text: &str) -> Self {
        let tokens = words(text);
        Self::start(move |_| Answer::Say(tokens.clone())).await
    }

    /// From now on, requests are answered so.
    pub fn answer(&self, script: impl Fn(&Received) -> Answer + Send + Sync + 'static) {
        *self.script.lock().unwrap() = Arc::new(script);
    }

    /// `http://127.0.0.1:PORT`, for providers that have paths of their own.
    pub fn base(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The base path to type into an OpenAI node.
    pub fn basepath(&self) -> String {
        format!("http://{}/v1", self.address)
    }

    /// All requests so far.
    pub fn received(&self) -> Vec<Received> {
        self.state.received.lock().unwrap().clone()
    }

    /// The requests since the last call of this function.
    pub fn take_received(&self) -> Vec<Received> {
        std::mem::take(&mut *self.state.received.lock().unwrap())
    }

    /// Requests that are neither answered nor given up by the caller.
    pub fn n_open(&self) -> usize {
        self.state.n_open.load(Ordering::SeqCst)
    }
}

impl Drop for Scripted {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Received {
    /// The messages as (role, content).
    pub fn messages(&self) -> Vec<(String, String)> {
        wire::messages(&self.body)
    }

    /// A header by its lower-case name.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(own, _)| own == name).map(|(_, value)| value.as_str())
    }

    /// Whether the caller wants a stream.
    pub fn streams(&self) -> bool {
        self.body["stream"] == true
    }
}

/// Counts a request as open for as long as it lives.
struct Open(Arc<State>);

impl Open {
    fn new(state: &Arc<State>) -> Self {
        state.n_open.fetch_add(1, Ordering::SeqCst);
        Self(Arc::clone(state))
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.n_open.fetch_sub(1, Ordering::SeqCst);
    }
}

async fn serve(mut socket: TcpStream, state: Arc<State>, script: Arc<Mutex<Arc<Script>>>) {
    let mut unread = Vec::new();
    while let Some(request) = wire::read_request(&mut socket, &mut unread).await {
        let _open = Open::new(&state);
        state.received.lock().unwrap().push(request.clone());
        let script = Arc::clone(&script.lock().unwrap());
        let answer = script(&request);
        if act(&mut socket, &request, answer).await.is_none() {
            return;
        }
    }
}

/// Carries an answer out; `None` when the connection is of no more use.
async fn act(socket: &mut TcpStream, request: &Received, answer: Answer) -> Option<()> {
    match answer {
        Answer::Say(tokens) => socket.write_all(&wire::good(request, &tokens)).await.ok(),
        Answer::CallTool { id, name, arguments } => {
            let bytes = wire::call(request, id, name, &arguments);
            socket.write_all(&bytes).await.ok()
        }
        Answer::Echo => {
            let tokens = words(&wire::echo(&request.body));
            socket.write_all(&wire::good(request, &tokens)).await.ok()
        }
        Answer::Whole { status, headers, body } => {
            socket.write_all(&wire::whole(status, &headers, &body)).await.ok()
        }
        Answer::Nonsense => socket.write_all(&wire::nonsense(request)).await.ok(),
        Answer::BreakOff(tokens) => {
            socket.write_all(&wire::beginning(request, &tokens)).await.ok()?;
            None
        }
        Answer::Reset => {
            // Without lingering the kernel sends a reset instead of a farewell.
            socket.set_zero_linger().ok()?;
            None
        }
        Answer::Stall(tokens) => {
            socket.write_all(&wire::beginning(request, &tokens)).await.ok()?;
            until_left(socket).await
        }
        Answer::Pause(tokens, gate) => {
            let bytes = wire::good(request, &tokens);
            let (first, second) = bytes.split_at(bytes.len() / 2);
            socket.write_all(first).await.ok()?;
            gate.opened().await;
            socket.write_all(second).await.ok()
        }
        Answer::Hang => until_left(socket).await,
    }
}

/// Waits until the caller closes the connection.
async fn until_left(socket: &mut TcpStream) -> Option<()> {
    let mut piece = [0_u8; 64];
    while let Ok(1..) = socket.read(&mut piece).await {}
    None
}
