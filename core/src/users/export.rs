//! Everything that is stored about a user, for themself.
//!
//! Read in pages, so that neither memory nor a transaction grows with what somebody has done.

use chrono::{DateTime, Utc};
use serde_json::Value;
use sqlx::PgConnection;
use uuid::Uuid;

use crate::Result;
use crate::actor::Caller;

/// What an export consists of, in its order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, strum::IntoStaticStr, strum::VariantArray)]
#[strum(serialize_all = "snake_case")]
pub enum Section {
    /// The account, once.
    Account,
    /// Sign-ins.
    Session,
    /// Progress in a roadmap.
    RoadmapProgress,
    /// Progress in a stage.
    StageProgress,
    /// A lesson that was started.
    Lesson,
    /// A task that is checked.
    Task,
    /// A prompt among the favorites.
    Favorite,
    /// A project.
    Project,
    /// A like of a project.
    Like,
    /// A message of a chat with a tool.
    Message,
    /// What they think of a reply.
    Rating,
    /// A reply that they put before the mentors.
    MentorQuestion,
    /// An answer that they gave as a mentor.
    MentorAnswer,
    /// What their questions to a tool have cost on a day.
    Spending,
    /// An activity.
    Activity,
}

impl Section {
    /// All sections in order.
    pub const ALL: &[Self] = <Self as strum::VariantArray>::VARIANTS;

    /// The name in exports.
    pub fn name(self) -> &'static str {
        self.into()
    }
}

/// An item of a section.
#[derive(Clone, Debug)]
pub struct Item {
    /// Where the next page of the section begins, together with the id.
    pub at: DateTime<Utc>,
    /// Identifies the item in its section.
    pub id: Uuid,
    /// What is stored; an object.
    pub data: Value,
}

/// The next items of a section.
#[derive(Clone, Debug)]
pub struct Page {
    /// The items in order.
    pub items: Vec<Item>,
    /// Whether the section may have more.
    pub has_more: bool,
}

type Key = (DateTime<Utc>, Uuid);

/// The next items of a section, after the time and id of `after`.
pub async fn page(
    connection: &mut PgConnection,
    caller: &Caller,
    section: Section,
    after: Option<Key>,
) -> Result<Page> {
    let (user_id, after) = (caller.user_id, after.unwrap_or((DateTime::UNIX_EPOCH, Uuid::nil())));
    match section {
        Section::Account => account(connection, user_id, after).await,
        Section::Session => sessions(connection, user_id, after).await,
        Section::RoadmapProgress => roadmap_progress(connection, user_id, after).await,
        Section::StageProgress => stage_progress(connection, user_id, after).await,
        Section::Lesson => lessons(connection, user_id, after).await,
        Section::Task => tasks(connection, user_id, after).await,
        Section::Favorite => favorites(connection, user_id, after).await,
        Section::Project => projects(connection, user_id, after).await,
        Section::Like => likes(connection, user_id, after).await,
        Section::Message => messages(connection, user_id, after).await,
        Section::Rating => ratings(connection, user_id, after).await,
        Section::MentorQuestion => mentor_questions(connection, user_id, after).await,
        Section::MentorAnswer => mentor_answers(connection, user_id, after).await,
        Section::Spending => spending(connection, user_id, after).await,
        Section::Activity => activities(connection, user_id, after).await,
    }
}

