//! Names and shapes that other programs rely on.

use cairn_testing::database::{TestDb, rows, scalar};

const TABLES: &[&str] = &[
    "users",
    "invite_links",
    "course_modules",
    "lessons",
    "lesson_materials",
    "lesson_tasks",
    "user_lesson_progress",
    "user_stage_progress",
    "user_roadmap_progress",
    "style_cards",
    "glossary_terms",
    "prompts",
    "prompt_categories",
    "prompt_steps",
    "user_prompt_favorites",
    "showcase_projects",
    "project_likes",
    "tool_chats",
    "tool_messages",
    "ai_system_instructions",
    "activity_log",
    "platform_settings",
    "roadmaps",
    "stages",
    "stage_lessons",
    "user_lesson_task_progress",
];

const VIEWS: &[&str] = &["admin_dashboard_stats", "recent_student_activity"];

const ENUMS: &[(&str, &str)] = &[
    ("user_role", "student, mentor, admin"),
    ("lesson_status", "locked, available, in_progress, completed"),
    ("publication", "draft, published, archived"),
    ("project_category", "website, web_app, mobile_app, bot, game, tool, design, other"),
    ("style_category", "minimal, editorial, brutalist, playful, corporate, retro, futuristic, organic"),
    ("prompt_category", "planning, research, design, frontend, backend, content, debugging, deployment"),
];

#[tokio::test]
async fn tables_views_and_types_have_their_names() {
    let test = TestDb::new().await;
    let relation = "SELECT relkind::text FROM pg_class WHERE oid = to_regclass('public.";
    for table in TABLES {
        let kinds: Vec<(String,)> = rows(test.pool(), format!("{relation}{table}')")).await;
        assert!(kinds.iter().any(|kind| kind.0 == "r" || kind.0 == "p"), "table {table}: {kinds:?}");
    }
    for view in VIEWS {
        let kinds: Vec<(String,)> = rows(test.pool(), format!("{relation}{view}')")).await;
        assert_eq!(kinds, [("v".to_owned(),)], "view {view}");
        // And it can be read.
        scalar::<i64>(test.pool(), format!("SELECT count(*) FROM {view}")).await;
    }
    for (name, labels) in ENUMS {
        let query = format!(
            "SELECT string_agg(l, ', ' ORDER BY n) FROM unnest(enum_range(NULL::{name})::text[]) WITH ORDINALITY AS e (l, n)"
        );
        assert_eq!(scalar::<String>(test.pool(), query).await, *labels, "{name}");
    }
}

/// Name, type, longest text, whether it may be null, default.
type Column = (String, String, Option<i32>, String, Option<String>);

/// The chats are in production elsewhere, column for column.
/// With a publication of all tables, Postgres refuses to change rows of a table that has no key. What is written on the subscriber
/// comes with the rows, so no trigger may run there.
#[tokio::test]
async fn every_table_can_be_replicated_logically() {
    let test = TestDb::new().await;
    let without_key: Vec<(String,)> = rows(
        test.pool(),
        "SELECT c.oid::regclass::text FROM pg_class c
         WHERE relkind IN ('r', 'p') AND relpersistence = 'p' AND relreplident = 'd'
           AND relnamespace IN ('public'::regnamespace, 'apalis'::regnamespace)
           AND NOT EXISTS (SELECT FROM pg_index i WHERE i.indrelid = c.oid AND i.indisprimary) ORDER BY 1",
    )
    .await;
    assert!(without_key.is_empty(), "give them a primary key, or a REPLICA IDENTITY: {without_key:?}");
    let triggers: Vec<(String,)> =
        rows(test.pool(), "SELECT tgname::text FROM pg_trigger WHERE tgenabled IN ('A', 'R')").await;
    assert!(triggers.is_empty(), "they run on subscribers: {triggers:?}");
}

#[tokio::test]
async fn chats_keep_the_shape_that_is_in_production() {
    let test = TestDb::new().await;
    let now = "now()";
    let uuid = ("id", "uuid", None, "NO", Some("gen_random_uuid()"));
    let expected = [
        (
            "tool_chats",
            vec![
                uuid,
                ("user_id", "uuid", None, "NO", None),
                ("tool_type", "character varying", Some(20), "NO", None),
                ("created_at", "timestamp with time zone", None, "YES", Some(now)),
                ("updated_at", "timestamp with time zone", None, "YES", Some(now)),
            ],
        ),
        (
            "tool_messages",
            vec![
                uuid,
                ("chat_id", "uuid", None, "NO", None),
                ("role", "character varying", Some(10), "NO", None),
                ("content", "text", None, "NO", None),
                ("has_copyable_content", "boolean", None, "YES", Some("false")),
                ("created_at", "timestamp with time zone", None, "YES", Some(now)),
            ],
        ),
    ];
    for (table, columns) in expected {
        let query = format!(
            "SELECT column_name::text, data_type::text, character_maximum_length::integer, is_nullable::text,
                    column_default::text
             FROM information_schema.columns WHERE table_schema = 'public' AND table_name = '{table}'
             ORDER BY ordinal_position"
        );
        let columns: Vec<Column> = columns
            .into_iter()
            .map(|(name, kind, length, nullable, default)| {
                (name.to_owned(), kind.to_owned(), length, nullable.to_owned(), default.map(str::to_owned))
            })
            .collect();
        assert_eq!(rows::<Column>(test.pool(), query).await, columns, "{table}");
    }
    let constraints = async |table: &str| {
        let query = format!(
            "SELECT pg_get_constraintdef(oid) FROM pg_constraint
             WHERE conrelid = '{table}'::regclass AND contype <> 'n' ORDER BY 1"
        );
        rows::<(String,)>(test.pool(), query).await.into_iter().map(|row| row.0).collect::<Vec<_>>()
    };
    let tools = "CHECK (((tool_type)::text = ANY ((ARRAY['assistant'::character varying, 'tz_helper'::character varying, \
                 'ideas'::character varying])::text[])))";
    assert_eq!(
        constraints("tool_chats").await,
        [
            tools,
            "FOREIGN KEY (user_id) REFERENCES users(id) ON DELETE CASCADE",
            "PRIMARY KEY (id)",
            "UNIQUE (user_id, tool_type)"
        ]
    );
    let roles =
        "CHECK (((role)::text = ANY ((ARRAY['user'::character varying, 'assistant'::character varying])::text[])))";
    assert_eq!(
        constraints("tool_messages").await,
        [roles, "FOREIGN KEY (chat_id) REFERENCES tool_chats(id) ON DELETE CASCADE", "PRIMARY KEY (id)"]
    );
    let index: String = scalar(
        test.pool(),
        "SELECT indexdef FROM pg_indexes WHERE schemaname = 'public' AND indexname = 'idx_tool_messages_chat_id'",
    )
    .await;
    assert_eq!(index, "CREATE INDEX idx_tool_messages_chat_id ON public.tool_messages USING btree (chat_id)");
}

