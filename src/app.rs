//! Puts the parts of a server together, runs it and takes it apart again.

use std::any::Any;
use std::net::TcpListener;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use actix_web::dev::{Extensions, ServerHandle};
use actix_web::http::header::{self, HeaderValue};
use actix_web::middleware::{DefaultHeaders, from_fn};
use actix_web::{App, HttpServer, web};
use anyhow::Context;
use parlor_actors::{Limits, SupervisorHandle, share_of};
use parlor_nodes::Crowd;
use parlor_nodes::egress::Guard;
use parlor_nodes::upstream::Breakers;
use parlor_schemas::UpsertJob;

use crate::config::ServeArgs;
use crate::drain::Drain;
use crate::flow::cache::FlowCache;
use crate::http::arrival::Arrivals;
use crate::http::gate::ThroughOwnSocket;
use crate::http::limits::Limits as RateLimits;
use crate::http::state::{AppState, StreamLimits};
use crate::http::{passage, routes};
use crate::retention;
use crate::running_keys::RunningKeys;
use crate::services::NodeServices;
use crate::stop::Patience;
use crate::store::archive::RECORDS_FILE;
use crate::store::{Store, StoreOptions};
use crate::upserts::{StoredLedger, Upserts, recovery};

/// How long upserts may take to undo their work when the server leaves at once.
const HASTE: Duration = Duration::from_secs(1);
/// How long the head of a request may take.
const HEAD_TIME: Duration = Duration::from_secs(10);
/// Streams of a thread that can pass on each of their tokens by itself.
const CALM_STREAMS: u64 = 400;
/// Memory for the large bodies of all requests together, unless a single one may have more.
const BODY_ROOM: usize = 512 << 20;

/// A server that is built but does not listen yet.
pub struct Application {
    data_dir: PathBuf,
    n_threads: usize,
    patience: Patience,
    frame_ancestors: Option<HeaderValue>,
    state: web::Data<AppState>,
    interrupted: Vec<UpsertJob>,
}

impl Application {
    /// Opens the data folder and starts the actors. Call it inside an actix
    /// `System`.
    ///
    /// # Errors
    /// What the store says: a second server on the folder, a damaged store, a
    /// wrong key.
    pub async fn build(data_dir: &Path, args: &ServeArgs) -> anyhow::Result<Self> {
        install_tls();
        let options = StoreOptions {
            durability: args.durability.into(),
            secret: args.secret_key.clone(),
            upload_quota: args.upload_quota as u64,
            ..StoreOptions::default()
        };
        let folder = data_dir.to_owned();
        let opened = tokio::task::spawn_blocking(move || Store::open(&folder, options)).await;
        let store = Arc::new(opened.context("opening the store was interrupted")??);
        let limits = Limits {
            n_shards: args.n_threads(),
            max_turns: args.max_turns,
            max_chatflow_turns: args.max_chatflow_turns.unwrap_or(share_of(args.max_turns)),
            max_key_turns: args.max_key_turns.unwrap_or(share_of(args.max_turns)),
            max_live_sessions: args.max_live_sessions.div_ceil(args.n_threads()),
            idle_after: Duration::from_secs(args.session_idle_s.max(1)),
            ..Limits::default()
        };
        let supervisor = SupervisorHandle::start(limits, Arc::new(store.history().clone())).await;
        let basic = args.username.clone().zip(args.password.clone());
        let upserts = Upserts::start_actors(args.upsert_limits(), store.clone()).await;
        let services = NodeServices {
            provider_urls: args.provider_urls.iter().cloned().collect(),
            blobs: store.blobs().clone(),
            shelf: store.vectors().clone(),
            ledger: Arc::new(StoredLedger(store.chunk_ledger().clone())),
            egress: Guard::new(args.egress_allow.clone()),
            breakers: args.breaker.0.map(Breakers::new),
            loader_roots: args.loader_roots.clone(),
            records_file: data_dir.join(RECORDS_FILE),
        };
        let state = AppState {
            flows: FlowCache::new(
                store.clone(),
                args.runtime_variables.clone(),
                args.overrides.into(),
            ),
            store,
            supervisor,
            upserts,
            services: Arc::new(services),
            basic: basic.filter(|(user, password)| !user.is_empty() && !password.is_empty()),
            streams: StreamLimits {
                heartbeat: Duration::from_secs(args.heartbeat_s),
                patience: Duration::from_secs(args.reader_timeout_s),
            },
            crowd: Arc::new(Crowd::new(CALM_STREAMS * args.n_threads() as u64)),
            metrics: Arc::default(),
            metrics_are_public: args.metrics_public,
            running_keys: RunningKeys::default(),
            drain: Arc::new(Drain::default()),
            limits: RateLimits::new(args.proxies.into()),
            public_origins: args.cors_origins.clone(),
            operator_origins: args.operator_origins.clone(),
            arrivals: Arrivals::new(
                Duration::from_secs(args.body_timeout_s),
                args.body_limit.max(BODY_ROOM),
            ),
            body_limit: args.body_limit,
            image_limit: args.image_limit,
        };
        Ok(Self {
            data_dir: data_dir.to_owned(),
            n_threads: args.n_threads(),
            patience: args.patience(),
            frame_ancestors: args.iframe_origins.0.clone(),
            state: web::Data::new(state),
            interrupted: Vec::new(),
        })
    }

