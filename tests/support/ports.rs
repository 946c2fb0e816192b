//! Ports for servers that cannot choose one by themselves, and a port where
//! nobody answers.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::atomic::{AtomicU32, Ordering};

use tokio::net::TcpSocket;

/// Below those that Linux gives to whoever asks for any port, so that only
/// another user of this function could take one before its server does.
const FIRST: u32 = 11_000;
const COUNT: u32 = 20_000;

/// A loopback port that nobody listens on at the moment, and that no other
/// test of this process gets.
pub fn free_port() -> u16 {
    static GIVEN: AtomicU32 = AtomicU32::new(0);
    // Two runs of the tests at the same time begin at different ports.
    let start = std::process::id().wrapping_mul(997);
    for _ in 0..COUNT {
        let n = start.wrapping_add(GIVEN.fetch_add(1, Ordering::Relaxed)) % COUNT;
        let port = u16::try_from(FIRST + n).expect("ports end below 32,768");
        if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return port;
        }
    }
    panic!("all of {COUNT} ports are taken");
}

/// A port that is taken and not listened on: who connects is refused, and
/// nobody else can move in for as long as this lives.
pub struct Refusing {
    _socket: TcpSocket,
    address: SocketAddr,
}

impl Refusing {
    /// Takes a port.
    pub fn bind() -> Self {
        let socket = TcpSocket::new_v4().expect("a socket");
        socket.bind((Ipv4Addr::LOCALHOST, 0).into()).expect("a free port");
        let address = socket.local_addr().expect("an address");
        Self { _socket: socket, address }
    }

    /// `127.0.0.1:PORT`.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The base path to type into an OpenAI node.
    pub fn basepath(&self) -> String {
        format!("http://{}/v1", self.address)
    }
}
