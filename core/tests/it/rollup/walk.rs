//! Single steps of the rollup, and the walk over everybody in a roadmap.

use cairn_core::clock::Clock;
use cairn_core::db::Db;
use cairn_core::jobs::{Job, RecomputeRoadmap, RecordActivity};
use cairn_core::learning::rollup::{Pair, roll_up};
use uuid::Uuid;

use super::expected::differences;
use super::{drain_markers, drain_roadmaps, roll_up_pairs, run_chunk, take_chunks};
use crate::support::{
    TestDb, add_lesson, add_module, add_roadmap, add_stage, add_user, complete, jobs, link, rows, run, scalar, until,
};

/// A learner and a roadmap with two lessons in one stage.
async fn add_pair(test: &TestDb) -> (Pair, [Uuid; 2]) {
    let pool = test.pool();
    let module = add_module(pool).await;
    let lessons = [add_lesson(pool, module).await, add_lesson(pool, module).await];
    let roadmap_id = add_roadmap(pool).await;
    add_stage(pool, roadmap_id, &lessons).await;
    drain_roadmaps(&test.db).await;
    (Pair { user_id: add_user(pool).await, roadmap_id }, lessons)
}

async fn stored_percent(test: &TestDb, pair: Pair) -> Option<i16> {
    let Pair { user_id, roadmap_id } = pair;
    let query = format!(
        "SELECT percent FROM user_roadmap_progress WHERE (user_id, roadmap_id) = ('{user_id}', '{roadmap_id}')"
    );
    rows::<(Option<i16>,)>(test.pool(), query).await.first().and_then(|row| row.0)
}

/// A pool of which the database's clock moves only when told.
async fn stop_clock(test: &TestDb) -> Db {
    let statements = "CREATE TABLE stopped_clock AS SELECT now() AS time;
         CREATE FUNCTION public.clock_timestamp() RETURNS timestamptz LANGUAGE sql VOLATILE AS 'SELECT time FROM stopped_clock';
         DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET search_path = public, pg_catalog', current_database()); END $$";
    run(test.pool(), statements).await;
    Db::connect(test.url(), test.url(), 2).unwrap()
}

/// Acts on a lesson and has it rolled up: `false` = the pair rests.
async fn act(db: &Db, pair: Pair, lesson: Uuid) -> bool {
    run(db.pool(), format!("DELETE FROM user_lesson_progress WHERE lesson_id = '{lesson}'")).await;
    complete(db.pool(), pair.user_id, lesson).await;
    let before: i64 = scalar(db.pool(), "SELECT done_seq FROM progress_dirty").await;
    let resting = roll_up_pairs(db, &[pair]).await;
    let after: i64 = scalar(db.pool(), "SELECT done_seq FROM progress_dirty").await;
    assert!(resting.is_empty() || resting == [pair]);
    assert_eq!(after > before, resting.is_empty(), "a resting pair is not touched");
    resting.is_empty()
}

#[tokio::test]
async fn a_pair_that_is_rolled_up_too_often_rests() {
    let test = TestDb::new().await;
    let (pair, [lesson, _]) = add_pair(&test).await;
    let db = stop_clock(&test).await;
    // After so many milliseconds: whether there is a rollup.
    for (wait, expected) in [
        (0, vec![true, true, true, false, false]), // in a row
        (499, vec![false]),
        (1, vec![true, false]), // then two in a second
        (500, vec![true, false]),
        (1000, vec![true, true, false]),
        (3_600_000, vec![true, true, true, false]), // a long pause earns no more than the first credit
        (-7_200_000, vec![true, false]),            // and a clock that is set back costs no more than it
        (1500, vec![true, true, true, false]),
    ] {
        run(db.pool(), format!("UPDATE stopped_clock SET time = time + interval '{wait} milliseconds'")).await;
        for (n, expected) in expected.into_iter().enumerate() {
            assert_eq!(act(&db, pair, lesson).await, expected, "act {n} after {wait} ms");
        }
    }
    assert_eq!(roll_up_pairs(&db, &[pair]).await, [pair], "it is asked to come back for");
    run(db.pool(), "UPDATE stopped_clock SET time = time + interval '1 second'").await;
    assert_eq!(roll_up_pairs(&db, &[pair]).await, []);
    assert_eq!(roll_up_pairs(&db, &[pair]).await, [], "it is not stale: nobody has to come back");
    assert_eq!(differences(test.pool()).await, [""; 0]);
}

