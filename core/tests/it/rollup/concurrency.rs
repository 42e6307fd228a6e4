//! Concurrent writers, rollups and edits, each on its own connection.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use cairn_core::db::Db;
use cairn_core::learning::jobs::RecomputeRoadmap;
use cairn_core::learning::rollup::Pair;
use rand::rngs::StdRng;
use rand::seq::{IndexedRandom, SliceRandom};
use rand::{RngExt, SeedableRng};
use tokio::sync::Barrier;
use tokio::task::JoinSet;
use uuid::Uuid;

use super::{dirty, drain_markers, drain_roadmaps, roll_up_pairs, run_chunk, take_chunks};
use cairn_testing::database::{TestDb, rows, run, scalar, until};
use cairn_testing::expected_progress::differences;
use cairn_testing::rows::{add_lesson, add_module, add_roadmap, add_stage, add_user, complete, complete_statement};

const WRITERS: u64 = 16;
const ROLLUPS: u64 = 8;
const ROUNDS: u64 = 12;

struct Course {
    users: Vec<Uuid>,
    module: Uuid,
    roadmaps: Vec<Uuid>,
    stages: Vec<Uuid>,
    lessons: Vec<Uuid>,
}

/// Two roadmaps, the second sequential, of three stages each, with eight lessons, most of them in both.
async fn add_course(test: &TestDb, learners: usize) -> Course {
    let pool = test.pool();
    // The throttle is off, because it would hide races that the locks must prevent.
    run(
        test.owner(),
        "CREATE FUNCTION never_rest() RETURNS trigger LANGUAGE plpgsql AS $$
             BEGIN NEW.throttled_until = NULL; RETURN NEW; END $$;
         CREATE TRIGGER never_rest BEFORE UPDATE ON progress_dirty FOR EACH ROW EXECUTE FUNCTION never_rest()",
    )
    .await;
    let module = add_module(pool).await;
    let (mut users, mut lessons, mut roadmaps, mut stages) = (vec![], vec![], vec![], vec![]);
    for _ in 0..learners {
        users.push(add_user(pool).await);
    }
    for _ in 0..8 {
        lessons.push(add_lesson(pool, module).await);
    }
    for places in [[&lessons[0..3], &lessons[2..6], &lessons[5..7]], [&lessons[4..8], &lessons[0..2], &lessons[2..5]]] {
        let roadmap = add_roadmap(pool).await;
        roadmaps.push(roadmap);
        for place in places {
            stages.push(add_stage(pool, roadmap, place).await);
        }
    }
    run(pool, format!("UPDATE roadmaps SET is_sequential = true WHERE id = '{}'", roadmaps[1])).await;
    drain_roadmaps(&test.db).await;
    Course { users, module, roadmaps, stages, lessons }
}

/// A change of a fact.
fn write(course: &Course, rng: &mut StdRng) -> String {
    let user = course.users.choose(rng).unwrap();
    let lesson = course.lessons.choose(rng).unwrap();
    match rng.random_range(0..10) {
        0 => format!(
            "INSERT INTO user_lesson_progress (user_id, lesson_id) VALUES ('{user}', '{lesson}') ON CONFLICT DO NOTHING"
        ),
        1..=2 => format!(
            "UPDATE user_lesson_progress SET status = 'in_progress', completed_at = NULL
             WHERE user_id = '{user}' AND lesson_id = '{lesson}'"
        ),
        3 => format!("DELETE FROM user_lesson_progress WHERE user_id = '{user}' AND lesson_id = '{lesson}'"),
        _ => complete_statement(*user, *lesson),
    }
}

/// What all tasks of a round share.
#[derive(Clone)]
struct Round {
    db: Db,
    course: Arc<Course>,
    barrier: Arc<Barrier>,
    number: u64,
}

impl Round {
    fn new(db: &Db, course: &Arc<Course>, tasks: u64, number: u64) -> Self {
        let barrier = Arc::new(Barrier::new(usize::try_from(tasks).unwrap()));
        Self { db: db.clone(), course: course.clone(), barrier, number }
    }

    fn rng(&self, task: u64) -> StdRng {
        StdRng::seed_from_u64(self.number * 1000 + task)
    }

    async fn writer(self, task: u64) {
        let mut rng = self.rng(task);
        self.barrier.wait().await;
        for _ in 0..4 {
            run(self.db.pool(), write(&self.course, &mut rng)).await;
        }
    }

