//! On what the figures were measured: without it they mean nothing.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};

/// A description of this machine. What cannot be read is `unknown`.
#[derive(Clone, Debug)]
pub struct Machine {
    /// Processors this process may use.
    pub n_cores: usize,
    /// The processor's model.
    pub processor: String,
    /// The kernel's release.
    pub kernel: String,
    /// The kind of file system that the server's data lies on.
    pub file_system: String,
    /// Memory in bytes.
    pub memory_bytes: u64,
}

impl Machine {
    /// Of this machine; `data_dir` says which file system counts.
    pub fn look(data_dir: &Path) -> Self {
        let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
        let data_dir = data_dir.canonicalize().unwrap_or_else(|_| data_dir.into());
        let memory = value_of(&read("/proc/meminfo"), "MemTotal");
        let kib = memory.and_then(|value| value.split(' ').next()?.parse::<u64>().ok());
        Self {
            n_cores: std::thread::available_parallelism().map_or(1, usize::from),
            processor: or_unknown(value_of(&read("/proc/cpuinfo"), "model name")),
            kernel: or_unknown(Some(read("/proc/sys/kernel/osrelease").trim().to_owned())),
            file_system: or_unknown(file_system_of(&read("/proc/mounts"), &data_dir)),
            memory_bytes: kib.unwrap_or(0) * 1024,
        }
    }

    /// Whether a sync on this file system reaches no disk, so that "durable" costs nothing.
    pub fn keeps_data_in_memory(&self) -> bool {
        matches!(self.file_system.as_str(), "tmpfs" | "ramfs")
    }

    /// As JSON.
    pub fn to_json(&self) -> Value {
        json!({
            "cores": self.n_cores,
            "processor": self.processor,
            "kernel": self.kernel,
            "file_system": self.file_system,
            "memory_bytes": self.memory_bytes,
        })
    }
}

fn or_unknown(value: Option<String>) -> String {
    value.filter(|value| !value.is_empty()).unwrap_or_else(|| "unknown".into())
}

fn value_of(text: &str, name: &str) -> Option<String> {
    let line = text.lines().find(|line| line.starts_with(name))?;
    Some(line.split_once(':')?.1.trim().to_owned())
}

/// The type of the mount with the longest path that holds `dir`.
fn file_system_of(mounts: &str, dir: &Path) -> Option<String> {
    let mounts = mounts.lines().filter_map(|line| {
        let mut fields = line.split(' ').skip(1);
        Some((fields.next()?, fields.next()?))
    });
    let holding = mounts.filter(|(at, _)| dir.starts_with(at));
    holding.max_by_key(|(at, _)| at.len()).map(|(_, kind)| kind.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_system_is_that_of_the_nearest_mount() {
        let mounts = "/dev/vda / ext4 rw 0 0\ntmpfs /tmp tmpfs rw 0 0\n";
        let kind = |dir: &str| file_system_of(mounts, Path::new(dir));
        assert_eq!(kind("/tmp/x").as_deref(), Some("tmpfs"));
        assert_eq!(kind("/home").as_deref(), Some("ext4"));
        assert_eq!(kind("/tmpx").as_deref(), Some("ext4"));
    }
}
