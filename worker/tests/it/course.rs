//! A course, its learners, and the progress that should be stored for them.

use cairn_core::actor::{Caller, Origin, Role};
use cairn_core::clock::new_id;
use cairn_core::learning::facts::{complete, uncomplete};
use cairn_core::learning::lessons;
use cairn_testing::database::{run, scalar};
use uuid::Uuid;

use crate::support::Harness;

/// Three stages of three lessons each, all published and required, and a further lesson and stage that are drafts.
pub(crate) struct Course {
    pub(crate) module: Uuid,
    pub(crate) roadmap: Uuid,
    pub(crate) stages: Vec<Uuid>,
    /// Three lessons of each stage in turn.
    pub(crate) lessons: Vec<Uuid>,
    /// Belongs to the first stage.
    pub(crate) draft_lesson: Uuid,
    /// Contains a lesson of its own.
    pub(crate) draft_stage: Uuid,
}

impl Course {
    pub(crate) async fn new(harness: &Harness) -> Self {
        let ids = |n: usize| (0..n).map(|_| new_id()).collect::<Vec<_>>();
        let (module, roadmap, stages, lessons) = (new_id(), new_id(), ids(4), ids(11));
        run(
            harness.pool(),
            format!(
                "INSERT INTO course_modules (id, slug, title, publication) VALUES ('{module}', '{module}', 'M', 'published');
                 INSERT INTO roadmaps (id, slug, title, publication) VALUES ('{roadmap}', '{roadmap}', 'R', 'published')"
            ),
        )
        .await;
        for (n, stage) in stages.iter().enumerate() {
            let publication = if n < 3 { "published" } else { "draft" };
            let values = format!("'{stage}', '{roadmap}', '{stage}', 'S', {n}, '{publication}'");
            let columns = "id, roadmap_id, slug, title, position, publication";
            run(harness.pool(), format!("INSERT INTO stages ({columns}) VALUES ({values})")).await;
        }
        for (n, lesson) in lessons.iter().enumerate() {
            let (publication, stage) = match n {
                9 => ("draft", stages[0]),
                _ => ("published", stages[n / 3]),
            };
            let values = format!("'{lesson}', '{module}', '{lesson}', 'L', 5, '{publication}'");
            let columns = "id, module_id, slug, title, duration_minutes, publication";
            run(harness.pool(), format!("INSERT INTO lessons ({columns}) VALUES ({values})")).await;
            run(
                harness.pool(),
                format!("INSERT INTO stage_lessons (stage_id, lesson_id) VALUES ('{stage}', '{lesson}')"),
            )
            .await;
        }
        let (draft_lesson, draft_stage) = (lessons[9], stages[3]);
        Self { module, roadmap, stages, lessons, draft_lesson, draft_stage }
    }

    /// Adds learners who have completed different sets of lessons. Their progress is not rolled up yet.
    pub(crate) async fn add_crowd(&self, harness: &Harness, learners: i64) {
        let lessons: Vec<String> = self.lessons.iter().map(ToString::to_string).collect();
        let statements = format!(
            "INSERT INTO users (email, first_name) SELECT n || '@example.test', 'L' FROM generate_series(1, {learners}) n;
             INSERT INTO user_lesson_progress (user_id, lesson_id, status, completed_at)
                 SELECT u.id, l.id::uuid,
                     (CASE WHEN u.n >> (l.n % 9)::integer & 1 = 1 THEN 'completed' ELSE 'in_progress' END)::lesson_status,
                     CASE WHEN u.n >> (l.n % 9)::integer & 1 = 1 THEN now() END
                 FROM (SELECT id, row_number() OVER (ORDER BY id) AS n FROM users) u,
                     unnest('{{{}}}'::text[]) WITH ORDINALITY l (id, n)
                 WHERE u.n % 13 <> l.n",
            lessons.join(",")
        );
        run(harness.pool(), statements).await;
    }
}

/// A learner completes or uncompletes a lesson, as in a request.
pub(crate) async fn set_completed(harness: &Harness, user_id: Uuid, lesson: Uuid, done: bool) {
    let caller = Caller { user_id, session_id: new_id(), role: Role::Student, origin: Origin::default() };
    let mut tx = harness.db.begin_as(&caller).await.unwrap();
    let lesson = lessons::open(&mut tx, lesson).await.unwrap();
    let change =
        if done { complete(&mut tx, &lesson).await.unwrap() } else { uncomplete(&mut tx, &lesson).await.unwrap() };
    assert!(change.is_changed);
    tx.commit().await.unwrap();
}

/// Records each rollup from now on: for whom and when.
pub(crate) async fn record_rollups(harness: &Harness) {
    let statements = "CREATE TABLE computed (user_id uuid NOT NULL, at timestamptz NOT NULL);
         CREATE FUNCTION record_computed() RETURNS trigger LANGUAGE plpgsql AS $$
             BEGIN INSERT INTO computed VALUES (NEW.user_id, clock_timestamp()); RETURN NULL; END $$;
         CREATE TRIGGER record_computed AFTER UPDATE OF done_seq ON progress_dirty
             FOR EACH ROW EXECUTE FUNCTION record_computed()";
    harness.alter(statements).await;
}

/// Whether all markers are up to date with the facts and the content, and every recomputation has ended.
pub(crate) async fn is_settled(harness: &Harness) -> bool {
    let behind = "SELECT (SELECT count(*) FROM progress_dirty d JOIN roadmaps r ON r.id = d.roadmap_id
                          WHERE d.done_seq < d.requested_seq OR d.done_version < r.content_version)
                       + (SELECT count(*) FROM roadmaps WHERE recomputed_version < content_version)";
    scalar::<i64>(harness.pool(), behind).await == 0
}