    /// Marks the upserts that a crash ended; what they left is taken out once
    /// the server listens on its port. Call it before [`Self::listen`], and for
    /// a server that stays only: that of one command would mark them and leave
    /// before anything is taken out, and nobody would know of them any more.
    ///
    /// # Errors
    /// What the store says.
    pub async fn recover(&mut self) -> anyhow::Result<()> {
        self.interrupted = self.state.upserts.mark_interrupted().await?;
        Ok(())
    }

    /// What handlers share.
    pub fn state(&self) -> &web::Data<AppState> {
        &self.state
    }

    /// The socket in the data folder through which the owner's commands come.
    pub fn socket_path(data_dir: &Path) -> PathBuf {
        data_dir.join("parlor.sock")
    }

    /// Listens on the socket of the data folder, and on `listener` if there is
    /// one. The server runs until its handle stops it.
    ///
    /// # Errors
    /// When a socket cannot be bound.
    pub fn listen(&self, listener: Option<TcpListener>) -> anyhow::Result<actix_web::dev::Server> {
        let state = self.state.clone();
        let patience = state.streams.patience;
        let frames = self.frame_ancestors.clone();
        let mut server = HttpServer::new(move || {
            let on_all = on_every_answer(frames.as_ref());
            App::new()
                .app_data(state.clone())
                .configure(routes::configure)
                .wrap(on_all)
                .wrap(from_fn(passage::pass))
        })
        .workers(self.n_threads)
        .on_connect(move |connection, data| {
            mark_own_socket(connection, data);
            give_up_when_unread(connection, patience);
        })
        // A client that left must drop its handler, or its model call runs on.
        .h1_allow_half_closed(false)
        .tcp_nodelay(true)
        .keep_alive(Duration::from_secs(75))
        .client_request_timeout(HEAD_TIME.min(self.state.arrivals.patience()))
        .max_connections(20_000)
        .shutdown_timeout(self.patience.drain.as_secs().max(1))
        // The server that listens for signals has more to do than to stop.
        .disable_signals();
        let socket = Self::socket_path(&self.data_dir);
        // The folder is locked by this process, so the file is a leftover.
        let _ = std::fs::remove_file(&socket);
        let owner =
            UnixListener::bind(&socket).context("cannot make the socket in the data folder")?;
        owner.set_nonblocking(true)?;
        private(&socket)?;
        // `listen_uds` calls `on_connect`; `bind_uds` of actix-web 4.18 does not.
        server = server.listen_uds(owner)?;
        if let Some(listener) = listener {
            server = server.listen(listener).context("the port cannot be listened on")?;
            // Not for the server of one command: that leaves everything as it is.
            actix_web::rt::spawn(retention::run(self.state.clone()));
            let (state, interrupted) = (self.state.clone(), self.interrupted.clone());
            actix_web::rt::spawn(async move { recovery::tidy(&state, interrupted).await });
        }
        Ok(server.run())
    }

    /// Stops the actors and closes the store: what was acknowledged is on disk.
    pub async fn close(&self) {
        self.state.upserts.stop().await;
        self.close_store().await;
    }

    /// The same without waiting for what runs: it is dropped, and upserts are
    /// shown as interrupted after the next start.
    pub async fn close_at_once(&self) {
        let _ = tokio::time::timeout(HASTE, self.state.upserts.stop()).await;
        self.close_store().await;
    }

    async fn close_store(&self) {
        let _ = std::fs::remove_file(Self::socket_path(&self.data_dir));
        self.state.supervisor.stop();
        let store = self.state.store.clone();
        let _ = tokio::task::spawn_blocking(move || store.close()).await;
    }
}

/// Chooses who encrypts, for all HTTP clients; the first call counts.
pub(crate) fn install_tls() {
    // The reply is an error only when a provider is installed already.
    let _ = rustls::crypto::ring::default_provider().install_default();
}

fn on_every_answer(frames: Option<&HeaderValue>) -> DefaultHeaders {
    let headers = DefaultHeaders::new();
    match frames {
        Some(frames) => headers.add((header::CONTENT_SECURITY_POLICY, frames.clone())),
        None => headers,
    }
}

fn mark_own_socket(connection: &dyn Any, data: &mut Extensions) {
    if connection.is::<tokio::net::UnixStream>() {
        data.insert(ThroughOwnSocket);
    }
}

/// Lets the kernel close a connection whose peer takes nothing for so long:
/// the body of a stalled answer is not polled, so nothing here would notice.
fn give_up_when_unread(connection: &dyn Any, patience: Duration) {
    if let Some(socket) = connection.downcast_ref::<tokio::net::TcpStream>() {
        let _ = socket2::SockRef::from(socket).set_tcp_user_timeout(Some(patience));
    }
}

fn private(path: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))
}

/// Runs an application on its own socket only, while `work` goes on: commands
/// that find no server running use the same routes this way.
///
/// # Errors
/// The application's or the work's.
pub async fn with_own_socket<T>(
    application: Application,
    work: impl Future<Output = anyhow::Result<T>>,
) -> anyhow::Result<T> {
    let server = application.listen(None)?;
    let handle: ServerHandle = server.handle();
    let running = actix_web::rt::spawn(server);
    let result = work.await;
    handle.stop(true).await;
    let _ = running.await;
    application.close().await;
    result
}
