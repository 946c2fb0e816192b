//! Logs, to standard error: never a prompt, a key or a secret.

use std::io::IsTerminal;
use std::panic;

use tracing_subscriber::EnvFilter;

/// Turns logging on. `LOG_LEVEL` (Flowise's name) chooses what is shown;
/// `LOG_FORMAT=json` writes one JSON object a line; `NO_COLOR` and a redirected
/// output keep text plain.
pub fn init() {
    // What actix says of a broken request is its sender's affair, and he could
    // fill the disk with it.
    let filter = EnvFilter::try_from_env("LOG_LEVEL")
        .unwrap_or_else(|_| EnvFilter::new("info,actix_server=warn,actix_http=off,sled=warn"));
    let colour = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    let lines = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(colour);
    let _ = match std::env::var("LOG_FORMAT").as_deref() {
        Ok("json") => tracing::subscriber::set_global_default(
            lines.json().flatten_event(true).with_current_span(false).finish(),
        ),
        _ => tracing::subscriber::set_global_default(lines.finish()),
    };
    panic::set_hook(Box::new(log_panic));
}

/// Where it happened, and no more: the words of a panic quote the text that
/// was at hand, such as that of a prompt.
fn log_panic(info: &panic::PanicHookInfo<'_>) {
    let thread = std::thread::current();
    let place = info.location().map(tracing::field::display);
    tracing::error!(place, thread = thread.name(), "panicked");
}
