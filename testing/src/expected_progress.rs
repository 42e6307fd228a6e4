//! An independent implementation of the rules of progress in plain Rust over the raw tables, for comparison.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use chrono::{DateTime, Utc};
use sqlx::{Connection, FromRow, PgConnection, PgPool};
use uuid::Uuid;

#[derive(FromRow)]
struct Stage {
    id: Uuid,
    roadmap_id: Uuid,
    position: i32,
    shown: bool,
}

#[derive(FromRow)]
struct Roadmap {
    id: Uuid,
    is_sequential: bool,
    shown: bool,
    content_version: i64,
}

#[derive(FromRow)]
struct Link {
    stage_id: Uuid,
    lesson_id: Uuid,
    is_required: bool,
}

/// What is stored for a stage or a roadmap: status, completed and total lessons, percent, and for roadmaps completed and
/// total stages, sequence number and content version.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Row {
    status: String,
    lessons: (i32, i32),
    percent: Option<i16>,
    stages: Option<(i32, i32)>,
    seen: Option<(i64, i64)>,
}

/// By (learner, stage or roadmap).
type Rows = BTreeMap<(Uuid, Uuid), Row>;

/// Everything that progress depends on.
struct World {
    roadmaps: Vec<Roadmap>,
    /// In the order of their roadmaps.
    stages: Vec<Stage>,
    links: Vec<Link>,
    shown_lessons: HashSet<Uuid>,
    /// Whether each fact is a completion.
    facts: HashMap<(Uuid, Uuid), bool>,
    users: Vec<Uuid>,
    /// Sequence numbers.
    markers: HashMap<(Uuid, Uuid), i64>,
}

/// Describes how the stored progress differs from the rules; empty if it does not.
pub async fn differences(pool: &PgPool) -> Vec<String> {
    let mut connection = pool.acquire().await.unwrap();
    // One snapshot, so that it can also be called while others write.
    let mut tx = connection.begin_with("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY").await.unwrap();
    let world = World::load(&mut tx).await;
    let (stages, roadmaps, percents) = world.expected();
    let mut differences = world.unmarked();
    let (stored_stages, stored_roadmaps) = stored(&mut tx, &mut differences).await;
    let shown_stages: HashSet<Uuid> = world.shown_stages().map(|stage| stage.id).collect();
    let shown_roadmaps: HashSet<Uuid> = world.roadmaps.iter().filter(|r| r.shown).map(|r| r.id).collect();
    compare("stage", &stages, &stored_stages, &shown_stages, &mut differences);
    compare("roadmap", &roadmaps, &stored_roadmaps, &shown_roadmaps, &mut differences);
    let stored: Vec<(Uuid, Option<i16>)> =
        sqlx::query_as("SELECT id, progress_percent FROM users").fetch_all(&mut *tx).await.unwrap();
    for (user, percent) in stored {
        if percents[&user] != percent {
            differences.push(format!("learner {user}: percent should be {:?}, is {percent:?}", percents[&user]));
        }
    }
    differences
}

/// Rows of stages and roadmaps that are not shown are not compared.
fn compare(what: &str, expected: &Rows, stored: &Rows, shown: &HashSet<Uuid>, differences: &mut Vec<String>) {
    let keys: BTreeSet<_> = expected.keys().chain(stored.keys()).collect();
    for key in keys.into_iter().filter(|(_, id)| shown.contains(id)) {
        let (expected, stored) = (expected.get(key), stored.get(key));
        if expected != stored {
            differences.push(format!("{what} {} of {}: should be {expected:?}, is {stored:?}", key.1, key.0));
        }
    }
}

/// Rounded down; 100 only when everything is done, at least 1 when anything is, and `None` when there is nothing to do.
fn percent(completed: i32, total: i32) -> Option<i16> {
    match (completed, total) {
        (_, 0) => None,
        (0, _) => Some(0),
        _ => Some(i16::try_from(completed * 100 / total).unwrap().max(1)),
    }
}

