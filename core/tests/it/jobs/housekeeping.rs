//! What housekeeping removes and what it keeps.

use std::time::Duration;

use cairn_core::admin::housekeeping;
use cairn_core::queue::Queue;
use cairn_core::queue::lease;

use cairn_testing::database::{TestDb, rows, run, scalar};
use cairn_testing::rows::add_user;

const ENOUGH: Duration = Duration::from_mins(1);

/// Runs housekeeping to completion.
async fn housekeeping(test: &TestDb) {
    assert!(housekeeping::run(test.pool(), ENOUGH).await.unwrap());
}

async fn ids(test: &TestDb) -> Vec<String> {
    rows::<(String,)>(test.pool(), "SELECT id FROM apalis.jobs ORDER BY id")
        .await
        .into_iter()
        .map(|row| row.0)
        .collect()
}

#[tokio::test]
async fn finished_jobs_go_after_their_time_and_others_never() {
    let test = TestDb::new().await;
    for (id, status, done) in [
        ("done just now", "Done", "now()"),
        ("done yesterday", "Done", "now() - interval '23 hours'"),
        ("done long ago", "Done", "now() - interval '25 hours'"),
        ("dead a week", "Killed", "now() - interval '7 days'"),
        ("dead long", "Killed", "now() - interval '31 days'"),
        ("waiting", "Pending", "NULL"),
        ("failed", "Failed", "NULL"),
        ("running", "Running", "NULL"),
        ("odd", "Failed", "now() - interval '1 year'"),
        ("no time", "Done", "NULL"),
    ] {
        let values = format!("'{id}', 'likes', 'x', '{status}', {done}, '2000-01-01'");
        run(
            test.pool(),
            format!("INSERT INTO apalis.jobs (id, job_type, job, status, done_at, run_at) VALUES ({values})"),
        )
        .await;
    }
    // Another kind of dead job, and a job in a queue that this program does not know.
    run(
        test.pool(),
        "INSERT INTO apalis.jobs (id, job_type, job, status, attempts, done_at, run_at) VALUES
             ('at its cap', 'likes', 'x', 'Failed', 25, NULL, now() - interval '29 days'),
             ('long at its cap', 'likes', 'x', 'Failed', 25, NULL, now() - interval '31 days'),
             ('strange', 'strange', 'x', 'Done', 1, now() - interval '25 hours', now()),
             ('stranger', 'strange', 'x', 'Done', 1, now(), now())",
    )
    .await;
    housekeeping(&test).await;
    let kept = [
        "at its cap",
        "dead a week",
        "done just now",
        "done yesterday",
        "failed",
        "odd",
        "running",
        "stranger",
        "waiting",
    ];
    assert_eq!(ids(&test).await, kept);
    // The retention times come from the settings.
    run(
        test.pool(),
        "UPDATE platform_settings SET value = '1' WHERE key IN ('jobs.keep_done_hours', 'jobs.keep_dead_days')",
    )
    .await;
    housekeeping(&test).await;
    assert_eq!(ids(&test).await, ["done just now", "failed", "odd", "running", "stranger", "waiting"]);
}

#[tokio::test]
async fn more_than_one_chunk_goes_and_locked_rows_are_left_for_the_next_time() {
    let test = TestDb::new().await;
    run(
        test.pool(),
        "INSERT INTO apalis.jobs (id, job_type, job, status, done_at)
         SELECT n::text, 'likes', 'x', 'Done', now() - interval '2 days' FROM generate_series(1, 12001) n",
    )
    .await;
    let mut open = test.connect().await;
    sqlx::raw_sql("BEGIN; SELECT * FROM apalis.jobs WHERE id = '77' FOR UPDATE").execute(&mut open).await.unwrap();
    let (first, second) = tokio::join!(housekeeping::run(test.pool(), ENOUGH), housekeeping::run(test.pool(), ENOUGH));
    assert!(first.unwrap() && second.unwrap());
    assert_eq!(ids(&test).await, ["77"]);
    sqlx::raw_sql("ROLLBACK").execute(&mut open).await.unwrap();
    housekeeping(&test).await;
    assert_eq!(ids(&test).await, [""; 0]);
}

