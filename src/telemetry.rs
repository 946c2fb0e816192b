//! Logs, to standard error, and traces, where the server is built with them:
//! never a prompt, a key or a secret.

#[cfg(feature = "otel")]
mod traces;
/// What stands for traces in a server that is built without them.
#[cfg(not(feature = "otel"))]
mod untraced;
#[cfg(not(feature = "otel"))]
use untraced as traces;

use std::io::IsTerminal;
use std::panic;

use parlor_nodes::spans::TARGET;
use tracing_subscriber::layer::{Layer, SubscriberExt};
use tracing_subscriber::{EnvFilter, Registry, filter::Directive, fmt};

pub(crate) use traces::continue_trace;
pub use traces::{Traces, trace_id};

type BoxedLayer = Box<dyn Layer<Registry> + Send + Sync>;

/// Turns logging on. `LOG_LEVEL` (Flowise's name) chooses what is shown;
/// `LOG_FORMAT=json` writes one JSON object a line; `NO_COLOR` and a redirected
/// output keep text plain. What is returned sends traces, where an address for
/// them is set, and is told when the server leaves.
///
/// # Errors
/// When the settings of traces cannot be used.
pub fn init() -> anyhow::Result<Traces> {
    let (traces, layer) = Traces::begin()?;
    let layers: Vec<BoxedLayer> = [lines()].into_iter().chain(layer).collect();
    let _ = tracing::subscriber::set_global_default(tracing_subscriber::registry().with(layers));
    panic::set_hook(Box::new(log_panic));
    Ok(traces)
}

fn lines() -> BoxedLayer {
    let colour = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    let lines = fmt::layer().with_writer(std::io::stderr).with_ansi(colour);
    match std::env::var("LOG_FORMAT").as_deref() {
        Ok("json") => {
            lines.json().flatten_event(true).with_current_span(false).with_filter(shown()).boxed()
        }
        _ => lines.with_filter(shown()).boxed(),
    }
}

/// What the log shows. Spans that are meant for traces are none of its
/// business at any level: where nobody else wants them, none is ever made.
fn shown() -> EnvFilter {
    // What actix says of a broken request is its sender's affair, and he could
    // fill the disk with it.
    let filter = EnvFilter::try_from_env("LOG_LEVEL")
        .unwrap_or_else(|_| EnvFilter::new("info,actix_server=warn,actix_http=off,sled=warn"));
    match format!("{TARGET}=off").parse::<Directive>() {
        Ok(no_spans) => filter.add_directive(no_spans),
        Err(_) => filter,
    }
}

/// Where it happened, and no more: the words of a panic quote the text that
/// was at hand, such as that of a prompt.
fn log_panic(info: &panic::PanicHookInfo<'_>) {
    let thread = std::thread::current();
    let place = info.location().map(tracing::field::display);
    tracing::error!(place, thread = thread.name(), "panicked");
}

#[cfg(test)]
mod tests {
    use tracing::info_span;

    use super::*;

    #[test]
    fn the_log_makes_no_span_of_a_trace_at_any_level() {
        for level in ["trace", "info", "parlor_spans=trace"] {
            let no_spans = format!("{TARGET}=off").parse().unwrap();
            let filter = EnvFilter::new(level).add_directive(no_spans);
            let layers: Vec<BoxedLayer> = vec![fmt::layer().with_filter(filter).boxed()];
            let log = tracing_subscriber::registry().with(layers);
            tracing::subscriber::with_default(log, || {
                assert!(info_span!(target: TARGET, "turn").is_disabled(), "{level}");
                assert_eq!(info_span!("another").is_disabled(), level.contains(TARGET), "{level}");
            });
        }
    }
}