impl World {
    async fn load(c: &mut PgConnection) -> Self {
        const SHOWN: &str = "publication = 'published' AND deleted_at IS NULL AS shown";
        let sql = |text: String| sqlx::AssertSqlSafe(text);
        let modules = format!("SELECT id, {SHOWN} FROM course_modules");
        let modules: HashMap<Uuid, bool> =
            sqlx::query_as(sql(modules)).fetch_all(&mut *c).await.unwrap().into_iter().collect();
        let lessons = format!("SELECT id, module_id, {SHOWN} FROM lessons");
        let lessons: Vec<(Uuid, Uuid, bool)> = sqlx::query_as(sql(lessons)).fetch_all(&mut *c).await.unwrap();
        let shown_lessons = lessons.into_iter().filter(|(_, module, shown)| *shown && modules[module]);
        let roadmaps = format!("SELECT id, is_sequential, content_version, {SHOWN} FROM roadmaps");
        let stages = format!("SELECT id, roadmap_id, position, {SHOWN} FROM stages");
        let mut stages: Vec<Stage> = sqlx::query_as(sql(stages)).fetch_all(&mut *c).await.unwrap();
        stages.sort_by_key(|stage| (stage.roadmap_id, stage.position, stage.id));
        let facts: Vec<(Uuid, Uuid, bool)> =
            sqlx::query_as("SELECT user_id, lesson_id, status = 'completed' FROM user_lesson_progress")
                .fetch_all(&mut *c)
                .await
                .unwrap();
        let markers: Vec<(Uuid, Uuid, i64)> =
            sqlx::query_as("SELECT user_id, roadmap_id, requested_seq FROM progress_dirty")
                .fetch_all(&mut *c)
                .await
                .unwrap();
        Self {
            roadmaps: sqlx::query_as(sql(roadmaps)).fetch_all(&mut *c).await.unwrap(),
            stages,
            links: sqlx::query_as("SELECT stage_id, lesson_id, is_required FROM stage_lessons")
                .fetch_all(&mut *c)
                .await
                .unwrap(),
            shown_lessons: shown_lessons.map(|(id, ..)| id).collect(),
            facts: facts.into_iter().map(|(user, lesson, completed)| ((user, lesson), completed)).collect(),
            users: sqlx::query_scalar("SELECT id FROM users").fetch_all(&mut *c).await.unwrap(),
            markers: markers.into_iter().map(|(user, roadmap, seq)| ((user, roadmap), seq)).collect(),
        }
    }

    fn shown_stages(&self) -> impl Iterator<Item = &Stage> {
        let shown: HashSet<Uuid> = self.roadmaps.iter().filter(|r| r.shown).map(|r| r.id).collect();
        self.stages.iter().filter(move |stage| stage.shown && shown.contains(&stage.roadmap_id))
    }

    /// The visible lessons of a stage, and whether each is required.
    fn shown_in<'a>(&'a self, stage: &'a Stage) -> impl Iterator<Item = (Uuid, bool)> + 'a {
        let links = self.links.iter().filter(|link| link.stage_id == stage.id);
        links.filter(|link| self.shown_lessons.contains(&link.lesson_id)).map(|link| (link.lesson_id, link.is_required))
    }

    fn touched(&self, user: Uuid, lesson: Uuid) -> bool {
        self.facts.contains_key(&(user, lesson))
    }

    fn completed(&self, user: Uuid, lesson: Uuid) -> bool {
        self.facts.get(&(user, lesson)) == Some(&true)
    }

    /// A learner with a fact in a roadmap must have a marker for it. Without one, progress would never be computed.
    fn unmarked(&self) -> Vec<String> {
        let mut differences = Vec::new();
        for stage in &self.stages {
            for link in self.links.iter().filter(|link| link.stage_id == stage.id) {
                for user in self.users.iter().filter(|user| self.touched(**user, link.lesson_id)) {
                    if !self.markers.contains_key(&(*user, stage.roadmap_id)) {
                        differences.push(format!("{user} has no marker for roadmap {}", stage.roadmap_id));
                    }
                }
            }
        }
        differences
    }

    fn expected(&self) -> (Rows, Rows, BTreeMap<Uuid, Option<i16>>) {
        let (mut stages, mut roadmaps, mut percents) = (Rows::new(), Rows::new(), BTreeMap::new());
        for user in &self.users {
            let mut started = HashSet::new();
            for roadmap in self.roadmaps.iter().filter(|roadmap| roadmap.shown) {
                let (own, total, is_started) = self.stages_of(*user, roadmap);
                if is_started {
                    started.insert(roadmap.id);
                }
                if let Some(seq) = self.markers.get(&(*user, roadmap.id)) {
                    stages.extend(own.into_iter().map(|(id, row)| ((*user, id), row)));
                    let row = Row { seen: Some((*seq, roadmap.content_version)), ..total };
                    roadmaps.insert((*user, roadmap.id), row);
                }
            }
            percents.insert(*user, self.overall(*user, &started));
        }
        (stages, roadmaps, percents)
    }