/// However many rows there are, each run removes some and reports whether any are left.
#[tokio::test]
async fn a_run_ends_when_its_time_is_up_and_the_next_goes_on() {
    let test = TestDb::new().await;
    let user = add_user(test.pool()).await;
    run(
        test.pool(),
        format!(
            "INSERT INTO apalis.jobs (id, job_type, job, status, done_at)
                 SELECT n::text, 'likes', 'x', 'Done', now() - interval '2 days' FROM generate_series(1, 11000) n;
             INSERT INTO sessions (id, user_id, expires_at)
                 SELECT gen_random_uuid(), '{user}', now() - interval '1 year' FROM generate_series(1, 2100);
             INSERT INTO refresh_tokens (token_hash, session_id, used_at)
                 SELECT sha256(id::text::bytea), id, now() - interval '1 year' FROM sessions;
             INSERT INTO idempotency_keys (user_id, key, operation, request_hash, created_at)
                 SELECT '{user}', n::text, 'o', sha256('x'), now() - interval '1 year' FROM generate_series(1, 5100) n"
        ),
    )
    .await;
    let left = async || {
        let query = "SELECT count(*) FROM ";
        let mut left = [0; 4];
        for (table, left) in
            ["apalis.jobs", "sessions", "refresh_tokens", "idempotency_keys"].into_iter().zip(&mut left)
        {
            *left = scalar::<i64>(test.pool(), format!("{query}{table}")).await;
        }
        left
    };
    // Without any time, each run executes one statement of each kind.
    assert!(!housekeeping::run(test.pool(), Duration::ZERO).await.unwrap());
    assert_eq!(left().await, [6000, 1100, 1100, 100]);
    assert!(!housekeeping::run(test.pool(), Duration::ZERO).await.unwrap());
    assert_eq!(left().await, [1000, 100, 100, 0]);
    assert!(!housekeeping::run(test.pool(), Duration::ZERO).await.unwrap());
    assert_eq!(left().await, [0; 4]);
    assert!(housekeeping::run(test.pool(), Duration::ZERO).await.unwrap(), "nothing is left");
}

/// A long-running reader of the log must not make all other requests wait behind housekeeping.
#[tokio::test]
async fn a_log_that_is_in_use_delays_only_its_own_retention() {
    let test = TestDb::new().await;
    run(
        test.pool(),
        "SELECT create_activity_partitions(now() - interval '4 years', 0);
         INSERT INTO apalis.jobs (id, job_type, job, status, done_at)
             VALUES ('old', 'likes', 'x', 'Done', now() - interval '2 days')",
    )
    .await;
    let partitions = "SELECT count(*) FROM pg_inherits WHERE inhparent = 'activity_log'::regclass";
    let before: i64 = scalar(test.pool(), partitions).await;
    let mut open = test.connect().await;
    sqlx::raw_sql("BEGIN; SELECT count(*) FROM activity_log").execute(&mut open).await.unwrap();
    housekeeping(&test).await;
    assert_eq!(ids(&test).await, [""; 0]);
    assert_eq!(scalar::<i64>(test.pool(), partitions).await, before, "it is left for the next time");
    sqlx::raw_sql("ROLLBACK").execute(&mut open).await.unwrap();
    housekeeping(&test).await;
    assert_eq!(scalar::<i64>(test.pool(), partitions).await, before - 1);
}

