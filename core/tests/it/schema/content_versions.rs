//! Which edits make numbers stale, and which do not.

use uuid::Uuid;

use cairn_testing::database::{TestDb, rows, run};
use cairn_testing::rows::{add_lesson, add_module, add_roadmap, add_stage, link};

async fn versions(test: &TestDb, roadmaps: &[Uuid]) -> Vec<i64> {
    let found: Vec<(Uuid, i64)> = rows(test.pool(), "SELECT id, content_version FROM roadmaps").await;
    roadmaps.iter().map(|id| found.iter().find(|row| row.0 == *id).map_or(0, |row| row.1)).collect()
}

#[tokio::test]
async fn exactly_the_edits_that_matter_count() {
    let test = TestDb::new().await;
    let pool = test.pool();
    let (module, other_module) = (add_module(pool).await, add_module(pool).await);
    let (lesson, shared, unused) =
        (add_lesson(pool, module).await, add_lesson(pool, other_module).await, add_lesson(pool, module).await);
    let (one, two) = (add_roadmap(pool).await, add_roadmap(pool).await);
    let (first, second) = (add_stage(pool, one, &[lesson, shared]).await, add_stage(pool, one, &[]).await);
    let third = add_stage(pool, two, &[]).await;
    link(pool, third, shared).await;
    // Statement, and by how much it moves the version of each roadmap.
    let cases = [
        // Texts and orders that change no number.
        (
            format!("UPDATE roadmaps SET title = 'T', summary = 'S', position = 7, slug = 'other' WHERE id = '{one}'"),
            [0, 0],
        ),
        (format!("UPDATE stages SET title = 'T', summary = 'S', slug = 'other' WHERE id = '{first}'"), [0, 0]),
        (
            format!(
                "UPDATE lessons SET title = 'T', body = 'B', duration_minutes = 9, position = 3, completion = 'tasks' WHERE id = '{lesson}'"
            ),
            [0, 0],
        ),
        (format!("UPDATE course_modules SET title = 'T', position = 7 WHERE id = '{module}'"), [0, 0]),
        (format!("UPDATE stage_lessons SET position = 10 - position WHERE stage_id = '{first}'"), [0, 0]),
        (format!("INSERT INTO lesson_tasks (lesson_id, slug, title) VALUES ('{lesson}', 'task', 'T')"), [0, 0]),
        (
            format!(
                "INSERT INTO lesson_materials (lesson_id, kind, title, url) VALUES ('{lesson}', 'link', 'M', 'https://example.org')"
            ),
            [0, 0],
        ),
        ("UPDATE roadmaps SET recomputed_version = content_version".into(), [0, 0]),
        // Edits of what stands in no roadmap.
        (format!("UPDATE lessons SET publication = 'archived' WHERE id = '{unused}'"), [0, 0]),
        (
            format!("INSERT INTO lessons (slug, title, module_id, duration_minutes) VALUES ('xx', 'X', '{module}', 5)"),
            [0, 0],
        ),
        (format!("DELETE FROM lessons WHERE id = '{unused}'"), [0, 0]),
        // Edits that change nothing.
        ("UPDATE lessons SET publication = publication, module_id = module_id".into(), [0, 0]),
        ("UPDATE stages SET position = position, deleted_at = deleted_at".into(), [0, 0]),
        ("UPDATE stage_lessons SET is_required = is_required, lesson_id = lesson_id".into(), [0, 0]),
        ("UPDATE roadmaps SET is_sequential = is_sequential".into(), [0, 0]),
        ("UPDATE course_modules SET publication = publication".into(), [0, 0]),
        ("UPDATE lessons SET publication = 'draft' WHERE false".into(), [0, 0]),
        (
            format!(
                "INSERT INTO stage_lessons (stage_id, lesson_id) VALUES ('{first}', '{lesson}') ON CONFLICT DO NOTHING"
            ),
            [0, 0],
        ),
        // Roadmaps.
        (format!("UPDATE roadmaps SET is_sequential = true WHERE id = '{one}'"), [1, 0]),
        ("UPDATE roadmaps SET publication = 'draft'".into(), [1, 1]),
        ("UPDATE roadmaps SET publication = 'published'".into(), [1, 1]),
        (format!("UPDATE roadmaps SET deleted_at = now() WHERE id = '{two}'"), [0, 1]),
        (format!("UPDATE roadmaps SET deleted_at = now() + interval '1 day' WHERE id = '{two}'"), [0, 0]),
        (format!("UPDATE roadmaps SET deleted_at = NULL WHERE id = '{two}'"), [0, 1]),
        // Stages.
        (format!("UPDATE stages SET publication = 'archived' WHERE id = '{second}'"), [1, 0]),
        (format!("UPDATE stages SET deleted_at = now() WHERE id = '{third}'"), [0, 1]),
        (format!("UPDATE stages SET deleted_at = NULL WHERE id = '{third}'"), [0, 1]),
        (format!("UPDATE stages SET position = 10 - position WHERE roadmap_id = '{one}'"), [1, 0]),
        (format!("UPDATE stages SET roadmap_id = '{two}' WHERE id = '{second}'"), [1, 1]),
        (format!("UPDATE stages SET roadmap_id = '{one}' WHERE id = '{second}'"), [1, 1]),
        (
            format!(
                "INSERT INTO stages (roadmap_id, slug, title) VALUES ('{one}', 'new', 'N'), ('{two}', 'new', 'N'), ('{two}', 'newer', 'N')"
            ),
            [1, 1],
        ),
        ("DELETE FROM stages WHERE slug LIKE 'new%'".into(), [1, 1]),
        // Places.
        (format!("UPDATE stage_lessons SET is_required = false WHERE lesson_id = '{shared}'"), [1, 1]),
        (format!("UPDATE stage_lessons SET is_required = true WHERE stage_id = '{third}'"), [0, 1]),
        (format!("UPDATE stage_lessons SET stage_id = '{second}' WHERE stage_id = '{third}'"), [1, 1]),
        (
            format!(
                "INSERT INTO stage_lessons (stage_id, lesson_id) VALUES ('{third}', '{lesson}'), ('{third}', '{shared}')"
            ),
            [0, 1],
        ),
        (format!("DELETE FROM stage_lessons WHERE stage_id = '{third}' AND lesson_id = '{lesson}'"), [0, 1]),
        (
            format!(
                "INSERT INTO stage_lessons (stage_id, lesson_id, is_required) VALUES ('{third}', '{shared}', false)
                 ON CONFLICT (stage_id, lesson_id) DO UPDATE SET is_required = excluded.is_required"
            ),
            [0, 1],
        ),
        // Lessons and modules, through their places.
        (format!("UPDATE lessons SET publication = 'draft' WHERE id = '{lesson}'"), [1, 0]),
        (format!("UPDATE lessons SET publication = 'published', title = 'T' WHERE id = '{shared}'"), [0, 0]),
        (format!("UPDATE lessons SET deleted_at = now() WHERE id = '{shared}'"), [1, 1]),
        (format!("UPDATE lessons SET deleted_at = NULL WHERE id = '{shared}'"), [1, 1]),
        (format!("UPDATE lessons SET module_id = '{module}' WHERE id = '{shared}'"), [1, 1]),
        (format!("UPDATE course_modules SET publication = 'draft' WHERE id = '{other_module}'"), [0, 0]),
        (format!("UPDATE course_modules SET deleted_at = now() WHERE id = '{module}'"), [1, 1]),
        (format!("UPDATE course_modules SET deleted_at = NULL WHERE id = '{module}'"), [1, 1]),
        (format!("DELETE FROM lessons WHERE id = '{shared}'"), [1, 1]),
    ];
    let mut before = versions(&test, &[one, two]).await;
    for (statement, moves) in cases {
        run(pool, statement.clone()).await;
        let after = versions(&test, &[one, two]).await;
        assert_eq!([after[0] - before[0], after[1] - before[1]], moves, "{statement}");
        before = after;
    }
}
