//! Requests that no well-behaved client would send, byte for byte.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::http::Reply;

const LIMIT: Duration = Duration::from_secs(60);

/// `METHOD target` exactly as written, without any tidying of the path.
pub async fn request(address: &str, method: &str, target: &str, headers: &[&str]) -> Reply {
    let mut text = format!("{method} {target} HTTP/1.1\r\nHost: {address}\r\n");
    for header in headers {
        text.push_str(header);
        text.push_str("\r\n");
    }
    text.push_str("Connection: close\r\n\r\n");
    exchange(address, text.as_bytes()).await
}

/// Sends bytes and reads until the answer is complete or the server closes.
pub async fn exchange(address: &str, bytes: &[u8]) -> Reply {
    let mut socket = TcpStream::connect(address).await.expect("the server accepts");
    socket.write_all(bytes).await.expect("the server reads");
    let mut answer = Vec::new();
    let reading = async {
        let mut piece = [0_u8; 4096];
        while let Ok(n @ 1..) = socket.read(&mut piece).await {
            answer.extend_from_slice(&piece[..n]);
            if parse(&answer).is_some_and(|(_, whole)| whole) {
                break;
            }
        }
    };
    let in_time = tokio::time::timeout(LIMIT, reading).await.is_ok();
    let shown = String::from_utf8_lossy(&answer).into_owned();
    assert!(in_time, "no whole answer within {LIMIT:?} but {shown:?}");
    parse(&answer).unwrap_or_else(|| panic!("no HTTP answer in {shown:?}")).0
}

/// The answer so far, and whether its `Content-Length` is reached.
fn parse(bytes: &[u8]) -> Option<(Reply, bool)> {
    let text = String::from_utf8_lossy(bytes);
    let (head, body) = text.split_once("\r\n\r\n")?;
    let mut lines = head.lines();
    let status = lines.next()?.split(' ').nth(1)?.parse().ok()?;
    let headers = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
        .collect();
    let reply = Reply { status, headers, body: body.to_owned() };
    let length = reply.header("content-length").and_then(|text| text.parse::<usize>().ok());
    let whole = length.is_some_and(|length| body.len() >= length);
    Some((reply, whole))
}
