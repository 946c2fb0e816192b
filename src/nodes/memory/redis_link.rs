//! Connections to Redis: one per server and thread, since a connection is
//! driven by the runtime that opened it. All that is sent has a time limit and
//! ends when the caller leaves. No error tells an address or a password.

use std::cell::RefCell;
use std::collections::HashMap;
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{
    AsyncConnectionConfig, Client, ConnectionAddr, ConnectionInfo, ErrorKind, FromRedisValue,
    IntoConnectionInfo, Pipeline, RedisConnectionInfo, RedisError,
};

use crate::ctx::TurnCtx;
use crate::error::NodeError;

const CONNECT_LIMIT: Duration = Duration::from_secs(5);
const ANSWER_LIMIT: Duration = Duration::from_secs(10);
/// Beyond this many servers a thread starts anew, so that changing
/// credentials do not pile up connections.
const MOST_LINKS: usize = 64;

thread_local! {
    static LINKS: RefCell<HashMap<Server, MultiplexedConnection>> = RefCell::default();
}

/// Where a Redis is, and how to enter it.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(super) enum Server {
    /// `redis://` or `rediss://`, with everything in it.
    Url(String),
    /// The fields of a credential.
    Fields {
        /// Name or address.
        host: String,
        /// Port.
        port: u16,
        /// User, for a server with several.
        user: Option<String>,
        /// Password.
        password: Option<String>,
        /// Whether to speak TLS. The certificate is checked.
        tls: bool,
    },
}

impl Server {
    fn info(&self) -> Option<ConnectionInfo> {
        match self {
            Self::Url(url) => {
                let known = url.starts_with("redis://") || url.starts_with("rediss://");
                known.then(|| url.as_str().into_connection_info().ok()).flatten()
            }
            Self::Fields { host, port, user, password, tls } => {
                let (host, port) = (host.clone(), *port);
                let address = match tls {
                    true => {
                        ConnectionAddr::TcpTls { host, port, insecure: false, tls_params: None }
                    }
                    false => ConnectionAddr::Tcp(host, port),
                };
                let redis = RedisConnectionInfo {
                    username: user.clone(),
                    password: password.clone(),
                    ..RedisConnectionInfo::default()
                };
                Some(ConnectionInfo { addr: address, redis })
            }
        }
    }

    /// Asks something that may be asked twice: a connection that broke since
    /// it was last used is opened again.
    ///
    /// # Errors
    /// [`NodeError::UpstreamBroken`], [`NodeError::UpstreamTimeout`], or
    /// [`NodeError::Cancelled`] when the caller left.
    pub(super) async fn ask<T: FromRedisValue>(
        &self,
        question: &Pipeline,
        ctx: &TurnCtx,
    ) -> Result<T, NodeError> {
        let was_open = self.open().is_some();
        match self.send(question, ctx).await? {
            Err(error) if was_open && is_lost(&error) => {
                self.send(question, ctx).await?.map_err(explain)
            }
            answer => answer.map_err(explain),
        }
    }

    /// Sends something that must not happen twice, on a connection that was
    /// just seen to work.
    ///
    /// # Errors
    /// As of [`Server::ask`].
    pub(super) async fn tell(&self, order: &Pipeline, ctx: &TurnCtx) -> Result<(), NodeError> {
        let mut ping = Pipeline::new();
        ping.cmd("PING").ignore();
        self.ask::<()>(&ping, ctx).await?;
        self.send(order, ctx).await?.map_err(explain)
    }

    async fn send<T: FromRedisValue>(
        &self,
        pipeline: &Pipeline,
        ctx: &TurnCtx,
    ) -> Result<Result<T, RedisError>, NodeError> {
        let work = async {
            let mut link = match self.open() {
                Some(link) => link,
                None => self.connect().await?,
            };
            let answer = pipeline.query_async(&mut link).await;
            if answer.as_ref().is_err_and(is_lost) {
                LINKS.with_borrow_mut(|links| links.remove(self));
            }
            Ok(answer)
        };
        tokio::select! {
            biased;
            () = ctx.cancel.cancelled() => Err(NodeError::Cancelled),
            answer = work => answer,
        }
    }

    fn open(&self) -> Option<MultiplexedConnection> {
        LINKS.with_borrow(|links| links.get(self).cloned())
    }

    async fn connect(&self) -> Result<MultiplexedConnection, NodeError> {
        let info = self.info().ok_or_else(|| {
            broken("has no valid address in its credential; write redis://HOST:PORT or rediss://HOST:PORT")
        })?;
        let client = Client::open(info).map_err(explain)?;
        let limits = AsyncConnectionConfig::new()
            .set_connection_timeout(CONNECT_LIMIT)
            .set_response_timeout(ANSWER_LIMIT);
        let link = client.get_multiplexed_async_connection_with_config(&limits).await;
        let link = link.map_err(|error| match error.kind() {
            ErrorKind::IoError | ErrorKind::ClientError => broken(
                "could not be reached; check the address in its credential, and that the server runs",
            ),
            _ => explain(error),
        })?;
        LINKS.with_borrow_mut(|links| {
            if links.len() >= MOST_LINKS {
                links.clear();
            }
            links.insert(self.clone(), link.clone());
        });
        Ok(link)
    }
}

/// Whether the connection is of no more use.
fn is_lost(error: &RedisError) -> bool {
    error.is_io_error() || error.is_connection_dropped() || error.is_unrecoverable_error()
}

/// The library's own words can hold the address, so they stay inside.
fn explain(error: RedisError) -> NodeError {
    if error.is_timeout() {
        let seconds = ANSWER_LIMIT.as_secs();
        return NodeError::UpstreamTimeout { provider: "Redis".to_owned(), seconds };
    }
    match error.code() {
        Some("WRONGTYPE") => {
            broken("holds something else than a conversation under this session's id")
        }
        Some("NOAUTH" | "WRONGPASS" | "NOPERM") => {
            broken("refused the user or password of its credential")
        }
        _ if error.kind() == ErrorKind::AuthenticationFailed => {
            broken("refused the user or password of its credential")
        }
        Some(code) => broken(&format!("answered with the error {code}")),
        None => broken("broke off before it answered"),
    }
}

/// An error of the server; `problem` starts with a verb.
pub(super) fn broken(problem: &str) -> NodeError {
    NodeError::UpstreamBroken { provider: "Redis".to_owned(), problem: problem.to_owned() }
}
