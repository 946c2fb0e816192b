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
/// The time that a turn waits for one of them.
const WAIT_LIMIT: Duration = Duration::from_secs(30);
/// A connection unused for longer is closed.
const IDLE_LIMIT: Duration = Duration::from_secs(300);
/// Beyond this many servers those without a turn are forgotten, so that
/// changing credentials do not pile up.
const MOST_SERVERS: usize = 64;

static POOLS: OnceLock<Mutex<HashMap<Server, Arc<Pool>>>> = OnceLock::new();

struct Pool {
    permits: Arc<Semaphore>,
    idle: Mutex<Vec<(Client, Instant)>>,
}

impl Pool {
    fn of(server: &Server) -> Arc<Self> {
        let pools = POOLS.get_or_init(Mutex::default);
        let mut pools = pools.lock().unwrap_or_else(PoisonError::into_inner);
        if pools.len() >= MOST_SERVERS {
            pools.retain(|_, pool| Arc::strong_count(pool) > 1);
        }
        let new = || {
            let permits = Arc::new(Semaphore::new(MOST_OPEN));
            Arc::new(Self { permits, idle: Mutex::default() })
        };
        Arc::clone(pools.entry(server.clone()).or_insert_with(new))
    }

    /// The connection used last that still stands.
    fn idle(&self) -> Option<Client> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        idle.retain(|(client, since)| !client.is_closed() && since.elapsed() < IDLE_LIMIT);
        idle.pop().map(|(client, _)| client)
    }
}

/// A connection, lent until it is dropped.
pub(crate) struct Lease {
    /// `None` only while it is dropped.
    client: Option<Client>,
    pool: Arc<Pool>,
    _permit: OwnedSemaphorePermit,
    /// A statement was sent and not answered yet, or a transaction is open.
    is_busy: bool,
    in_transaction: bool,
}

impl Server {
    /// A connection of the pool, or a new one.
    ///
    /// # Errors
    /// What is wrong with the address, the user or the server;
    /// [`NodeError::Cancelled`] when the caller left.
    pub(crate) async fn lease(&self, ctx: &TurnCtx) -> Result<Lease, NodeError> {
        let pool = Pool::of(self);
        let waiting = within(ctx, WAIT_LIMIT, Arc::clone(&pool.permits).acquire_owned());
        let permit = waiting.await?.map_err(|_| broken("is being left"))?;
        let client = match pool.idle() {
            Some(client) => client,
            None => within(ctx, CONNECT_LIMIT, self.connect()).await??,
        };
        Ok(Lease {
            client: Some(client),
            pool,
            _permit: permit,
            is_busy: false,
            in_transaction: false,
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
        self.in_transaction = true;
        self.run("BEGIN", ctx).await
    }

    /// Ends the transaction: all of it is lasting.
    ///
    /// # Errors
    /// As of [`Self::query`].
    pub(crate) async fn commit(&mut self, ctx: &TurnCtx) -> Result<(), Refusal> {
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
