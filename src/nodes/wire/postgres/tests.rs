//! Names, and what a server that is none is said to be.

use super::*;
use crate::test_support::TestTurn;
use crate::wire::test_server::run;

#[test]
fn a_table_has_the_name_that_flowise_gives_it_and_no_sql_in_it() {
    for (typed, expected) in [
        ("documents", Ok("documents")),
        ("  My Docs\t2 ", Ok("my_docs_2")),
        ("x; DROP TABLE y", Err("may hold letters, digits and underscores only")),
        ("a\"b", Err("may hold letters, digits and underscores only")),
        ("größe", Err("may hold letters, digits and underscores only")),
        ("   ", Err("must have 1 to 63 characters")),
    ] {
        assert_eq!(table_name(typed).as_deref(), expected.as_ref().copied(), "{typed}");
    }
    assert!(table_name(&"x".repeat(64)).is_err());
}

#[test]
fn a_quote_in_a_name_cannot_end_it() {
    assert_eq!(quoted("page\"Content"), "\"page\"\"Content\"");
}

fn server(port: u16, tls: bool) -> Server {
    Server {
        host: "127.0.0.1".to_owned(),
        port,
        database: "db".to_owned(),
        user: "me".to_owned(),
        password: Some("hunter22".to_owned()),
        tls,
    }
}

#[test]
fn a_server_that_is_not_there_is_said_to_be_unreachable_without_its_password() {
    run(Box::pin(async {
        // Bound and not listened on, so that no other test can move in.
        let nobody = tokio::net::TcpSocket::new_v4().unwrap();
        nobody.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let gone = nobody.local_addr().unwrap().port();
        let ctx = TestTurn::asking("").ctx();

        let error = server(gone, false).lease(&ctx).await.err().unwrap().to_string();

        assert!(error.contains("could not be reached; check host and port"), "{error}");
        assert!(!error.contains("hunter22"));
    }));
}

#[test]
fn a_server_that_does_not_speak_tls_is_not_spoken_to_in_clear() {
    run(Box::pin(async {
        // N is PostgreSQL's word for: no TLS here.
        let plain = listening(b"N").await;
        let ctx = TestTurn::asking("").ctx();

        let error = server(plain.0, true).lease(&ctx).await.err().unwrap().to_string();

        assert!(error.contains("over TLS"), "{error}");
        let received = plain.1.await.unwrap();
        assert_eq!(received, [0, 0, 0, 8, 4, 210, 22, 47], "only the question for TLS was sent");
    }));
}

/// A server that says one thing to its first caller, and gives what it heard.
async fn listening(answer: &'static [u8]) -> (u16, tokio::task::JoinHandle<Vec<u8>>) {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let task = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut heard = vec![0; 8];
        stream.read_exact(&mut heard).await.unwrap();
        stream.write_all(answer).await.unwrap();
        stream.read_to_end(&mut heard).await.unwrap();
        heard
    });
    (port, task)
}