/// Declares how a page of a section is read: its size, and the statement with the user, the time and the id after which it
/// begins, and the size.
macro_rules! pages {
    ($($(#[$meta:meta])* $section:ident $limit:literal $sql:literal;)*) => {$(
        $(#[$meta])*
        async fn $section(connection: &mut PgConnection, user_id: Uuid, (at, id): Key) -> Result<Page> {
            let items = sqlx::query_as!(Item, $sql, user_id, at, id, $limit).fetch_all(connection).await?;
            Ok(Page { has_more: items.len() == $limit, items })
        }
    )*};
}

pages! {
    account 2 r#"SELECT $2::timestamptz AS "at!", u.id AS "id!", jsonb_build_object('id', u.id, 'email', u.email,
            'first_name', u.first_name, 'last_name', u.last_name, 'avatar_url', u.avatar_url, 'role', u.role,
            'status', u.status, 'progress_percent', u.progress_percent, 'invite_id', u.invite_id,
            'last_active_at', u.last_active_at, 'created_at', u.created_at, 'updated_at', u.updated_at)
            AS "data!"
        FROM users u WHERE u.id = $1 AND u.id > $3 LIMIT $4"#;
    sessions 200 r#"SELECT $2::timestamptz AS "at!", s.id AS "id!", jsonb_build_object('id', s.id,
            'user_agent', s.user_agent, 'ip', host(s.ip), 'created_at', s.created_at,
            'last_used_at', s.last_used_at, 'expires_at', s.expires_at, 'revoked_at', s.revoked_at,
            'revoke_reason', s.revoke_reason) AS "data!"
        FROM sessions s WHERE s.user_id = $1 AND s.id > $3 ORDER BY s.id LIMIT $4"#;
    roadmap_progress 200 r#"SELECT $2::timestamptz AS "at!", p.roadmap_id AS "id!", jsonb_build_object('roadmap_id', p.roadmap_id,
            'title', r.title, 'lessons_total', p.lessons_total, 'lessons_completed', p.lessons_completed,
            'percent', p.percent, 'status', p.status, 'completed_at', p.completed_at,
            'achieved_at', p.achieved_at) AS "data!"
        FROM user_roadmap_progress p JOIN roadmaps r ON r.id = p.roadmap_id
        WHERE p.user_id = $1 AND p.roadmap_id > $3 ORDER BY p.roadmap_id LIMIT $4"#;
    stage_progress 200 r#"SELECT $2::timestamptz AS "at!", p.stage_id AS "id!", jsonb_build_object('stage_id', p.stage_id,
            'title', s.title, 'lessons_total', p.lessons_total, 'lessons_completed', p.lessons_completed,
            'percent', p.percent, 'status', p.status, 'completed_at', p.completed_at,
            'achieved_at', p.achieved_at) AS "data!"
        FROM user_stage_progress p JOIN stages s ON s.id = p.stage_id
        WHERE p.user_id = $1 AND p.stage_id > $3 ORDER BY p.stage_id LIMIT $4"#;
    lessons 200 r#"SELECT $2::timestamptz AS "at!", f.lesson_id AS "id!", jsonb_build_object('lesson_id', f.lesson_id,
            'title', l.title, 'status', f.status, 'started_at', f.started_at, 'completed_at', f.completed_at)
            AS "data!"
        FROM user_lesson_progress f JOIN lessons l ON l.id = f.lesson_id
        WHERE f.user_id = $1 AND f.lesson_id > $3 ORDER BY f.lesson_id LIMIT $4"#;
    tasks 200 r#"SELECT $2::timestamptz AS "at!", p.task_id AS "id!", jsonb_build_object('task_id', p.task_id,
            'lesson_id', t.lesson_id, 'title', t.title, 'checked_at', p.checked_at) AS "data!"
        FROM user_lesson_task_progress p JOIN lesson_tasks t ON t.id = p.task_id
        WHERE p.user_id = $1 AND p.task_id > $3 ORDER BY p.task_id LIMIT $4"#;
    favorites 200 r#"SELECT $2::timestamptz AS "at!", f.prompt_id AS "id!", jsonb_build_object('prompt_id', f.prompt_id,
            'title', p.title, 'created_at', f.created_at) AS "data!"
        FROM user_prompt_favorites f JOIN prompts p ON p.id = f.prompt_id
        WHERE f.user_id = $1 AND f.prompt_id > $3 ORDER BY f.prompt_id LIMIT $4"#;
    projects 20 r#"SELECT $2::timestamptz AS "at!", p.id AS "id!", jsonb_build_object('id', p.id, 'title', p.title,
            'summary', p.summary, 'description', p.description, 'project_url', p.project_url,
            'repository_url', p.repository_url, 'cover_url', p.cover_url, 'status', p.status,
            'moderation_reason', p.moderation_reason, 'likes_count', p.likes_count,
            'published_at', p.published_at, 'created_at', p.created_at, 'deleted_at', p.deleted_at) AS "data!"
        FROM showcase_projects p WHERE p.user_id = $1 AND p.id > $3 ORDER BY p.id LIMIT $4"#;
    likes 200 r#"SELECT $2::timestamptz AS "at!", k.project_id AS "id!", jsonb_build_object('project_id', k.project_id,
            'created_at', k.created_at) AS "data!"
        FROM project_likes k WHERE k.user_id = $1 AND k.project_id > $3 ORDER BY k.project_id LIMIT $4"#;
    /// Reads the first page of each chat's index, whatever the number of its messages.
    messages 50 r#"SELECT m.created_at AS "at!", m.id AS "id!", jsonb_build_object('id', m.id, 'tool_type', c.tool_type,
            'role', CASE WHEN EXISTS (SELECT FROM mentor_questions q WHERE q.message_id = m.id) THEN 'mentor' ELSE m.role END,
            'content', m.content, 'created_at', m.created_at) AS "data!"
        FROM tool_chats c
        CROSS JOIN LATERAL (
            SELECT * FROM tool_messages m WHERE m.chat_id = c.id AND (m.created_at, m.id) > ($2, $3)
            ORDER BY m.created_at, m.id LIMIT $4
        ) m
        WHERE c.user_id = $1 ORDER BY m.created_at, m.id LIMIT $4"#;
    ratings 50 r#"SELECT r.created_at AS "at!", r.id AS "id!", jsonb_build_object('reply_id', r.id, 'thumb', t.thumb,
            'reason', t.reason, 'created_at', t.created_at, 'updated_at', t.updated_at) AS "data!"
        FROM ai_replies r JOIN ai_reply_ratings t ON t.reply_id = r.id
        WHERE r.chat_id IN (SELECT id FROM tool_chats WHERE user_id = $1) AND (r.created_at, r.id) > ($2, $3)
        ORDER BY r.created_at, r.id LIMIT $4"#;
    mentor_questions 200 r#"SELECT $2::timestamptz AS "at!", q.id AS "id!", jsonb_build_object('id', q.id,
            'reply_id', q.reply_id, 'asked_at', q.created_at, 'answered_at', q.answered_at,
            'message_id', q.message_id) AS "data!"
        FROM mentor_questions q WHERE q.user_id = $1 AND q.id > $3 ORDER BY q.id LIMIT $4"#;
    mentor_answers 20 r#"SELECT $2::timestamptz AS "at!", q.id AS "id!", jsonb_build_object('question_id', q.id,
            'content', m.content, 'answered_at', q.answered_at) AS "data!"
        FROM mentor_questions q LEFT JOIN tool_messages m ON m.id = q.message_id
        WHERE q.answered_by = $1 AND q.id > $3 ORDER BY q.id LIMIT $4"#;
    /// A day and a tool take the place of the time and the id, because the rows have none.
    spending 400 r#"SELECT s.at AS "at!", s.key AS "id!", jsonb_build_object('day', s.day, 'tool_type', s.tool_type,
            'tokens', s.tokens, 'cost_micros', s.cost_micros) AS "data!"
        FROM (SELECT s.*, s.day::timestamp AT TIME ZONE 'UTC' AS at, md5(s.tool_type)::uuid AS key
              FROM ai_learner_spending s WHERE s.user_id = $1) s
        WHERE (s.at, s.key) > ($2, $3) ORDER BY s.at, s.key LIMIT $4"#;
    activities 200 r#"SELECT a.occurred_at AS "at!", a.id AS "id!", jsonb_build_object('id', a.id, 'action', a.action,
            'target_type', a.target_type, 'target_id', a.target_id, 'target_title', a.target_title,
            'metadata', a.metadata, 'ip', host(a.ip), 'user_agent', a.user_agent,
            'occurred_at', a.occurred_at) AS "data!"
        FROM activity_log a WHERE a.actor_id = $1 AND (a.occurred_at, a.id) > ($2, $3)
        ORDER BY a.occurred_at, a.id LIMIT $4"#;
}