/// Two rollups can share a transaction, and two transactions can begin in the same microsecond: what the first achieved
/// the second has not.
#[tokio::test]
async fn an_achievement_is_told_once_whatever_the_clock_says() {
    let test = TestDb::new().await;
    let (pair, lessons) = add_pair(&test).await;
    for lesson in lessons {
        complete(test.pool(), pair.user_id, lesson).await;
    }
    let mut tx = test.db.begin().await.unwrap();
    for _ in 0..3 {
        assert_eq!(roll_up(&mut tx, &Clock::default(), &[pair]).await.unwrap(), []);
        sqlx::raw_sql(
            "UPDATE user_lesson_progress SET status = 'in_progress', completed_at = NULL;
             UPDATE user_lesson_progress SET status = 'completed', completed_at = now();
             UPDATE progress_dirty SET paid_until = NULL",
        )
        .execute(&mut *tx)
        .await
        .unwrap();
    }
    tx.commit().await.unwrap();
    let mut actions: Vec<String> =
        jobs::<RecordActivity>(test.pool()).await.into_iter().map(|job| job.event.action).collect();
    actions.sort();
    assert_eq!(actions, ["roadmap.achieved", "stage.achieved"]);
}

/// Removes stages, lessons and learners under a pair's feet.
#[tokio::test]
async fn what_is_gone_is_nothing_to_roll_up() {
    let test = TestDb::new().await;
    let (pair, lessons) = add_pair(&test).await;
    complete(test.pool(), pair.user_id, lessons[0]).await;
    let nowhere = Pair { roadmap_id: Uuid::nil(), ..pair };
    let nobody = Pair { user_id: Uuid::nil(), ..pair };
    assert_eq!(roll_up_pairs(&test.db, &[nowhere, pair, nobody, pair]).await, []);
    assert_eq!(stored_percent(&test, pair).await, Some(50));
    run_chunk(&test.db, RecomputeRoadmap { roadmap_id: Uuid::nil(), content_version: 1, after_user: None }).await;
    assert_eq!(take_chunks(&test.db).await.len(), 0);
    assert_eq!(roll_up_pairs(&test.db, &[]).await, []);
}

/// A row that somebody deletes by hand, instead of marking it as deleted.
#[tokio::test]
async fn a_roadmap_that_is_destroyed_counts_no_more() {
    let test = TestDb::new().await;
    let pool = test.pool();
    let module = add_module(pool).await;
    let (one, two) = (add_lesson(pool, module).await, add_lesson(pool, module).await);
    let (kept, destroyed) = (add_roadmap(pool).await, add_roadmap(pool).await);
    add_stage(pool, kept, &[one]).await;
    add_stage(pool, destroyed, &[two]).await;
    let (in_both, in_one) = (add_user(pool).await, add_user(pool).await);
    for (user, lesson) in [(in_both, one), (in_both, two), (in_one, two)] {
        run(pool, format!("INSERT INTO user_lesson_progress (user_id, lesson_id) VALUES ('{user}', '{lesson}')")).await;
    }
    complete(pool, in_both, one).await;
    drain_markers(&test.db).await;
    drain_roadmaps(&test.db).await;
    let percent = async |user: Uuid| -> Option<i16> {
        scalar(pool, format!("SELECT progress_percent FROM users WHERE id = '{user}'")).await
    };
    assert_eq!((percent(in_both).await, percent(in_one).await), (Some(50), Some(0)));
    run(pool, format!("DELETE FROM roadmaps WHERE id = '{destroyed}'")).await;
    drain_markers(&test.db).await;
    assert_eq!((percent(in_both).await, percent(in_one).await), (Some(100), None));
    assert_eq!(differences(pool).await, [""; 0]);
}

