//! Running commands, one named step after the other.

use std::ffi::OsStr;
use std::fmt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

/// A step that failed; its message says what to do.
#[derive(Debug)]
pub(crate) struct Failure(String);

impl Failure {
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Self(message.into())
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Steps that ran, and how long each took.
#[derive(Default)]
pub(crate) struct Steps {
    done: Vec<(&'static str, Duration)>,
}

impl Steps {
    pub(crate) fn run(
        &mut self,
        name: &'static str,
        step: impl FnOnce() -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        eprintln!("\n== {name}");
        let begun = Instant::now();
        step().map_err(|failure| Failure::new(format!("{name} failed: {failure}")))?;
        self.done.push((name, begun.elapsed()));
        Ok(())
    }

    pub(crate) fn print(&self) {
        eprintln!();
        for (name, took) in &self.done {
            eprintln!("{:>6.1} s  {name}", took.as_secs_f64());
        }
    }
}

/// A command to run in the workspace's root.
pub(crate) struct Command(std::process::Command, String);

impl Command {
    pub(crate) fn new(program: impl AsRef<OsStr>, arguments: &[&str]) -> Self {
        let line = format!("{} {}", Path::new(program.as_ref()).display(), arguments.join(" "));
        let mut command = std::process::Command::new(program);
        command.args(arguments);
        // `cargo xtask` is `cargo run`, which describes xtask to it in the environment. A cargo below would pass that on to
        // build scripts, and build whatever depends on them again (ring, and so every TLS client).
        for (name, _) in std::env::vars_os() {
            let of_xtask = |prefix| name.to_str().is_some_and(|name| name.starts_with(prefix));
            if of_xtask("CARGO_MANIFEST_") || of_xtask("CARGO_PKG_") {
                command.env_remove(name);
            }
        }
        Self(command, line)
    }

    pub(crate) fn env(mut self, key: &str, value: impl AsRef<OsStr>) -> Self {
        self.0.env(key, value);
        self
    }

    /// Runs in `folder` instead of the workspace's root.
    pub(crate) fn within(mut self, folder: &Path) -> Self {
        self.0.current_dir(folder);
        self
    }

    pub(crate) fn run(mut self) -> Result<(), Failure> {
        let status = self.0.status().map_err(|error| Failure::new(format!("`{}`: {error}", self.1)))?;
        if status.success() { Ok(()) } else { Err(Failure::new(format!("`{}` ended with {status}", self.1))) }
    }

    /// Runs the command, and kills it if it takes longer than `limit`.
    pub(crate) fn run_for(mut self, limit: Duration) -> Result<(), Failure> {
        let failed = |error: std::io::Error| Failure::new(format!("`{}`: {error}", self.1));
        let mut child = self.0.stdin(Stdio::null()).spawn().map_err(failed)?;
        let deadline = Instant::now() + limit;
        while Instant::now() < deadline {
            if let Some(status) = child.try_wait().map_err(failed)? {
                let ended = || Failure::new(format!("`{}` ended with {status}", self.1));
                return if status.success() { Ok(()) } else { Err(ended()) };
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        let _ = child.kill();
        let _ = child.wait();
        Err(Failure::new(format!("`{}` was stopped after {} s", self.1, limit.as_secs())))
    }

    /// Runs the command without showing anything. Returns whether it succeeded.
    pub(crate) fn run_silently(mut self) -> bool {
        self.0.stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok_and(|status| status.success())
    }

    pub(crate) fn output(mut self) -> Result<Vec<u8>, Failure> {
        let output =
            self.0.stderr(Stdio::inherit()).output().map_err(|error| Failure::new(format!("`{}`: {error}", self.1)))?;
        if output.status.success() {
            Ok(output.stdout)
        } else {
            Err(Failure::new(format!("`{}` ended with {}", self.1, output.status)))
        }
    }
}

pub(crate) fn cargo(arguments: &[&str]) -> Command {
    Command::new("cargo", arguments)
}

/// A program of the workspace, as it was built last.
pub(crate) fn built(name: &str, arguments: &[&str]) -> Command {
    Command::new(target("debug").join(name), arguments)
}

/// A program of the workspace, as it was released last.
pub(crate) fn released(name: &str, arguments: &[&str]) -> Command {
    Command::new(target("release").join(name), arguments)
}

/// Builds `with-postgres` with the features of the whole workspace, though perhaps nothing else compiles.
pub(crate) fn build_with_postgres() -> Result<(), Failure> {
    cargo(&["build", "--workspace", "--bin", "with-postgres"]).run()
}

/// Runs a command beside a throw-away Postgres: its URL is in `CAIRN_TEST_POSTGRES_URL`, a
/// migrated database in `DATABASE_URL`.
pub(crate) fn with_postgres(command: &[&str]) -> Command {
    built("with-postgres", command)
}

/// A path below the target directory.
pub(crate) fn target(path: &str) -> PathBuf {
    std::path::absolute("target").unwrap_or_else(|_| PathBuf::from("target")).join(path)
}

pub(crate) fn read(path: &Path) -> Result<String, Failure> {
    std::fs::read_to_string(path).map_err(|error| Failure::new(format!("{}: {error}", path.display())))
}
