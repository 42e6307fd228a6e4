//! Random catalogs and random histories: whatever happens in whatever order, the stored progress must finally follow the
//! rules.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use cairn_core::activity::RecordActivity;
use cairn_core::actor::{Caller, Origin, Role};
use cairn_core::clock::new_id;
use cairn_core::db::Db;
use cairn_core::learning::catalog::RoadmapNumbers;
use cairn_core::learning::jobs::RecomputeRoadmap;
use cairn_core::learning::rollup::Pair;
use cairn_core::learning::{tree, tree_progress};
use chrono::{DateTime, Utc};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::{Config, RngSeed, TestRunner};
use uuid::Uuid;

use super::{dirty, drain_markers, drain_roadmaps, roll_up_pairs, run_chunk, take_chunks};
use cairn_testing::database::{TestDb, jobs, rows, run, scalar};
use cairn_testing::expected_progress::differences;

/// Larger numbers find more, at the cost of time. The seed is fixed, so that every run tests the same histories; change it to
/// test others.
const CASES: u32 = 100;
const EDITS: usize = 60;
const SEED: u64 = 77;

const USERS: usize = 3;
const MODULES: usize = 3;
const LESSONS: usize = 7;
const ROADMAPS: usize = 3;
const STAGES_EACH: usize = 4;