/// A stage of which learners have rows moves to a roadmap that they have not started.
#[tokio::test]
async fn a_stage_that_moves_takes_its_rows_along() {
    let test = TestDb::new().await;
    let (pair, lessons) = add_pair(&test).await;
    let pool = test.pool();
    let stage = add_stage(pool, pair.roadmap_id, &[]).await;
    complete(pool, pair.user_id, lessons[0]).await;
    drain_markers(&test.db).await;
    drain_roadmaps(&test.db).await;
    let other = add_roadmap(pool).await;
    run(pool, format!("UPDATE stages SET roadmap_id = '{other}' WHERE id = '{stage}'")).await;
    let later = add_lesson(pool, scalar(pool, "SELECT id FROM course_modules LIMIT 1").await).await;
    link(pool, stage, later).await;
    drain_markers(&test.db).await;
    drain_roadmaps(&test.db).await;
    assert_eq!(differences(pool).await, [""; 0]);
    let total = format!("SELECT lessons_total FROM user_stage_progress WHERE stage_id = '{stage}'");
    assert_eq!(scalar::<i32>(pool, total).await, 1);
}

/// More learners than one job does.
const LEARNERS: i64 = 1100;

/// Learners who completed the first of two lessons, rolled up.
async fn add_crowd(test: &TestDb) -> (Uuid, [Uuid; 2]) {
    let (pair, lessons) = add_pair(test).await;
    let statements = format!(
        "INSERT INTO users (email, first_name) SELECT 'learner-' || n || '@example.test', 'Learner'
             FROM generate_series(2, {LEARNERS}) n;
         INSERT INTO user_lesson_progress (user_id, lesson_id, status, completed_at)
             SELECT id, '{}', 'completed', now() FROM users",
        lessons[0]
    );
    run(test.pool(), statements).await;
    drain_markers(&test.db).await;
    (pair.roadmap_id, lessons)
}

async fn walk(test: &TestDb, roadmap_id: Uuid) -> RecomputeRoadmap {
    let query = format!("SELECT content_version FROM roadmaps WHERE id = '{roadmap_id}'");
    RecomputeRoadmap { roadmap_id, content_version: scalar(test.pool(), query).await, after_user: None }
}

async fn learners_at(test: &TestDb, percent: i16) -> i64 {
    scalar(test.pool(), format!("SELECT count(*) FROM user_roadmap_progress WHERE percent = {percent}")).await
}

async fn is_recomputed(test: &TestDb) -> bool {
    scalar(test.pool(), "SELECT recomputed_version = content_version FROM roadmaps").await
}

#[tokio::test]
async fn a_roadmap_is_walked_in_chunks_that_continue_each_other() {
    let test = TestDb::new().await;
    let (roadmap, lessons) = add_crowd(&test).await;
    assert_eq!(learners_at(&test, 50).await, LEARNERS);
    run(test.pool(), format!("DELETE FROM stage_lessons WHERE lesson_id = '{}'", lessons[1])).await;
    let mut job = walk(&test, roadmap).await;
    for done in [500, 1000, LEARNERS] {
        run_chunk(&test.db, job).await;
        assert_eq!(learners_at(&test, 100).await, done);
        assert!(!is_recomputed(&test).await, "not before the last learner");
        // The same chunk again, as after a crash: nothing changes but that there are two walks now.
        run_chunk(&test.db, job).await;
        assert_eq!(learners_at(&test, 100).await, done);
        let next = take_chunks(&test.db).await;
        assert_eq!(next.len(), 2);
        assert_eq!(next[0].after_user, next[1].after_user);
        job = next[0];
    }
    run_chunk(&test.db, job).await;
    assert!(is_recomputed(&test).await);
    assert_eq!(take_chunks(&test.db).await.len(), 0);
    assert_eq!(differences(test.pool()).await, [""; 0]);
    let events = jobs::<RecordActivity>(test.pool()).await;
    assert_eq!(i64::try_from(events.len()).unwrap(), 2 * LEARNERS);
}