/// An invalid setting, typed by hand, must neither empty the tables nor stop housekeeping.
#[tokio::test]
async fn senseless_settings_destroy_nothing() {
    let test = TestDb::new().await;
    let log = "INSERT INTO activity_log (id, occurred_at, action) VALUES (gen_random_uuid(), now(), 'user.registered')";
    run(test.pool(), log).await;
    for value in ["-5", "0", "2147483647", "-2147483648", "null", "\"x\""] {
        let id = value.replace('"', "");
        run(
            test.pool(),
            format!(
                "UPDATE platform_settings SET value = '{value}' WHERE key IN ('jobs.keep_done_hours', 'jobs.keep_dead_days',
                     'activity.keep_months');
                 INSERT INTO apalis.jobs (id, job_type, job, status, done_at)
                     VALUES ('done {id}', 'likes', 'x', 'Done', now()), ('dead {id}', 'likes', 'x', 'Killed', now())"
            ),
        )
        .await;
        housekeeping(&test).await;
        assert_eq!(
            scalar::<i64>(
                test.pool(),
                "SELECT count(*) FROM activity_log WHERE tableoid::regclass::text LIKE '%_20__\\___'"
            )
            .await,
            1,
            "{value}"
        );
        let next = "SELECT to_regclass('activity_log_' || to_char(now() AT TIME ZONE 'UTC' + interval '3 months', 'YYYY_MM')) IS NOT NULL";
        assert!(scalar::<bool>(test.pool(), next).await, "{value}");
        assert!(ids(&test).await.contains(&format!("dead {id}")), "{value}");
        assert!(ids(&test).await.contains(&format!("done {id}")), "{value}");
    }
}

/// What happened stays, and who it was; from where goes, of each partition alike.
#[tokio::test]
async fn old_addresses_and_browsers_go() {
    let test = TestDb::new().await;
    let user = add_user(test.pool()).await;
    run(
        test.pool(),
        format!(
            "INSERT INTO activity_log (id, occurred_at, actor_id, action, ip, user_agent)
                 SELECT gen_random_uuid(), now() - n * interval '1 day', '{user}', 'user.signed_in', '192.0.2.1', 'Browser'
                 FROM unnest(ARRAY[0, 29, 31, 89, 91, 400]) n;
             INSERT INTO sessions (user_id, ip, user_agent, created_at, last_used_at, expires_at)
                 SELECT '{user}', '192.0.2.1', 'Browser', now() - interval '1 year', now() - n * interval '1 day', now() + interval '1 day'
                 FROM unnest(ARRAY[0, 31, 91]) n"
        ),
    )
    .await;
    let kept = async || {
        let of = async |table: &str| {
            let query = format!("SELECT count(*), count(ip), count(user_agent) FROM {table}");
            rows::<(i64, i64, i64)>(test.pool(), query).await[0]
        };
        (of("activity_log").await, of("sessions").await)
    };
    housekeeping(&test).await;
    assert_eq!(kept().await, ((6, 4, 4), (3, 2, 2)), "90 days");
    run(test.pool(), "INSERT INTO platform_settings (key, value) VALUES ('privacy.keep_origin_days', '30')").await;
    housekeeping(&test).await;
    assert_eq!(kept().await, ((6, 2, 2), (3, 1, 1)), "30 days");
    assert_eq!(scalar::<i64>(test.pool(), "SELECT count(*) FROM activity_log WHERE actor_id IS NOT NULL").await, 6);
}