/// Publication, and whether it is deleted.
type Shown = (&'static str, bool);

#[derive(Clone, Debug)]
struct Catalog {
    modules: Vec<Shown>,
    /// Each with the number of its module.
    lessons: Vec<(usize, Shown)>,
    /// Each with whether it is sequential.
    roadmaps: Vec<(bool, Shown)>,
    /// Each with the number of its roadmap. Its position is its own number.
    stages: Vec<(usize, Shown)>,
    /// Stage, lesson, and whether the lesson is required. Duplicates are ignored.
    links: Vec<(usize, usize, bool)>,
}

/// Numbers are taken modulo the number of rows.
#[derive(Clone, Debug)]
enum Edit {
    Start(usize, usize),
    Complete(usize, usize),
    CompleteAll(usize),
    Reopen(usize, usize),
    Forget(usize, usize),
    ForgetAll(usize),
    GiveFactsTo(usize, usize),
    Publish(Table, usize, &'static str),
    Delete(Table, usize, bool),
    /// Deletes the row itself, which only manual SQL can do.
    Destroy(Table, usize),
    Link(usize, usize, bool),
    Unlink(usize, usize),
    MoveLink(usize, usize, usize),
    Require(usize, usize, bool),
    ReorderLessons(usize),
    Sequential(usize, bool),
    MoveLesson(usize, usize),
    MoveStage(usize, i32),
    ReorderStages(usize),
    MoveStageTo(usize, usize),
    /// Rolls up some of the stale pairs, selected by bits: throttled or not, in reverse order, or twice.
    RollUp(u16, bool, bool, bool),
    /// A job that recomputes a roadmap and was enqueued this many versions ago.
    Recompute(usize, i64),
    /// Runs one of the stored jobs. With `true` the job stays, as if it were delivered twice.
    Chunk(usize, bool),
    /// Runs everything that is pending and checks the result, so that a later edit cannot hide what an earlier one missed.
    Settle,
}

#[derive(Clone, Copy, Debug)]
enum Table {
    Modules,
    Lessons,
    Roadmaps,
    Stages,
}

fn shown() -> impl Strategy<Value = Shown> {
    (prop_oneof![16 => Just("published"), 1 => Just("draft"), 1 => Just("archived")], prop::bool::weighted(0.05))
}

fn catalog() -> impl Strategy<Value = Catalog> {
    let n = || 0..12usize;
    (
        vec(shown(), MODULES),
        vec((n(), shown()), LESSONS),
        vec((any::<bool>(), shown()), 2..=ROADMAPS),
        vec((n(), shown()), 4..=ROADMAPS * STAGES_EACH),
        vec((n(), n(), prop::bool::weighted(0.7)), 5..30),
    )
        .prop_map(|(modules, lessons, roadmaps, mut stages, links)| {
            let mut room = vec![STAGES_EACH; roadmaps.len()];
            stages.retain(|(roadmap, _)| {
                let room = &mut room[roadmap % roadmaps.len()];
                *room > 0 && {
                    *room -= 1;
                    true
                }
            });
            Catalog { modules, lessons, roadmaps, stages, links }
        })
}

fn edit() -> impl Strategy<Value = Edit> {
    let n = || 0..12usize;
    let table = || {
        prop_oneof![
            Just(Table::Modules),
            Just(Table::Roadmaps),
            Just(Table::Stages),
            Just(Table::Lessons),
            Just(Table::Lessons)
        ]
    };
    let publication = prop_oneof![4 => Just("published"), 1 => Just("draft"), 1 => Just("archived")];
    prop_oneof![
        4 => (n(), n()).prop_map(|(u, l)| Edit::Start(u, l)),
        12 => (n(), n()).prop_map(|(u, l)| Edit::Complete(u, l)),
        3 => n().prop_map(Edit::CompleteAll),
        4 => (n(), n()).prop_map(|(u, l)| Edit::Reopen(u, l)),
        3 => (n(), n()).prop_map(|(u, l)| Edit::Forget(u, l)),
        1 => n().prop_map(Edit::ForgetAll),
        1 => (n(), n()).prop_map(|(u, v)| Edit::GiveFactsTo(u, v)),
        6 => (table(), n(), publication).prop_map(|(t, i, p)| Edit::Publish(t, i, p)),
        4 => (table(), n(), prop::bool::weighted(0.3)).prop_map(|(t, i, d)| Edit::Delete(t, i, d)),
        1 => (table(), n()).prop_map(|(t, i)| Edit::Destroy(t, i)),
        4 => (n(), n(), any::<bool>()).prop_map(|(s, l, r)| Edit::Link(s, l, r)),
        2 => (n(), n()).prop_map(|(s, l)| Edit::Unlink(s, l)),
        3 => (n(), n(), n()).prop_map(|(s, l, t)| Edit::MoveLink(s, l, t)),
        2 => (n(), n(), any::<bool>()).prop_map(|(s, l, r)| Edit::Require(s, l, r)),
        1 => n().prop_map(Edit::ReorderLessons),
        2 => (n(), any::<bool>()).prop_map(|(r, s)| Edit::Sequential(r, s)),
        1 => (n(), n()).prop_map(|(l, m)| Edit::MoveLesson(l, m)),
        1 => (n(), 0..6).prop_map(|(s, p)| Edit::MoveStage(s, p)),
        1 => n().prop_map(Edit::ReorderStages),
        2 => (n(), n()).prop_map(|(s, r)| Edit::MoveStageTo(s, r)),
        10 => (any::<u16>(), any::<bool>(), any::<bool>(), any::<bool>())
            .prop_map(|(which, rested, reverse, twice)| Edit::RollUp(which, rested, reverse, twice)),
        4 => (n(), 0..3i64).prop_map(|(r, back)| Edit::Recompute(r, back)),
        5 => (n(), any::<bool>()).prop_map(|(i, stays)| Edit::Chunk(i, stays)),
        25 => Just(Edit::Settle),
    ]
}

/// The ids of a case's rows.
struct Ids {
    users: Vec<Uuid>,
    modules: Vec<Uuid>,
    lessons: Vec<Uuid>,
    roadmaps: Vec<Uuid>,
    stages: Vec<Uuid>,
}

impl Ids {
    fn new(catalog: &Catalog) -> Self {
        let ids = |n: usize| (0..n).map(|_| new_id()).collect();
        Self {
            users: ids(USERS),
            modules: ids(catalog.modules.len()),
            lessons: ids(catalog.lessons.len()),
            roadmaps: ids(catalog.roadmaps.len()),
            stages: ids(catalog.stages.len()),
        }
    }

    fn table(&self, table: Table) -> (&'static str, &[Uuid]) {
        match table {
            Table::Modules => ("course_modules", &self.modules),
            Table::Lessons => ("lessons", &self.lessons),
            Table::Roadmaps => ("roadmaps", &self.roadmaps),
            Table::Stages => ("stages", &self.stages),
        }
    }
}

fn pick(ids: &[Uuid], index: usize) -> Uuid {
    if ids.is_empty() { Uuid::nil() } else { ids[index % ids.len()] }
}

/// The statements that empty the database and create the catalog.
fn creation(catalog: &Catalog, ids: &Ids) -> String {
    let mut sql = "DELETE FROM users; DELETE FROM roadmaps; DELETE FROM lessons; DELETE FROM course_modules; DELETE FROM apalis.jobs;\n".to_owned();
    let deleted = |shown: Shown| if shown.1 { "now()" } else { "NULL" };
    for id in &ids.users {
        writeln!(sql, "INSERT INTO users (id, email, first_name) VALUES ('{id}', '{id}@example.test', 'Learner');")
            .unwrap();
    }
    for (id, shown) in ids.modules.iter().zip(&catalog.modules) {
        let values = format!("'{id}', '{id}', 'M', '{}', {}", shown.0, deleted(*shown));
        writeln!(sql, "INSERT INTO course_modules (id, slug, title, publication, deleted_at) VALUES ({values});")
            .unwrap();
    }
    for (id, (module, shown)) in ids.lessons.iter().zip(&catalog.lessons) {
        let module = pick(&ids.modules, *module);
        let values = format!("'{id}', '{id}', '{module}', 'L', 5, '{}', {}", shown.0, deleted(*shown));
        let columns = "id, slug, module_id, title, duration_minutes, publication, deleted_at";
        writeln!(sql, "INSERT INTO lessons ({columns}) VALUES ({values});").unwrap();
    }
    for (id, (sequential, shown)) in ids.roadmaps.iter().zip(&catalog.roadmaps) {
        let values = format!("'{id}', '{id}', 'R', {sequential}, '{}', {}", shown.0, deleted(*shown));
        writeln!(
            sql,
            "INSERT INTO roadmaps (id, slug, title, is_sequential, publication, deleted_at) VALUES ({values});"
        )
        .unwrap();
    }
    for (n, (id, (roadmap, shown))) in ids.stages.iter().zip(&catalog.stages).enumerate() {
        let roadmap = pick(&ids.roadmaps, *roadmap);
        // Some stages share a position, so the id decides.
        let values = format!("'{id}', '{id}', '{roadmap}', 'S', {}, '{}', {}", n / 2, shown.0, deleted(*shown));
        let columns = "id, slug, roadmap_id, title, position, publication, deleted_at";
        writeln!(sql, "INSERT INTO stages ({columns}) VALUES ({values});").unwrap();
    }
    for (stage, lesson, required) in &catalog.links {
        sql.push_str(&link(pick(&ids.stages, *stage), pick(&ids.lessons, *lesson), *required));
    }
    sql
}

fn link(stage: Uuid, lesson: Uuid, required: bool) -> String {
    format!(
        "INSERT INTO stage_lessons (stage_id, lesson_id, is_required)
         SELECT s.id, l.id, {required} FROM stages s, lessons l WHERE s.id = '{stage}' AND l.id = '{lesson}'
         ON CONFLICT DO NOTHING;\n"
    )
}

/// The statement of an edit that consists of one.
fn statement(edit: &Edit, ids: &Ids) -> Option<String> {
    let user = |i: &usize| pick(&ids.users, *i);
    let lesson = |i: &usize| pick(&ids.lessons, *i);
    let stage = |i: &usize| pick(&ids.stages, *i);
    let roadmap = |i: &usize| pick(&ids.roadmaps, *i);
    let completion = |user: Uuid, which: String| {
        format!(
            "INSERT INTO user_lesson_progress AS p (user_id, lesson_id, status, completed_at)
             SELECT '{user}', id, 'completed', now() FROM lessons WHERE {which}
             ON CONFLICT (user_id, lesson_id) DO UPDATE SET status = 'completed', completed_at = now()
             WHERE p.status <> 'completed'"
        )
    };
    Some(match edit {
        Edit::Start(u, l) => format!(
            "INSERT INTO user_lesson_progress (user_id, lesson_id) SELECT '{}', id FROM lessons WHERE id = '{}'
             ON CONFLICT DO NOTHING",
            user(u),
            lesson(l)
        ),
        Edit::Complete(u, l) => completion(user(u), format!("id = '{}'", lesson(l))),
        Edit::CompleteAll(u) => completion(user(u), "true".to_owned()),
        Edit::Reopen(u, l) => format!(
            "UPDATE user_lesson_progress SET status = 'in_progress', completed_at = NULL
             WHERE user_id = '{}' AND lesson_id = '{}'",
            user(u),
            lesson(l)
        ),
        Edit::Forget(u, l) => {
            format!("DELETE FROM user_lesson_progress WHERE user_id = '{}' AND lesson_id = '{}'", user(u), lesson(l))
        }
        Edit::ForgetAll(u) => format!("DELETE FROM user_lesson_progress WHERE user_id = '{}'", user(u)),
        Edit::GiveFactsTo(u, v) => format!(
            "UPDATE user_lesson_progress p SET user_id = '{1}' WHERE user_id = '{0}' AND NOT EXISTS (
                 SELECT FROM user_lesson_progress o WHERE o.user_id = '{1}' AND o.lesson_id = p.lesson_id)",
            user(u),
            user(v)
        ),
        Edit::Publish(table, i, publication) => {
            let (name, ids) = ids.table(*table);
            format!("UPDATE {name} SET publication = '{publication}' WHERE id = '{}'", pick(ids, *i))
        }
        Edit::Delete(table, i, deleted) => {
            let (name, ids) = ids.table(*table);
            let value = if *deleted { "now()" } else { "NULL" };
            format!("UPDATE {name} SET deleted_at = {value} WHERE id = '{}'", pick(ids, *i))
        }
        Edit::Destroy(table, i) => {
            let (name, ids) = ids.table(*table);
            let id = pick(ids, *i);
            match table {
                Table::Modules => {
                    format!("DELETE FROM lessons WHERE module_id = '{id}'; DELETE FROM {name} WHERE id = '{id}'")
                }
                _ => format!("DELETE FROM {name} WHERE id = '{id}'"),
            }
        }
        Edit::Link(s, l, required) => link(stage(s), lesson(l), *required),
        Edit::Unlink(s, l) => {
            format!("DELETE FROM stage_lessons WHERE stage_id = '{}' AND lesson_id = '{}'", stage(s), lesson(l))
        }
        Edit::MoveLink(s, l, t) => format!(
            "UPDATE stage_lessons o SET stage_id = t.id FROM stages t
             WHERE o.stage_id = '{}' AND o.lesson_id = '{}' AND t.id = '{2}' AND NOT EXISTS (
                 SELECT FROM stage_lessons x WHERE x.stage_id = '{2}' AND x.lesson_id = o.lesson_id)",
            stage(s),
            lesson(l),
            stage(t)
        ),
        Edit::Require(s, l, required) => format!(
            "UPDATE stage_lessons SET is_required = {required} WHERE stage_id = '{}' AND lesson_id = '{}'",
            stage(s),
            lesson(l)
        ),
        Edit::ReorderLessons(s) => {
            format!("UPDATE stage_lessons SET position = 100 - position WHERE stage_id = '{}'", stage(s))
        }
        Edit::Sequential(r, sequential) => {
            format!("UPDATE roadmaps SET is_sequential = {sequential} WHERE id = '{}'", roadmap(r))
        }
        Edit::MoveLesson(l, m) => format!(
            "UPDATE lessons l SET module_id = m.id FROM course_modules m WHERE l.id = '{}' AND m.id = '{}'",
            lesson(l),
            pick(&ids.modules, *m)
        ),
        Edit::MoveStage(s, position) => format!("UPDATE stages SET position = {position} WHERE id = '{}'", stage(s)),
        Edit::ReorderStages(r) => {
            format!("UPDATE stages SET position = 100 - position WHERE roadmap_id = '{}'", roadmap(r))
        }
        Edit::MoveStageTo(s, r) => format!(
            "UPDATE stages s SET roadmap_id = r.id FROM roadmaps r WHERE s.id = '{}' AND r.id = '{}'",
            stage(s),
            roadmap(r)
        ),
        Edit::RollUp(..) | Edit::Recompute(..) | Edit::Chunk(..) | Edit::Settle => return None,
    })
}

/// Runs the edits that are jobs.
async fn run_job(db: &Db, edit: &Edit, ids: &Ids) {
    match edit {
        Edit::RollUp(which, rested, reverse, twice) => {
            let all = dirty(db).await;
            let chosen = |(n, pair): (usize, &Pair)| (which & (1 << (n % 16)) != 0).then_some(*pair);
            let mut pairs: Vec<Pair> = all.iter().enumerate().filter_map(chosen).collect();
            if *reverse {
                pairs.reverse();
            }
            if *twice {
                pairs.extend(pairs.clone());
                pairs.push(Pair { user_id: pick(&ids.users, usize::from(*which)), roadmap_id: Uuid::nil() });
            }
            if *rested {
                run(db.pool(), "UPDATE progress_dirty SET throttled_until = throttled_until - interval '1 second'")
                    .await;
            }
            roll_up_pairs(db, &pairs).await;
        }
        Edit::Recompute(roadmap, back) => {
            let roadmap_id = pick(&ids.roadmaps, *roadmap);
            let query = format!("SELECT max(content_version) FROM roadmaps WHERE id = '{roadmap_id}'");
            let version: Option<i64> = scalar(db.pool(), query).await;
            let content_version = version.unwrap_or(1) - back;
            // A cursor of an older version is ignored, and a current one cannot be invented.
            let after_user = (*back > 0).then(|| ids.users[1]);
            run_chunk(db, RecomputeRoadmap { roadmap_id, content_version, after_user }).await;
        }
        Edit::Chunk(n, stays) => {
            let stored = jobs::<RecomputeRoadmap>(db.pool()).await;
            let Some(job) = stored.get(n % stored.len().max(1)) else { return };
            if !stays {
                let like = "convert_from(job, 'UTF8')::jsonb -> 'data'";
                let data = serde_json::to_string(job).unwrap();
                run(
                    db.pool(),
                    format!("DELETE FROM apalis.jobs WHERE job_type = 'progress-bulk' AND {like} = '{data}'"),
                )
                .await;
            }
            run_chunk(db, *job).await;
        }
        _ => {}
    }
}

/// First achievements seen so far, by kind, learner, and stage or roadmap.
type Achieved = BTreeMap<(&'static str, Uuid, Uuid), DateTime<Utc>>;

/// Records the current achievements. Earlier ones must still exist with the same time, unless their row was deleted.
async fn note_achieved(db: &Db, achieved: &mut Achieved) -> Result<(), String> {
    for (kind, query) in [
        ("stage", "SELECT user_id, stage_id, achieved_at FROM user_stage_progress"),
        ("roadmap", "SELECT user_id, roadmap_id, achieved_at FROM user_roadmap_progress"),
    ] {
        let now: Vec<(Uuid, Uuid, Option<DateTime<Utc>>)> = rows(db.pool(), query).await;
        for (user, id, achieved_at) in now {
            let before = achieved.get(&(kind, user, id)).copied();
            if before.is_some() && before != achieved_at {
                return Err(format!("{kind} {id} of {user} was achieved at {before:?}, now it is {achieved_at:?}"));
            }
            if let Some(time) = achieved_at {
                achieved.insert((kind, user, id), time);
            }
        }
    }
    Ok(())
}

/// Each first achievement is one event.
async fn check_events(db: &Db, achieved: &Achieved) -> Result<(), String> {
    let mut events: Vec<(String, Uuid, Uuid)> = Vec::new();
    for job in jobs::<RecordActivity>(db.pool()).await {
        let target = job.event.target.unwrap();
        assert_eq!(job.event.action, format!("{}.achieved", target.kind));
        events.push((target.kind, job.event.actor_id.unwrap(), target.id));
    }
    events.sort();
    let mut expected: Vec<_> = achieved.keys().map(|(kind, user, id)| ((*kind).to_owned(), *user, *id)).collect();
    expected.sort();
    if events == expected { Ok(()) } else { Err(format!("achieved: {expected:?}\nevents: {events:?}")) }
}

/// Runs everything that is pending and checks the stored progress.
async fn settle(db: &Db, achieved: &mut Achieved) -> Result<(), String> {
    drain_markers(db).await;
    drain_roadmaps(db).await;
    note_achieved(db, achieved).await?;
    check_events(db, achieved).await?;
    let differences = differences(db.pool()).await;
    if differences.is_empty() { Ok(()) } else { Err(differences.join("\n")) }
}

/// Trees must show the same, whether the rollup is stored or has to be counted.
async fn check_trees(db: &Db, ids: &Ids) -> Result<(), String> {
    for &roadmap in &ids.roadmaps {
        for &user_id in &ids.users {
            let mut tx = db.pool().begin().await.unwrap();
            let Ok(content) = tree::content(&mut tx, roadmap).await else { continue };
            let caller = Caller { user_id, session_id: Uuid::nil(), role: Role::Student, origin: Origin::default() };
            let stored = tree_progress::progress(&mut tx, &caller, &content).await.unwrap().unwrap();
            // The stages' rows stay, because they say when a stage was achieved first.
            let forget = "UPDATE progress_dirty SET done_version = 0 WHERE user_id = $1 AND roadmap_id = $2";
            sqlx::query(forget).bind(user_id).bind(roadmap).execute(&mut *tx).await.unwrap();
            let counted = tree_progress::progress(&mut tx, &caller, &content).await.unwrap().unwrap();
            if (&stored.stages, &stored.locked) != (&counted.stages, &counted.locked) {
                return Err(format!("stored: {:?}\ncounted: {:?}", stored.stages, counted.stages));
            }
            let is_recalculating = counted.roadmap.is_recalculating;
            let stored = RoadmapNumbers { is_recalculating, ..stored.roadmap };
            if stored != counted.roadmap {
                return Err(format!("stored: {stored:?}\ncounted: {:?}", counted.roadmap));
            }
        }
    }
    Ok(())
}

/// Replays a history and checks its result. The error contains the statements.
async fn play(db: &Db, catalog: &Catalog, edits: &[Edit]) -> Result<(), String> {
    let ids = Ids::new(catalog);
    let mut script = creation(catalog, &ids);
    run(db.pool(), script.clone()).await;
    let mut achieved = Achieved::new();
    for edit in edits.iter().chain([&Edit::Settle]) {
        if let Some(statement) = statement(edit, &ids) {
            writeln!(script, "{statement};").unwrap();
            run(db.pool(), statement).await;
            continue;
        }
        writeln!(script, "-- {edit:?}").unwrap();
        let result = if let Edit::Settle = edit {
            settle(db, &mut achieved).await
        } else {
            run_job(db, edit, &ids).await;
            note_achieved(db, &mut achieved).await
        };
        result.map_err(|error| format!("{error}\n{script}"))?;
    }
    check_trees(db, &ids).await.map_err(|error| format!("{error}\n{script}"))
}

#[test]
fn stored_progress_follows_the_rules_after_any_history() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let test = runtime.block_on(TestDb::new());
    let mut runner = TestRunner::new(Config {
        cases: CASES,
        rng_seed: RngSeed::Fixed(SEED),
        failure_persistence: None, // the seed is fixed, so every failure is reproducible
        max_shrink_iters: 200,
        ..Config::default()
    });
    let histories = (catalog(), vec(edit(), EDITS / 4..=EDITS));
    let result = runner.run(&histories, |(catalog, edits)| {
        runtime.block_on(play(&test.db, &catalog, &edits)).map_err(TestCaseError::fail)
    });
    // Dropped inside the runtime, because the pool belongs to it.
    runtime.block_on(async { take_chunks(&test.db).await });
    if let Err(error) = result {
        panic!("{error}");
    }
}
