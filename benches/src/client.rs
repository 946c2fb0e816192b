//! A keep-alive HTTP/1.1 client over one TCP connection.
//!
//! It is small because it shares the machine with the server under test: a general
//! client would spend more on a request than the server does. It talks to loopback
//! addresses only.

use std::net::{SocketAddr, ToSocketAddrs};

use anyhow::{Context, bail, ensure};
use bytes::{Buf, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::http::{self, BodyLength};

/// Bodies longer than this are refused, so that a broken server cannot fill the memory.
const MAX_BODY_BYTES: usize = 256 * 1024 * 1024;

/// Why a request brought no reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// No connection could be opened.
    #[error("no connection")]
    Connect,
    /// The server closed, or the connection broke, before the reply was whole.
    #[error("connection lost")]
    Lost,
    /// The reply is no HTTP that this client reads.
    #[error("unreadable reply")]
    Unreadable,
    /// No whole reply within the time allowed.
    #[error("timed out")]
    TimedOut,
}

/// Takes a body as it arrives.
pub trait Sink {
    /// The next piece; where one ends says nothing.
    fn take(&mut self, piece: &[u8]);
}

impl Sink for Vec<u8> {
    fn take(&mut self, piece: &[u8]) {
        self.extend_from_slice(piece);
    }
}

/// One open connection. After a failure it must not be used again.
#[derive(Debug)]
pub struct Connection {
    stream: TcpStream,
    buffer: BytesMut,
    closing: bool,
}

impl Connection {
    /// Connects to a server.
    pub async fn open(address: SocketAddr) -> Result<Self, Failure> {
        let stream = TcpStream::connect(address).await.map_err(|_| Failure::Connect)?;
        stream.set_nodelay(true).map_err(|_| Failure::Connect)?;
        Ok(Self { stream, buffer: BytesMut::with_capacity(4096), closing: false })
    }

    /// Whether the server said that it closes after its last reply.
    pub fn is_closing(&self) -> bool {
        self.closing
    }

    /// Sends a whole request and reads its reply into `sink`; returns the status.
    pub async fn exchange(&mut self, request: &[u8], sink: &mut impl Sink) -> Result<u16, Failure> {
        self.stream.write_all(request).await.map_err(|_| Failure::Lost)?;
        let head = self.head().await?;
        let status = http::status(&head).ok_or(Failure::Unreadable)?;
        self.closing = http::closes(&head);
        match http::body_length(&head).ok_or(Failure::Unreadable)? {
            BodyLength::Exactly(length) => self.pass(length, sink).await?,
            BodyLength::Chunked => self.chunks(sink).await?,
        }
        Ok(status)
    }

    async fn head(&mut self) -> Result<BytesMut, Failure> {
        loop {
            if let Some(end) = http::head_end(&self.buffer) {
                return Ok(self.buffer.split_to(end));
            }
            if self.buffer.len() > http::MAX_HEAD_BYTES {
                return Err(Failure::Unreadable);
            }
            self.fill().await?;
        }
    }

    async fn chunks(&mut self, sink: &mut impl Sink) -> Result<(), Failure> {
        loop {
            let size = self.chunk_size().await?;
            if size == 0 {
                // Trailers, if any, up to the empty line.
                while self.line().await?.len() > 2 {}
                return Ok(());
            }
            self.pass(size, sink).await?;
            self.line().await?;
        }
    }

    async fn chunk_size(&mut self) -> Result<usize, Failure> {
        let line = self.line().await?;
        let digits = line[..].split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii();
        let digits = std::str::from_utf8(digits).map_err(|_| Failure::Unreadable)?;
        usize::from_str_radix(digits, 16).map_err(|_| Failure::Unreadable)
    }

    /// Hands exactly `left` bytes on, each piece as soon as it is there.
    async fn pass(&mut self, mut left: usize, sink: &mut impl Sink) -> Result<(), Failure> {
        if left > MAX_BODY_BYTES {
            return Err(Failure::Unreadable);
        }
        while left > 0 {
            if self.buffer.is_empty() {
                self.fill().await?;
            }
            let ready = left.min(self.buffer.len());
            sink.take(&self.buffer[..ready]);
            self.buffer.advance(ready);
            left -= ready;
        }
        Ok(())
    }

    /// A line with its line end.
    async fn line(&mut self) -> Result<BytesMut, Failure> {
        loop {
            if let Some(at) = memchr::memchr(b'\n', &self.buffer) {
                return Ok(self.buffer.split_to(at + 1));
            }
            if self.buffer.len() > http::MAX_HEAD_BYTES {
                return Err(Failure::Unreadable);
            }
            self.fill().await?;
        }
    }

    async fn fill(&mut self) -> Result<(), Failure> {
        self.buffer.reserve(4096);
        match self.stream.read_buf(&mut self.buffer).await {
            Ok(0) | Err(_) => Err(Failure::Lost),
            Ok(_) => Ok(()),
        }
    }
}

/// The address behind `http://HOST:PORT`, which must be this machine's loopback.
///
/// A load generator that can be pointed elsewhere is a weapon; this one cannot.
pub fn loopback(url: &str) -> anyhow::Result<SocketAddr> {
    let Some(rest) = url.strip_prefix("http://") else {
        bail!("{url}: only plain http:// addresses can be measured");
    };
    let authority = rest.split('/').next().unwrap_or(rest);
    let found: Vec<_> = authority
        .to_socket_addrs()
        .with_context(|| format!("{url}: expected http://127.0.0.1:PORT"))?
        .collect();
    ensure!(
        found.iter().all(|address| address.ip().is_loopback()),
        "{url}: only loopback addresses can be measured"
    );
    found.first().copied().with_context(|| format!("{url}: no address"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_of_another_machine_is_refused() {
        assert!(loopback("http://127.0.0.1:3000/api").is_ok());
        assert!(loopback("http://[::1]:3000").is_ok());
        assert!(loopback("http://10.0.0.1:3000").is_err());
        assert!(loopback("https://127.0.0.1:3000").is_err());
        assert!(loopback("http://127.0.0.1").is_err());
    }

    /// Answers one request with fixed bytes, in pieces of `step` bytes.
    async fn reply_with(bytes: &'static [u8], step: usize) -> SocketAddr {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            stream.set_nodelay(true).unwrap();
            for piece in bytes.chunks(step) {
                stream.write_all(piece).await.unwrap();
                tokio::task::yield_now().await;
            }
        });
        address
    }

    #[tokio::test]
    async fn a_chunked_reply_is_put_together_however_it_is_cut() {
        const REPLY: &[u8] = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n\
            5\r\nhello\r\n6;x=1\r\n world\r\n0\r\n\r\n";
        for step in [1, 7, REPLY.len()] {
            let mut connection = Connection::open(reply_with(REPLY, step).await).await.unwrap();
            let mut body = Vec::new();
            assert_eq!(connection.exchange(b"x", &mut body).await, Ok(200));
            assert_eq!(body, b"hello world");
        }
    }

    #[tokio::test]
    async fn a_reply_that_breaks_off_is_lost() {
        const REPLY: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhello";
        let mut connection = Connection::open(reply_with(REPLY, 64).await).await.unwrap();
        assert_eq!(connection.exchange(b"x", &mut Vec::new()).await, Err(Failure::Lost));
    }
}