#[tokio::test]
async fn what_has_expired_goes() {
    let test = TestDb::new().await;
    let user = add_user(test.pool()).await;
    run(
        test.pool(),
        format!(
            "INSERT INTO sessions (id, user_id, expires_at, revoked_at, revoke_reason) VALUES
                 ('00000000-0000-0000-0000-00000000000a', '{user}', now() - interval '8 days', NULL, NULL),
                 ('00000000-0000-0000-0000-00000000000b', '{user}', now() - interval '6 days', NULL, NULL),
                 ('00000000-0000-0000-0000-00000000000c', '{user}', now() + interval '1 day', now() - interval '1 year', 'logout');
             INSERT INTO refresh_tokens (token_hash, session_id, used_at) VALUES
                 (sha256('a'), '00000000-0000-0000-0000-00000000000a', NULL),
                 (sha256('b'), '00000000-0000-0000-0000-00000000000b', now() - interval '31 days'),
                 (sha256('c'), '00000000-0000-0000-0000-00000000000b', now() - interval '29 days'),
                 (sha256('d'), '00000000-0000-0000-0000-00000000000c', NULL);
             INSERT INTO idempotency_keys (user_id, key, operation, request_hash, created_at) VALUES
                 ('{user}', 'old', 'o', sha256('x'), now() - interval '25 hours'),
                 ('{user}', 'new', 'o', sha256('x'), now() - interval '23 hours');
             INSERT INTO tool_chats (id, user_id, tool_type)
                 VALUES ('{user}', '{user}', 'ideas'), ('00000000-0000-0000-0000-00000000000f', '{user}', 'assistant');"
        ),
    )
    .await;
    for (n, (chat, state, finished)) in [
        (user.to_string(), "completed", "now() - interval '11 minutes'"),
        (user.to_string(), "completed", "now() - interval '9 minutes'"),
        (user.to_string(), "failed", "now() - interval '1 day'"),
        (user.to_string(), "streaming", "NULL"),
        (user.to_string(), "cancelled", "now() - interval '11 minutes'"),
        (user.to_string(), "failed", "now() - interval '31 days'"),
    ]
    .into_iter()
    .enumerate()
    {
        let reason = if state == "failed" || state == "cancelled" { "'why'" } else { "NULL" };
        run(
            test.pool(),
            format!(
                "WITH reply AS (
                     INSERT INTO ai_replies (chat_id, user_id, question, instruction_id, state, reason, finished_at)
                     SELECT '{chat}', '{user}', 'Q', id, '{state}', {reason}, {finished}
                     FROM ai_system_instructions WHERE tool_type = 'ideas' RETURNING id)
                 INSERT INTO ai_reply_chunks (reply_id, attempt, seq, content) SELECT id, 1, 1, 'reply {n}' FROM reply"
            ),
        )
        .await;
    }
    housekeeping(&test).await;
    let left = async |query: &str| -> Vec<String> {
        rows::<(String,)>(test.pool(), query).await.into_iter().map(|row| row.0).collect()
    };
    assert_eq!(left("SELECT right(id::text, 1) FROM sessions ORDER BY 1").await, ["b", "c"]);
    // However long ago they were used: a client whose answer was lost may present them for as long as the session lasts.
    let tokens = "SELECT count(*) FROM refresh_tokens WHERE token_hash IN (sha256('b'), sha256('c'), sha256('d'))";
    assert_eq!(scalar::<i64>(test.pool(), tokens).await, 3);
    assert_eq!(scalar::<i64>(test.pool(), "SELECT count(*) FROM refresh_tokens").await, 3);
    assert_eq!(left("SELECT key FROM idempotency_keys").await, ["new"]);
    assert_eq!(left("SELECT content FROM ai_reply_chunks ORDER BY 1").await, ["reply 1", "reply 2", "reply 3"]);
    run(
        test.pool(),
        "UPDATE ai_replies SET finished_at = finished_at - interval '2 minutes' WHERE finished_at IS NOT NULL",
    )
    .await;
    housekeeping(&test).await;
    assert_eq!(left("SELECT content FROM ai_reply_chunks ORDER BY 1").await, ["reply 2", "reply 3"]);
}

#[tokio::test]
async fn links_for_a_new_password_go_when_they_have_expired() {
    let test = TestDb::new().await;
    for (hash, expires_at) in [("old", "now() - interval '1 second'"), ("new", "now() + interval '1 hour'")] {
        let user = add_user(test.pool()).await;
        run(
            test.pool(),
            format!(
                "INSERT INTO password_resets (user_id, token_hash, expires_at)
                     VALUES ('{user}', sha256('{hash}'), {expires_at});
                 INSERT INTO email_verifications (user_id, email, token_hash, expires_at)
                     VALUES ('{user}', 'a@b.co', sha256('{hash}'), {expires_at})"
            ),
        )
        .await;
    }
    housekeeping(&test).await;
    for table in ["password_resets", "email_verifications"] {
        let left = format!("SELECT token_hash = sha256('new') FROM {table}");
        assert_eq!(rows::<(bool,)>(test.pool(), left).await, [(true,)], "{table}");
    }
}

