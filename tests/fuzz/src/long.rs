//! What libFuzzer needs beside the target.

/// Names the folder that `run` lets libFuzzer read seeds from.
const SEEDS: &str = "FUZZ_SEEDS";

/// Writes the seeds where libFuzzer looks for them.
#[doc(hidden)]
pub fn keep(seeds: &[Vec<u8>]) {
    let Some(folder) = std::env::var_os(SEEDS) else { return };
    for (at, seed) in seeds.iter().enumerate() {
        let path = std::path::Path::new(&folder).join(format!("seed-{at}"));
        // Without its seeds the run is slower to find something, not wrong.
        let _ = std::fs::write(path, seed);
    }
}
