//! Times that lie ahead, as after a clock that was set back.

use std::time::Duration;

use cairn_core::admin::maintenance::Housekeeping;
use cairn_core::admin::schedule::enqueue_scheduled;
use cairn_core::admin::{clocks, health, observation, preflight};
use cairn_core::queue::queues;
use cairn_core::{community, learning, users};
use cairn_testing::database::{TestDb, rows, run, scalar};
use cairn_testing::eventually;
use cairn_testing::rows::{add_lesson, add_liked_projects, add_module, add_roadmap, add_user};
use sqlx::ConnectOptions;

/// Has the times looked at as if that had not been done for a while.
async fn heal(test: &TestDb) -> u64 {
    run(test.pool(), "UPDATE clock_mark SET seen_at = least(seen_at, now() - interval '10 seconds')").await;
    let mut tx = test.db.begin().await.unwrap();
    let moved = clocks::heal(&mut tx).await.unwrap();
    tx.commit().await.unwrap();
    moved
}

/// Everything that happens at a stored time, or some time after one, with that time `ahead`.
async fn store_ahead(test: &TestDb, ahead: &str) {
    let (user, roadmap) = (add_user(test.pool()).await, add_roadmap(test.pool()).await);
    let lesson = add_lesson(test.pool(), add_module(test.pool()).await).await;
    add_liked_projects(test.pool(), 1).await;
    let statements = format!(
        "UPDATE schedules SET last_enqueued_at = now() + interval '{ahead}';
         INSERT INTO apalis.workers (id, worker_type, storage_name, last_seen)
             VALUES ('lost', 'likes', 'cairn', now() + interval '{ahead}');
         INSERT INTO apalis.jobs (id, job_type, job, status, attempts, max_attempts, run_at)
             VALUES ('snoozed', 'likes', 'x', 'Pending', 0, 5, now() + interval '{ahead}');
         INSERT INTO apalis.jobs (id, job_type, job, status, attempts, max_attempts, run_at, last_result)
             VALUES ('failed', 'likes', 'x', 'Failed', 1, 5, now() + interval '{ahead}', jsonb_build_object('Err', 'x',
                 'attempts', jsonb_build_array(jsonb_build_object('attempt', 1, 'at', now() + interval '{ahead}'))));
         INSERT INTO progress_dirty (user_id, roadmap_id, requested_seq, done_seq, requested_at, queued_at)
             VALUES ('{user}', '{roadmap}', 5, 4, now() + interval '{ahead}', now() + interval '{ahead}')
             ON CONFLICT (user_id, roadmap_id) DO UPDATE SET requested_seq = 5, done_seq = 4,
                 requested_at = excluded.requested_at, queued_at = excluded.queued_at;
         INSERT INTO likes_dirty (project_id) SELECT id FROM showcase_projects ON CONFLICT DO NOTHING;
         UPDATE likes_dirty SET marked_at = now() + interval '{ahead}', queued_at = now() + interval '{ahead}';
         INSERT INTO erasures (user_id, requested_at, queued_at)
             VALUES ('{user}', now() + interval '{ahead}', now() + interval '{ahead}');
         INSERT INTO sign_in_attempts (subject, failures, counted_at, free_at, forgotten_at) VALUES ('0123456789abcdef', 9,
             now() + interval '{ahead}', now() + interval '{ahead}' + interval '1 minute', now() + interval '{ahead}' + interval '1 hour');
         INSERT INTO lesson_stats (lesson_id, starts, completions, computed_at)
             VALUES ('{lesson}', 0, 0, now() + interval '{ahead}');
         UPDATE stats_state SET open_from = quarter_of(now() + interval '{ahead}'), as_of = now() + interval '{ahead}'"
    );
    run(test.pool(), statements).await;
}

/// Before the first worker starts, nothing has ever been scheduled or counted.
#[tokio::test]
async fn a_new_database_can_be_observed_and_so_can_the_transactions_of_others() {
    let test = TestDb::new().await;
    let mut other = test.owner().begin().await.unwrap();
    sqlx::query("SELECT FROM users").execute(&mut *other).await.unwrap();
    let mut connection = test.connect().await;
    let observed = observation::observe(&mut connection).await.unwrap();
    assert!(observed.clock_behind_seconds < 1.0 && observed.oldest.is_some(), "{observed:?}");
    // Sessions of other roles count as well.
    let mut others = Vec::new();
    for _ in 0..5 {
        others.push(test.owner().connect_options().connect().await.unwrap());
    }
    let ours = "SELECT count(*) FROM pg_stat_activity WHERE usename = current_user";
    eventually("all connections are counted", async || {
        let mut connection = test.connect().await;
        let ours: i64 = sqlx::query_scalar(ours).fetch_one(&mut connection).await.unwrap();
        preflight::database(&mut connection).await.unwrap().connections >= ours + 5
    })
    .await;
}

