//! Settings of a server: options of the command line, each also an
//! environment variable, with Flowise's names where they exist.

use std::path::PathBuf;
use std::time::Duration;

use actix_web::http::header::HeaderValue;
use clap::{Args, ValueEnum};
use parlor_actors::UpsertLimits;
use parlor_nodes::PROVIDERS;
use parlor_nodes::egress::Opened;

use crate::flow::overrides::OverrideRule;
use crate::http::origins::{self, Origins};
use crate::stop::Patience;
use crate::store::Durability;

/// Where Parlor keeps its data.
#[derive(Debug, Clone, Args)]
pub struct DataDir {
    /// Folder of all data; without it $XDG_DATA_HOME/parlor or ~/.local/share/parlor
    #[arg(long, env = "PARLOR_DATA_DIR", value_name = "DIR", global = true)]
    pub data_dir: Option<PathBuf>,
}

impl DataDir {
    /// The given folder, or `parlor` below the user's data folder.
    pub fn path(&self) -> PathBuf {
        if let Some(path) = &self.data_dir {
            return path.clone();
        }
        let base = std::env::var_os("XDG_DATA_HOME").map(PathBuf::from).or_else(|| {
            std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".local/share"))
        });
        base.map_or_else(|| PathBuf::from("parlor-data"), |base| base.join("parlor"))
    }
}

/// When an acknowledged turn is on the disk.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum DurabilityArg {
    /// Before its answer is sent
    #[default]
    Always,
    /// At most a second later, which a crash may lose
    Everysec,
}

impl From<DurabilityArg> for Durability {
    fn from(arg: DurabilityArg) -> Self {
        match arg {
            DurabilityArg::Always => Self::Always,
            DurabilityArg::Everysec => Self::EverySecond,
        }
    }
}

/// What requests may override at most.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum OverridesArg {
    /// What the chatflow enables; where it says nothing: model parameters, prompts, memory
    #[default]
    Documented,
    /// Only what the chatflow enables
    Listed,
    /// What the chatflow enables, even credentials and addresses: for callers that you trust
    ListedWithSecrets,
    /// Nothing
    Closed,
}

impl From<OverridesArg> for OverrideRule {
    fn from(arg: OverridesArg) -> Self {
        match arg {
            OverridesArg::Documented => Self::Documented,
            OverridesArg::Listed => Self::Listed,
            OverridesArg::ListedWithSecrets => Self::ListedWithSecrets,
            OverridesArg::Closed => Self::Closed,
        }
    }
}

