//! The connections that are open, for the whole process. A connection's driver
//! is a task of the thread that opened it; it ends with its connection. A
//! connection that was left in the middle of something is closed, not lent again.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;
use tokio_postgres::config::SslMode;
use tokio_postgres::{Client, Config, NoTls, Row};

use super::refusal::Refusal;
use super::{CONNECT_LIMIT, PROVIDER, Parameter, STATEMENT_LIMIT, Server, broken, tls};
use crate::ctx::TurnCtx;
use crate::error::NodeError;

/// Connections to one server as one user. PostgreSQL allows 100 by default, to
/// all of its clients together.
const MOST_OPEN: usize = 8;
/// Of them, those with a transaction: whoever writes also asks on another
/// connection meanwhile, so that writers alone must never hold them all.
const MOST_WRITERS: usize = MOST_OPEN / 2;
/// The time that a turn waits for one of them.
const WAIT_LIMIT: Duration = Duration::from_secs(30);
/// The time that an upsert waits for others to end.
const WRITER_WAIT_LIMIT: Duration = Duration::from_secs(600);
/// A connection unused for longer is closed when any server is asked next.
const IDLE_LIMIT: Duration = Duration::from_secs(300);
/// Beyond this many servers those without a turn are forgotten, so that
/// changing credentials do not pile up.
const MOST_SERVERS: usize = 64;

static POOLS: OnceLock<Mutex<HashMap<Server, Arc<Pool>>>> = OnceLock::new();

struct Pool {
    permits: Arc<Semaphore>,
    writers: Arc<Semaphore>,
    idle: Mutex<Vec<(Client, Instant)>>,
}

impl Pool {
    fn of(server: &Server) -> Arc<Self> {
        let pools = POOLS.get_or_init(Mutex::default);
        let mut pools = pools.lock().unwrap_or_else(PoisonError::into_inner);
        pools.values().for_each(|pool| pool.prune());
        if pools.len() >= MOST_SERVERS {
            pools.retain(|_, pool| Arc::strong_count(pool) > 1);
        }
        let new = || {
            let permits = Arc::new(Semaphore::new(MOST_OPEN));
            let writers = Arc::new(Semaphore::new(MOST_WRITERS));
            Arc::new(Self { permits, writers, idle: Mutex::default() })
        };
        Arc::clone(pools.entry(server.clone()).or_insert_with(new))
    }

    /// Closes connections that nobody used for long.
    fn prune(&self) {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        idle.retain(|(client, since)| !client.is_closed() && since.elapsed() < IDLE_LIMIT);
    }

    /// The connection used last that still stands.
    fn idle(&self) -> Option<Client> {
        self.prune();
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        idle.pop().map(|(client, _)| client)
    }
}

/// A connection, lent until it is dropped.
pub(crate) struct Lease {
    /// `None` only while it is dropped.
    client: Option<Client>,
    pool: Arc<Pool>,
    _permit: OwnedSemaphorePermit,
    _writer: Option<OwnedSemaphorePermit>,
    /// A statement was sent and not answered yet.
    is_busy: bool,
    in_transaction: bool,
    /// A statement of the transaction failed. PostgreSQL answers its COMMIT
    /// with a rollback, and calls that no error.
    is_undone: bool,
}

impl Server {
    /// A connection of the pool, or a new one.
    ///
    /// # Errors
    /// What is wrong with the address, the user or the server;
    /// [`NodeError::Cancelled`] when the caller left.
    pub(crate) async fn lease(&self, ctx: &TurnCtx) -> Result<Lease, NodeError> {
        self.lend(Pool::of(self), None, ctx).await
    }

    /// A connection for a transaction that may take long.
    ///
    /// # Errors
    /// As of [`Self::lease`].
    pub(crate) async fn lease_to_write(&self, ctx: &TurnCtx) -> Result<Lease, NodeError> {
        let pool = Pool::of(self);
        let writer = permit(&pool.writers, WRITER_WAIT_LIMIT, ctx).await?;
        self.lend(pool, Some(writer), ctx).await
    }