    async fn rollup(self, task: u64) {
        let mut rng = self.rng(100 + task);
        let pair = |user_id: &Uuid| {
            let user_id = *user_id;
            self.course.roadmaps.iter().map(move |roadmap_id| Pair { user_id, roadmap_id: *roadmap_id })
        };
        let mut pairs: Vec<Pair> = self.course.users.iter().flat_map(pair).collect();
        self.barrier.wait().await;
        for _ in 0..6 {
            pairs.shuffle(&mut rng);
            let n = rng.random_range(1..=pairs.len());
            roll_up_pairs(&self.db, &pairs[..n]).await;
        }
    }

    async fn editor(self, task: u64) {
        let mut rng = self.rng(200 + task);
        self.barrier.wait().await;
        for _ in 0..4 {
            run(self.db.pool(), edit(&self.course, &mut rng)).await;
        }
    }

    /// Recomputes whole roadmaps, for the current or for an earlier version.
    async fn recomputer(self, task: u64) {
        let mut rng = self.rng(300 + task);
        self.barrier.wait().await;
        for _ in 0..4 {
            let roadmap_id = *self.course.roadmaps.choose(&mut rng).unwrap();
            let query = format!("SELECT content_version FROM roadmaps WHERE id = '{roadmap_id}'");
            let content_version = scalar::<i64>(self.db.pool(), query).await - rng.random_range(0..2);
            run_chunk(&self.db, RecomputeRoadmap { roadmap_id, content_version, after_user: None }).await;
            for job in take_chunks(&self.db).await {
                run_chunk(&self.db, job).await;
            }
        }
    }
}

/// An edit of the content.
fn edit(course: &Course, rng: &mut StdRng) -> String {
    let lesson = course.lessons.choose(rng).unwrap();
    let stage = course.stages.choose(rng).unwrap();
    let roadmap = course.roadmaps.choose(rng).unwrap();
    let publication = if rng.random_bool(0.7) { "published" } else { "draft" };
    let flag = rng.random_bool(0.5);
    match rng.random_range(0..9) {
        0 => format!("UPDATE lessons SET publication = '{publication}' WHERE id = '{lesson}'"),
        1 => format!("UPDATE stages SET publication = '{publication}' WHERE id = '{stage}'"),
        2 => format!("UPDATE course_modules SET publication = '{publication}' WHERE id = '{}'", course.module),
        3 => format!("UPDATE roadmaps SET is_sequential = {flag} WHERE id = '{roadmap}'"),
        4 => format!("DELETE FROM stage_lessons WHERE stage_id = '{stage}' AND lesson_id = '{lesson}'"),
        5 => format!("UPDATE stages SET position = 9 - position WHERE roadmap_id = '{roadmap}'"),
        6 => format!("UPDATE stage_lessons SET is_required = {flag} WHERE lesson_id = '{lesson}'"),
        _ => format!(
            "INSERT INTO stage_lessons (stage_id, lesson_id) VALUES ('{stage}', '{lesson}') ON CONFLICT DO NOTHING"
        ),
    }
}