/// Options of `parlor serve`.
#[derive(Debug, Clone, Args)]
pub struct ServeArgs {
    /// Address to listen on; 0.0.0.0 also lets other machines in
    #[arg(long, env = "HOST", default_value = "127.0.0.1")]
    pub host: String,
    /// Port to listen on; 0 takes a free one
    #[arg(long, env = "PORT", default_value_t = 3000)]
    pub port: u16,
    /// The operator's name for Basic authentication, together with --password. Without both the
    /// first start makes a key
    #[arg(long, env = "FLOWISE_USERNAME", value_name = "NAME", hide_env_values = true)]
    pub username: Option<String>,
    /// The operator's password for Basic authentication
    #[arg(long, env = "FLOWISE_PASSWORD", hide_env_values = true)]
    pub password: Option<String>,
    /// Secret that encrypts stored credentials, in place of the one in the data folder's file
    /// encryption.key
    #[arg(
        long,
        env = "FLOWISE_SECRETKEY_OVERWRITE",
        value_name = "SECRET",
        hide_env_values = true
    )]
    pub secret_key: Option<String>,
    /// Addresses of providers by name, in place of their public ones
    #[arg(long = "provider-url", env = "PARLOR_PROVIDER_URLS", value_delimiter = ',', value_parser = provider_url, value_name = "NAME=URL", help = provider_url_help())]
    pub provider_urls: Vec<(String, String)>,
    /// Private places that loaders and tools may fetch from: hosts, host:port, addresses or
    /// networks like 10.1.0.0/16, with commas. Without it only the public internet is open
    #[arg(
        long,
        env = "PARLOR_EGRESS_ALLOW",
        default_value = "",
        hide_default_value = true,
        value_name = "PLACES"
    )]
    pub egress_allow: Opened,
    /// When a turn that is answered is on the disk
    #[arg(long, env = "PARLOR_DURABILITY", value_name = "WHEN", value_enum, default_value_t)]
    pub durability: DurabilityArg,
    /// Largest request body, such as 50mb
    #[arg(long, env = "FLOWISE_FILE_SIZE_LIMIT", value_name = "SIZE", default_value = "50mb", value_parser = size)]
    pub body_limit: usize,
    /// Largest uploaded image, such as 5mb
    #[arg(long, env = "PARLOR_IMAGE_LIMIT", value_name = "SIZE", default_value = "5mb", value_parser = size)]
    pub image_limit: usize,
    /// Space for all uploaded files together, such as 20gb; 0 for no limit
    #[arg(long, env = "PARLOR_UPLOAD_QUOTA", value_name = "SIZE", default_value = "0", value_parser = size)]
    pub upload_quota: usize,
    /// Turns that may run or wait at the same time; more are answered 503
    #[arg(long, env = "PARLOR_MAX_TURNS", value_name = "NUMBER", default_value_t = 4096)]
    pub max_turns: usize,
    /// Turns of one chatflow at the same time; three quarters of --max-turns unless it is given
    #[arg(long, env = "PARLOR_MAX_CHATFLOW_TURNS", value_parser = at_least_one, value_name = "NUMBER")]
    pub max_chatflow_turns: Option<usize>,
    /// Turns that one API key opened at the same time; three quarters of --max-turns unless it is
    /// given
    #[arg(long, env = "PARLOR_MAX_KEY_TURNS", value_parser = at_least_one, value_name = "NUMBER")]
    pub max_key_turns: Option<usize>,
    /// Seconds (1 to 60) for which a provider that fails most of its calls is left alone, at first:
    /// twice as long, up to 60, after each try that fails. off asks it every time
    #[arg(long, env = "PARLOR_BREAKER", default_value = "5", value_parser = breaker, value_name = "SECONDS|off")]
    pub breaker: BreakerArg,
    /// Upserts that may run or wait at the same time; more are answered 503
    #[arg(long, env = "PARLOR_MAX_UPSERTS", value_name = "NUMBER", default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub max_upserts: u32,
    /// Upserts that may run at the same time, each of another vector store
    #[arg(long, env = "PARLOR_MAX_RUNNING_UPSERTS", value_name = "NUMBER", default_value_t = 2, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub max_running_upserts: u32,
    /// Upserts that may wait for one vector store while another fills it
    #[arg(long, env = "PARLOR_MAX_WAITING_UPSERTS", value_name = "NUMBER", default_value_t = 16, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub max_waiting_upserts: u32,
    /// Sessions that are kept in memory, some 4 KB each and more where messages are long; beyond
    /// them one that rests leaves for each that comes
    #[arg(long, env = "PARLOR_MAX_LIVE_SESSIONS", value_parser = at_least_one, value_name = "NUMBER", default_value_t = 100_000)]
    pub max_live_sessions: usize,
    /// Seconds without a turn after which a session leaves memory; its next turn reads it from the
    /// disk again
    #[arg(long, env = "PARLOR_SESSION_IDLE_S", value_name = "SECONDS", default_value_t = 300)]
    pub session_idle_s: u64,
    /// Threads for HTTP, and as many again for sessions; 0 takes one of each per core
    #[arg(long, env = "PARLOR_THREADS", value_name = "NUMBER", default_value_t = 0)]
    pub threads: usize,
    /// Seconds of silence after which a stream sends a comment, so that proxies keep it open
    #[arg(long, env = "PARLOR_HEARTBEAT_S", value_name = "SECONDS", default_value_t = 15, value_parser = clap::value_parser!(u64).range(1..=3600))]
    pub heartbeat_s: u64,
    /// Seconds after which a client that reads nothing of its answer counts as gone
    #[arg(long, env = "PARLOR_READER_TIMEOUT_S", value_name = "SECONDS", default_value_t = 30, value_parser = clap::value_parser!(u64).range(1..=3600))]
    pub reader_timeout_s: u64,
    /// Seconds that a request's body may take to arrive, plus one for each 16 KiB of it. Its head
    /// may take as many, but at most ten
    #[arg(long, env = "PARLOR_BODY_TIMEOUT_S", value_name = "SECONDS", default_value_t = 30, value_parser = clap::value_parser!(u64).range(1..=3600))]
    pub body_timeout_s: u64,
    /// Seconds after SIGTERM in which running turns and streams may end before they are cut off
    #[arg(long, env = "PARLOR_DRAIN_S", value_name = "SECONDS", default_value_t = 25, value_parser = clap::value_parser!(u64).range(0..=3600))]
    pub drain_s: u64,
    /// Seconds after SIGTERM in which the port stays open even if nothing runs, so that load
    /// balancers see /readyz answer 503
    #[arg(long, env = "PARLOR_DRAIN_GRACE_S", value_name = "SECONDS", default_value_t = 0, value_parser = clap::value_parser!(u64).range(0..=300))]
    pub drain_grace_s: u64,
    /// Let everybody read /metrics, not only the operator
    #[arg(long, env = "PARLOR_METRICS_PUBLIC")]
    pub metrics_public: bool,
    /// What the overrideConfig of a request may change at most
    #[arg(long, env = "PARLOR_OVERRIDES", value_name = "WHAT", value_enum, default_value_t)]
    pub overrides: OverridesArg,
    /// Folders that the Folder with Files loader may read, with commas; none without it
    #[arg(long = "loader-root", env = "PARLOR_LOADER_ROOTS", value_delimiter = ',', value_parser = folder, value_name = "DIR")]
    pub loader_roots: Vec<PathBuf>,
    /// Names, with commas, of the environment variables that flows may read through variables of
    /// the type runtime
    #[arg(long, env = "PARLOR_RUNTIME_VARIABLES", value_name = "NAMES", value_delimiter = ',')]
    pub runtime_variables: Vec<String>,
    /// Number of proxies in front of this server: a caller's address is the entry of
    /// X-Forwarded-For that is so many from the right. 0 ignores the header
    #[arg(long, env = "NUMBER_OF_PROXIES", value_name = "NUMBER", default_value = "0", value_parser = proxies)]
    pub proxies: u8,
    /// Web pages that may read answers of the public routes: their origins with commas, or * for
    /// all
    #[arg(long, env = "CORS_ORIGINS", value_name = "ORIGINS", default_value = "*", value_parser = Origins::parse)]
    pub cors_origins: Origins,
    /// Web pages that may read answers of the operator's routes: their origins with commas.
    /// Without it none may
    #[arg(long, env = "PARLOR_OPERATOR_ORIGINS", value_name = "ORIGINS", default_value = "", hide_default_value = true, value_parser = Origins::parse_listed)]
    pub operator_origins: Origins,
    /// Web pages that may show answers in a frame: their origins with commas, or * for all
    #[arg(long, env = "IFRAME_ORIGINS", value_name = "ORIGINS", default_value = "*", value_parser = frames)]
    pub iframe_origins: FrameAncestors,
    /// Do not install the example chatflow at the first start
    #[arg(long, env = "PARLOR_NO_EXAMPLE")]
    pub no_example: bool,
}

