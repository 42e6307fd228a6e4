//! Single steps of the rollup, and the recomputation of everyone in a roadmap.

use cairn_core::activity::RecordActivity;
use cairn_core::db::Db;
use cairn_core::learning::jobs::RecomputeRoadmap;
use cairn_core::learning::recompute;
use cairn_core::learning::rollup::{Pair, Skip, roll_up};
use cairn_core::queue::Job;
use uuid::Uuid;

use super::{drain_markers, drain_roadmaps, roll_up_pairs, run_chunk, take_chunks};
use cairn_testing::database::{TestDb, jobs, rows, run, scalar};
use cairn_testing::expected_progress::differences;
use cairn_testing::rows::{add_lesson, add_module, add_roadmap, add_stage, add_user, complete, link};

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

/// A pool on a database whose clock only moves when the test changes it.
async fn stop_clock(test: &TestDb) -> Db {
    let statements = "CREATE TABLE stopped_clock AS SELECT now() AS time;
         CREATE FUNCTION public.clock_timestamp() RETURNS timestamptz LANGUAGE sql VOLATILE AS 'SELECT time FROM stopped_clock'";
    run(test.owner(), statements).await;
    // On its only session, because sessions of the programs look into the schema public alone, and pg_catalog comes before that.
    let db = Db::connect(test.url(), test.url(), 1).unwrap();
    run(db.pool(), "SET search_path = public, pg_catalog").await;
    db
}

/// Changes a fact and rolls the pair up. Returns false if the pair was throttled.
async fn act(db: &Db, pair: Pair, lesson: Uuid) -> bool {
    run(db.pool(), format!("DELETE FROM user_lesson_progress WHERE lesson_id = '{lesson}'")).await;
    complete(db.pool(), pair.user_id, lesson).await;
    let before: i64 = scalar(db.pool(), "SELECT done_seq FROM progress_dirty").await;
    let deferred = roll_up_pairs(db, &[pair]).await;
    let after: i64 = scalar(db.pool(), "SELECT done_seq FROM progress_dirty").await;
    assert!(deferred.is_empty() || deferred == [pair]);
    assert_eq!(after > before, deferred.is_empty(), "a throttled pair is not touched");
    deferred.is_empty()
}

#[tokio::test]
async fn a_pair_that_is_rolled_up_too_often_is_throttled() {
    let test = TestDb::new().await;
    let (pair, [lesson, _]) = add_pair(&test).await;
    let db = stop_clock(&test).await;
    // How many milliseconds to wait, and whether each of the following changes is rolled up.
    for (wait, expected) in [
        (0, vec![true, true, true, false, false]), // a burst of three
        (499, vec![false]),
        (1, vec![true, false]), // then two in a second
        (500, vec![true, false]),
        (1000, vec![true, true, false]),
        (3_600_000, vec![true, true, true, false]), // a long pause allows no more than one burst
        (-7_200_000, vec![true, false]),            // a clock that is set back does not throttle for long
        (1500, vec![true, true, true, false]),
    ] {
        run(db.pool(), format!("UPDATE stopped_clock SET time = time + interval '{wait} milliseconds'")).await;
        for (n, expected) in expected.into_iter().enumerate() {
            assert_eq!(act(&db, pair, lesson).await, expected, "act {n} after {wait} ms");
        }
    }
    assert_eq!(roll_up_pairs(&db, &[pair]).await, [pair], "the caller has to try it again");
    run(db.pool(), "UPDATE stopped_clock SET time = time + interval '1 second'").await;
    assert_eq!(roll_up_pairs(&db, &[pair]).await, []);
    assert_eq!(roll_up_pairs(&db, &[pair]).await, [], "it is no longer stale");
    assert_eq!(differences(test.pool()).await, [""; 0]);
}

