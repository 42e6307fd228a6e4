//! Runs the programs under test as separate processes.

use std::fs::File;
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use rustix::process::{Pid, Signal, kill_process};

/// A running `cairn-api`, `cairn-worker` or `cairn`. Dropping it kills the process.
pub struct Process {
    child: Child,
}

/// A program that can be started repeatedly.
pub struct Program {
    name: &'static str,
    arguments: Vec<String>,
    environment: Vec<(&'static str, String)>,
    /// The log file. Later starts append to it.
    log: PathBuf,
}

impl Program {
    /// `environment` is the whole environment of the program.
    pub fn new(name: &'static str, environment: Vec<(&'static str, String)>, log: PathBuf) -> Self {
        Self { name, arguments: Vec::new(), environment, log }
    }

    /// The same with arguments.
    #[must_use]
    pub fn with_args<const N: usize>(self, arguments: [&str; N]) -> Self {
        Self { arguments: arguments.map(str::to_owned).to_vec(), ..self }
    }

    /// Starts the program. The failpoint, if any, triggers when it is first reached.
    pub fn start(&self, failpoint: Option<&str>) -> anyhow::Result<Process> {
        let path = binary(self.name)?;
        let log = File::options().create(true).append(true).open(&self.log)?;
        let mut command = Command::new(&path);
        command.args(&self.arguments).env_clear().envs(self.environment.iter().map(|(key, value)| (key, value)));
        if let Some(failpoint) = failpoint {
            command.env("CAIRN_TEST_FAILPOINTS", format!("{failpoint}:1"));
        }
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn();
        Ok(Process { child: child.with_context(|| format!("starting {}", path.display()))? })
    }
}

impl Process {
    /// The process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Whether the process is running.
    pub fn is_running(&mut self) -> anyhow::Result<bool> {
        Ok(self.child.try_wait()?.is_none())
    }

    /// Kills the process with SIGKILL.
    pub fn kill(&mut self) -> anyhow::Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    /// Sends a signal to the process.
    pub fn signal(&self, signal: Signal) -> anyhow::Result<()> {
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw).context("a pid out of range")?;
        Ok(kill_process(pid, signal)?)
    }

    /// Waits until the process has ended by itself. Fails if it does not end in time.
    pub async fn ended(&mut self, within: Duration) -> anyhow::Result<ExitStatus> {
        let started = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait()? {
                return Ok(status);
            }
            ensure!(started.elapsed() < within, "a process did not end within {within:?}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.kill();
    }
}

/// A local port that is currently free.
pub fn free_port() -> anyhow::Result<u16> {
    Ok(TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port())
}

/// The path of a program, which the workspace's build put beside the running executable (or, for a test, in the folder above).
fn binary(name: &str) -> anyhow::Result<PathBuf> {
    let here = std::env::current_exe()?;
    here.ancestors()
        .skip(1)
        .take(2)
        .map(|folder| folder.join(name))
        .find(|path| path.is_file())
        .with_context(|| format!("{name} is not built: run `cargo build --workspace` first"))
}
