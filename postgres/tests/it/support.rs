//! Functions that several tests use.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use cairn_postgres::{Durability, Options, Server};
use rustix::process::{Pid, Signal, kill_process, test_kill_process};
use sqlx::{Connection, PgConnection};
use tempfile::TempDir;

/// The environment variable that tells the test [`hold`] in another process which data root to use.
const HOLD: &str = "CAIRN_TEST_HOLD";

/// Creates a temporary directory that other accounts can traverse, so that the data is stored where the test expects it.
pub(crate) fn passable_dir() -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    std::fs::set_permissions(dir.path(), Permissions::from_mode(0o755)).unwrap();
    dir
}

pub(crate) fn full(root: &Path) -> Options {
    Options::new(root, Durability::Full)
}

/// Commits a row to the table `note`.
pub(crate) async fn commit(url: &str, body: &str) {
    let mut connection = PgConnection::connect(url).await.unwrap();
    sqlx::raw_sql("CREATE TABLE IF NOT EXISTS note (body text)").execute(&mut connection).await.unwrap();
    sqlx::query("INSERT INTO note VALUES ($1)").bind(body).execute(&mut connection).await.unwrap();
}

/// The rows of the table `note`.
pub(crate) async fn notes(url: &str) -> Vec<String> {
    let mut connection = PgConnection::connect(url).await.unwrap();
    sqlx::query_scalar("SELECT body FROM note ORDER BY body").fetch_all(&mut connection).await.unwrap()
}

pub(crate) async fn setting(server: &Server, name: &str) -> String {
    let mut connection = PgConnection::connect(&server.url("postgres")).await.unwrap();
    sqlx::query_scalar("SELECT current_setting($1)").bind(name).fetch_one(&mut connection).await.unwrap()
}

pub(crate) fn kill(pid: u32) {
    kill_process(to_pid(pid), Signal::KILL).unwrap();
}

/// Whether the process `pid` is running. A zombie is not.
pub(crate) fn is_alive(pid: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    test_kill_process(to_pid(pid)).is_ok() && !stat.contains(") Z")
}

fn to_pid(pid: u32) -> Pid {
    Pid::from_raw(i32::try_from(pid).unwrap()).unwrap()
}

/// Waits until `condition` holds.
pub(crate) async fn until(what: &str, condition: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_mins(1);
    while !condition() {
        assert!(Instant::now() < deadline, "timed out waiting until {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Another process, which is killed at the end of the test at the latest.
pub(crate) struct Process(pub(crate) Child);

impl Process {
    /// Starts a process that runs a server on `root` until it is killed.
    pub(crate) fn holding(root: &Path) -> Self {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--ignored", "--exact", "support::hold"]).env(HOLD, root);
        Self(command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap())
    }

    /// Like [`Self::holding`], but returns once the server is running.
    pub(crate) async fn serving(root: &Path) -> Self {
        let process = Self::holding(root);
        until("the server of the other process is running", || holder_file(root).exists()).await;
        process
    }

    pub(crate) fn kill(mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        drop((self.0.kill(), self.0.wait()));
    }
}

/// The file beside the data root that is created when the server of [`Process::serving`] is running.
fn holder_file(root: &Path) -> PathBuf {
    root.with_extension("serving")
}

#[tokio::test]
#[ignore = "runs as the other process of tests that need one"]
#[expect(clippy::disallowed_methods, reason = "set by the test that started this process")]
async fn hold() {
    let Some(root) = std::env::var_os(HOLD).map(PathBuf::from) else { return };
    let mut options = full(&root);
    options.remove_when_stopped = root.ends_with("removed");
    let server = Server::start(options).await.unwrap();
    commit(&server.url("postgres"), "from the other process").await;
    std::fs::write(holder_file(&root), "").unwrap();
    std::future::pending::<()>().await;
}
