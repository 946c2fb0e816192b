//! What the system says of this process.

/// Resident memory in bytes; `None` where the system does not tell it as Linux does.
pub fn resident_bytes() -> Option<u64> {
    resident(&std::fs::read_to_string("/proc/self/status").ok()?)
}

fn resident(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_memory_is_read_from_its_line() {
        assert_eq!(resident("VmPeak:\t 9 kB\nVmRSS:\t   120 kB\nX: 1\n"), Some(120 * 1024));
        assert_eq!(resident("VmPeak:\t 9 kB\n"), None);
    }
}
