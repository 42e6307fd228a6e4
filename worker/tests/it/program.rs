//! What the program answers without starting, and what others see of it.

use std::process::Command;

use cairn_testing::database::scalar;
use cairn_testing::eventually;
use cairn_testing::processes::{Program, free_port};
use tempfile::TempDir;

use crate::support::Harness;

#[test]
fn asking_for_help_or_its_version_starts_nothing() {
    let run = |arguments: &[&str]| {
        // Nothing is configured, and it is not asked for.
        let output = Command::new(env!("CARGO_BIN_EXE_cairn-worker"))
            .args(arguments)
            .env_clear()
            .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/tests"))
            .output()
            .unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        (output.status.code(), text(output.stdout), text(output.stderr))
    };
    for (argument, says) in [
        ("--version", concat!("cairn-worker ", env!("CARGO_PKG_VERSION"), "\n")),
        ("-V", concat!("cairn-worker ", env!("CARGO_PKG_VERSION"), "\n")),
        ("--help", "Usage: cairn-worker\n"),
        ("-h", "Exit codes:"),
    ] {
        let (code, out, err) = run(&[argument]);
        assert!(code == Some(0) && out.contains(says) && err.is_empty(), "{argument}: {code:?} {out} {err}");
    }
    let (code, _, err) = run(&["--verbose"]);
    assert!(code == Some(2) && err.contains("see --help"), "{code:?} {err}");
    let (code, _, err) = run(&[]);
    assert!(code == Some(2) && err.contains("DATABASE_URL is not set"), "{code:?} {err}");
}

#[tokio::test(flavor = "multi_thread")]
async fn its_sessions_bear_its_name() {
    let harness = Harness::new().await;
    let logs = TempDir::new().unwrap();
    let environment = vec![
        ("DATABASE_URL", harness.url()),
        ("CAIRN_OPS_ADDR", format!("127.0.0.1:{}", free_port().unwrap())),
        ("CAIRN_LOG", "warn".to_owned()),
    ];
    let _process = Program::new("cairn-worker", environment, logs.path().join("worker.log")).start(None).unwrap();
    harness.enqueue_events(1).await;
    eventually("it has done a job", async || harness.count("activity", "Done").await == 1).await;
    // The sessions of the test itself are named `cairn`.
    let others = "SELECT count(*) FROM pg_stat_activity
                  WHERE datname = current_database() AND backend_type = 'client backend'
                      AND application_name NOT IN ('cairn', 'cairn-worker')";
    assert_eq!(scalar::<i64>(harness.pool(), others).await, 0);
    for query in ["%LISTEN%", "%apalis.jobs%"] {
        let named = format!(
            "SELECT count(*) FROM pg_stat_activity
             WHERE datname = current_database() AND application_name = 'cairn-worker' AND query LIKE '{query}'"
        );
        eventually(query, async || scalar::<i64>(harness.pool(), named.clone()).await > 0).await;
    }
}
