//! The memory that this process may use.

use std::path::{Component, Path, PathBuf};

use crate::heap::resident_bytes;

/// Bytes that count as no limit: version 1 of cgroups writes the largest number of pages.
const UNLIMITED: u64 = 1 << 60;
/// The memory in place of one that cannot be found out.
const UNKNOWN: u64 = 4 << 30;

/// Returns how many bytes of memory this process may use: the least limit of its control group and
/// of those around it, else the machine's memory.
pub fn usable_memory() -> u64 {
    usable_memory_under(Path::new("/"))
}

/// Returns how many bytes of memory this process may still take: what it may use, or `limit`, less
/// what it has; no more than the machine can give.
pub fn free_memory(limit: Option<u64>) -> u64 {
    let usable = limit.unwrap_or_else(usable_memory);
    let left = usable.saturating_sub(resident_bytes().unwrap_or_default());
    match limit {
        Some(_) => left,
        None => left.min(machine_memory(Path::new("/"), "MemAvailable:").unwrap_or(left)),
    }
}

/// As [`usable_memory`], in a file system that begins at `root`.
fn usable_memory_under(root: &Path) -> u64 {
    let own = std::fs::read_to_string(root.join("proc/self/cgroup")).unwrap_or_default();
    let limits = groups(&own).flat_map(|(mount, file, group)| {
        let mount = root.join("sys/fs/cgroup").join(mount);
        let group = relative(group);
        // Inside a container the path may be that of the host, which cannot be seen: the
        // container's own group is then at the top.
        let groups = group.ancestors();
        let files = groups.map(|group| mount.join(group).join(file));
        files.collect::<Vec<_>>()
    });
    let limit = limits.filter_map(|file| number(&file)).min();
    let machine = machine_memory(root, "MemTotal:");
    match (limit, machine) {
        (Some(limit), Some(machine)) => limit.min(machine),
        (limit, machine) => limit.or(machine).unwrap_or(UNKNOWN),
    }
}

/// Returns for each line of `/proc/self/cgroup` that says where a memory limit is: the mount, the
/// file of the limit, and the group.
fn groups(own: &str) -> impl Iterator<Item = (&'static str, &'static str, &str)> {
    own.lines().filter_map(|line| {
        let mut parts = line.splitn(3, ':');
        let (_, controllers, group) = (parts.next()?, parts.next()?, parts.next()?);
        match controllers {
            "" => Some(("", "memory.max", group)),
            _ if controllers.split(',').any(|name| name == "memory") => {
                Some(("memory", "memory.limit_in_bytes", group))
            }
            _ => None,
        }
    })
}

/// Returns the path below the mount: without `/` and `..`.
fn relative(group: &str) -> PathBuf {
    let parts = Path::new(group).components();
    parts
        .filter(|part| matches!(part, Component::Normal(_)))
        .collect()
}

/// Returns the limit in this file; `None` for `max` or no file.
fn number(file: &Path) -> Option<u64> {
    let bytes: u64 = std::fs::read_to_string(file).ok()?.trim().parse().ok()?;
    (bytes < UNLIMITED).then_some(bytes)
}

/// Returns a line of what the system tells of the machine's memory, in bytes.
fn machine_memory(root: &Path, line: &str) -> Option<u64> {
    let info = std::fs::read_to_string(root.join("proc/meminfo")).ok()?;
    let line = info.lines().find_map(|found| found.strip_prefix(line))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kibibytes << 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MACHINE: &str = "MemTotal:       16777216 kB\nMemFree:  1 kB\n";

    fn usable(name: &str, files: &[(&str, &str)]) -> u64 {
        let root = std::env::temp_dir().join(format!("motet-memory-{}-{name}", std::process::id()));
        for (path, text) in files {
            let path = root.join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        let found = usable_memory_under(&root);
        let _ = std::fs::remove_dir_all(root);
        found
    }

    #[test]
    fn the_least_limit_of_all_groups_holds() {
        let machine = ("proc/meminfo", MACHINE);
        let v2 = ("proc/self/cgroup", "0::/pods/one\n");
        let v1 = (
            "proc/self/cgroup",
            "11:cpu,cpuacct:/docker/abc\n4:memory:/docker/abc\n",
        );
        let top = "sys/fs/cgroup/memory.max";
        // The own group, files with their contents, and the memory.
        type Case<'a> = (&'a str, &'a [(&'a str, &'a str)], u64);
        let cases: [Case<'_>; 8] = [
            ("nothing", &[], UNKNOWN),
            ("machine", &[machine], 16 << 30),
            (
                "own",
                &[machine, v2, ("sys/fs/cgroup/pods/one/memory.max", "1000\n")],
                1000,
            ),
            (
                "outer",
                &[
                    machine,
                    v2,
                    ("sys/fs/cgroup/pods/one/memory.max", "max\n"),
                    ("sys/fs/cgroup/pods/memory.max", "2000\n"),
                ],
                2000,
            ),
            // A container that sees the host's path and its own group at the top.
            ("container", &[machine, v2, (top, "3000\n")], 3000),
            ("none", &[machine, v2, (top, "max\n")], 16 << 30),
            (
                "v1",
                &[
                    machine,
                    v1,
                    (
                        "sys/fs/cgroup/memory/docker/memory.limit_in_bytes",
                        "4000\n",
                    ),
                ],
                4000,
            ),
            (
                "v1 without a limit",
                &[
                    machine,
                    v1,
                    (
                        "sys/fs/cgroup/memory/memory.limit_in_bytes",
                        "9223372036854771712\n",
                    ),
                ],
                16 << 30,
            ),
        ];
        for (name, files, expected) in cases {
            assert_eq!(usable(name, files), expected, "{name}");
        }
    }

    #[test]
    fn this_process_may_use_some() {
        assert!(usable_memory() > 1 << 20);
        let free = free_memory(None);
        assert!(free < usable_memory());
        assert_eq!(free_memory(Some(1)), 0);
    }
}