#[tokio::test]
async fn devices_that_are_not_used_are_forgotten() {
    let test = TestDb::new().await;
    let user = add_user(test.pool()).await;
    for (hash, expires_at) in [("old", "now() - interval '1 second'"), ("new", "now() + interval '1 hour'")] {
        let statement = format!(
            "INSERT INTO sign_in_devices (token_hash, user_id, expires_at) VALUES (sha256('{hash}'), '{user}', {expires_at})"
        );
        run(test.pool(), statement).await;
    }
    housekeeping(&test).await;
    let left = "SELECT token_hash = sha256('new') FROM sign_in_devices";
    assert_eq!(rows::<(bool,)>(test.pool(), left).await, [(true,)]);
}

#[tokio::test]
async fn counters_of_attempts_go_when_they_mean_nothing_and_when_there_are_too_many() {
    let test = TestDb::new().await;
    // Two hundred thousand are kept. A flood of addresses that were tried once displaces itself, and nobody else.
    run(
        test.pool(),
        "INSERT INTO sign_in_attempts (subject, failures, counted_at, free_at, forgotten_at)
             SELECT substr(sha256(n::text::bytea), 1, 16), CASE WHEN n <= 10 THEN 7 ELSE 1 END,
                 now() + make_interval(secs => n), now(), now() + CASE WHEN n = 1 THEN interval '-1 s' ELSE interval '1 h' END
             FROM generate_series(1, 200020) n",
    )
    .await;
    housekeeping(&test).await;
    let left = "SELECT count(*), count(*) FILTER (WHERE failures = 7), extract(epoch FROM max(counted_at) - min(counted_at) FILTER (WHERE failures = 1))::bigint
                FROM sign_in_attempts";
    assert_eq!(rows::<(i64, i64, i64)>(test.pool(), left).await, [(200_000, 9, 199_990)]);
}

/// The daily numbers can be asked for any day, and the oldest must survive a learner of that day who is deleted.
#[tokio::test]
async fn who_was_active_is_known_for_ever() {
    let test = TestDb::new().await;
    let [stays, goes] = [add_user(test.pool()).await, add_user(test.pool()).await];
    run(
        test.pool(),
        format!(
            "INSERT INTO active_quarters (quarter, user_id)
                 SELECT quarter_of('2001-02-03 04:05Z'), id FROM users WHERE id IN ('{stays}', '{goes}');
             UPDATE stats_state SET is_filled = true;
             SELECT recompute_stats(ARRAY[quarter_of('2001-02-03 04:05Z')])"
        ),
    )
    .await;
    let learners = async || -> i32 {
        scalar(test.pool(), "SELECT first_of_day[1] FROM stats_active WHERE quarter = quarter_of('2001-02-03 04:05Z')")
            .await
    };
    assert_eq!(learners().await, 2);
    housekeeping(&test).await;
    run(test.pool(), format!("DELETE FROM users WHERE id = '{goes}'")).await;
    while scalar::<bool>(test.pool(), "SELECT refresh_stats()").await {}
    assert_eq!(learners().await, 1);
}

#[tokio::test]
async fn workers_of_earlier_starts_go_when_they_hold_nothing() {
    let test = TestDb::new().await;
    let workers = ["holds", "gone", "alive"].map(|name| (name.to_owned(), Queue::Likes));
    lease::heartbeat(&mut test.connect().await, &workers).await.unwrap();
    run(
        test.pool(),
        "INSERT INTO apalis.jobs (id, job_type, job, status, lock_by) VALUES ('x', 'likes', 'x', 'Running', 'holds');
         UPDATE apalis.workers SET last_seen = now() - interval '2 hours' WHERE id <> 'alive'",
    )
    .await;
    housekeeping(&test).await;
    let left: Vec<(String,)> = rows(test.pool(), "SELECT id FROM apalis.workers ORDER BY id").await;
    assert_eq!(left, [("alive".to_owned(),), ("holds".to_owned(),)]);
}

