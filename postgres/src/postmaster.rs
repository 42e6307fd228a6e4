//! The server process: its pid file, starting it, sending it signals and waiting for it.

use std::fs::File;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::process::{Pid, Signal, kill_process, test_kill_process};

use crate::account::Account;
use crate::error::io;
use crate::{Binaries, Result};

/// How often a condition is checked while waiting for it.
pub(crate) const POLL: Duration = Duration::from_millis(10);

/// The contents of `postmaster.pid` in a data directory.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct PidFile {
    pub(crate) pid: u32,
    pub(crate) port: Option<u16>,
    pub(crate) ready: bool,
}

impl PidFile {
    /// Reads the file; `None` if it does not exist or is not valid.
    pub(crate) fn read(data: &Path) -> Option<Self> {
        Self::parse(&std::fs::read_to_string(data.join("postmaster.pid")).ok()?)
    }

    /// Lines: pid, directory, start time, port, socket directory, address, shared memory, state.
    fn parse(text: &str) -> Option<Self> {
        let lines: Vec<_> = text.lines().map(str::trim).collect();
        Some(Self {
            // A server in single-user mode writes its pid as a negative number.
            pid: lines.first()?.trim_start_matches('-').parse().ok()?,
            port: lines.get(3).and_then(|port| port.parse().ok()),
            ready: lines.get(7) == Some(&"ready"),
        })
    }
}

/// The parameters of a start.
#[derive(Debug)]
pub(crate) struct Launch<'a> {
    pub(crate) binaries: &'a Binaries,
    pub(crate) account: Account,
    pub(crate) data: &'a Path,
    pub(crate) settings: &'a [(String, String)],
    pub(crate) port: u16,
    /// The process in a stale pid file, if it is known to be another program.
    pub(crate) unrelated: Option<u32>,
}

impl Launch<'_> {
    /// Starts the server as a child in its own process group. Otherwise Ctrl-C in a terminal would reach it, and it would
    /// end before its clients have finished.
    pub(crate) fn spawn(&self, log: File) -> Result<Child> {
        let program = self.binaries.dir().join("postgres");
        let mut command = Command::new(&program);
        self.account.apply(&mut command);
        command.arg("-D").arg(self.data).arg("-p").arg(self.port.to_string());
        for (name, value) in self.settings {
            command.arg("-c").arg(format!("{name}={value}"));
        }
        if let Some(pid) = self.unrelated {
            // Makes Postgres ignore this pid in a stale pid file, but still look for processes of the earlier server that
            // use its shared memory, which deleting the file would prevent.
            command.env("PG_GRANDPARENT_PID", pid.to_string());
        }
        let errors = log.try_clone().map_err(io("share the log of", &program))?;
        command.process_group(0).stdin(Stdio::null()).stdout(log).stderr(errors);
        command.spawn().map_err(io("start", &program))
    }
}

/// Sends a signal. It is not an error if the process no longer exists.
pub(crate) fn signal(pid: u32, signal: Signal) {
    if let Some(Err(error)) = to_pid(pid).map(|pid| kill_process(pid, signal)) {
        tracing::debug!("cannot send {signal:?} to {pid}: {error}");
    }
}

/// Whether a process with this id exists and is not a zombie.
pub(crate) fn is_alive(pid: u32) -> bool {
    to_pid(pid).is_some_and(|pid| test_kill_process(pid) != Err(Errno::SRCH)) && !is_defunct(pid)
}

/// Only detected on Linux. The state follows the name, which is in parentheses and may itself contain parentheses.
fn is_defunct(pid: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with(['Z', 'X']))
}

/// Whether process `pid` is a Postgres server on exactly this data directory, and not a later process with the same id.
pub(crate) fn serves(pid: u32, data: &Path) -> bool {
    is_alive(pid) && arguments(pid).is_some_and(|text| names_server(&text, data))
}

/// Waits until the child has ended; `None` if it does not within `limit`.
pub(crate) async fn ended(child: &mut Child, limit: Duration) -> Option<ExitStatus> {
    let deadline = Instant::now() + limit;
    loop {
        match child.try_wait() {
            Ok(Some(status)) => return Some(status),
            _ if Instant::now() > deadline => return None,
            _ => tokio::time::sleep(POLL).await,
        }
    }
}

/// Waits until no server on `data` has this id. Returns `false` if one still has after `limit`.
pub(crate) async fn gone(pid: u32, data: &Path, limit: Duration) -> bool {
    let deadline = Instant::now() + limit;
    while serves(pid, data) {
        if Instant::now() > deadline {
            return false;
        }
        tokio::time::sleep(POLL).await;
    }
    true
}

fn to_pid(pid: u32) -> Option<Pid> {
    Pid::from_raw(i32::try_from(pid).ok()?)
}

/// The command line of a process, with a space after each argument.
fn arguments(pid: u32) -> Option<String> {
    if let Ok(line) = std::fs::read(format!("/proc/{pid}/cmdline")) {
        return Some(String::from_utf8_lossy(&line).replace('\0', " "));
    }
    let output = Command::new("ps").args(["-o", "args=", "-p", &pid.to_string()]).output().ok()?;
    Some(String::from_utf8_lossy(&output.stdout).replace('\n', " "))
}

fn names_server(arguments: &str, data: &Path) -> bool {
    let Some((program, rest)) = arguments.split_once(" -D ") else { return false };
    program.ends_with("postgres") && rest.starts_with(&format!("{} ", data.display()))
}

#[cfg(test)]
mod tests {
    use super::{PidFile, names_server};
    use std::path::Path;

    #[test]
    fn reads_pid_files() {
        let full = "4711\n/data\n1700000000\n5499\n\n127.0.0.1\n  1234567        12\nready   \n";
        assert_eq!(PidFile::parse(full), Some(PidFile { pid: 4711, port: Some(5499), ready: true }));
        assert_eq!(PidFile::parse("4711\n/data\n"), Some(PidFile { pid: 4711, port: None, ready: false }));
        assert_eq!(PidFile::parse(""), None);
    }

    #[test]
    fn tells_the_server_from_other_processes() {
        let data = Path::new("/x/data");
        assert!(names_server("/usr/bin/postgres -D /x/data -p 5 ", data));
        assert!(!names_server("/usr/bin/postgres -D /x/data2 -p 5 ", data));
        assert!(!names_server("sleep -D /x/data ", data));
        assert!(!names_server("sh -c watch /x/data ", data));
    }
}
