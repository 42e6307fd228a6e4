//! The whole platform in one process, on its embedded database.

use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::process::{Child, Command, Stdio};

use crate::support::Sandbox;

/// A running `cairn dev`. Dropping it kills it.
pub(crate) struct Dev {
    child: Child,
    pub(crate) url: String,
}

impl Dev {
    /// Starts it on free ports and waits until it reports that it is running.
    pub(crate) fn start(sandbox: &Sandbox) -> Self {
        Self::start_with(sandbox, &[])
    }

    /// The same, with these variables in its environment as well.
    pub(crate) fn start_with(sandbox: &Sandbox, variables: &[(&str, &str)]) -> Self {
        let mut command = sandbox.command(&["dev"]);
        command.envs(variables.iter().copied());
        command.env("CAIRN_API_ADDR", "127.0.0.1:0").env("CAIRN_OPS_ADDR", "127.0.0.1:0");
        let log = std::fs::File::create(sandbox.path().join("dev.log")).unwrap();
        let mut child = command.stdout(Stdio::piped()).stderr(log).spawn().unwrap();
        let mut url = None;
        for line in BufReader::new(child.stdout.take().unwrap()).lines() {
            let line = line.unwrap();
            if let Some(rest) = line.trim().strip_prefix("API ") {
                url = Some(rest.trim().trim_end_matches("/v1").to_owned());
            }
            if line.starts_with("Stop with") {
                break;
            }
        }
        let log = std::fs::read_to_string(sandbox.path().join("dev.log")).unwrap();
        Self { url: url.unwrap_or_else(|| panic!("the platform did not start: {log}")), child }
    }

    /// Asks it to stop, and waits.
    pub(crate) fn stop(mut self) -> i32 {
        let killed = Command::new("kill").args(["-TERM", &self.child.id().to_string()]).status().unwrap();
        assert!(killed.success());
        self.child.wait().unwrap().code().unwrap()
    }
}

impl Drop for Dev {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn the_platform_starts_works_and_stops_cleanly() {
    let sandbox = Sandbox::new();
    let dev = Dev::start(&sandbox);
    let key = sandbox.path().join(".cairn/jwt-secret");
    assert_eq!(std::fs::metadata(&key).unwrap().permissions().mode() & 0o777, 0o600);
    let key = std::fs::read_to_string(key).unwrap();

    // Commands use the running database, and a second platform on it is refused.
    assert!(sandbox.run(&["migrate", "--check"]).ok().contains("up to date"));
    let exported = sandbox.run(&["export"]);
    assert!(exported.ok().contains("roadmaps:"), "the demo course is there");
    let mut second = sandbox.command(&["dev"]);
    second.env("CAIRN_API_ADDR", "127.0.0.1:0").env("CAIRN_OPS_ADDR", "127.0.0.1:0");
    crate::support::finish(second).fails(1, &["already in use", "stop that one first"]);

    let run =
        sandbox.run(&["simulate", "--url", &dev.url, "--learners", "3", "--actions-per-learner", "12", "--seed", "7"]);
    assert!(run.ok().contains("verify: no differences"), "{run:?}");
    for row in
        ["mentors", "admins", "actions/s", "request p50 / p99", "completion → rollup", "errors                       0"]
    {
        assert!(run.out.contains(row), "{row}: {run:?}");
    }
    let run = sandbox.run(&["simulate", "--url", &dev.url, "--learners", "1", "--invite", "-no-such-invite"]);
    run.fails(1, &["1 errors"]);
    assert!(run.out.contains("register: 404 invite_not_found"), "{run:?}");
    assert_eq!(dev.stop(), 0);
    let log = std::fs::read_to_string(sandbox.path().join("dev.log")).unwrap();
    assert!(log.ends_with("stopped\n"), "{log}");
    assert!(!log.contains(&key) && !log.contains("postgres://"), "secrets are not logged");

    // After a restart everything is still there, and nothing is duplicated or left of what was simulated.
    let dev = Dev::start(&sandbox);
    assert_eq!(sandbox.run(&["export"]).ok(), exported.out);
    assert_eq!(std::fs::read_to_string(sandbox.path().join(".cairn/jwt-secret")).unwrap(), key);
    assert_eq!(dev.stop(), 0);
    // If the platform is not running, the database is started for the command.
    assert_eq!(sandbox.run(&["export"]).ok(), exported.out);
}

#[tokio::test]
async fn an_external_database_gets_no_demo_accounts() {
    let sandbox = Sandbox::with_empty_database().await;
    let dev = Dev::start(&sandbox);
    let pool = sandbox.pool().await;
    let counts: (i64, i64, i64) = sqlx::query_as(
        "SELECT (SELECT count(*) FROM users), (SELECT count(*) FROM invite_links), (SELECT count(*) FROM roadmaps)",
    )
    .fetch_one(&pool)
    .await
    .unwrap();
    assert!((counts.0, counts.1) == (0, 0) && counts.2 >= 2, "{counts:?}");
    assert_eq!(dev.stop(), 0);
}

#[test]
fn a_port_in_use_is_reported_before_anything_is_started() {
    let sandbox = Sandbox::new();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let mut command = sandbox.command(&["dev"]);
    command.env("CAIRN_API_ADDR", taken.local_addr().unwrap().to_string());
    crate::support::finish(command).fails(2, &["cannot listen on", "CAIRN_API_ADDR"]);
    assert!(!sandbox.path().join(".cairn").exists());
}
