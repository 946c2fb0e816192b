//! `floor`: actix-web and reqwest passing one call through, with no work in between.
//!
//! What a turn costs beyond this is the server's own: parsing, sessions, memory, store.

use actix_web::web::{Bytes, Data};
use actix_web::{App, HttpResponse, HttpServer, web};
use anyhow::{Context, anyhow};
use clap::Parser;
use mimalloc::MiMalloc;

#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

/// One bare proxied call: the least that such a server can cost.
#[derive(Parser)]
#[command(version)]
struct Options {
    /// Port on 127.0.0.1; 0 takes a free one and prints it.
    #[arg(long, default_value_t = 0)]
    port: u16,
    /// Where the model server is, without a path.
    #[arg(long)]
    upstream: String,
    /// Threads that serve.
    #[arg(long, default_value_t = 2)]
    workers: usize,
}

/// What a worker needs to pass a call on.
struct Proxy {
    client: reqwest::Client,
    url: String,
}

#[actix_web::main]
async fn main() -> anyhow::Result<()> {
    let options = Options::parse();
    rustls::crypto::ring::default_provider()
        .install_default()
        .map_err(|_| anyhow!("a TLS provider was installed before"))?;
    let url = format!("{}/v1/chat/completions", options.upstream);
    let server = HttpServer::new(move || {
        // One client per worker: a pooled connection lives on the runtime that opened it.
        let proxy = Proxy { client: reqwest::Client::new(), url: url.clone() };
        App::new().app_data(Data::new(proxy)).default_service(web::post().to(pass_on))
    })
    .workers(options.workers)
    .tcp_nodelay(true)
    .bind(("127.0.0.1", options.port))?;
    let address = server.addrs().first().copied().context("no address was bound")?;
    println!("floor listens on http://{address}");
    server.run().await.context("the floor's server failed")
}

/// Sends a fixed request upstream, whatever was asked, and returns the answer's bytes.
async fn pass_on(proxy: Data<Proxy>, _question: Bytes) -> HttpResponse {
    const BODY: &str = r#"{"model":"gpt-4o-mini","messages":[{"role":"system","content":"You are the friendly voice of a small library. Answer in one sentence."},{"role":"user","content":"Which room keeps the old maps?"}],"temperature":0.7}"#;
    let call = proxy
        .client
        .post(&proxy.url)
        .header("content-type", "application/json")
        .header("authorization", "Bearer sk-bench")
        .body(BODY);
    match answer_of(call).await {
        Ok(body) => HttpResponse::Ok().content_type("application/json").body(body),
        Err(error) => HttpResponse::BadGateway().body(error.to_string()),
    }
}

async fn answer_of(call: reqwest::RequestBuilder) -> reqwest::Result<Bytes> {
    call.send().await?.error_for_status()?.bytes().await
}
