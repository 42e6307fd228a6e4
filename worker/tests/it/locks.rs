//! Rows that somebody has locked and keeps locked, such as with an SQL editor that was left open, delay those who need them, and
//! nobody else.

use std::time::Duration;

use cairn_core::activity::{Action, RecordActivity, Verb};
use cairn_core::actor::{Actor, Origin};
use cairn_core::batcher::Batcher;
use cairn_core::community::jobs::CountLikes;
use cairn_core::learning::jobs::RollUpProgress;
use cairn_core::noun::Noun;
use cairn_testing::database::{run, until};
use cairn_testing::rows::{add_lesson, add_liked_projects, add_module, add_roadmap, add_stage, add_user, complete};
use sqlx::{AssertSqlSafe, Connection, PgConnection};
use uuid::Uuid;

use crate::support::Harness;

/// Learners of one roadmap with two lessons, who have completed the first.
struct Class {
    learners: Vec<Uuid>,
    roadmap: Uuid,
    lessons: [Uuid; 2],
}

impl Class {
    async fn new(harness: &Harness, size: usize) -> Self {
        let pool = harness.pool();
        let roadmap = add_roadmap(pool).await;
        let module = add_module(pool).await;
        let lessons = [add_lesson(pool, module).await, add_lesson(pool, module).await];
        add_stage(pool, roadmap, &lessons).await;
        let mut learners = Vec::new();
        for _ in 0..size {
            learners.push(add_user(pool).await);
        }
        let class = Self { learners, roadmap, lessons };
        class.complete(harness, 0).await;
        class
    }

    /// All of them complete a lesson, with the jobs that follow from it.
    async fn complete(&self, harness: &Harness, lesson: usize) {
        for &user_id in &self.learners {
            complete(harness.pool(), user_id, self.lessons[lesson]).await;
            let mut tx = harness.db.begin().await.unwrap();
            tx.enqueue(&RollUpProgress { user_id, roadmap_id: self.roadmap }).unwrap();
            let actor = Actor { user_id: Some(user_id), origin: Origin::default() };
            let event = Action::new(Noun::User, Verb::SignedIn).into_event(&actor, tx.now());
            tx.enqueue(&RecordActivity { event }).unwrap();
            tx.commit().await.unwrap();
        }
    }

    /// Whether everybody but the first learner, or the first as well, has their progress and their time.
    fn is_done_but(&self, first: &str) -> String {
        format!(
            "SELECT NOT EXISTS (SELECT FROM progress_dirty d JOIN users u ON u.id = d.user_id
                                WHERE d.roadmap_id = '{}' AND {first}
                                  AND (d.done_seq < d.requested_seq OR u.last_active_at IS NULL))",
            self.roadmap
        )
    }

    fn everybody_else(&self) -> String {
        self.is_done_but(&format!("d.user_id <> '{}'", self.learners[0]))
    }

    fn everybody(&self) -> String {
        self.is_done_but("true")
    }
}

async fn hold(harness: &Harness, statement: String) -> PgConnection {
    let mut holder = PgConnection::connect(&harness.url()).await.unwrap();
    let statement = format!("SET idle_in_transaction_session_timeout = 0; BEGIN; {statement}");
    sqlx::raw_sql(AssertSqlSafe(statement)).execute(&mut holder).await.unwrap();
    holder
}

#[tokio::test(flavor = "multi_thread")]
async fn a_locked_row_of_a_learner_delays_nobody_else() {
    for held in [
        "UPDATE users SET email = 'new.' || email WHERE id = '{}'",
        "SELECT FROM users WHERE id = '{}' FOR UPDATE",
        "UPDATE progress_dirty SET requested_seq = requested_seq + 1 WHERE user_id = '{}'",
        "UPDATE user_lesson_progress SET started_at = started_at WHERE user_id = '{}'",
        "UPDATE user_stage_progress SET updated_at = updated_at WHERE user_id = '{}'",
        "SELECT FROM user_roadmap_progress WHERE user_id = '{}' FOR UPDATE",
        "SELECT FROM user_event_heads WHERE user_id = '{}' FOR UPDATE",
    ] {
        let harness = Harness::new().await;
        let class = Class::new(&harness, 30).await;
        let worker = harness.start();
        until(harness.pool(), "everything is rolled up", class.everybody()).await;
        run(harness.pool(), "UPDATE users SET last_active_at = NULL").await;
        let holder = hold(&harness, held.replace("{}", &class.learners[0].to_string())).await;
        // Completing the lesson would wait for a marker that is locked.
        let others = Class { learners: class.learners[1..].to_vec(), ..class };
        others.complete(&harness, 1).await;
        let class = Class { learners: class.learners, ..others };
        let mut tx = harness.db.begin().await.unwrap();
        tx.enqueue(&RollUpProgress { user_id: class.learners[0], roadmap_id: class.roadmap }).unwrap();
        tx.commit().await.unwrap();
        until(harness.pool(), "the others are rolled up", class.everybody_else()).await;
        drop(holder);
        class.complete(&harness, 1).await;
        until(harness.pool(), "everything is rolled up", class.everybody()).await;
        until(harness.pool(), "nothing is left", "SELECT NOT EXISTS (SELECT FROM apalis.jobs WHERE status <> 'Done')")
            .await;
        worker.stop().await;
    }
}