    /// The rows of a learner's stages, the row of the roadmap, and whether the learner has started anything in it.
    fn stages_of(&self, user: Uuid, roadmap: &Roadmap) -> (Vec<(Uuid, Row)>, Row, bool) {
        let mut stages = Vec::new();
        let (mut is_locked, mut is_started) = (false, false);
        let (mut lessons, mut counts) = ((0, 0), (0, 0));
        for stage in self.shown_stages().filter(|stage| stage.roadmap_id == roadmap.id) {
            let required: Vec<Uuid> =
                self.shown_in(stage).filter(|(_, is_required)| *is_required).map(|(lesson, _)| lesson).collect();
            let total = i32::try_from(required.len()).unwrap();
            let completed = required.iter().filter(|lesson| self.completed(user, **lesson)).count();
            let completed = i32::try_from(completed).unwrap();
            let touched = self.shown_in(stage).any(|(lesson, _)| self.touched(user, lesson));
            let is_completed = total > 0 && completed == total;
            let status = if is_completed {
                "completed"
            } else if roadmap.is_sequential && is_locked {
                "locked"
            } else if touched {
                "in_progress"
            } else {
                "available"
            };
            let (lessons_here, percent) = ((completed, total), percent(completed, total));
            let row = Row { status: status.into(), lessons: lessons_here, percent, stages: None, seen: None };
            stages.push((stage.id, row));
            is_locked |= total > 0 && !is_completed;
            is_started |= touched;
            lessons = (lessons.0 + completed, lessons.1 + total);
            counts = (counts.0 + i32::from(is_completed), counts.1 + i32::from(total > 0));
        }
        let status = if lessons.1 > 0 && lessons.0 == lessons.1 {
            "completed"
        } else if is_started {
            "in_progress"
        } else {
            "available"
        };
        let percent = percent(lessons.0, lessons.1);
        (stages, Row { status: status.into(), lessons, percent, stages: Some(counts), seen: None }, is_started)
    }

    /// The percentage over the distinct required lessons of all started roadmaps.
    fn overall(&self, user: Uuid, started: &HashSet<Uuid>) -> Option<i16> {
        let required: HashSet<Uuid> = self
            .shown_stages()
            .filter(|stage| started.contains(&stage.roadmap_id))
            .flat_map(|stage| self.shown_in(stage))
            .filter(|(_, is_required)| *is_required)
            .map(|(lesson, _)| lesson)
            .collect();
        let completed = required.iter().filter(|lesson| self.completed(user, **lesson)).count();
        percent(i32::try_from(completed).unwrap(), i32::try_from(required.len()).unwrap())
    }
}

/// The stored rows. Reports rows whose times contradict their status.
async fn stored(c: &mut PgConnection, differences: &mut Vec<String>) -> (Rows, Rows) {
    type Time = Option<DateTime<Utc>>;
    let stages: Vec<(Uuid, Uuid, String, i32, i32, Option<i16>, Time, Time)> = sqlx::query_as(
        "SELECT user_id, stage_id, status::text, lessons_completed, lessons_total, percent, completed_at, achieved_at
         FROM user_stage_progress",
    )
    .fetch_all(&mut *c)
    .await
    .unwrap();
    let roadmaps: Vec<(Uuid, Uuid, String, i32, i32, Option<i16>, Time, Time, i32, i32, i64, i64)> = sqlx::query_as(
        "SELECT user_id, roadmap_id, status::text, lessons_completed, lessons_total, percent, completed_at, achieved_at,
                stages_completed, stages_total, done_seq, done_version
         FROM user_roadmap_progress JOIN progress_dirty USING (user_id, roadmap_id)",
    )
    .fetch_all(&mut *c)
    .await
    .unwrap();
    let mut times = |id: Uuid, status: &str, completed_at: Time, achieved_at: Time| {
        let is_completed = status == "completed";
        if completed_at.is_some() != is_completed || (is_completed && achieved_at.is_none()) {
            differences.push(format!("{id} is {status}, but completed {completed_at:?} and achieved {achieved_at:?}"));
        }
    };
    let mut stage_rows = Rows::new();
    for (user, id, status, completed, total, percent, completed_at, achieved_at) in stages {
        times(id, &status, completed_at, achieved_at);
        stage_rows.insert((user, id), Row { status, lessons: (completed, total), percent, stages: None, seen: None });
    }
    let mut roadmap_rows = Rows::new();
    for (user, id, status, completed, total, percent, completed_at, achieved_at, done, of, seq, version) in roadmaps {
        times(id, &status, completed_at, achieved_at);
        let (stages, seen) = (Some((done, of)), Some((seq, version)));
        roadmap_rows.insert((user, id), Row { status, lessons: (completed, total), percent, stages, seen });
    }
    (stage_rows, roadmap_rows)
}