impl ServeArgs {
    /// How long the server takes to leave.
    pub fn patience(&self) -> Patience {
        Patience {
            grace: Duration::from_secs(self.drain_grace_s),
            drain: Duration::from_secs(self.drain_s),
        }
    }

    /// How many upserts the server takes on.
    pub fn upsert_limits(&self) -> UpsertLimits {
        UpsertLimits {
            max_running: self.max_running_upserts as usize,
            max_upserts: self.max_upserts as usize,
            max_store_queue: self.max_waiting_upserts as usize,
            ..UpsertLimits::default()
        }
    }

    /// The number of threads of each kind.
    pub fn n_threads(&self) -> usize {
        match self.threads {
            0 => std::thread::available_parallelism().map_or(2, usize::from),
            n => n,
        }
    }
}

fn provider_url_help() -> String {
    format!(
        "Address at which a provider is called, in place of its public one: \
         openai=http://10.0.0.5:8000/v1. May be repeated; NAME is one of {}",
        PROVIDERS.join(", ")
    )
}

/// The header that says who may frame answers; none is everybody.
#[derive(Debug, Clone, Default)]
pub struct FrameAncestors(pub Option<HeaderValue>);

fn frames(text: &str) -> Result<FrameAncestors, String> {
    origins::frame_ancestors(text).map(FrameAncestors)
}

/// How long a provider that fails is left alone at first; none is never.
#[derive(Debug, Clone, Copy)]
pub struct BreakerArg(pub Option<Duration>);