/// What is deleted only softly stays out of the way of what comes after it.
#[tokio::test]
async fn names_of_what_is_deleted_are_free_again() {
    let test = TestDb::new().await;
    let pool = test.pool();
    let module = cairn_testing::rows::add_module(pool).await;
    let roadmap = cairn_testing::rows::add_roadmap(pool).await;
    let lesson = cairn_testing::rows::add_lesson(pool, module).await;
    let prompt_category: uuid::Uuid =
        scalar(pool, "INSERT INTO prompt_categories (slug, name, kind) VALUES ('kept', 'Kept', 'design') RETURNING id")
            .await;
    // Table, the index that keeps the name unique, and two inserts of the same name, differently written where it does
    // not matter.
    let cases = [
        (
            "users",
            "users_email_key",
            "(email, email_key, first_name) VALUES ('A@example.test', 'a@example.test', 'A')".to_owned(),
            "(email, email_key, first_name) VALUES ('a@example.test', 'a@example.test', 'A')".to_owned(),
        ),
        ("course_modules", "course_modules_slug_key", "(slug, title) VALUES ('xx', 'X')".into(), String::new()),
        (
            "lessons",
            "lessons_slug_key",
            format!("(slug, title, module_id, duration_minutes) VALUES ('xx', 'X', '{module}', 5)"),
            String::new(),
        ),
        (
            "lesson_tasks",
            "lesson_tasks_slug_key",
            format!("(slug, title, lesson_id) VALUES ('xx', 'X', '{lesson}')"),
            String::new(),
        ),
        ("roadmaps", "roadmaps_slug_key", "(slug, title) VALUES ('xx', 'X')".into(), String::new()),
        (
            "stages",
            "stages_slug_key",
            format!("(slug, title, roadmap_id) VALUES ('xx', 'X', '{roadmap}')"),
            String::new(),
        ),
        (
            "style_cards",
            "style_cards_slug_key",
            "(slug, title, category) VALUES ('xx', 'X', 'retro')".into(),
            String::new(),
        ),
        (
            "glossary_terms",
            "glossary_terms_slug_key",
            "(slug, term, definition) VALUES ('xx', 'X', 'X')".into(),
            String::new(),
        ),
        (
            "prompt_categories",
            "prompt_categories_name_key",
            "(slug, name, kind) VALUES ('xx', 'Plans', 'planning')".into(),
            "(slug, name, kind) VALUES ('yy', 'PLANS', 'planning')".into(),
        ),
        (
            "prompt_categories",
            "prompt_categories_slug_key",
            "(slug, name, kind) VALUES ('zz', 'X', 'planning')".into(),
            "(slug, name, kind) VALUES ('zz', 'Y', 'planning')".into(),
        ),
        (
            "prompts",
            "prompts_slug_key",
            format!("(slug, title, body, category_id) VALUES ('xx', 'X', 'X', '{prompt_category}')"),
            String::new(),
        ),
    ];
    for (table, index, first, second) in cases {
        let second = if second.is_empty() { &first } else { &second };
        let id: uuid::Uuid = scalar(pool, format!("INSERT INTO {table} {first} RETURNING id")).await;
        assert_eq!(violated(&test, format!("INSERT INTO {table} {second}")).await, index);
        cairn_testing::database::run(pool, format!("UPDATE {table} SET deleted_at = now() WHERE id = '{id}'")).await;
        cairn_testing::database::run(pool, format!("INSERT INTO {table} {second}")).await;
        let restore = format!("UPDATE {table} SET deleted_at = NULL WHERE id = '{id}'");
        assert_eq!(violated(&test, restore).await, index, "there cannot be two");
    }
}

/// The constraint that a statement runs into.
pub(super) async fn violated(test: &TestDb, statement: String) -> String {
    let result = sqlx::raw_sql(sqlx::AssertSqlSafe(statement.clone())).execute(test.pool()).await;
    let Err(error) = result else { panic!("not refused: {statement}") };
    match error.as_database_error().and_then(|error| error.constraint()) {
        Some(constraint) => constraint.to_owned(),
        None => panic!("{error}\nin {statement}"),
    }
}
