//! Importing and exporting courses.

use std::collections::HashMap;
use std::sync::Arc;

use cairn_core::db::Db;
use cairn_core::learning::course::{Course, ImportError, Publication, Summary, export, import, parse, to_yaml};
use sqlx::PgPool;
use tokio::sync::Barrier;
use uuid::Uuid;

use cairn_testing::database::TestDb;
use cairn_testing::rows::add_user;

const DEMO: &str = include_str!("../../../cli/demo/course.yaml");

const COURSE: &str = "\
version: 1
modules:
  - slug: basics
    title: Basics
    lessons:
      - slug: first
        title: First
        duration_minutes: 5
        questions: [Where do I begin?, What comes first?]
        materials:
          - {kind: link, title: One, url: https://example.org/1}
          - {kind: video, title: Two, url: https://example.org/2}
        tasks:
          - {slug: read, title: Read}
          - {slug: write, title: Write}
          - {slug: share, title: Share, required: false}
      - slug: second
        title: Second
        duration_minutes: 7
  - slug: more
    title: More
    lessons:
      - slug: third
        title: Third
        duration_minutes: 9
roadmaps:
  - slug: way
    title: Way
    sequential: true
    stages:
      - slug: start
        title: Start
        lessons: [{lesson: first}, {lesson: second, required: false}]
      - slug: finish
        title: Finish
        lessons: [{lesson: third}, {lesson: second}]
styles:
  - {slug: plain, title: Plain, category: minimal, tags: [a, b]}
glossary:
  - {slug: term, term: Term, category: words, definition: What it means.}
prompt_categories:
  - {slug: plan, name: Plan, kind: planning}
  - {slug: build, name: Build, kind: backend, color: '#00ff00'}
prompts:
  - slug: ask
    title: Ask
    category: plan
    body: Ask.
    steps:
      - {title: One, body: First.}
      - {title: Two, body: Second.}
      - {title: Three, body: Third.}
";

async fn import_text(db: &Db, text: &str) -> Summary {
    import_course(db, &parse(text).unwrap()).await.unwrap()
}

async fn import_course(db: &Db, course: &Course) -> Result<Summary, ImportError> {
    let mut tx = db.begin().await.unwrap();
    let summary = import(&mut tx, course, |_, _| {}).await?;
    tx.commit().await.unwrap();
    Ok(summary)
}

async fn export_from(db: &Db) -> Course {
    export(&mut db.pool().acquire().await.unwrap()).await.unwrap()
}

/// Every row of every content table, as text, without what an import may not touch.
async fn fingerprint(pool: &PgPool) -> String {
    let mut all = String::new();
    for table in [
        "course_modules",
        "lessons",
        "lesson_materials",
        "lesson_tasks",
        "roadmaps",
        "stages",
        "stage_lessons",
        "style_cards",
        "glossary_terms",
        "prompt_categories",
        "prompts",
        "prompt_steps",
        "apalis.jobs",
    ] {
        let query = format!(
            "SELECT coalesce(string_agg(to_jsonb(t)::text, E'\\n' ORDER BY to_jsonb(t)::text), '') FROM {table} t"
        );
        all += &sqlx::query_scalar::<_, String>(sqlx::AssertSqlSafe(query)).fetch_one(pool).await.unwrap();
    }
    all
}

async fn ids(pool: &PgPool, table: &str) -> HashMap<String, Uuid> {
    let query = format!("SELECT slug::text, id FROM {table} WHERE deleted_at IS NULL");
    sqlx::query_as(sqlx::AssertSqlSafe(query)).fetch_all(pool).await.unwrap().into_iter().collect()
}

async fn scalar<T>(pool: &PgPool, query: &'static str) -> T
where
    T: Send + Unpin + for<'r> sqlx::Decode<'r, sqlx::Postgres> + sqlx::Type<sqlx::Postgres>,
{
    sqlx::query_scalar(query).fetch_one(pool).await.unwrap()
}

async fn run(pool: &PgPool, statement: &'static str) {
    sqlx::raw_sql(statement).execute(pool).await.unwrap();
}

#[tokio::test]
async fn importing_twice_changes_nothing() {
    let test = TestDb::new().await;
    let first = import_text(&test.db, COURSE).await;
    assert_eq!(first, Summary { created: 25, updated: 0, unchanged: 0, removed: 0 });
    let before = fingerprint(test.pool()).await;
    let second = import_text(&test.db, COURSE).await;
    assert_eq!(second, Summary { created: 0, updated: 0, unchanged: 25, removed: 0 });
    assert_eq!(fingerprint(test.pool()).await, before, "no row may be written, nor a job enqueued");
}

#[tokio::test]
async fn progress_counts_up_to_all_objects() {
    let test = TestDb::new().await;
    let mut seen = Vec::new();
    let mut tx = test.db.begin().await.unwrap();
    import(&mut tx, &parse(COURSE).unwrap(), |done, total| seen.push((done, total))).await.unwrap();
    tx.commit().await.unwrap();
    assert!(seen.is_sorted() && seen.iter().all(|(_, total)| *total == 25), "{seen:?}");
    assert_eq!(seen.last(), Some(&(25, 25)));
}

#[tokio::test]
async fn nothing_is_stored_without_a_commit() {
    let test = TestDb::new().await;
    let mut tx = test.db.begin().await.unwrap();
    import(&mut tx, &parse(COURSE).unwrap(), |_, _| {}).await.unwrap();
    tx.rollback().await.unwrap();
    assert_eq!(scalar::<i64>(test.pool(), "SELECT count(*) FROM lessons").await, 0);
    assert_eq!(scalar::<i64>(test.pool(), "SELECT count(*) FROM apalis.jobs").await, 0);
}

#[tokio::test]
async fn an_import_is_one_activity_without_an_actor() {
    let test = TestDb::new().await;
    import_text(&test.db, COURSE).await;
    let payload: String =
        scalar(test.pool(), "SELECT convert_from(job, 'UTF8') FROM apalis.jobs WHERE job_type = 'activity'").await;
    let job: serde_json::Value = serde_json::from_str(&payload).unwrap();
    let event = &job["data"]["event"];
    assert_eq!((&event["action"], &event["actor_id"]), (&"course.imported".into(), &serde_json::Value::Null));
    assert_eq!(event["metadata"], serde_json::json!({"created": 25, "updated": 0, "unchanged": 0, "removed": 0}));
}

#[tokio::test]
async fn an_edited_course_keeps_ids_checked_tasks_and_progress() {
    let test = TestDb::new().await;
    let pool = test.pool();
    import_text(&test.db, COURSE).await;
    let (lessons, tasks, stages) =
        (ids(pool, "lessons").await, ids(pool, "lesson_tasks").await, ids(pool, "stages").await);
    let learner = add_user(pool).await;
    for lesson in ["first", "third"] {
        sqlx::query("INSERT INTO user_lesson_progress (user_id, lesson_id) VALUES ($1, $2)")
            .bind(learner)
            .bind(lessons[lesson])
            .execute(pool)
            .await
            .unwrap();
    }
    sqlx::query("INSERT INTO user_lesson_task_progress (user_id, task_id) VALUES ($1, $2)")
        .bind(learner)
        .bind(tasks["write"])
        .execute(pool)
        .await
        .unwrap();

    // Retitled, reordered, moved to another module and another stage; one task and one place gone.
    let edited = COURSE
        .replace("title: First", "title: The first")
        .replace(
            "          - {slug: read, title: Read}\n          - {slug: write, title: Write}\n",
            "          - {slug: write, title: Write it}\n",
        )
        .replace("      - slug: second\n        title: Second\n        duration_minutes: 7\n", "")
        .replace(
            "      - slug: third\n",
            "      - slug: second\n        title: Second\n        duration_minutes: 7\n      - slug: third\n",
        )
        .replace("[{lesson: first}, {lesson: second, required: false}]", "[{lesson: second, required: false}]");
    let summary = import_text(&test.db, &edited).await;
    assert_eq!((summary.created, summary.removed), (0, 2), "{summary:?}");
    assert_eq!(ids(pool, "lessons").await, lessons);
    assert_eq!(ids(pool, "stages").await, stages);
    assert_eq!(ids(pool, "lesson_tasks").await["write"], tasks["write"]);
    assert_eq!(scalar::<i64>(pool, "SELECT count(*) FROM user_lesson_progress").await, 2);
    assert_eq!(scalar::<i64>(pool, "SELECT count(*) FROM user_lesson_task_progress").await, 1);
    let home: String = scalar(
        pool,
        "SELECT m.slug::text FROM lessons l JOIN course_modules m ON m.id = l.module_id WHERE l.slug = 'second'",
    )
    .await;
    assert_eq!(home, "more");
    assert_eq!(export_from(&test.db).await, parse(&edited).unwrap());
}

#[tokio::test]
async fn restored_objects_keep_their_ids_and_checked_tasks() {
    let test = TestDb::new().await;
    let pool = test.pool();
    import_text(&test.db, COURSE).await;
    let (tasks, stages, lessons) =
        (ids(pool, "lesson_tasks").await, ids(pool, "stages").await, ids(pool, "lessons").await);
    let learner = add_user(pool).await;
    sqlx::query("INSERT INTO user_lesson_task_progress (user_id, task_id) VALUES ($1, $2)")
        .bind(learner)
        .bind(tasks["read"])
        .execute(pool)
        .await
        .unwrap();
    let without = COURSE.replace("          - {slug: read, title: Read}\n", "").replace(
        "      - slug: finish\n        title: Finish\n        lessons: [{lesson: third}, {lesson: second}]\n",
        "",
    );
    assert_eq!(import_text(&test.db, &without).await.removed, 2);
    assert!(!ids(pool, "stages").await.contains_key("finish"));
    // A lesson deleted by hand comes back too.
    run(pool, "UPDATE lessons SET deleted_at = now() WHERE slug = 'third'").await;

    let back = import_text(&test.db, COURSE).await;
    assert_eq!((back.created, back.removed), (0, 0), "{back:?}");
    assert_eq!(ids(pool, "lesson_tasks").await, tasks);
    assert_eq!(ids(pool, "stages").await, stages);
    assert_eq!(ids(pool, "lessons").await, lessons);
    assert_eq!(scalar::<i64>(pool, "SELECT count(*) FROM user_lesson_task_progress").await, 1);
    assert_eq!(export_from(&test.db).await, parse(COURSE).unwrap());
}

#[tokio::test]
async fn objects_that_are_not_in_the_document_are_kept() {
    let test = TestDb::new().await;
    import_text(&test.db, COURSE).await;
    let other = "version: 1\nmodules: [{slug: other, title: Other, lessons: [{slug: alone, title: Alone, duration_minutes: 1}]}]\n";
    assert_eq!(import_text(&test.db, other).await, Summary { created: 2, updated: 0, unchanged: 0, removed: 0 });
    let exported = export_from(&test.db).await;
    assert_eq!(exported.modules.len(), 3);
    assert_eq!(exported.roadmaps, parse(COURSE).unwrap().roadmaps);
    // A lesson that left its module in the document is left alone as well.
    let fewer = COURSE
        .replace("      - slug: third\n        title: Third\n        duration_minutes: 9\n", "")
        .replace("{lesson: third}, ", "");
    import_text(&test.db, &fewer.replace("    lessons:\nroadmaps", "roadmaps")).await;
    assert!(ids(test.pool(), "lessons").await.contains_key("third"));
}

#[tokio::test]
async fn exporting_and_importing_changes_nothing_whatever_the_positions() {
    let test = TestDb::new().await;
    let pool = test.pool();
    import_text(&test.db, COURSE).await;
    // A second document of its own, so that positions repeat; and gaps, drafts, deleted things in between.
    import_text(&test.db, "version: 1\nmodules: [{slug: other, title: Other, publication: draft}]\n").await;
    run(pool, "UPDATE lesson_tasks SET position = position * 10 + 5; UPDATE stages SET position = position + 3;
        UPDATE prompt_steps SET position = 7 WHERE position = 2; UPDATE lessons SET publication = 'archived' WHERE slug = 'second';
        UPDATE lesson_tasks SET deleted_at = now() WHERE slug = 'read'; UPDATE lessons SET deleted_at = now() WHERE slug = 'third';
        UPDATE prompt_categories SET deleted_at = now() WHERE slug = 'build'").await;
    let before = fingerprint(pool).await;
    let yaml = to_yaml(&export_from(&test.db).await).unwrap();
    let summary = import_text(&test.db, &yaml).await;
    assert!(!summary.changed_anything(), "{summary:?}");
    assert_eq!(fingerprint(pool).await, before);
}

#[tokio::test]
async fn materials_and_steps_are_matched_by_their_order() {
    let test = TestDb::new().await;
    let pool = test.pool();
    import_text(&test.db, COURSE).await;
    let steps =
        "SELECT string_agg(title || ' ' || id, ', ' ORDER BY position) FROM prompt_steps WHERE deleted_at IS NULL";
    let before: String = scalar(pool, steps).await;
    // The first of three goes: the others move up, and the last row is deleted.
    let summary = import_text(&test.db, &COURSE.replace("      - {title: One, body: First.}\n", "")).await;
    assert_eq!(summary, Summary { created: 0, updated: 2, unchanged: 22, removed: 1 });
    let after: String = scalar(pool, steps).await;
    let row_ids =
        |text: &str| -> Vec<String> { text.split(", ").map(|row| row.split(' ').nth(1).unwrap().to_owned()).collect() };
    assert_eq!(row_ids(&after), row_ids(&before)[..2]);
    assert!(after.starts_with("Two "), "{after}");
    let summary = import_text(&test.db, COURSE).await;
    assert_eq!((summary.created, summary.updated), (1, 2));
    assert_eq!(export_from(&test.db).await, parse(COURSE).unwrap());
}

#[tokio::test]
async fn two_categories_can_swap_names_but_not_take_one_that_stays() {
    let test = TestDb::new().await;
    import_text(&test.db, COURSE).await;
    let swapped =
        COURSE.replace("name: Plan", "name: X").replace("name: Build", "name: plan").replace("name: X", "name: BUILD");
    import_text(&test.db, &swapped).await;
    assert_eq!(export_from(&test.db).await, parse(&swapped).unwrap());
    let other = "version: 1\nprompt_categories: [{slug: another, name: Build, kind: design}]\n";
    let error = import_course(&test.db, &parse(other).unwrap()).await.unwrap_err();
    assert!(matches!(error, ImportError::Conflict(_)), "{error:?}");
    assert!(error.to_string().contains("(build)"), "{error}");
}

#[tokio::test]
async fn concurrent_imports_wait_for_each_other_and_create_one_course() {
    let test = TestDb::new().await;
    let course = Arc::new(parse(COURSE).unwrap());
    let barrier = Arc::new(Barrier::new(6));
    let mut running = tokio::task::JoinSet::new();
    for _ in 0..6 {
        let (db, course, barrier) = (test.db.clone(), Arc::clone(&course), Arc::clone(&barrier));
        running.spawn(async move {
            barrier.wait().await;
            import_course(&db, &course).await.unwrap()
        });
    }
    let summaries = running.join_all().await;
    assert_eq!(summaries.iter().filter(|summary| summary.created == 25).count(), 1, "{summaries:?}");
    assert_eq!(summaries.iter().filter(|summary| summary.unchanged == 25).count(), 5, "{summaries:?}");
    assert_eq!(export_from(&test.db).await, *course);
}

#[tokio::test]
async fn only_roadmaps_with_learners_are_recomputed() {
    let test = TestDb::new().await;
    let pool = test.pool();
    let bulk = "SELECT count(*) FROM apalis.jobs WHERE job_type = 'progress-bulk'";
    let stale = "SELECT count(*) FROM roadmaps WHERE recomputed_version < content_version";
    import_text(&test.db, COURSE).await;
    assert_eq!((scalar::<i64>(pool, bulk).await, scalar::<i64>(pool, stale).await), (0, 0), "no learners yet");
    let version: i64 = scalar(pool, "SELECT content_version FROM roadmaps").await;
    let learner = add_user(pool).await;
    sqlx::query(
        "INSERT INTO user_lesson_progress (user_id, lesson_id) SELECT $1, id FROM lessons WHERE slug = 'first'",
    )
    .bind(learner)
    .execute(pool)
    .await
    .unwrap();

    import_text(&test.db, &COURSE.replace("title: First", "title: Other words")).await;
    assert_eq!(
        scalar::<i64>(pool, "SELECT content_version FROM roadmaps").await,
        version,
        "texts do not affect progress"
    );
    assert_eq!(scalar::<i64>(pool, bulk).await, 0);

    import_text(&test.db, &COURSE.replace("{lesson: second, required: false}", "{lesson: second}")).await;
    assert!(scalar::<i64>(pool, "SELECT content_version FROM roadmaps").await > version);
    assert_eq!((scalar::<i64>(pool, bulk).await, scalar::<i64>(pool, stale).await), (1, 1));
    let payload: String =
        scalar(pool, "SELECT convert_from(job, 'UTF8') FROM apalis.jobs WHERE job_type = 'progress-bulk'").await;
    let job: serde_json::Value = serde_json::from_str(&payload).unwrap();
    assert_eq!(job["data"]["content_version"], scalar::<i64>(pool, "SELECT content_version FROM roadmaps").await);
}

#[tokio::test]
async fn the_demo_course_is_valid_and_can_be_imported() {
    let test = TestDb::new().await;
    let course = parse(DEMO).unwrap_or_else(|problems| panic!("{problems:#?}"));
    let stages: Vec<_> = course.roadmaps.iter().flat_map(|roadmap| &roadmap.stages).collect();
    let lessons: Vec<_> = course.modules.iter().flat_map(|module| &module.lessons).collect();
    assert!(course.roadmaps.len() >= 2 && stages.len() >= 8 && lessons.len() >= 40);
    assert!(lessons.iter().all(|lesson| lesson.body.len() > 200));
    assert!(
        course.prompts.iter().any(|prompt| !prompt.steps.is_empty())
            && !course.styles.is_empty()
            && !course.glossary.is_empty()
    );
    let summary = import_course(&test.db, &course).await.unwrap();
    assert_eq!((summary.updated, summary.unchanged, summary.removed), (0, 0, 0));
    let exported = export_from(&test.db).await;
    let mut expected = course.clone();
    expected.glossary.sort_by(|a, b| a.slug.cmp(&b.slug));
    assert_eq!(exported, expected);
    assert_eq!(parse(&to_yaml(&exported).unwrap()).unwrap(), exported);
    let published = lessons.iter().filter(|lesson| lesson.publication == Publication::Published).count();
    assert!(published >= 40, "{published} lessons can be seen");
}
