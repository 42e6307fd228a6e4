//! Commands that end in time, and whose output is shown if they fail.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::steps::Failure;

use super::folder::folder;

/// A command with a limit of time.
pub(super) struct Bounded(Command);

impl Bounded {
    pub(super) fn new(program: impl AsRef<OsStr>) -> Self {
        let mut command = Command::new(program);
        command.stdin(Stdio::null());
        // `cargo xtask` describes xtask to what it starts, which would make another cargo build things again.
        for (name, _) in std::env::vars_os() {
            if name.to_str().is_some_and(|name| name.starts_with("CARGO_MANIFEST_") || name.starts_with("CARGO_PKG_")) {
                command.env_remove(name);
            }
        }
        Self(command)
    }

    pub(super) fn args<A: AsRef<OsStr>>(mut self, arguments: impl IntoIterator<Item = A>) -> Self {
        self.0.args(arguments);
        self
    }

    pub(super) fn env(mut self, key: &str, value: impl AsRef<OsStr>) -> Self {
        self.0.env(key, value);
        self
    }

    pub(super) fn within(mut self, folder: impl AsRef<Path>) -> Self {
        self.0.current_dir(folder);
        self
    }

    /// Runs the command and returns what it printed. Its output is kept in a file of that name until the next run.
    pub(super) fn run(mut self, name: &str, limit: Duration) -> Result<String, Failure> {
        let log = folder(&format!("{name}.log"));
        let failed = |error: std::io::Error| Failure::new(format!("{name}: {error}"));
        let file = File::create(&log).map_err(failed)?;
        let mut child = self.0.stdout(file.try_clone().map_err(failed)?).stderr(file).spawn().map_err(failed)?;
        let ended = wait(&mut child, limit);
        let output = fs::read_to_string(&log).map_err(failed)?;
        match ended {
            Some(true) => Ok(output),
            Some(false) => Err(Failure::new(format!("{name} failed:\n\n{output}"))),
            None => Err(Failure::new(format!("{name} was stopped after {} s:\n\n{output}", limit.as_secs()))),
        }
    }
}

/// Whether the process succeeded; `None` if it did not end in time, and was killed.
pub(super) fn wait(child: &mut Child, limit: Duration) -> Option<bool> {
    let deadline = Instant::now() + limit;
    while Instant::now() < deadline {
        match child.try_wait() {
            Ok(Some(status)) => return Some(status.success()),
            Ok(None) => std::thread::sleep(Duration::from_millis(20)),
            Err(_) => break,
        }
    }
    let _ = child.kill();
    let _ = child.wait();
    None
}

/// Whether a command that only prints something succeeds.
pub(super) fn succeeds(command: &[&str]) -> bool {
    let [program, arguments @ ..] = command else { return false };
    let mut command = Command::new(program);
    let child = command.args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
    child.is_ok_and(|mut child| wait(&mut child, Duration::from_secs(20)) == Some(true))
}
