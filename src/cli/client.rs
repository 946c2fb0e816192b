//! A client of the operator routes, whichever way the server is reached.

use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use clap::{Args, Parser};
use serde_json::Value;

use crate::app::{Application, with_own_socket};
use crate::config::ServeArgs;

/// How a command reaches a server.
#[derive(Debug, Clone, Args)]
pub(super) struct Target {
    /// Address of a server, in place of the one of the data folder
    #[arg(long, env = "PARLOR_URL")]
    url: Option<String>,
    /// Operator key for --url
    #[arg(long, env = "PARLOR_KEY", hide_env_values = true, requires = "url")]
    key: Option<String>,
}

/// Talks to one server.
#[derive(Clone)]
pub(super) struct Client {
    http: reqwest::Client,
    base: String,
    key: Option<String>,
}

impl Client {
    fn new(target: &Target, socket: Option<PathBuf>) -> anyhow::Result<Self> {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let mut builder = reqwest::Client::builder();
        if let Some(socket) = socket {
            builder = builder.unix_socket(socket);
        }
        let base = target.url.clone().unwrap_or_else(|| "http://parlor".into());
        let base = base.trim_end_matches('/').to_owned();
        Ok(Self { http: builder.build()?, base, key: target.key.clone() })
    }

    /// A request of the API with its key; `path` begins with `/api/v1`.
    pub(super) fn request(&self, method: reqwest::Method, path: &str) -> reqwest::RequestBuilder {
        let request = self.http.request(method, format!("{}{path}", self.base));
        match &self.key {
            Some(key) => request.bearer_auth(key),
            None => request,
        }
    }

    /// Sends a request and returns its JSON; an error status becomes the
    /// server's own sentence.
    pub(super) async fn call(
        &self,
        method: reqwest::Method,
        path: &str,
        body: Option<&Value>,
    ) -> anyhow::Result<Value> {
        let mut request = self.request(method, path);
        if let Some(body) = body {
            request = request.header("Content-Type", "application/json").body(body.to_string());
        }
        let response = request.send().await.context("the server cannot be reached")?;
        let status = response.status();
        let text = response.text().await?;
        if !status.is_success() {
            let error: Value = serde_json::from_str(&text).unwrap_or_default();
            bail!("{}", error["message"].as_str().unwrap_or("the server refused the request"));
        }
        serde_json::from_str(&text).context("the server answered no JSON")
    }
}

/// Runs `work` with a client: of `--url`, of the server of the data folder, or
/// of one that is started for this command alone.
pub(super) async fn with_client<T, F: Future<Output = anyhow::Result<T>>>(
    data_dir: &Path,
    target: &Target,
    work: impl FnOnce(Client) -> F,
) -> anyhow::Result<T> {
    if target.url.is_some() {
        return work(Client::new(target, None)?).await;
    }
    let socket = Application::socket_path(data_dir);
    let client = Client::new(target, Some(socket.clone()))?;
    if tokio::net::UnixStream::connect(&socket).await.is_ok() {
        return work(client).await;
    }
    let application = Application::build(data_dir, &DefaultServe::args()).await?;
    with_own_socket(application, work(client)).await
}

/// The defaults and environment of `parlor serve`, for a server of one command.
#[derive(Parser)]
struct DefaultServe {
    #[command(flatten)]
    serve: ServeArgs,
}

impl DefaultServe {
    fn args() -> ServeArgs {
        Self::parse_from(["parlor"]).serve
    }
}
