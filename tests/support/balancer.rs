//! A real nginx or HAProxy on loopback, with the file of `deploy/` in it: only
//! its addresses are changed, and TLS is left out. It ends with the test.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use super::ports::free_port;
use super::{Caller, Parlor};

const HOW_TO_INSTALL: &str =
    "the tests of deploy/ need nginx and haproxy: install Debian's packages of these names";
const START_LIMIT: Duration = Duration::from_secs(60);

/// Which program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// deploy/nginx/parlor.conf
    Nginx,
    /// deploy/haproxy/haproxy.cfg
    Haproxy,
}

/// A running balancer.
pub struct Balancer {
    child: Child,
    port: u16,
    _folder: TempDir,
}

impl Balancer {
    /// One in front of these nodes.
    pub fn start(kind: Kind, nodes: &[&Parlor]) -> Self {
        let nodes: Vec<&str> = nodes.iter().map(|node| node.address()).collect();
        let folder = TempDir::new().expect("a temporary folder can be made");
        // Another process may take the port before the balancer does.
        for _ in 0..5 {
            let port = free_port();
            let mut command = kind.command(folder.path(), port, &nodes);
            // Where Debian puts both, and where only root looks.
            let path = std::env::var("PATH").unwrap_or_default();
            command.env("PATH", format!("{path}:/usr/sbin"));
            let log = std::fs::File::create(folder.path().join("log")).expect("a log");
            let spawned = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn();
            let mut child = spawned.unwrap_or_else(|error| panic!("{error}: {HOW_TO_INSTALL}"));
            if listens(&mut child, port) {
                return Self { child, port, _folder: folder };
            }
            let _ = child.kill();
            let _ = child.wait();
        }
        let log = std::fs::read_to_string(folder.path().join("log")).unwrap_or_default();
        panic!("{kind:?} did not start: {log}");
    }

    /// Somebody from the street, who knows the balancer only.
    pub fn anyone(&self) -> Caller {
        Caller::new(&format!("http://127.0.0.1:{}", self.port))
    }
}

impl Drop for Balancer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Kind {
    fn command(self, folder: &Path, port: u16, nodes: &[&str]) -> Command {
        match self {
            Self::Nginx => nginx(folder, port, nodes),
            Self::Haproxy => haproxy(folder, port, nodes),
        }
    }
}

/// One process that stays in front, so that ending it leaves nothing behind.
fn nginx(folder: &Path, port: u16, nodes: &[&str]) -> Command {
    let lines = nodes.iter().map(|node| format!("server {node} max_fails=0;")).collect::<String>();
    let site = deployed("nginx/parlor.conf", |line| match line.trim() {
        "listen 80;" => format!("listen 127.0.0.1:{};", free_port()),
        "listen 443 ssl http2;" => format!("listen 127.0.0.1:{port};"),
        "server 127.0.0.1:3000 max_fails=0;" => lines.clone(),
        tls if tls.starts_with("ssl_") => String::new(),
        _ => line.to_owned(),
    });
    let at = folder.display();
    let paths = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .map(|kind| format!("{kind}_temp_path {at}/{kind};"))
        .concat();
    let whole = format!(
        "daemon off; master_process off; pid {at}/pid; error_log stderr; events {{}}\n\
         http {{ access_log off; {paths}\n{site}\n}}"
    );
    let file = folder.join("nginx.conf");
    std::fs::write(&file, whole).expect("a file can be written");
    let mut command = Command::new("nginx");
    command.arg("-c").arg(file).arg("-e").arg("stderr");
    command
}

fn haproxy(folder: &Path, port: u16, nodes: &[&str]) -> Command {
    let lines = nodes.iter().map(|node| format!("server {} {node}\n", node.replace(':', "-")));
    let lines = lines.collect::<String>();
    let whole = deployed("haproxy/haproxy.cfg", |line| match line.trim() {
        // A small machine's limit of open files is enough then.
        "maxconn 40000" => "maxconn 200".to_owned(),
        "server node1 127.0.0.1:3000" => lines.clone(),
        "bind :80" | "http-request redirect scheme https unless { ssl_fc }" => String::new(),
        tls if tls.starts_with("bind :443 ssl ") => format!("bind 127.0.0.1:{port}"),
        _ => line.to_owned(),
    });
    let file = folder.join("haproxy.cfg");
    std::fs::write(&file, whole).expect("a file can be written");
    let mut command = Command::new("haproxy");
    command.arg("-db").arg("-f").arg(file);
    command
}

/// A file of `deploy/`, each of its lines passed through `change`.
fn deployed(path: &str, change: impl Fn(&str) -> String) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy").join(path);
    let text = std::fs::read_to_string(&path).expect("deploy/ has the file");
    text.lines().map(|line| change(line) + "\n").collect()
}

/// Whether the process comes to listen, rather than to its end.
fn listens(child: &mut Child, port: u16) -> bool {
    let deadline = Instant::now() + START_LIMIT;
    while Instant::now() < deadline && matches!(child.try_wait(), Ok(None)) {
        if hides_metrics(port).unwrap_or(false) {
            return true;
        }
        std::thread::yield_now();
    }
    false
}

/// Whether a balancer answers there: a node would show its metrics or ask for
/// a key, and both files of `deploy/` say that there are none.
fn hides_metrics(port: u16) -> std::io::Result<bool> {
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.set_read_timeout(Some(START_LIMIT))?;
    stream.write_all(b"GET /metrics HTTP/1.0\r\nHost: localhost\r\n\r\n")?;
    let mut status = [0_u8; 12];
    stream.read_exact(&mut status)?;
    Ok(status.ends_with(b" 404"))
}
