//! A client of the operator routes, whichever way the server is reached.

use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use clap::{Args, Parser};
use serde_json::Value;

use crate::app::{Application, with_own_socket};
use crate::config::ServeArgs;

/// How a command reaches a server.
#[derive(Debug, Clone, Default, Args)]
pub(super) struct Target {
    /// Address of a server, in place of the one of the data folder
    #[arg(long, env = "PARLOR_URL")]
    url: Option<String>,
    /// Operator key for --url
    #[arg(long, env = "PARLOR_KEY", hide_env_values = true, requires = "url")]
    key: Option<String>,
}

impl Target {
    /// Whether another server is meant than that of the data folder.
    pub(super) fn is_remote(&self) -> bool {
        self.url.is_some()
    }
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

    /// Asks for a body that is read piece by piece; an error status becomes
    /// the server's own sentence.
    pub(super) async fn stream(&self, path: &str) -> anyhow::Result<reqwest::Response> {
        let response = self.request(reqwest::Method::GET, path).send().await;
        let response = response.context("the server cannot be reached")?;
        match response.status().is_success() {
            true => Ok(response),
            false => bail!("{}", refusal(&response.text().await?)),
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
            bail!("{}", refusal(&text));
        }
        serde_json::from_str(&text).context("the server answered no JSON")
    }
}

/// The server's own sentence in the body of an error.
pub(super) fn refusal(body: &str) -> String {
    let error: Value = serde_json::from_str(body).unwrap_or_default();
    error["message"].as_str().unwrap_or("the server refused the request").to_owned()
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