/// Two rollups can share a transaction, and two transactions can begin in the same microsecond. Only the first of them
/// records an achievement.
#[tokio::test]
async fn an_achievement_is_recorded_once_whatever_the_clock_says() {
    let test = TestDb::new().await;
    let (pair, lessons) = add_pair(&test).await;
    for lesson in lessons {
        complete(test.pool(), pair.user_id, lesson).await;
    }
    let mut tx = test.db.begin().await.unwrap();
    for _ in 0..3 {
        assert_eq!(roll_up(&mut tx, &[pair], Skip::Markers).await.unwrap(), []);
        sqlx::raw_sql(
            "UPDATE user_lesson_progress SET status = 'in_progress', completed_at = NULL;
             UPDATE user_lesson_progress SET status = 'completed', completed_at = now();
             UPDATE progress_dirty SET throttled_until = NULL",
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

/// Rolls up pairs whose user or roadmap does not exist.
#[tokio::test]
async fn pairs_that_do_not_exist_are_skipped() {
    let test = TestDb::new().await;
    let (pair, lessons) = add_pair(&test).await;
    complete(test.pool(), pair.user_id, lessons[0]).await;
    let without_roadmap = Pair { roadmap_id: Uuid::nil(), ..pair };
    let without_user = Pair { user_id: Uuid::nil(), ..pair };
    assert_eq!(roll_up_pairs(&test.db, &[without_roadmap, pair, without_user, pair]).await, []);
    assert_eq!(stored_percent(&test, pair).await, Some(50));
    run_chunk(&test.db, RecomputeRoadmap { roadmap_id: Uuid::nil(), content_version: 1, after_user: None }).await;
    assert_eq!(take_chunks(&test.db).await.len(), 0);
    assert_eq!(roll_up_pairs(&test.db, &[]).await, []);
}

/// The row is deleted by hand instead of being marked as deleted.
#[tokio::test]
async fn a_roadmap_whose_row_is_deleted_no_longer_counts() {
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

/// A stage with stored progress moves to a roadmap that its learners have not started.
#[tokio::test]
async fn a_stage_that_moves_to_another_roadmap_keeps_its_progress() {
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

#[expect(clippy::cast_possible_wrap, reason = "the constant is small")]
const CHUNK: i64 = recompute::CHUNK as i64;
/// More than two chunks.
const LEARNERS: i64 = 2 * CHUNK + CHUNK / 2;

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

async fn first_job(test: &TestDb, roadmap_id: Uuid) -> RecomputeRoadmap {
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
async fn a_roadmap_is_recomputed_in_chunks_that_continue_each_other() {
    let test = TestDb::new().await;
    let (roadmap, lessons) = add_crowd(&test).await;
    assert_eq!(learners_at(&test, 50).await, LEARNERS);
    run(test.pool(), format!("DELETE FROM stage_lessons WHERE lesson_id = '{}'", lessons[1])).await;
    let mut job = first_job(&test, roadmap).await;
    for done in [CHUNK, 2 * CHUNK] {
        run_chunk(&test.db, job).await;
        assert_eq!(learners_at(&test, 100).await, done);
        assert!(!is_recomputed(&test).await, "not before the last learner");
        let [next] = take_chunks(&test.db).await[..] else { panic!("one chunk follows") };
        job = next;
    }
    run_chunk(&test.db, job).await;
    assert_eq!(learners_at(&test, 100).await, LEARNERS);
    assert!(is_recomputed(&test).await);
    assert_eq!(take_chunks(&test.db).await.len(), 0);
    assert_eq!(differences(test.pool()).await, [""; 0]);
    let events = jobs::<RecordActivity>(test.pool()).await;
    assert_eq!(i64::try_from(events.len()).unwrap(), 2 * LEARNERS);
}

#[tokio::test]
async fn a_pass_starts_again_when_the_content_changes_meanwhile() {
    let test = TestDb::new().await;
    let (roadmap, lessons) = add_crowd(&test).await;
    let edit = async |required: bool| {
        let statement = format!("UPDATE stage_lessons SET is_required = {required} WHERE lesson_id = '{}'", lessons[1]);
        run(test.pool(), statement).await;
    };
    edit(false).await;
    run_chunk(&test.db, first_job(&test, roadmap).await).await;
    let [job] = take_chunks(&test.db).await[..] else { panic!("one chunk follows") };
    assert_eq!(learners_at(&test, 100).await, CHUNK);
    edit(true).await;
    run_chunk(&test.db, job).await;
    assert_eq!(learners_at(&test, 100).await, 0, "the pass starts with the same learners again");
    let [restarted] = take_chunks(&test.db).await[..] else { panic!("one chunk follows") };
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

/// Another transaction is editing the roadmap when the last learner is recomputed.
#[tokio::test]
async fn a_pass_does_not_mark_a_version_that_it_has_not_seen() {
    let test = TestDb::new().await;
    let (pair, lessons) = add_pair(&test).await;
    complete(test.pool(), pair.user_id, lessons[0]).await;
    drain_markers(&test.db).await;
    let edit = format!("UPDATE stage_lessons SET is_required = false WHERE lesson_id = '{}'", lessons[0]);
    run(test.pool(), edit).await;
    let mut open = test.connect().await;
    sqlx::raw_sql("BEGIN; UPDATE stages SET publication = 'draft'").execute(&mut open).await.unwrap();
    run_chunk(&test.db, first_job(&test, pair.roadmap_id).await).await;
    assert_eq!(stored_percent(&test, pair).await, Some(0), "the pass did not wait for the edit");
    let [again] = take_chunks(&test.db).await[..] else { panic!("the pass continues later") };
    sqlx::raw_sql("COMMIT").execute(&mut open).await.unwrap();
    assert!(!is_recomputed(&test).await);
    run_chunk(&test.db, again).await;
    assert!(is_recomputed(&test).await);
    drain_roadmaps(&test.db).await;
    assert_eq!(differences(test.pool()).await, [""; 0]);
}

/// Each of several edits enqueues a pass, but the first one that finishes is enough.
#[tokio::test]
async fn a_pass_to_a_version_that_was_reached_ends_immediately() {
    let test = TestDb::new().await;
    let (roadmap, lessons) = add_crowd(&test).await;
    run(test.pool(), format!("DELETE FROM stage_lessons WHERE lesson_id = '{}'", lessons[1])).await;
    let job = first_job(&test, roadmap).await;
    drain_roadmaps(&test.db).await;
    for stale in [0, 1] {
        run_chunk(&test.db, RecomputeRoadmap { content_version: job.content_version - stale, ..job }).await;
        assert_eq!(take_chunks(&test.db).await.len(), 0, "{} from {stale} versions ago", RecomputeRoadmap::KIND);
    }
}

/// Records the learners of every later rollup, whatever starts it.
async fn record_computed(test: &TestDb) {
    let statements = "CREATE TABLE computed (user_id uuid NOT NULL);
         CREATE FUNCTION record_computed() RETURNS trigger LANGUAGE plpgsql AS $$
             BEGIN INSERT INTO computed VALUES (NEW.user_id); RETURN NULL; END $$;
         CREATE TRIGGER record_computed AFTER UPDATE OF done_version ON progress_dirty
             FOR EACH ROW EXECUTE FUNCTION record_computed()";
    run(test.owner(), statements).await;
}

/// The number of learners that were computed, and the total number of computations.
async fn computed(test: &TestDb) -> (i64, i64) {
    rows::<(i64, i64)>(test.pool(), "SELECT count(DISTINCT user_id), count(*) FROM computed").await[0]
}

/// A chunk runs twice, as after a crash, and the pass is started again, as by the reconciler.
#[tokio::test]
async fn no_learner_is_recomputed_twice_however_often_the_pass_starts() {
    let test = TestDb::new().await;
    let (roadmap, lessons) = add_crowd(&test).await;
    run(test.pool(), format!("DELETE FROM stage_lessons WHERE lesson_id = '{}'", lessons[1])).await;
    record_computed(&test).await;
    let first = first_job(&test, roadmap).await;
    run_chunk(&test.db, first).await;
    let [second] = take_chunks(&test.db).await[..] else { panic!("one chunk follows") };
    for job in [second, first, second, first, first] {
        run_chunk(&test.db, job).await;
    }
    assert_eq!(computed(&test).await, (LEARNERS, LEARNERS));
    assert!(is_recomputed(&test).await);
    assert_eq!(differences(test.pool()).await, [""; 0]);
}

/// The transaction of one learner is open when the pass reaches them.
#[tokio::test]
async fn a_learner_whose_marker_is_locked_is_skipped_and_visited_again() {
    let test = TestDb::new().await;
    let (roadmap, lessons) = add_crowd(&test).await;
    run(test.pool(), format!("DELETE FROM stage_lessons WHERE lesson_id = '{}'", lessons[1])).await;
    let mut acting = test.connect().await;
    let first = "SELECT user_id FROM progress_dirty ORDER BY user_id LIMIT 1 FOR UPDATE";
    sqlx::raw_sql("BEGIN").execute(&mut acting).await.unwrap();
    let learner: Uuid = sqlx::query_scalar(first).fetch_one(&mut acting).await.unwrap();
    let mut next = vec![first_job(&test, roadmap).await];
    for _ in 0..3 {
        run_chunk(&test.db, next.pop().unwrap()).await;
        next = take_chunks(&test.db).await;
    }
    assert_eq!(learners_at(&test, 100).await, LEARNERS - 1, "the others do not wait for the skipped learner");
    let [again] = next[..] else { panic!("the pass continues later") };
    assert_eq!(again.after_user, None);
    assert!(!is_recomputed(&test).await, "one learner is missing");
    run_chunk(&test.db, again).await;
    let delayed = "SELECT run_at > now() FROM apalis.jobs WHERE job_type = 'progress-bulk'";
    assert!(scalar::<bool>(test.pool(), delayed).await, "after a pause");
    assert!(!is_recomputed(&test).await);
    take_chunks(&test.db).await;
    sqlx::raw_sql("ROLLBACK").execute(&mut acting).await.unwrap();
    drain_roadmaps(&test.db).await;
    let query = format!("SELECT percent FROM user_roadmap_progress WHERE user_id = '{learner}'");
    assert_eq!(scalar::<Option<i16>>(test.pool(), query).await, Some(100));
    assert_eq!(differences(test.pool()).await, [""; 0]);
}

#[tokio::test]
async fn a_learner_who_changes_a_fact_during_the_pass_is_up_to_date_immediately() {
    let test = TestDb::new().await;
    let (roadmap, lessons) = add_crowd(&test).await;
    let pool = test.pool();
    run(pool, format!("UPDATE stage_lessons SET is_required = false WHERE lesson_id = '{}'", lessons[1])).await;
    let first = first_job(&test, roadmap).await;
    run_chunk(&test.db, first).await;
    let last: Uuid = scalar(pool, "SELECT user_id FROM progress_dirty ORDER BY user_id DESC LIMIT 1").await;
    run(pool, format!("DELETE FROM user_lesson_progress WHERE (user_id, lesson_id) = ('{last}', '{}')", lessons[0]))
        .await;
    assert_eq!(roll_up_pairs(&test.db, &[Pair { user_id: last, roadmap_id: roadmap }]).await, []);
    let stored = format!(
        "SELECT p.percent, d.done_version = r.content_version, d.done_seq, p.xmin::text, d.xmin::text
         FROM user_roadmap_progress p JOIN progress_dirty d USING (user_id, roadmap_id) JOIN roadmaps r ON r.id = roadmap_id
         WHERE user_id = '{last}'"
    );
    let before: (Option<i16>, bool, i64, String, String) = rows(pool, stored.clone()).await.remove(0);
    assert_eq!((before.0, before.1, before.2), (Some(0), true, 2));
    // A new learner has no numbers of older content, so the pass does not wait for their rollup.
    let new = add_user(pool).await;
    complete(pool, new, lessons[0]).await;
    drain_roadmaps(&test.db).await;
    assert!(is_recomputed(&test).await);
    let after: (Option<i16>, bool, i64, String, String) = rows(pool, stored).await.remove(0);
    assert_eq!(after, before, "the pass does not touch their rows");
    drain_markers(&test.db).await;
    assert_eq!(differences(pool).await, [""; 0]);
}

/// A hidden roadmap no longer counts towards the overall percent, and counts again once it is visible.
#[tokio::test]
async fn hiding_a_roadmap_recomputes_its_learners() {
    let test = TestDb::new().await;
    let (_, _) = add_crowd(&test).await;
    let percents = "SELECT count(*), count(progress_percent) FROM users";
    let crowd = rows::<(i64, i64)>(test.pool(), percents).await[0];
    assert_eq!(crowd.1, LEARNERS);
    let stored = "SELECT md5(string_agg(p::text, ',' ORDER BY user_id)) FROM user_roadmap_progress p";
    let numbers: String = scalar(test.pool(), stored).await;
    for (publication, with_percent) in [("draft", 0), ("published", LEARNERS)] {
        run(test.pool(), format!("UPDATE roadmaps SET publication = '{publication}'")).await;
        drain_roadmaps(&test.db).await;
        assert_eq!(rows::<(i64, i64)>(test.pool(), percents).await, [(crowd.0, with_percent)], "{publication}");
        assert_eq!(scalar::<String>(test.pool(), stored).await, numbers, "stored progress is kept");
        assert_eq!(differences(test.pool()).await, [""; 0]);
    }
}
