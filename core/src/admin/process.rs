//! What the operating system says of this process, in the names that Prometheus' own clients use. On Linux only: elsewhere, these
//! metrics are missing.

use std::fs;

use prometheus::{
    Counter, Gauge, IntGauge, Registry, register_counter_with_registry, register_gauge_with_registry,
    register_int_gauge_with_registry,
};

use crate::Result;

/// Ticks per second in `/proc`. It is 100 on every architecture that Linux has now (`USER_HZ`).
const TICKS: f64 = 100.0;

/// The metrics of the process.
#[derive(Debug)]
pub(super) struct ProcessMetrics {
    cpu_seconds: Counter,
    open_fds: IntGauge,
    max_fds: IntGauge,
    resident_memory: IntGauge,
    start_time: Gauge,
    threads: IntGauge,
}

impl ProcessMetrics {
    pub(super) fn new(registry: &Registry) -> Result<Self> {
        let gauge = |name: &str, help: &str| register_int_gauge_with_registry!(name, help, registry);
        Ok(Self {
            cpu_seconds: register_counter_with_registry!(
                "process_cpu_seconds_total",
                "Time that the process has spent on a processor.",
                registry
            )?,
            open_fds: gauge("process_open_fds", "Open file descriptors, connections among them.")?,
            max_fds: gauge("process_max_fds", "File descriptors that the process may open.")?,
            resident_memory: gauge("process_resident_memory_bytes", "Memory in use.")?,
            start_time: register_gauge_with_registry!(
                "process_start_time_seconds",
                "When the process started, in seconds since 1970.",
                registry
            )?,
            threads: gauge("process_threads", "Threads.")?,
        })
    }

    /// Reads the figures as they are now. Those that cannot be read stay as they were: a process without a free descriptor cannot
    /// open the files that tell of it, and then has used all of them.
    pub(super) fn update(&self) {
        if let Some(limit) = read("limits").as_deref().and_then(max_open_files) {
            self.max_fds.set(limit);
        }
        match fs::read_dir("/proc/self/fd") {
            // Without the descriptor of the directory itself.
            Ok(open) => self.open_fds.set(i64::try_from(open.count()).unwrap_or(i64::MAX) - 1),
            Err(error) if is_out_of_descriptors(&error) => self.open_fds.set(self.max_fds.get()),
            Err(_) => {}
        }
        if let Some(memory) = read("status").as_deref().and_then(resident_bytes) {
            self.resident_memory.set(memory);
        }
        if let Some(stat) = read("stat").as_deref().and_then(Stat::parse) {
            self.cpu_seconds.inc_by((stat.cpu_seconds - self.cpu_seconds.get()).max(0.0));
            self.threads.set(stat.threads);
            if let Some(boot) = fs::read_to_string("/proc/stat").ok().as_deref().and_then(boot_time) {
                self.start_time.set(boot + stat.started_after_boot);
            }
        }
    }
}

fn read(name: &str) -> Option<String> {
    fs::read_to_string(format!("/proc/self/{name}")).ok()
}

fn is_out_of_descriptors(error: &std::io::Error) -> bool {
    // EMFILE, ENFILE
    matches!(error.raw_os_error(), Some(24 | 23))
}

/// The soft limit: `Max open files            1024                 524288               files`.
fn max_open_files(limits: &str) -> Option<i64> {
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    match line.split_whitespace().next()? {
        "unlimited" => Some(i64::MAX),
        number => number.parse().ok(),
    }
}

/// `VmRSS:     12345 kB`
fn resident_bytes(status: &str) -> Option<i64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kilobytes: i64 = line.split_whitespace().next()?.parse().ok()?;
    Some(kilobytes * 1024)
}

/// `btime 1700000000`: when the machine started.
fn boot_time(stat: &str) -> Option<f64> {
    stat.lines().find_map(|line| line.strip_prefix("btime "))?.trim().parse().ok()
}

/// `/proc/self/stat`.
#[derive(Debug, PartialEq)]
struct Stat {
    cpu_seconds: f64,
    threads: i64,
    started_after_boot: f64,
}

impl Stat {
    fn parse(stat: &str) -> Option<Self> {
        // The name of the program, in parentheses, may contain anything. The third field follows it.
        let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
        let ticks = |number: usize| fields.get(number - 3)?.parse::<f64>().ok();
        Some(Self {
            cpu_seconds: (ticks(14)? + ticks(15)?) / TICKS,
            threads: fields.get(20 - 3)?.parse().ok()?,
            started_after_boot: ticks(22)? / TICKS,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_files_of_the_system_are_understood() {
        let limits = "Limit                     Soft Limit           Hard Limit           Units\n\
                      Max open files            1024                 524288               files\n";
        assert_eq!(max_open_files(limits), Some(1024));
        assert_eq!(resident_bytes("Name:\tx\nVmRSS:\t   2048 kB\n"), Some(2_097_152));
        assert_eq!(boot_time("cpu 1 2\nbtime 1700000000\n"), Some(1_700_000_000.0));
        let stat = "42 (a) b) S 1 42 42 0 -1 4194560 1 0 0 0 250 50 0 0 20 0 7 0 12300 1 1 1 1 1";
        let expected = Stat { cpu_seconds: 3.0, threads: 7, started_after_boot: 123.0 };
        assert_eq!(Stat::parse(stat), Some(expected));
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn a_process_knows_itself() {
        let registry = Registry::new();
        let metrics = ProcessMetrics::new(&registry).unwrap();
        metrics.update();
        assert!(metrics.open_fds.get() > 2 && metrics.open_fds.get() < metrics.max_fds.get());
        assert!(metrics.resident_memory.get() > 1_000_000 && metrics.start_time.get() > 1_600_000_000.0);
    }
}