#[tokio::test]
async fn what_lies_ahead_is_moved_to_now() {
    for ahead in ["1 hour", "1 year"] {
        let test = TestDb::new().await;
        store_ahead(&test, ahead).await;
        let mut connection = test.connect().await;
        let observed = observation::observe(&mut connection).await.unwrap();
        assert!(observed.clock_behind_seconds > 3000.0, "{observed:?}");
        assert!(observed.schedules.iter().all(|(_, age)| age.is_some_and(|age| age >= 0.0)), "{observed:?}");
        let stale = health::stale(&mut connection).await.unwrap();
        assert_eq!((stale.progress_seconds, stale.likes_seconds), (Some(0.0), Some(0.0)), "no age is negative");

        assert!(heal(&test).await > 8);
        let overview = queues::overview(&mut connection).await.unwrap();
        let likes = overview.iter().find(|queue| queue.name == "likes").unwrap();
        assert_eq!((likes.due, likes.scheduled, likes.retrying), (2, 0, 0), "{ahead}: jobs are due");
        let mut tx = test.db.begin().await.unwrap();
        assert!(enqueue_scheduled(&mut tx, &Housekeeping {}, Duration::from_hours(1)).await.unwrap(), "{ahead}");
        tx.commit().await.unwrap();

        // A while later, what waits for its time is taken up.
        run(
            test.pool(),
            "UPDATE progress_dirty SET requested_at = requested_at - interval '1 minute';
             UPDATE likes_dirty SET marked_at = marked_at - interval '1 minute';
             UPDATE erasures SET requested_at = requested_at - interval '1 day', queued_at = queued_at - interval '1 day';
             UPDATE apalis.workers SET last_seen = last_seen - interval '1 minute'",
        )
        .await;
        let mut tx = test.db.begin().await.unwrap();
        learning::jobs::stale_progress(&mut tx).await.unwrap();
        assert_eq!(community::likes::requeue_waiting(&mut tx, Duration::from_secs(5), 10).await.unwrap(), 1, "{ahead}");
        assert_eq!(users::erasure::requeue_waiting(&mut tx, 10).await.unwrap(), 1, "{ahead}");
        tx.commit().await.unwrap();
        let rolled_up: i64 = scalar(test.pool(), "SELECT count(*) FROM apalis.jobs WHERE job_type = 'progress'").await;
        assert_eq!(rolled_up, 1, "{ahead}");
        let alive: i64 =
            scalar(test.pool(), "SELECT count(*) FROM apalis.workers WHERE last_seen > now() - interval '15 seconds'")
                .await;
        assert_eq!(alive, 0, "{ahead}: a worker that is lost is seen to be");
        let wait: f64 =
            scalar(test.pool(), "SELECT extract(epoch FROM free_at - now())::float8 FROM sign_in_attempts").await;
        assert!(wait <= 900.0, "{ahead}: an account is not locked for longer than ever");
        let open: bool = scalar(test.pool(), "SELECT open_from <= quarter_of(now()) FROM stats_state").await;
        assert!(open, "{ahead}: the numbers of today are computed");
        assert_eq!(heal(&test).await, 0, "nothing lies ahead any more");
    }
}

/// Without it, a job would be late by what the clock was set back, up to the longest that any may wait.
#[tokio::test]
async fn a_clock_that_is_set_back_a_little_delays_no_job() {
    let test = TestDb::new().await;
    run(
        test.pool(),
        "INSERT INTO apalis.jobs (id, job_type, job, status, attempts, max_attempts, run_at) VALUES
             ('a was due', 'likes', 'x', 'Pending', 0, 5, now() + interval '5 minutes'),
             ('b in 30 s', 'likes', 'x', 'Pending', 0, 5, now() + interval '10 minutes 30 seconds'),
             ('c retried', 'likes', 'x', 'Failed', 1, 5, now() + interval '11 minutes'),
             ('d done', 'likes', 'x', 'Done', 1, 5, now() + interval '10 minutes');
         UPDATE clock_mark SET seen_at = now() + interval '10 minutes'",
    )
    .await;
    assert_eq!(heal_once(&test).await, 3);
    let waits: Vec<(String, f64)> = rows(
        test.pool(),
        "SELECT id, extract(epoch FROM run_at - now())::float8 FROM apalis.jobs WHERE status <> 'Done' ORDER BY id",
    )
    .await;
    for ((id, wait), expected) in waits.iter().zip([0.0, 30.0, 60.0]) {
        assert!((wait - expected).abs() < 5.0, "{id} waits for {wait} s instead of {expected} s");
    }
    assert_eq!(heal_once(&test).await, 0, "the mark is where the clock is");
}

/// As [`heal`], without touching the mark.
async fn heal_once(test: &TestDb) -> u64 {
    let mut tx = test.db.begin().await.unwrap();
    let moved = clocks::heal(&mut tx).await.unwrap();
    tx.commit().await.unwrap();
    moved
}

#[tokio::test]
async fn what_may_lie_ahead_stays() {
    let test = TestDb::new().await;
    run(
        test.pool(),
        "INSERT INTO apalis.workers (id, worker_type, storage_name, last_seen) VALUES ('w', 'likes', 'cairn', now());
         INSERT INTO apalis.jobs (id, job_type, job, status, attempts, max_attempts, run_at, last_result) VALUES
             ('deferred', 'replies', 'x', 'Pending', 0, 5, now() + interval '40 minutes', NULL),
             ('told to wait', 'replies', 'x', 'Failed', 1, 5, now() + interval '20 hours',
              jsonb_build_object('attempts', jsonb_build_array(jsonb_build_object('at', now())))),
             ('of others', 'strange', 'x', 'Pending', 0, 5, now() + interval '1 year', NULL)",
    )
    .await;
    assert_eq!(heal(&test).await, 0);
    let ahead: i64 = scalar(test.pool(), "SELECT count(*) FROM apalis.jobs WHERE run_at > now()").await;
    assert_eq!(ahead, 3);
}

/// Any number of workers look at the times, and none waits for another.
#[tokio::test]
async fn one_of_many_moves_the_times() {
    let test = TestDb::new().await;
    store_ahead(&test, "1 hour").await;
    run(test.pool(), "UPDATE clock_mark SET seen_at = now() - interval '10 seconds'").await;
    let mut first = test.db.begin().await.unwrap();
    assert!(clocks::heal(&mut first).await.unwrap() > 0);
    assert_eq!(heal_once(&test).await, 0);
    first.commit().await.unwrap();
    assert_eq!(heal_once(&test).await, 0, "it was done a moment ago");
}