async fn finish(mut tasks: JoinSet<()>) {
    while let Some(result) = tasks.join_next().await {
        result.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn writers_and_rollups_of_one_learner_leave_nothing_stale_unmarked() {
    let test = TestDb::with_connections(30).await;
    let course = Arc::new(add_course(&test, 1).await);
    for number in 0..ROUNDS {
        let round = Round::new(&test.db, &course, WRITERS + ROLLUPS, number);
        let mut tasks = JoinSet::new();
        for task in 0..WRITERS {
            tasks.spawn(round.clone().writer(task));
        }
        for task in 0..ROLLUPS {
            tasks.spawn(round.clone().rollup(task));
        }
        finish(tasks).await;
        drain_markers(&test.db).await;
        assert_eq!(differences(test.pool()).await, [""; 0], "after round {number}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn writers_rollups_editors_and_recomputations_leave_nothing_stale_unmarked() {
    let test = TestDb::with_connections(30).await;
    let course = Arc::new(add_course(&test, 4).await);
    for number in 0..ROUNDS {
        let (writers, rollups, editors, recomputers) = (12, 5, 4, 3);
        let round = Round::new(&test.db, &course, writers + rollups + editors + recomputers, 100 + number);
        let mut tasks = JoinSet::new();
        for task in 0..writers {
            tasks.spawn(round.clone().writer(task));
        }
        for task in 0..rollups {
            tasks.spawn(round.clone().rollup(task));
        }
        for task in 0..editors {
            tasks.spawn(round.clone().editor(task));
        }
        for task in 0..recomputers {
            tasks.spawn(round.clone().recomputer(task));
        }
        finish(tasks).await;
        drain_markers(&test.db).await;
        drain_roadmaps(&test.db).await;
        assert_eq!(differences(test.pool()).await, [""; 0], "after round {number}");
    }
}

/// Runs `second` while the transaction of `first` is open, lets it proceed as far as it can, runs all pending work, and
/// then commits `first`.
async fn overlap(test: &TestDb, first: String, second: String) {
    let mut open = test.connect().await;
    sqlx::raw_sql("BEGIN").execute(&mut open).await.unwrap();
    sqlx::raw_sql(sqlx::AssertSqlSafe(first)).execute(&mut open).await.unwrap();
    let mut other = test.connect().await;
    let pid: i32 = sqlx::query_scalar("SELECT pg_backend_pid()").fetch_one(&mut other).await.unwrap();
    let is_done = Arc::new(AtomicBool::new(false));
    let task = tokio::spawn({
        let is_done = is_done.clone();
        async move {
            sqlx::raw_sql(sqlx::AssertSqlSafe(second)).execute(&mut other).await.unwrap();
            is_done.store(true, Ordering::SeqCst);
        }
    });
    let waiting = format!("SELECT EXISTS (SELECT FROM pg_locks WHERE pid = {pid} AND NOT granted)");
    for _ in 0..3000 {
        if is_done.load(Ordering::SeqCst) || scalar::<bool>(test.pool(), waiting.clone()).await {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    if is_done.load(Ordering::SeqCst) {
        drain_markers(&test.db).await;
        drain_roadmaps(&test.db).await;
    }
    sqlx::raw_sql("COMMIT").execute(&mut open).await.unwrap();
    task.await.unwrap();
    drain_markers(&test.db).await;
    drain_roadmaps(&test.db).await;
}

fn linking(stage: Uuid, lesson: Uuid) -> String {
    format!("INSERT INTO stage_lessons (stage_id, lesson_id) VALUES ('{stage}', '{lesson}')")
}

/// A lesson with facts is put into a roadmap while one of its learners changes a fact, in both orders.
#[tokio::test]
async fn a_lesson_is_added_to_a_roadmap_while_a_learner_changes_a_fact() {
    let test = TestDb::new().await;
    let pool = test.pool();
    let (user, module) = (add_user(pool).await, add_module(pool).await);
    for (known_before, link_first) in [(false, false), (false, true), (true, false), (true, true)] {
        let lesson = add_lesson(pool, module).await;
        let roadmap = add_roadmap(pool).await;
        let stage = add_stage(pool, roadmap, &[]).await;
        if known_before {
            run(pool, format!("INSERT INTO user_lesson_progress (user_id, lesson_id) VALUES ('{user}', '{lesson}')"))
                .await;
        }
        let (mut first, mut second) = (complete_statement(user, lesson), linking(stage, lesson));
        if link_first {
            (first, second) = (second, first);
        }
        overlap(&test, first, second).await;
        assert_eq!(differences(pool).await, [""; 0], "known before: {known_before}, link first: {link_first}");
    }
}

/// The same with a whole stage that comes from another roadmap.
#[tokio::test]
async fn a_stage_is_moved_while_a_learner_changes_a_fact_in_it() {
    let test = TestDb::new().await;
    let pool = test.pool();
    let (user, module) = (add_user(pool).await, add_module(pool).await);
    for move_first in [false, true] {
        let lesson = add_lesson(pool, module).await;
        let (from, to) = (add_roadmap(pool).await, add_roadmap(pool).await);
        let stage = add_stage(pool, from, &[lesson]).await;
        let mut first = complete_statement(user, lesson);
        let mut second = format!("UPDATE stages SET roadmap_id = '{to}' WHERE id = '{stage}'");
        if move_first {
            (first, second) = (second, first);
        }
        overlap(&test, first, second).await;
        assert_eq!(differences(pool).await, [""; 0], "move first: {move_first}");
    }
}

/// A rollup has read a stage in its old roadmap and is about to write its row when the stage is moved and its new roadmap is
/// recomputed.
#[tokio::test]
async fn a_stage_is_moved_after_a_rollup_has_read_its_old_position() {
    let test = TestDb::new().await;
    let pool = test.pool();
    let (user, module) = (add_user(pool).await, add_module(pool).await);
    let lessons = [add_lesson(pool, module).await, add_lesson(pool, module).await, add_lesson(pool, module).await];
    let (from, to) = (add_roadmap(pool).await, add_roadmap(pool).await);
    add_stage(pool, from, &lessons[..1]).await;
    let stage = add_stage(pool, from, &lessons[1..2]).await;
    add_stage(pool, to, &lessons[2..]).await;
    run(pool, "UPDATE roadmaps SET is_sequential = true").await;
    run(pool, format!("INSERT INTO user_lesson_progress (user_id, lesson_id) VALUES ('{user}', '{}')", lessons[0]))
        .await;
    drain_markers(&test.db).await;
    drain_roadmaps(&test.db).await;
    // Completing the first stage opens the second, but not in the other roadmap, where another one is before it.
    complete(pool, user, lessons[0]).await;
    let mut gate = test.connect().await;
    sqlx::raw_sql("BEGIN; SELECT FROM user_stage_progress FOR UPDATE").execute(&mut gate).await.unwrap();
    let waiting = async |what: &str, queries: &str| {
        let query = format!(
            "SELECT count(*) = 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()
             AND query LIKE '{queries}'"
        );
        until(pool, what, query).await;
    };
    let rollup = tokio::spawn({
        let db = test.db.clone();
        async move { roll_up_pairs(&db, &[Pair { user_id: user, roadmap_id: from }]).await }
    });
    waiting("the rollup is about to write", "%Computes the stage%").await;
    let moving = tokio::spawn({
        let pool = pool.clone();
        async move { run(&pool, format!("UPDATE stages SET roadmap_id = '{to}' WHERE id = '{stage}'")).await }
    });
    waiting("the move waits for the rollup", "UPDATE stages%").await;
    sqlx::raw_sql("ROLLBACK").execute(&mut gate).await.unwrap();
    assert_eq!(rollup.await.unwrap(), []);
    moving.await.unwrap();
    drain_markers(&test.db).await;
    drain_roadmaps(&test.db).await;
    assert_eq!(differences(pool).await, [""; 0]);
}

/// Two edits, each of which matters only because of the other, which it cannot see. Tested in both orders.
#[tokio::test]
async fn two_edits_that_matter_together_are_recomputed() {
    let test = TestDb::new().await;
    let pool = test.pool();
    let user = add_user(pool).await;
    for swapped in [false, true] {
        for case in
            ["publish and place", "publish module and place", "publish module and move lesson", "place and move stage"]
        {
            let (module, other_module) = (add_module(pool).await, add_module(pool).await);
            let lesson = add_lesson(pool, module).await;
            let (roadmap, other_roadmap) = (add_roadmap(pool).await, add_roadmap(pool).await);
            let stage = add_stage(pool, roadmap, &[]).await;
            // The learner has progress in the roadmap, so that there are numbers that can become wrong.
            let known = add_lesson(pool, module).await;
            add_stage(pool, roadmap, &[known]).await;
            add_stage(pool, other_roadmap, &[known]).await;
            complete(pool, user, known).await;
            let (mut first, mut second) = match case {
                "publish and place" => {
                    (format!("UPDATE lessons SET publication = 'draft' WHERE id = '{lesson}'"), linking(stage, lesson))
                }
                "publish module and place" => {
                    run(pool, format!("UPDATE lessons SET module_id = '{other_module}' WHERE id = '{lesson}'")).await;
                    let hide = format!("UPDATE course_modules SET publication = 'draft' WHERE id = '{other_module}'");
                    (hide, linking(stage, lesson))
                }
                "publish module and move lesson" => {
                    run(pool, linking(stage, lesson)).await;
                    let hide = format!("UPDATE course_modules SET publication = 'draft' WHERE id = '{other_module}'");
                    (hide, format!("UPDATE lessons SET module_id = '{other_module}' WHERE id = '{lesson}'"))
                }
                _ => (
                    linking(stage, lesson),
                    format!("UPDATE stages SET roadmap_id = '{other_roadmap}' WHERE id = '{stage}'"),
                ),
            };
            if swapped {
                (first, second) = (second, first);
            }
            drain_markers(&test.db).await;
            drain_roadmaps(&test.db).await;
            overlap(&test, first, second).await;
            assert_eq!(differences(pool).await, [""; 0], "{case}, swapped: {swapped}");
        }
    }
}

#[tokio::test]
async fn all_of_several_concurrent_edits_are_counted() {
    let test = TestDb::with_connections(20).await;
    let pool = test.pool();
    let roadmap = add_roadmap(pool).await;
    let before: i64 = scalar(pool, format!("SELECT content_version FROM roadmaps WHERE id = '{roadmap}'")).await;
    let barrier = Arc::new(Barrier::new(16));
    let mut tasks = JoinSet::new();
    for _ in 0..16 {
        let (pool, barrier) = (pool.clone(), barrier.clone());
        tasks.spawn(async move {
            barrier.wait().await;
            add_stage(&pool, roadmap, &[]).await;
        });
    }
    finish(tasks).await;
    let after: i64 = scalar(pool, format!("SELECT content_version FROM roadmaps WHERE id = '{roadmap}'")).await;
    assert_eq!(after - before, 16);
    assert_eq!(dirty(&test.db).await, []);
    let stages: Vec<(i64,)> = rows(pool, "SELECT count(*) FROM stages").await;
    assert_eq!(stages, [(16,)]);
}