#[tokio::test]
async fn a_walk_begins_again_when_the_content_changes_under_it() {
    let test = TestDb::new().await;
    let (roadmap, lessons) = add_crowd(&test).await;
    let edit = async |required: bool| {
        let statement = format!("UPDATE stage_lessons SET is_required = {required} WHERE lesson_id = '{}'", lessons[1]);
        run(test.pool(), statement).await;
    };
    edit(false).await;
    run_chunk(&test.db, walk(&test, roadmap).await).await;
    let [job] = take_chunks(&test.db).await[..] else { panic!("one chunk follows") };
    edit(true).await;
    run_chunk(&test.db, job).await;
    let [restarted] = take_chunks(&test.db).await[..] else { panic!("one walk follows") };
    assert_eq!(restarted.after_user, None);
    assert_eq!(restarted.content_version, job.content_version + 1);
    let mut next = vec![restarted];
    while let Some(job) = next.pop() {
        run_chunk(&test.db, job).await;
        next.extend(take_chunks(&test.db).await);
    }
    assert!(is_recomputed(&test).await);
    assert_eq!(learners_at(&test, 50).await, LEARNERS);
    assert_eq!(differences(test.pool()).await, [""; 0]);
}

/// The edit commits after the last learner was done, and before that is written down.
#[tokio::test]
async fn a_walk_does_not_reach_a_version_that_it_has_not_seen() {
    let test = TestDb::new().await;
    let (pair, lessons) = add_pair(&test).await;
    complete(test.pool(), pair.user_id, lessons[0]).await;
    drain_markers(&test.db).await;
    let edit = format!("UPDATE stage_lessons SET is_required = false WHERE lesson_id = '{}'", lessons[0]);
    run(test.pool(), edit).await;
    run_chunk(&test.db, walk(&test, pair.roadmap_id).await).await;
    let [last] = take_chunks(&test.db).await[..] else { panic!("one chunk follows") };
    let mut open = test.connect().await;
    sqlx::raw_sql("BEGIN; UPDATE stages SET publication = 'draft'").execute(&mut open).await.unwrap();
    let chunk = tokio::spawn({
        let db = test.db.clone();
        async move { run_chunk(&db, last).await }
    });
    until(test.pool(), "the chunk waits", "SELECT EXISTS (SELECT FROM pg_locks WHERE NOT granted)").await;
    sqlx::raw_sql("COMMIT").execute(&mut open).await.unwrap();
    chunk.await.unwrap();
    assert!(!is_recomputed(&test).await);
    drain_roadmaps(&test.db).await;
    assert_eq!(differences(test.pool()).await, [""; 0]);
}

/// Each of a hundred edits enqueues a walk; the first that finishes does for all.
#[tokio::test]
async fn a_walk_to_a_version_that_was_reached_ends_at_once() {
    let test = TestDb::new().await;
    let (roadmap, lessons) = add_crowd(&test).await;
    run(test.pool(), format!("DELETE FROM stage_lessons WHERE lesson_id = '{}'", lessons[1])).await;
    let job = walk(&test, roadmap).await;
    drain_roadmaps(&test.db).await;
    for stale in [0, 1] {
        run_chunk(&test.db, RecomputeRoadmap { content_version: job.content_version - stale, ..job }).await;
        assert_eq!(take_chunks(&test.db).await.len(), 0, "{} from {stale} versions ago", RecomputeRoadmap::KIND);
    }
}
