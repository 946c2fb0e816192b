//! A client that leaves takes its work with it: the call to the model is
//! dropped, nothing is stored, and the session goes on.

use std::time::Duration;

use serde_json::json;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use crate::support::scripted::words;
use crate::support::{Answer, Parlor, Scripted, eventually};

/// A limit and no guess at a duration: a call that nobody drops stays for two
/// minutes, and on a machine that is busy elsewhere a second proves nothing.
const SOON: Duration = Duration::from_secs(20);
const START: Duration = Duration::from_secs(60);

async fn conversation(answer: Answer) -> (Parlor, Scripted, String) {
    let model = Scripted::start(move |_| answer.clone()).await;
    let server = Parlor::start();
    let flow = server.install_conversation(&model.basepath()).await;
    (server, model, flow)
}

async fn assert_goes_on(server: &Parlor, model: &Scripted, flow: &str) {
    model.answer(|_| Answer::Say(words("Still here.")));
    model.take_received();
    let body = json!({"question": "after", "overrideConfig": {"sessionId": "s"}});
    server.ask(flow, &body).await.expect(200);
    let received = model.take_received();
    let (_, last) = received[0].messages().pop().unwrap();
    assert_eq!((received[0].messages().len(), last.as_str()), (2, "after"), "{received:?}");
    assert_eq!(server.messages(flow, "").await.len(), 2, "the lost turn was stored");
}

#[tokio::test]
async fn p10_a_client_that_leaves_a_stream_cancels_its_call() {
    let (server, model, flow) = conversation(Answer::Stall(words("a few words "))).await;
    let body = json!({"question": "lost", "streaming": true, "overrideConfig": {"sessionId": "s"}});
    let path = format!("/api/v1/prediction/{flow}");
    let mut response = server.anyone().open_post(&path, &body).await;
    response.chunk().await.unwrap().expect("a first piece");
    assert_eq!(model.n_open(), 1);
    drop(response);
    assert!(eventually(SOON, async || model.n_open() == 0).await, "the call goes on");
    assert_goes_on(&server, &model, &flow).await;
}

#[tokio::test]
async fn a_client_that_leaves_before_the_first_token_cancels_its_call() {
    for streaming in [false, true] {
        let (server, model, flow) = conversation(Answer::Hang).await;
        let body = json!({
            "question": "lost", "streaming": streaming, "overrideConfig": {"sessionId": "s"}
        });
        let socket = send_and_keep_silent(&server, &flow, &body.to_string()).await;
        assert!(eventually(START, async || model.n_open() == 1).await, "the model was not asked");
        drop(socket);
        assert!(eventually(SOON, async || model.n_open() == 0).await, "the call goes on");
        assert_goes_on(&server, &model, &flow).await;
    }
}

#[tokio::test]
async fn p10_clients_that_leave_in_a_crowd_leave_no_call_behind() {
    let (server, model, flow) = conversation(Answer::Stall(words("a few words "))).await;
    let mut sockets = Vec::new();
    for n in 0..16 {
        let body = json!({"question": "lost", "streaming": true, "chatId": format!("c{n}")});
        sockets.push(send_and_keep_silent(&server, &flow, &body.to_string()).await);
    }
    assert!(eventually(START, async || model.n_open() == 16).await, "{} open", model.n_open());
    drop(sockets);
    assert!(eventually(SOON, async || model.n_open() == 0).await, "{} open", model.n_open());
    assert_eq!(server.messages(&flow, "").await, []);
    assert_goes_on(&server, &model, &flow).await;
}

/// A prediction on a socket of its own, whose answer nobody reads.
async fn send_and_keep_silent(server: &Parlor, flow: &str, body: &str) -> TcpStream {
    let mut socket = TcpStream::connect(server.address()).await.expect("the server accepts");
    let head = format!(
        "POST /api/v1/prediction/{flow} HTTP/1.1\r\nHost: {}\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        server.address(),
        body.len()
    );
    socket.write_all(head.as_bytes()).await.expect("the server reads");
    socket
}
