//! A page of the activity log reads what it shows, whatever the filter and however deep it is.

use cairn_core::audit::{self, Filter};
use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use uuid::Uuid;

use cairn_testing::database::{TestDb, run, scalar};

/// A year with 24,000 activities of a hundred learners on two lessons, of which every action and type that is not rare is common
/// in all months but the last. Almost all of them pass a filter by type, which makes the index by time look as good.
const FILL: &str = "
    SELECT create_activity_partitions(now() - interval '12 months', 12);
    INSERT INTO activity_log (id, occurred_at, actor_id, action, target_type, target_id, target_title, metadata)
    SELECT md5(n::text)::uuid, now() - interval '40 days' - n * interval '20 minutes', md5('u' || n % 100)::uuid,
        CASE WHEN n % 4000 = 1 THEN 'style.updated' ELSE 'lesson.completed' END,
        CASE WHEN n % 4000 = 1 THEN 'style' ELSE 'lesson' END, md5('t' || n % 2)::uuid, 'T',
        CASE WHEN n % 4000 = 1 THEN '{\"before\": {}, \"after\": {}}' ELSE '{}' END::jsonb
    FROM generate_series(1, 24000) n;
    INSERT INTO activity_log (id, occurred_at, actor_id, action)
    SELECT md5('o' || n)::uuid, now() - n * interval '1 minute', md5('u' || n % 100)::uuid, 'user.signed_in'
    FROM generate_series(1, 3000) n;
    VACUUM ANALYZE activity_log";

/// Rows of the log that this connection has read, by index or not. Postgres hands the numbers of a transaction over at most once a
/// second, so those of earlier ones may be among them: only differences mean something.
async fn rows_read(connection: &mut PgConnection) -> i64 {
    sqlx::query_scalar(
        "SELECT sum(seq_tup_read + coalesce(idx_tup_fetch, 0))::bigint FROM pg_stat_xact_all_tables
         WHERE relname LIKE 'activity\\_log%'",
    )
    .fetch_one(connection)
    .await
    .unwrap()
}

#[tokio::test]
async fn a_page_costs_the_same_with_every_filter_at_any_depth() {
    let test = TestDb::new().await;
    for statement in FILL.split_inclusive(";\n") {
        run(test.owner(), statement).await;
    }
    let target: Uuid = scalar(test.pool(), "SELECT md5('t1')::uuid").await;
    let learner: Uuid = scalar(test.pool(), "SELECT md5('u1')::uuid").await;
    let long_ago: DateTime<Utc> = scalar(test.pool(), "SELECT now() - interval '300 days'").await;
    let now: DateTime<Utc> = scalar(test.pool(), "SELECT now()").await;
    let named = |name: &str| Some(name.to_owned());
    let filters = [
        Filter::default(),
        Filter { actor_id: Some(learner), ..Filter::default() },
        Filter { action: named("lesson.completed"), ..Filter::default() },
        Filter { action: named("style.updated"), ..Filter::default() },
        Filter { action: named("style.deleted"), ..Filter::default() },
        Filter { target_type: named("lesson"), ..Filter::default() },
        Filter { target_type: named("style"), ..Filter::default() },
        Filter { target_type: named("project"), ..Filter::default() },
        Filter { target_id: Some(target), ..Filter::default() },
        Filter {
            action: named("lesson.completed"),
            from: Some(long_ago - chrono::TimeDelta::days(1)),
            to: Some(long_ago),
            ..Filter::default()
        },
        Filter { target_type: named("lesson"), from: Some(now - chrono::TimeDelta::days(30)), ..Filter::default() },
    ];
    for filter in filters {
        for before in [None, Some((long_ago, Uuid::max()))] {
            let mut tx = test.db.begin().await.unwrap();
            let already = rows_read(&mut tx).await;
            let found = audit::list(&mut tx, &filter, before, 21).await.unwrap();
            let read = rows_read(&mut tx).await - already;
            // A few rows for each partition in which the page may begin, beside those that are shown.
            assert!(read <= 60, "{read} rows were read for {} with {filter:?} before {before:?}", found.len());
        }
    }
    let mut tx = test.db.begin().await.unwrap();
    let already = rows_read(&mut tx).await;
    assert_eq!(audit::history(&mut tx, "style", target, None, 21).await.unwrap().len(), 6);
    let read = rows_read(&mut tx).await - already;
    assert!(read <= 60, "{read} rows were read for a history");
}

#[tokio::test]
async fn a_page_of_learners_activity_reads_no_more_than_it_may_show() {
    let test = TestDb::new().await;
    for statement in FILL.split_inclusive(";\n") {
        run(test.owner(), statement).await;
    }
    run(
        test.owner(),
        "INSERT INTO users (id, email, first_name) SELECT md5('u' || n)::uuid, n || '@x.test', 'U' FROM generate_series(0, 99) n;
         ANALYZE users",
    )
    .await;
    let mut tx = test.db.begin().await.unwrap();
    assert_eq!(audit::recent_of_students(&mut tx, None, 21).await.unwrap().len(), 21);
    let read = rows_read(&mut tx).await;
    assert!(read <= 160, "{read} rows were read");
}
