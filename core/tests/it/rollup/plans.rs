//! The rows that a rollup reads, whatever the planner expects.

use cairn_core::actor::{Caller, Origin, Role};
use cairn_core::learning::rollup::{Pair, Skip, roll_up};
use cairn_core::learning::{catalog, tree, tree_progress};
use sqlx::{AssertSqlSafe, PgConnection};
use uuid::Uuid;

use super::roll_up_pairs;
use cairn_testing::database::{TestDb, run};
use cairn_testing::rows::{add_lesson, add_module, add_roadmap, add_stage, add_user, complete, complete_statement};

/// Statistics say that there is no progress yet, as on the first day of a platform. The cheapest plan then reads whole tables,
/// and it stays in use while they grow.
#[tokio::test]
async fn a_rollup_reads_only_its_learner_even_if_statistics_say_progress_is_empty() {
    const LEARNERS: usize = 60;
    let test = TestDb::with_connections(1).await;
    let pool = test.pool();
    let module = add_module(pool).await;
    let lessons = [add_lesson(pool, module).await, add_lesson(pool, module).await];
    let roadmap_id = add_roadmap(pool).await;
    add_stage(pool, roadmap_id, &lessons).await;
    run(test.owner(), "ANALYZE").await;
    run(pool, "SET plan_cache_mode = force_generic_plan").await;
    let mut pairs = Vec::new();
    for _ in 0..LEARNERS {
        let user_id = add_user(pool).await;
        complete(pool, user_id, lessons[0]).await;
        pairs.push(Pair { user_id, roadmap_id });
    }
    for pair in &pairs {
        roll_up_pairs(&test.db, &[*pair]).await;
    }
    complete(pool, pairs[0].user_id, lessons[1]).await;
    let mut tx = test.db.begin().await.unwrap();
    let before = rows_read(&mut tx).await;
    assert_eq!(roll_up(&mut tx, &pairs[..1], Skip::Markers).await.unwrap(), []);
    let read = rows_read(&mut tx).await - before;
    assert!(read > 0 && read < 20, "{read} rows were read for one learner of {LEARNERS}");
}

/// Connections keep the plan that marks progress as stale, so it may have been made when there were no users yet.
#[tokio::test]
async fn a_fact_reads_only_its_learner_even_if_statistics_say_there_are_no_users() {
    let test = TestDb::with_connections(1).await;
    let pool = test.pool();
    let module = add_module(pool).await;
    let lessons = [add_lesson(pool, module).await, add_lesson(pool, module).await];
    let roadmap_id = add_roadmap(pool).await;
    add_stage(pool, roadmap_id, &lessons).await;
    run(test.owner(), "ANALYZE").await;
    run(pool, "SET plan_cache_mode = force_generic_plan").await;
    let user_id = add_user(pool).await;
    complete(pool, user_id, lessons[0]).await;
    for _ in 0..60 {
        add_user(pool).await;
    }
    let mut tx = test.db.begin().await.unwrap();
    let before = rows_read(&mut tx).await;
    sqlx::raw_sql(AssertSqlSafe(complete_statement(user_id, lessons[1]))).execute(&mut *tx).await.unwrap();
    let read = rows_read(&mut tx).await - before;
    assert!(read > 0 && read < 20, "{read} rows were read for one learner of 61");
    assert_eq!(scalar_in(&mut tx, "SELECT requested_seq FROM progress_dirty").await, 2);
}

async fn scalar_in(connection: &mut PgConnection, query: &'static str) -> i64 {
    sqlx::query_scalar(query).fetch_one(connection).await.unwrap()
}

/// The statement that reads trees is the most frequent one of all.
#[tokio::test]
async fn a_tree_reads_only_its_learner() {
    const LEARNERS: i32 = 3000;
    let test = TestDb::with_connections(1).await;
    let pool = test.pool();
    let module = add_module(pool).await;
    let lessons = [add_lesson(pool, module).await, add_lesson(pool, module).await];
    let roadmap_id = add_roadmap(pool).await;
    add_stage(pool, roadmap_id, &lessons).await;
    let create =
        "INSERT INTO users (email, first_name) SELECT n || '@example.test', 'Learner' FROM generate_series(1, $1) n
                  RETURNING id";
    let learners: Vec<Uuid> = sqlx::query_scalar(create).bind(LEARNERS).fetch_all(pool).await.unwrap();
    let complete = "INSERT INTO user_lesson_progress (user_id, lesson_id, status, completed_at)
                    SELECT id, $1, 'completed', now() FROM users";
    sqlx::query(complete).bind(lessons[0]).execute(pool).await.unwrap();
    let pairs: Vec<Pair> = learners.iter().map(|&user_id| Pair { user_id, roadmap_id }).collect();
    roll_up_pairs(&test.db, &pairs).await;
    run(test.owner(), "ANALYZE").await;
    run(pool, "SET plan_cache_mode = force_generic_plan").await;
    let mut tx = test.db.begin().await.unwrap();
    let content = tree::content(&mut tx, roadmap_id).await.unwrap();
    for &user_id in &learners[..5] {
        let caller = Caller { user_id, session_id: Uuid::nil(), role: Role::Student, origin: Origin::default() };
        let before = rows_read(&mut tx).await;
        let progress = tree_progress::progress(&mut tx, &caller, &content).await.unwrap().unwrap();
        assert_eq!((progress.roadmap.lessons_completed, progress.facts.len()), (1, 1));
        let read = rows_read(&mut tx).await - before;
        assert!(read > 0 && read < 20, "{read} rows were read for one learner of {LEARNERS}");
    }
}

/// What a learner did nothing in is counted from the facts: those of all roadmaps of a page together.
#[tokio::test]
async fn a_page_of_roadmaps_reads_the_facts_of_its_learner_once() {
    let test = TestDb::with_connections(1).await;
    let pool = test.pool();
    let module = add_module(pool).await;
    let lessons = [add_lesson(pool, module).await, add_lesson(pool, module).await];
    for _ in 0..40 {
        let roadmap_id = add_roadmap(pool).await;
        add_stage(pool, roadmap_id, &lessons[..1]).await;
    }
    let user_id = add_user(pool).await;
    complete(pool, user_id, lessons[1]).await;
    run(pool, "ANALYZE; SET plan_cache_mode = force_generic_plan").await;
    let mut tx = test.db.begin().await.unwrap();
    let caller = Caller { user_id, session_id: Uuid::nil(), role: Role::Student, origin: Origin::default() };
    let before = rows_read(&mut tx).await;
    assert_eq!(catalog::roadmaps(&mut tx, &caller, None, 100).await.unwrap().len(), 40);
    let read = rows_read(&mut tx).await - before;
    assert!(read < 20, "{read} rows were read for 40 roadmaps");
}

/// How many rows of users and their progress this connection has read so far.
async fn rows_read(connection: &mut PgConnection) -> i64 {
    sqlx::query_scalar(
        "SELECT sum(seq_tup_read + coalesce(idx_tup_fetch, 0))::bigint FROM pg_stat_xact_user_tables
         WHERE relname IN
             ('users', 'progress_dirty', 'user_lesson_progress', 'user_stage_progress', 'user_roadmap_progress')",
    )
    .fetch_one(connection)
    .await
    .unwrap()
}
