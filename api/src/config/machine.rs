//! What the machine, or the container, allows.

use std::fs;

/// Memory that is assumed where it cannot be read.
const ASSUMED_MEMORY_BYTES: u64 = 2 << 30;

/// Cores and memory of the host, and the container's limit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Machine {
    pub threads: usize,
    pub memory_bytes: u64,
    /// Limit of the control group, when there is one below the memory.
    pub container_bytes: Option<u64>,
}

impl Machine {
    /// Asks the operating system.
    pub fn detect() -> Machine {
        let memory_bytes = fs::read_to_string("/proc/meminfo")
            .ok()
            .and_then(|text| total_memory(&text))
            .unwrap_or(ASSUMED_MEMORY_BYTES);
        Machine {
            threads: std::thread::available_parallelism().map_or(1, usize::from),
            memory_bytes,
            container_bytes: container_limit().filter(|limit| *limit < memory_bytes),
        }
    }

    /// Three quarters of the container's limit, else half of the memory; at least 64 MiB.
    pub fn memory_budget_bytes(&self) -> u64 {
        let budget = match self.container_bytes {
            Some(limit) => limit / 4 * 3,
            None => self.memory_bytes / 2,
        };
        budget.max(64 << 20)
    }
}

fn total_memory(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
}

/// The least limit on the way from our control group to the root, version 2 or 1.
fn container_limit() -> Option<u64> {
    let groups = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    limit_files(&groups).iter().filter_map(|file| fs::read_to_string(file).ok()?.trim().parse::<u64>().ok()).min()
}

fn limit_files(groups: &str) -> Vec<String> {
    let mut files = Vec::new();
    for line in groups.lines() {
        let mut parts = line.splitn(3, ':').skip(1);
        let (Some(controllers), Some(path)) = (parts.next(), parts.next()) else { continue };
        let (root, file) = match controllers {
            "" => ("/sys/fs/cgroup", "memory.max"),
            other if other.split(',').any(|name| name == "memory") => {
                ("/sys/fs/cgroup/memory", "memory.limit_in_bytes")
            }
            _ => continue,
        };
        let mut path = path.trim_end_matches('/');
        loop {
            files.push(format!("{root}{path}/{file}"));
            match path.rfind('/') {
                Some(at) => path = &path[..at],
                None => break,
            }
        }
    }
    files
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_budget_follows_the_container_before_the_memory() {
        let machine = Machine { threads: 2, memory_bytes: 16 << 30, container_bytes: None };
        assert_eq!(machine.memory_budget_bytes(), 8 << 30);
        let contained = Machine { container_bytes: Some(512 << 20), ..machine.clone() };
        assert_eq!(contained.memory_budget_bytes(), 384 << 20);
        let tiny = Machine { container_bytes: Some(1 << 20), ..machine };
        assert_eq!(tiny.memory_budget_bytes(), 64 << 20);
    }

    #[test]
    fn memory_and_groups_are_read() {
        assert_eq!(total_memory("MemTotal:       16318480 kB\nMemFree: 1 kB\n"), Some(16_318_480 * 1024));
        assert_eq!(total_memory("nothing"), None);
        assert_eq!(
            limit_files("0::/a/b\n"),
            ["/sys/fs/cgroup/a/b/memory.max", "/sys/fs/cgroup/a/memory.max", "/sys/fs/cgroup/memory.max"]
        );
        assert_eq!(
            limit_files("4:cpu,memory:/\n3:cpuset:/x\nbroken\n"),
            ["/sys/fs/cgroup/memory/memory.limit_in_bytes"]
        );
    }

    #[test]
    fn this_machine_has_threads_and_memory() {
        let machine = Machine::detect();
        assert!(machine.threads >= 1 && machine.memory_budget_bytes() >= 64 << 20);
    }
}