    /// The rows of a statement; none where its table is not there yet.
    ///
    /// # Errors
    /// As of [`Self::lease`], and the server's.
    pub(crate) async fn rows(
        &self,
        statement: &str,
        parameters: &[Parameter<'_>],
        ctx: &TurnCtx,
    ) -> Result<Vec<Row>, NodeError> {
        match self.lease(ctx).await?.query(statement, parameters, ctx).await {
            Err(refusal) if refusal.is_missing_table() => Ok(Vec::new()),
            rows => rows.map_err(Refusal::into),
        }
    }

    async fn lend(
        &self,
        pool: Arc<Pool>,
        writer: Option<OwnedSemaphorePermit>,
        ctx: &TurnCtx,
    ) -> Result<Lease, NodeError> {
        let permit = permit(&pool.permits, WAIT_LIMIT, ctx).await?;
        let client = match pool.idle() {
            Some(client) => client,
            None => within(ctx, CONNECT_LIMIT, self.connect()).await??,
        };
        Ok(Lease {
            client: Some(client),
            pool,
            _permit: permit,
            _writer: writer,
            is_busy: false,
            in_transaction: false,
            is_undone: false,
        })
    }

    async fn connect(&self) -> Result<Client, NodeError> {
        let mut config = Config::new();
        config
            .host(&self.host)
            .port(self.port)
            .dbname(&self.database)
            .user(&self.user)
            .application_name("parlor")
            .ssl_mode(if self.tls { SslMode::Require } else { SslMode::Disable });
        if let Some(password) = &self.password {
            config.password(password);
        }
        let refused = |error| self.refused(error);
        if self.tls {
            let (client, driver) = config.connect(tls::connector()?).await.map_err(refused)?;
            // The driver ends when its client is dropped, or the server leaves.
            tokio::spawn(driver);
            return Ok(client);
        }
        let (client, driver) = config.connect(NoTls).await.map_err(refused)?;
        tokio::spawn(driver);
        Ok(client)
    }
}

impl Lease {
    /// The rows of a statement.
    ///
    /// # Errors
    /// The server's, as it said it; [`NodeError`]s inside are final.
    pub(crate) async fn query(
        &mut self,
        statement: &str,
        parameters: &[Parameter<'_>],
        ctx: &TurnCtx,
    ) -> Result<Vec<Row>, Refusal> {
        let client = self.client()?;
        let rows = within(ctx, STATEMENT_LIMIT, client.query_typed(statement, parameters)).await;
        self.answered(rows)
    }

    /// The number of rows that a statement touched.
    ///
    /// # Errors
    /// As of [`Self::query`].
    pub(crate) async fn execute(
        &mut self,
        statement: &str,
        parameters: &[Parameter<'_>],
        ctx: &TurnCtx,
    ) -> Result<u64, Refusal> {
        let client = self.client()?;
        let touched = within(ctx, STATEMENT_LIMIT, client.execute_typed(statement, parameters));
        let touched = touched.await;
        self.answered(touched)
    }

    /// Runs statements without parameters.
    ///
    /// # Errors
    /// As of [`Self::query`].
    pub(crate) async fn run(&mut self, statements: &str, ctx: &TurnCtx) -> Result<(), Refusal> {
        let client = self.client()?;
        let done = within(ctx, STATEMENT_LIMIT, client.batch_execute(statements)).await;
        self.answered(done)
    }

    /// Begins a transaction. Dropping the lease before [`Self::commit`] undoes it.
    ///
    /// # Errors
    /// As of [`Self::query`].
    pub(crate) async fn begin(&mut self, ctx: &TurnCtx) -> Result<(), Refusal> {
        (self.in_transaction, self.is_undone) = (true, false);
        self.run("BEGIN", ctx).await
    }

    /// Ends the transaction: all of it is lasting.
    ///
    /// # Errors
    /// As of [`Self::query`].
    pub(crate) async fn commit(&mut self, ctx: &TurnCtx) -> Result<(), Refusal> {
        if self.is_undone {
            return Err(Refusal::Final(broken("undid the transaction, since a part of it failed")));
        }
        self.run("COMMIT", ctx).await?;
        self.in_transaction = false;
        Ok(())
    }

    fn client(&mut self) -> Result<&Client, Refusal> {
        self.is_busy = true;
        self.client.as_ref().ok_or_else(|| Refusal::Final(broken("is being left")))
    }

    fn answered<T>(
        &mut self,
        answer: Result<Result<T, tokio_postgres::Error>, NodeError>,
    ) -> Result<T, Refusal> {
        self.is_undone |= !matches!(answer, Ok(Ok(_)));
        let answer = answer.map_err(Refusal::Final)?;
        self.is_busy = false;
        answer.map_err(Refusal::of)
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let Some(client) = self.client.take() else { return };
        if self.is_busy || self.in_transaction || client.is_closed() {
            return;
        }
        let mut idle = self.pool.idle.lock().unwrap_or_else(PoisonError::into_inner);
        idle.push((client, Instant::now()));
    }
}

async fn permit(
    permits: &Arc<Semaphore>,
    limit: Duration,
    ctx: &TurnCtx,
) -> Result<OwnedSemaphorePermit, NodeError> {
    let permit = within(ctx, limit, Arc::clone(permits).acquire_owned()).await?;
    permit.map_err(|_| broken("is being left"))
}

async fn within<T>(
    ctx: &TurnCtx,
    limit: Duration,
    work: impl Future<Output = T>,
) -> Result<T, NodeError> {
    tokio::select! {
        biased;
        () = ctx.cancel.cancelled() => Err(NodeError::Cancelled),
        done = tokio::time::timeout(limit, work) => done.map_err(|_| NodeError::UpstreamTimeout {
            provider: PROVIDER.to_owned(),
            seconds: limit.as_secs(),
        }),
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    fn server(host: &str) -> Server {
        Server {
            host: host.to_owned(),
            port: 5432,
            database: "d".to_owned(),
            user: "u".to_owned(),
            password: None,
            tls: false,
        }
    }

    /// A connection to a server that lets everybody in.
    async fn client() -> Client {
        let (ours, mut theirs) = tokio::io::duplex(1_024);
        let welcome = async move {
            let mut hello = [0; 256];
            let _ = theirs.read(&mut hello).await.unwrap();
            theirs.write_all(b"R\0\0\0\x08\0\0\0\0Z\0\0\0\x05I").await.unwrap();
            theirs
        };
        let mut config = Config::new();
        let connecting = config.user("u").connect_raw(ours, NoTls);
        let (connected, theirs) = futures::future::join(connecting, welcome).await;
        let (client, connection) = connected.unwrap();
        // Both ends stay until the client is dropped.
        tokio::spawn(async move {
            let _ = connection.await;
            drop(theirs);
        });
        client
    }

    #[tokio::test]
    async fn a_connection_that_nobody_uses_is_closed_when_another_server_is_asked() {
        let quiet = Pool::of(&server("quiet.example"));
        let now = Instant::now();
        let used = [now.checked_sub(IDLE_LIMIT).unwrap(), now];
        for since in used {
            let client = client().await;
            quiet.idle.lock().unwrap().push((client, since));
        }

        Pool::of(&server("busy.example"));

        let left: Vec<_> = quiet.idle.lock().unwrap().iter().map(|(_, since)| *since).collect();
        assert_eq!(left, [now]);
    }
}
