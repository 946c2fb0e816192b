//! What a process has cost so far, from Linux's `/proc`.

use std::fs;
use std::time::Duration;

use anyhow::Context;

/// The unit of processor time in `/proc/<pid>/stat`: the kernel's USER_HZ, which is 100
/// on every architecture that this project is built for.
const TICKS_PER_SECOND: u64 = 100;

/// Processor time, user and system, of all threads of a process since it started.
pub fn processor_time(pid: u32) -> anyhow::Result<Duration> {
    let path = format!("/proc/{pid}/stat");
    let stat = fs::read_to_string(&path).with_context(|| format!("reading {path}"))?;
    let ticks = ticks_of(&stat).with_context(|| format!("{path} is not as expected"))?;
    Ok(Duration::from_millis(ticks * 1000 / TICKS_PER_SECOND))
}

/// Time that all processors together have been busy since the machine started.
pub fn machine_time() -> anyhow::Result<Duration> {
    let stat = fs::read_to_string("/proc/stat").context("reading /proc/stat")?;
    let ticks = busy_ticks_of(&stat).context("/proc/stat is not as expected")?;
    Ok(Duration::from_millis(ticks * 1000 / TICKS_PER_SECOND))
}

/// Resident memory of a process in bytes.
pub fn resident_bytes(pid: u32) -> anyhow::Result<u64> {
    let path = format!("/proc/{pid}/status");
    let status = fs::read_to_string(&path).with_context(|| format!("reading {path}"))?;
    resident_of(&status).with_context(|| format!("{path} is not as expected"))
}

/// Fields 14 and 15. The name in field 2 may hold spaces, so fields are counted after
/// its closing parenthesis.
fn ticks_of(stat: &str) -> Option<u64> {
    let (_, after_name) = stat.rsplit_once(')')?;
    let mut fields = after_name.split_ascii_whitespace().skip(11);
    let user: u64 = fields.next()?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    Some(user + system)
}

/// The first line's times but idle and waiting, which are its fourth and fifth, and those
/// of guests, which follow the eighth and are in the first two already.
fn busy_ticks_of(stat: &str) -> Option<u64> {
    let times = stat.lines().next()?.strip_prefix("cpu ")?.split_ascii_whitespace();
    let busy = times.take(8).enumerate().filter(|(index, _)| !matches!(index, 3 | 4));
    busy.map(|(_, ticks)| ticks.parse::<u64>().ok()).sum()
}

fn resident_of(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: u64 = line.split_ascii_whitespace().next()?.parse().ok()?;
    Some(kib * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processor_time_is_read_past_a_name_with_spaces() {
        let stat = "7 (a (b) c) S 1 7 7 0 -1 4194560 100 0 0 0 150 50 0 0 20 0 3 0 99";
        assert_eq!(ticks_of(stat), Some(200));
    }

    #[test]
    fn the_machine_is_not_busy_while_it_is_idle_or_waits() {
        assert_eq!(busy_ticks_of("cpu  1 2 4 1000 1000 8 16 32 1000 1000\ncpu0 1"), Some(63));
    }

    #[test]
    fn resident_memory_is_read_in_bytes() {
        assert_eq!(resident_of("Name:\tx\nVmRSS:\t    2048 kB\n"), Some(2 * 1024 * 1024));
    }

    #[test]
    fn this_process_can_be_read() {
        assert!(processor_time(std::process::id()).is_ok());
        assert!(resident_bytes(std::process::id()).unwrap() > 100_000);
    }
}