fn breaker(text: &str) -> Result<BreakerArg, String> {
    let seconds = text.parse().ok().filter(|seconds| (1..=60).contains(seconds));
    match (text, seconds) {
        ("off", _) => Ok(BreakerArg(None)),
        (_, Some(seconds)) => Ok(BreakerArg(Some(Duration::from_secs(seconds)))),
        _ => Err("write off, or a number of seconds from 1 to 60".into()),
    }
}

fn at_least_one(text: &str) -> Result<usize, String> {
    text.parse().ok().filter(|n| *n > 0).ok_or_else(|| "write a number from 1 on".into())
}

/// A number; nothing is none, as compose files pass unset variables on.
fn proxies(text: &str) -> Result<u8, String> {
    match text.trim() {
        "" => Ok(0),
        number => number.parse().map_err(|_| "write a number from 0 to 255".into()),
    }
}

/// A folder that is there, by its absolute path.
fn folder(text: &str) -> Result<PathBuf, String> {
    let path = std::path::absolute(text).map_err(|_| "write the path of a folder".to_owned())?;
    if path.is_dir() { Ok(path) } else { Err("that is no folder".into()) }
}

fn provider_url(text: &str) -> Result<(String, String), String> {
    let (name, url) = text.split_once('=').ok_or("write it as NAME=URL")?;
    if !PROVIDERS.contains(&name) {
        return Err(format!("{name} is no provider; known are {}", PROVIDERS.join(", ")));
    }
    if !url.starts_with("http://") && !url.starts_with("https://") {
        return Err("the address must start with http:// or https://".into());
    }
    Ok((name.to_owned(), url.trim_end_matches('/').to_owned()))
}

fn size(text: &str) -> Result<usize, String> {
    let lower = text.trim().to_ascii_lowercase();
    let digits = lower.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit = match &lower[digits.len()..] {
        "" | "b" => 1,
        "k" | "kb" => 1024,
        "m" | "mb" => 1024 * 1024,
        "g" | "gb" => 1024 * 1024 * 1024,
        _ => return Err("write it like 50mb".into()),
    };
    let number: usize = digits.trim().parse().map_err(|_| "write it like 50mb".to_owned())?;
    number.checked_mul(unit).ok_or_else(|| "that is too large".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_provider_addresses_are_read_or_refused_with_a_hint() {
        assert_eq!(size("50mb"), Ok(50 * 1024 * 1024));
        assert_eq!(size("1024"), Ok(1024));
        assert!(size("many").is_err());
        assert_eq!(breaker("off").unwrap().0, None);
        assert_eq!(breaker("7").unwrap().0, Some(Duration::from_secs(7)));
        for wrong in ["0", "61", "on", "-1", ""] {
            assert!(breaker(wrong).is_err(), "{wrong}");
        }
        assert!(at_least_one("0").is_err() && at_least_one("3") == Ok(3));
        assert_eq!((proxies(""), proxies(" 2 ")), (Ok(0), Ok(2)));
        assert!(proxies("loopback").is_err());
        let parsed = provider_url("openai=http://127.0.0.1:1/v1/").unwrap();
        assert_eq!(parsed, ("openai".into(), "http://127.0.0.1:1/v1".into()));
        for name in PROVIDERS {
            assert!(provider_url(&format!("{name}=http://x")).is_ok(), "{name}");
        }
        let refused = provider_url("nobody=http://x").unwrap_err();
        assert!(refused.ends_with("openrouter, pinecone, together, xai"), "{refused}");
        assert!(provider_url("openai").is_err());
    }

    #[test]
    fn nothing_private_is_open_unless_the_operator_names_it() {
        use clap::Parser;

        #[derive(Parser)]
        struct Command {
            #[command(flatten)]
            serve: ServeArgs,
        }
        let opened = |args: &[&str]| {
            let args = ["parlor"].iter().chain(args);
            Command::try_parse_from(args).map(|command| command.serve.egress_allow)
        };
        assert_eq!(opened(&[]).unwrap(), Opened::default());
        assert_ne!(
            opened(&["--egress-allow", "wiki.corp,10.1.0.0/16"]).unwrap(),
            Opened::default()
        );
        let refused = opened(&["--egress-allow", "http://wiki.corp/"]).unwrap_err().to_string();
        assert!(refused.contains("is none of: a host, host:port"), "{refused}");
    }
}