/// Many in one batch need the row.
#[tokio::test(flavor = "multi_thread")]
async fn a_locked_roadmap_delays_only_those_who_begin_it() {
    let harness = Harness::new().await;
    let (blocked, free) = (Class::new(&harness, 30).await, Class::new(&harness, 30).await);
    let holder = hold(&harness, format!("SELECT FROM roadmaps WHERE id = '{}' FOR UPDATE", blocked.roadmap)).await;
    let worker = harness.start();
    until(harness.pool(), "the others are rolled up", free.everybody()).await;
    let untouched = format!(
        "SELECT NOT EXISTS (SELECT FROM user_roadmap_progress WHERE roadmap_id = '{}')
             AND NOT EXISTS (SELECT FROM apalis.jobs WHERE status IN ('Failed', 'Killed'))",
        blocked.roadmap
    );
    until(harness.pool(), "the roadmap is left for later, and no attempt is counted", untouched).await;
    drop(holder);
    until(harness.pool(), "everything is rolled up", blocked.everybody()).await;
    worker.stop().await;
}

/// There are more of them than connections for likes.
#[tokio::test(flavor = "multi_thread")]
async fn locked_projects_delay_the_likes_of_no_other_project() {
    let harness = Harness::new().await;
    let projects = add_liked_projects(harness.pool(), 40).await;
    let holder =
        hold(&harness, format!("SELECT FROM showcase_projects WHERE id <> '{}' FOR UPDATE", projects[39])).await;
    let mut tx = harness.db.begin().await.unwrap();
    for &project_id in &projects {
        tx.enqueue(&CountLikes { project_id }).unwrap();
    }
    tx.commit().await.unwrap();
    let worker = harness.start();
    until(harness.pool(), "the free one is counted", "SELECT count(*) = 39 FROM likes_dirty").await;
    drop(holder);
    until(harness.pool(), "all are counted", "SELECT count(*) = 0 FROM likes_dirty").await;
    let wasted = "SELECT count(*) = 0 FROM apalis.jobs WHERE job_type = 'likes' AND status = 'Done' AND attempts > 1";
    until(harness.pool(), "no attempt was counted", wasted).await;
    worker.stop().await;
}

/// A batch for which no statement can tell what is locked is halved until the item is found.
#[tokio::test]
async fn one_item_that_waits_for_a_lock_fails_alone() {
    let harness = Harness::new().await;
    let holder = hold(&harness, "SELECT pg_advisory_xact_lock(7)".to_owned()).await;
    let db = harness.db.clone();
    let batcher = Batcher::start(100, Duration::from_secs(10), move |keys: Vec<i64>| {
        let db = db.clone();
        async move {
            let mut tx = db.begin().await?;
            sqlx::raw_sql("SET LOCAL lock_timeout = '20ms'").execute(&mut *tx).await?;
            sqlx::query("SELECT pg_advisory_xact_lock(key) FROM unnest($1::bigint[]) AS k (key)")
                .bind(&keys)
                .execute(&mut *tx)
                .await?;
            tx.commit().await?;
            Ok(keys)
        }
    });
    let results = futures_util::future::join_all((0..100).map(|key| batcher.run(key))).await;
    for (key, result) in (0..).zip(results) {
        match result {
            Ok(done) => assert_eq!(done, key),
            Err(error) => assert!(key == 7 && error.is_blocked(), "{key}: {error}"),
        }
    }
    drop(holder);
    let free = "SELECT NOT EXISTS (SELECT FROM pg_locks JOIN pg_database d ON d.oid = database
                                   WHERE locktype = 'advisory' AND objid = 7 AND datname = current_database())";
    until(harness.pool(), "the lock is free", free).await;
    assert_eq!(batcher.run(7).await.unwrap(), 7);
}
