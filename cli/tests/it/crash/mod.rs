//! The real binaries under load: the API and the worker are killed with SIGKILL and Postgres is restarted with `-m
//! immediate`, again and again. Afterwards every accepted action has exactly one effect and every derived value is right.

mod learner;
mod platform;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use cairn_core::admin::verify::{Mode, verify};

use self::learner::{Expected, Learner};
use self::platform::Platform;

const LEARNERS: usize = 10;
const ROUNDS: usize = 3;
/// Load between two blows. Not a wait for anything: the blows are to fall amid work.
const LOAD: Duration = Duration::from_millis(900);

#[tokio::test(flavor = "multi_thread")]
async fn kills_and_restarts_under_load_lose_and_repeat_nothing() {
    let mut platform = Platform::start().await;
    let stop = Arc::new(AtomicBool::new(false));
    let mut learners = tokio::task::JoinSet::new();
    for n in 0..LEARNERS {
        let learner = Learner::new(n, &platform);
        learners.spawn(learner.act_until(stop.clone()));
    }
    for _ in 0..ROUNDS {
        tokio::time::sleep(LOAD).await;
        platform.kill_worker();
        tokio::time::sleep(LOAD).await;
        platform.kill_api();
        tokio::time::sleep(LOAD).await;
        platform.restart_postgres().await;
    }
    stop.store(true, Ordering::Relaxed);
    let expected: Vec<Expected> = learners.join_all().await;
    let actions: i64 = expected.iter().map(Expected::actions).sum();
    assert!(actions >= 100, "only {actions} actions were accepted: no load");

    settle(&platform).await;
    for expected in &expected {
        expected.check(platform.pool()).await;
    }
    let twice: i64 = sqlx::query_scalar(
        "SELECT count(*) FROM ai_replies r WHERE r.state <> 'completed' OR 1 <> (
             SELECT count(*) FROM tool_messages m WHERE m.id = r.answer_id AND m.role = 'assistant')",
    )
    .fetch_one(platform.pool())
    .await
    .unwrap();
    assert_eq!(twice, 0, "every reply is completed with one message");
    let report = verify(platform.pool(), Mode::Strict).await.unwrap();
    assert!(report.is_clean(), "{report:#?}");
    platform.stop().await;
}

/// Waits until nothing is left to do: all jobs done and no marker stale. Bounded: nothing may be stuck.
async fn settle(platform: &Platform) {
    let begun = Instant::now();
    loop {
        let left: Vec<(String, String, i64)> = sqlx::query_as(
            "SELECT job_type, status, count(*) FROM apalis.jobs WHERE job_type <> 'maintenance' AND status <> 'Done' GROUP BY 1, 2
             UNION ALL SELECT 'progress', 'marker', count(*) FROM progress_dirty WHERE done_seq < requested_seq HAVING count(*) > 0
             UNION ALL SELECT 'likes', 'marker', count(*) FROM likes_dirty HAVING count(*) > 0",
        )
        .fetch_all(platform.pool())
        .await
        .unwrap_or_else(|error| vec![(error.to_string(), String::new(), 0)]);
        if left.is_empty() {
            return;
        }
        assert!(begun.elapsed() < Duration::from_secs(90), "still not done: {left:?}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}
