//! What a server costs with all its processes, from Linux's `/proc`: its workers are
//! children, and what they spent before they ended is in their parent's own count.

use std::collections::BTreeMap;
use std::fs;
use std::time::Duration;

use crate::usage;

/// The fields of `/proc/<pid>/stat` that matter here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stat {
    parent: u32,
    /// Of its own and of children that it waited for, in ticks.
    ticks: u64,
}

/// A process and all that descend from it, as they are now.
pub fn of(root: u32) -> Vec<u32> {
    let parents: BTreeMap<u32, u32> = processes().map(|(pid, stat)| (pid, stat.parent)).collect();
    descendants(root, &parents)
}

/// Processor time of a tree, user and system, of ended children too.
pub fn processor_time(root: u32) -> Duration {
    let stats: BTreeMap<u32, Stat> = processes().collect();
    let parents = stats.iter().map(|(pid, stat)| (*pid, stat.parent)).collect();
    let members = descendants(root, &parents);
    let ticks: u64 = members.iter().filter_map(|pid| stats.get(pid)).map(|stat| stat.ticks).sum();
    // USER_HZ is 100, as in `usage`.
    Duration::from_millis(ticks * 10)
}

/// Resident memory of a tree in bytes. Pages that its processes share count in each.
pub fn resident_bytes(root: u32) -> u64 {
    of(root).into_iter().filter_map(|pid| usage::resident_bytes(pid).ok()).sum()
}

/// All processes; one that ends meanwhile is left out.
fn processes() -> impl Iterator<Item = (u32, Stat)> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| {
        let pid: u32 = entry.file_name().to_str()?.parse().ok()?;
        let stat = fs::read_to_string(entry.path().join("stat")).ok()?;
        Some((pid, parsed(&stat)?))
    })
}

/// Fields 4 and 14 to 17, counted after the name's closing parenthesis.
fn parsed(stat: &str) -> Option<Stat> {
    let (_, after_name) = stat.rsplit_once(')')?;
    let fields: Vec<&str> = after_name.split_ascii_whitespace().collect();
    let parent = fields.get(1)?.parse().ok()?;
    let ticks =
        fields.get(11..15)?.iter().map(|field| field.parse::<u64>().ok()).sum::<Option<_>>();
    Some(Stat { parent, ticks: ticks? })
}

fn descendants(root: u32, parents: &BTreeMap<u32, u32>) -> Vec<u32> {
    let mut found = vec![root];
    let mut at = 0;
    while at < found.len() {
        let parent = found[at];
        found.extend(parents.iter().filter(|(_, its)| **its == parent).map(|(pid, _)| *pid));
        at += 1;
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tree_is_a_process_and_whatever_descends_from_it() {
        let parents = BTreeMap::from([(2, 1), (3, 2), (4, 3), (5, 1)]);
        assert_eq!(descendants(2, &parents), [2, 3, 4]);
    }

    #[test]
    fn the_time_of_ended_children_counts() {
        let stat = "7 (a (b) c) S 1 7 7 0 -1 4194560 100 0 0 0 150 50 20 5 20 0 3 0 99";
        assert_eq!(parsed(stat), Some(Stat { parent: 1, ticks: 225 }));
    }

    #[test]
    fn this_process_is_a_tree_with_memory() {
        let own = std::process::id();
        assert!(of(own).contains(&own) && resident_bytes(own) > 100_000);
    }
}
