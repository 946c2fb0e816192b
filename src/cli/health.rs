//! `parlor health`: whether a server lives and takes requests, for health
//! checks. It starts nothing and asks for nothing that needs a key.
#![allow(clippy::print_stdout, reason = "the command line speaks on standard output")]

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::bail;
use clap::Args;
use reqwest::StatusCode;
use reqwest::redirect::Policy;
use serde_json::json;

use super::client::refusal;
use crate::app::Application;

/// Arguments of the command.
#[derive(Debug, Args)]
#[command(
    after_help = "Exit code 0 when the server is ready, or alive where that is asked; 1 otherwise, \
                  with one sentence."
)]
pub(super) struct HealthArgs {
    /// Address of a server, in place of --host and --port
    #[arg(long, env = "PARLOR_URL")]
    url: Option<String>,
    /// Address that the server listens on
    #[arg(long, env = "HOST", default_value = "127.0.0.1")]
    host: String,
    /// Port that the server listens on; without it the server of the data folder is asked
    #[arg(long, env = "PORT")]
    port: Option<u16>,
    /// Ask only whether the server lives: it does while it stops, and is not ready then. For
    /// checks that restart what fails
    #[arg(long)]
    alive: bool,
    /// Seconds that the server has to answer
    #[arg(long, value_name = "SECONDS", default_value_t = 4, value_parser = clap::value_parser!(u64).range(1..=60))]
    timeout_s: u64,
    /// Print JSON: alive, ready and message
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(data_dir: PathBuf, args: HealthArgs) -> anyhow::Result<u8> {
    let probe = Probe::of(&args, &data_dir)?;
    let alive = probe.ask("/healthz").await;
    let ready = match &alive {
        Ok(()) => probe.ask("/readyz").await,
        Err(why) => Err(why.clone()),
    };
    let wanted = if args.alive { &alive } else { &ready };
    if args.json {
        let message = ready.as_ref().err().map_or("", String::as_str);
        let seen = json!({"alive": alive.is_ok(), "ready": ready.is_ok(), "message": message});
        println!("{}", serde_json::to_string_pretty(&seen)?);
        return Ok(u8::from(wanted.is_err()));
    }
    match wanted {
        Ok(()) => println!("{}", if ready.is_ok() { "ready" } else { "alive" }),
        Err(why) => bail!("{why}"),
    }
    Ok(0)
}

/// Asks one server.
struct Probe {
    http: reqwest::Client,
    base: String,
    /// What to say where nobody answers.
    nobody: String,
}

impl Probe {
    fn of(args: &HealthArgs, data_dir: &Path) -> anyhow::Result<Self> {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let time = Duration::from_secs(args.timeout_s);
        let mut http = reqwest::Client::builder().timeout(time).redirect(Policy::none());
        let base = match (&args.url, args.port) {
            (Some(url), _) => url.trim_end_matches('/').to_owned(),
            (None, Some(port @ 1..)) => {
                // A proxy of the environment knows nothing of this machine.
                http = http.no_proxy();
                format!("http://{}", local(&args.host, port))
            }
            (None, _) => {
                http = http.unix_socket(Application::socket_path(data_dir));
                "http://parlor".to_owned()
            }
        };
        let nobody = if args.url.is_some() || args.port.is_some_and(|port| port > 0) {
            format!("no server answers at {base} within {} s", args.timeout_s)
        } else {
            "no server answers on this data folder; name another with --data-dir, --port or --url"
                .to_owned()
        };
        Ok(Self { http: http.build()?, base, nobody })
    }

    /// Whether a probe of the server says that all is well; else one sentence.
    async fn ask(&self, path: &str) -> Result<(), String> {
        let answer = async {
            let response = self.http.get(format!("{}{path}", self.base)).send().await?;
            Ok::<_, reqwest::Error>((response.status(), response.text().await?))
        };
        let (status, body) = answer.await.map_err(|_| self.nobody.clone())?;
        match status {
            // Other servers say 200 to any path.
            StatusCode::OK if body == "ok" => Ok(()),
            StatusCode::SERVICE_UNAVAILABLE => Err(format!("not ready: {}", refusal(&body))),
            _ => Err(format!("what answers is no Parlor: {path} said {}", status.as_u16())),
        }
    }
}

/// Where a server that listens on `host` is reached from its own machine.
fn local(host: &str, port: u16) -> String {
    match host.trim_matches(['[', ']']).parse::<IpAddr>() {
        Ok(IpAddr::V4(Ipv4Addr::UNSPECIFIED)) => format!("{}:{port}", Ipv4Addr::LOCALHOST),
        Ok(IpAddr::V6(Ipv6Addr::UNSPECIFIED)) => {
            SocketAddr::from((Ipv6Addr::LOCALHOST, port)).to_string()
        }
        Ok(address) => SocketAddr::from((address, port)).to_string(),
        Err(_) => format!("{host}:{port}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_on_every_address_is_asked_on_this_machines_own() {
        for (host, place) in [
            ("0.0.0.0", "127.0.0.1:3000"),
            ("::", "[::1]:3000"),
            ("[::]", "[::1]:3000"),
            ("10.1.2.3", "10.1.2.3:3000"),
            ("fd00::7", "[fd00::7]:3000"),
            ("localhost", "localhost:3000"),
        ] {
            assert_eq!(local(host, 3000), place);
        }
    }
}
