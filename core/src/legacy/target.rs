//! Inserts what was planned: one statement for each table and chunk.
//!
//! Rows that are identified by what they connect, such as a like, stay as they are if they exist: two rows of the old database
//! may say the same, and what somebody did here meanwhile counts. So does a setting, unless it has never been touched.

use serde_json::Value;
use sqlx::PgConnection;
use strum::IntoEnumIterator;

use super::plan::{Plan, Target};
use crate::Result;

/// Inserts the records of plans, parents first.
pub(super) async fn insert(connection: &mut PgConnection, plans: &[&Plan]) -> Result<()> {
    for target in Target::iter() {
        let records = plans.iter().flat_map(|plan| &plan.records).filter(|(of, _)| *of == target);
        let records: Vec<Value> = records.map(|(_, record)| record.clone()).collect();
        if !records.is_empty() {
            insert_into(connection, target, Value::Array(records)).await?;
        }
    }
    Ok(())
}

/// Inserts the elements of a JSON array, whose members are the columns.
macro_rules! insert {
    ($connection:ident, $records:ident, $table:literal, $columns:literal, $conflict:literal) => {{
        sqlx::query!(
            "INSERT INTO "
                + $table
                + " ("
                + $columns
                + ") SELECT "
                + $columns
                + " FROM jsonb_populate_recordset(NULL::"
                + $table
                + ", $1) "
                + $conflict,
            $records
        )
        .execute($connection)
        .await?
    }};
}

#[expect(clippy::too_many_lines, reason = "a list of tables and their columns")]
async fn insert_into(connection: &mut PgConnection, target: Target, records: Value) -> Result<()> {
    match target {
        Target::Users => insert!(
            connection,
            records,
            "users",
            "id, email, email_key, password_hash, first_name, last_name, avatar_url, role, status, suspension_reason, last_active_at, email_verified_at, version, created_at, updated_at, deleted_at",
            ""
        ),
        Target::Modules => insert!(
            connection,
            records,
            "course_modules",
            "id, slug, title, summary, position, publication, version, created_at, updated_at, deleted_at",
            ""
        ),
        Target::Lessons => insert!(
            connection,
            records,
            "lessons",
            "id, module_id, slug, title, summary, body, video_url, duration_minutes, completion, position, publication, version, created_at, updated_at, deleted_at",
            ""
        ),
        Target::Materials => insert!(
            connection,
            records,
            "lesson_materials",
            "id, lesson_id, kind, title, url, position, created_at, updated_at, deleted_at",
            ""
        ),
        Target::Tasks => insert!(
            connection,
            records,
            "lesson_tasks",
            "id, lesson_id, slug, title, description, is_required, position, created_at, updated_at, deleted_at",
            ""
        ),
        Target::Roadmaps => insert!(
            connection,
            records,
            "roadmaps",
            "id, slug, title, summary, is_sequential, position, publication, content_version, recomputed_version, version, created_at, updated_at, deleted_at",
            ""
        ),
        Target::Stages => insert!(
            connection,
            records,
            "stages",
            "id, roadmap_id, slug, title, summary, position, publication, version, created_at, updated_at, deleted_at",
            ""
        ),
        Target::StageLessons => insert!(
            connection,
            records,
            "stage_lessons",
            "stage_id, lesson_id, position, is_required",
            "ON CONFLICT DO NOTHING"
        ),
        Target::Categories => insert!(
            connection,
            records,
            "prompt_categories",
            "id, slug, name, kind, color, position, version, created_at, updated_at, deleted_at",
            ""
        ),
        Target::Prompts => insert!(
            connection,
            records,
            "prompts",
            "id, category_id, slug, title, description, body, tags, copy_count, position, publication, version, created_at, updated_at, deleted_at",
            ""
        ),
        Target::PromptSteps => insert!(
            connection,
            records,
            "prompt_steps",
            "id, prompt_id, title, body, position, created_at, updated_at, deleted_at",
            ""
        ),
        Target::Styles => insert!(
            connection,
            records,
            "style_cards",
            "id, slug, title, category, description, prompt, tags, preview_url, usage_count, position, publication, version, created_at, updated_at, deleted_at",
            ""
        ),
        Target::Glossary => insert!(
            connection,
            records,
            "glossary_terms",
            "id, slug, term, definition, tags, category, publication, version, created_at, updated_at, deleted_at",
            ""
        ),
        Target::Projects => insert!(
            connection,
            records,
            "showcase_projects",
            "id, user_id, title, summary, description, project_url, repository_url, cover_url, status, published_at, submitted_at, category, likes_count, trending_likes, version, created_at, updated_at, deleted_at",
            ""
        ),
        Target::Facts => insert!(
            connection,
            records,
            "user_lesson_progress",
            "user_id, lesson_id, status, started_at, completed_at, created_at, updated_at",
            "ON CONFLICT DO NOTHING"
        ),
        Target::CheckedTasks => insert!(
            connection,
            records,
            "user_lesson_task_progress",
            "user_id, task_id, checked_at",
            "ON CONFLICT DO NOTHING"
        ),
        Target::Favorites => insert!(
            connection,
            records,
            "user_prompt_favorites",
            "user_id, prompt_id, created_at",
            "ON CONFLICT DO NOTHING"
        ),
        Target::Likes => {
            insert!(connection, records, "project_likes", "project_id, user_id, created_at", "ON CONFLICT DO NOTHING")
        }
        Target::Chats => {
            insert!(connection, records, "tool_chats", "id, user_id, tool_type, created_at, updated_at", "")
        }
        Target::Messages => insert!(
            connection,
            records,
            "tool_messages",
            "id, chat_id, role, content, has_copyable_content, created_at",
            ""
        ),
        Target::Settings => insert!(
            connection,
            records,
            "platform_settings",
            "key, value, version, created_at, updated_at",
            "ON CONFLICT (key) DO UPDATE SET value = excluded.value
             WHERE platform_settings.value = 'null' AND platform_settings.version = 1"
        ),
    };
    Ok(())
}