/// Whatever somebody else has locked, the rest is done, and housekeeping does not fail.
#[tokio::test]
async fn what_is_locked_is_left_and_the_rest_is_done() {
    let test = TestDb::new().await;
    let user = add_user(test.pool()).await;
    let counts = "SELECT (SELECT count(*) FROM sessions) * 100 + (SELECT count(*) FROM user_events) * 10
        + (SELECT count(*) FROM apalis.jobs)";
    for (locked, left) in [
        ("LOCK TABLE sessions IN ACCESS EXCLUSIVE MODE", 100),
        ("LOCK TABLE apalis.jobs IN ACCESS EXCLUSIVE MODE", 1),
        ("LOCK TABLE activity_log IN ACCESS EXCLUSIVE MODE", 0),
        ("LOCK TABLE sign_in_attempts, idempotency_keys, ai_replies IN ACCESS EXCLUSIVE MODE", 0),
    ] {
        let old = format!(
            "INSERT INTO sessions (id, user_id, expires_at) VALUES (gen_random_uuid(), '{user}', now() - interval '2 years');
             INSERT INTO user_events (user_id, seq, event, created_at)
                 VALUES ('{user}', 1, '{{}}', now() - interval '2 days');
             INSERT INTO apalis.jobs (id, job_type, job, status, done_at)
                 VALUES ('old', 'likes', 'x', 'Done', now() - interval '1 year')"
        );
        run(test.pool(), old).await;
        assert_eq!(scalar::<i64>(test.pool(), counts).await, 111);
        let mut holder = test.admin().begin().await.unwrap();
        sqlx::raw_sql(locked).execute(&mut *holder).await.unwrap();
        housekeeping(&test).await;
        holder.rollback().await.unwrap();
        assert_eq!(scalar::<i64>(test.pool(), counts).await, left, "{locked}");
        housekeeping(&test).await;
        assert_eq!(scalar::<i64>(test.pool(), counts).await, 0, "{locked}: the next run does what was left");
    }
}

/// What `verify` compares them with is compared from the first day that is left.
#[tokio::test]
async fn what_was_spent_and_evaluated_long_ago_goes() {
    let test = TestDb::new().await;
    let user = add_user(test.pool()).await;
    run(
        test.pool(),
        format!(
            "INSERT INTO ai_learner_spending (user_id, day, tool_type, tokens)
                 SELECT '{user}', current_date - n, 'ideas', 5 FROM unnest(ARRAY[1, 399, 402, 9000]) n;
             INSERT INTO ai_spending (day, tool_type, tokens)
                 SELECT current_date - n, 'ideas', 5 FROM unnest(ARRAY[1, 399, 402, 9000]) n;
             INSERT INTO ai_evaluations (tool_type, name, cases) VALUES ('ideas', 'E', '[{{}}]');
             INSERT INTO ai_evaluation_runs (evaluation_id, cases, candidate_id, baseline_id, state, reason, finished_at)
                 SELECT e.id, e.cases, i.id, i.id, 'failed', 'silent', now() - age
                 FROM ai_evaluations e, ai_system_instructions i, unnest(ARRAY['1 day', '364 days', '367 days']::interval[]) age
                 WHERE i.tool_type = 'ideas';
             INSERT INTO ai_evaluation_answers (run_id, number, is_candidate) SELECT id, 1, true FROM ai_evaluation_runs"
        ),
    )
    .await;
    housekeeping(&test).await;
    for (table, left) in
        [("ai_learner_spending", 2), ("ai_spending", 2), ("ai_evaluation_runs", 2), ("ai_evaluation_answers", 2)]
    {
        assert_eq!(scalar::<i64>(test.pool(), &format!("SELECT count(*) FROM {table}")).await, left, "{table}");
    }
}
