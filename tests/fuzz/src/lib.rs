//! Fuzz targets that are ordinary tests.
//!
//! A target stands in the module `fuzz` beside what it tries. `cargo test`
//! gives it its seeds and the same few hundred damaged ones each time; `run`,
//! in this folder, builds it for libFuzzer, which looks for new paths.

#[cfg(fuzzing)]
#[doc(hidden)]
pub use bolero;

#[cfg(fuzzing)]
mod long;
#[cfg(not(fuzzing))]
mod short;

#[cfg(fuzzing)]
#[doc(hidden)]
pub use long::keep;
#[cfg(not(fuzzing))]
pub use short::try_all;

/// Tries `|bytes: &[u8]| ...` on the seeds, which are `Vec<Vec<u8>>`, and on what
/// is like them. A target fails by a panic.
#[cfg(not(fuzzing))]
#[macro_export]
macro_rules! check {
    ($seeds:expr, $target:expr) => {
        $crate::try_all(&$seeds, $target)
    };
}

/// Hands the target and its seeds to libFuzzer, which does not return.
#[cfg(fuzzing)]
#[macro_export]
macro_rules! check {
    ($seeds:expr, $target:expr) => {{
        $crate::keep(&$seeds);
        $crate::bolero::check!().for_each($target);
    }};
}
