//! The whole platform in one process, on its embedded database.

use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::process::{Child, Command, Stdio};

use crate::support::Place;

/// A running `cairn dev`. Dropping it kills it.
struct Dev {
    child: Child,
    url: String,
}

impl Dev {
    /// Starts it on free ports and waits until it says that it runs.
    fn start(place: &Place) -> Self {
        let mut command = place.command(&["dev"]);
        command.env("CAIRN_API_ADDR", "127.0.0.1:0").env("CAIRN_OPS_ADDR", "127.0.0.1:0");
        let log = std::fs::File::create(place.path().join("dev.log")).unwrap();
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
        let log = std::fs::read_to_string(place.path().join("dev.log")).unwrap();
        Self { url: url.unwrap_or_else(|| panic!("it did not start: {log}")), child }
    }

    /// Asks it to end, and waits.
    fn stop(mut self) -> i32 {
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
fn the_platform_runs_is_used_and_stops_cleanly() {
    let place = Place::new();
    let dev = Dev::start(&place);
    let key = place.path().join(".cairn/jwt-secret");
    assert_eq!(std::fs::metadata(&key).unwrap().permissions().mode() & 0o777, 0o600);
    let key = std::fs::read_to_string(key).unwrap();

    // Commands find the running database; a second platform on it is refused.
    assert!(place.run(&["migrate", "--check"]).ok().contains("up to date"));
    let exported = place.run(&["export"]);
    assert!(exported.ok().contains("roadmaps:"), "the demo course is there");
    let mut second = place.command(&["dev"]);
    second.env("CAIRN_API_ADDR", "127.0.0.1:0").env("CAIRN_OPS_ADDR", "127.0.0.1:0");
    crate::support::finish(second).fails(1, &["already in use", "stop that one first"]);

    let run =
        place.run(&["simulate", "--url", &dev.url, "--learners", "3", "--actions-per-learner", "12", "--seed", "7"]);
    assert!(run.ok().contains("verify: nothing differs"), "{run:?}");
    for row in ["actions/s", "request p50 / p99", "completion → rollup", "errors                       0"] {
        assert!(run.out.contains(row), "{row}: {run:?}");
    }
    let run = place.run(&["simulate", "--url", &dev.url, "--learners", "1", "--invite", "no-such-invite-anywhere"]);
    run.fails(1, &["1 errors"]);
    assert!(run.out.contains("register: 404 invite_not_found"), "{run:?}");
    assert_eq!(dev.stop(), 0);
    let log = std::fs::read_to_string(place.path().join("dev.log")).unwrap();
    assert!(log.ends_with("stopped\n"), "{log}");
    assert!(!log.contains(&key) && !log.contains("postgres://"), "secrets are not logged");

    // Everything is still there, and nothing came twice.
    let dev = Dev::start(&place);
    assert_eq!(place.run(&["export"]).ok(), exported.out);
    assert_eq!(std::fs::read_to_string(place.path().join(".cairn/jwt-secret")).unwrap(), key);
    assert_eq!(dev.stop(), 0);
    // Without a running platform the database is started for the command.
    assert_eq!(place.run(&["export"]).ok(), exported.out);
}

#[tokio::test]
async fn a_database_of_ones_own_gets_no_demo_accounts() {
    let place = Place::with_empty_database().await;
    let dev = Dev::start(&place);
    let pool = place.pool().await;
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
fn a_taken_port_is_told_before_anything_is_started() {
    let place = Place::new();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let mut command = place.command(&["dev"]);
    command.env("CAIRN_API_ADDR", taken.local_addr().unwrap().to_string());
    crate::support::finish(command).fails(2, &["cannot listen on", "CAIRN_API_ADDR"]);
    assert!(!place.path().join(".cairn").exists());
}
