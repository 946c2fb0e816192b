//! How far a long command is, for a person at a terminal only: standard error
//! that goes elsewhere stays silent, and there is no colour to switch off.

use std::io::IsTerminal;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// Drawn ten times a second at most.
const TICK: Duration = Duration::from_millis(100);

/// A bar of bytes, or only a count where the whole is not known.
pub(super) fn bytes(doing: &'static str, total: Option<u64>) -> ProgressBar {
    let template = match total {
        Some(_) => "{msg} {bar:30} {bytes} of {total_bytes}, {eta} left",
        None => "{msg} {spinner} {bytes}, {bytes_per_sec}",
    };
    drawn(template, total).with_message(doing)
}

/// A bar of the chunks of an upsert, whose number is not known at first. It takes
/// what the words leave of a line: a longer one is two, and flickers.
pub(super) fn chunks() -> ProgressBar {
    drawn("{prefix}{msg} {wide_bar} {pos} of {len} written, {eta} left", None)
}

fn drawn(template: &str, total: Option<u64>) -> ProgressBar {
    let style = ProgressStyle::with_template(template);
    let style = style.unwrap_or_else(|_| ProgressStyle::default_bar());
    let target = match std::io::stderr().is_terminal() {
        true => ProgressDrawTarget::stderr(),
        false => ProgressDrawTarget::hidden(),
    };
    let bar = ProgressBar::with_draw_target(total, target).with_style(style);
    if !bar.is_hidden() {
        bar.enable_steady_tick(TICK);
    }
    bar
}
