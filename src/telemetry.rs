//! Logs, to standard error: never a prompt, a key or a secret.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;

/// Turns logging on. `LOG_LEVEL` (Flowise's name) chooses what is shown;
/// `NO_COLOR` and a redirected output keep it plain.
pub fn init() {
    let filter = EnvFilter::try_from_env("LOG_LEVEL")
        .unwrap_or_else(|_| EnvFilter::new("info,actix_server=warn,sled=warn"));
    let colour = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    let subscriber = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(colour)
        .finish();
    let _ = tracing::subscriber::set_global_default(subscriber);
}
