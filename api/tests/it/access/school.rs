//! The school that the operations are called on.

use std::sync::LazyLock;

use cairn_core::db::{APPLICATION, MigrateError, schema_fingerprint};
use cairn_core::users::password_rules::Password;
use cairn_postgres::role_url;
use cairn_postgres::testing::test_database;
use cairn_testing::database::set_up_empty;
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, Connection, PgConnection, PgPool};
use uuid::Uuid;

use super::table::{Row, Who};
use crate::support::contract::{Operation, operations};
use crate::support::{Actor, Call, TestApp};

const SCHOOL: &str = include_str!("school.sql");

/// The password of everyone in the school.
const PASSWORD: &str = "correct horse battery";

/// What parameters of the path are unless a row says otherwise.
pub(super) const PARAMETERS: &[(&str, &str)] = &[
    ("activity_id", "$activity 1"),
    ("chat_id", "$chat 1"),
    ("evaluation_id", "$evaluation 1"),
    ("evaluation_run_id", "$run 1"),
    ("import_id", "$import 1"),
    ("invite_id", "$invite 1"),
    ("job_id", "dead-1"),
    ("key", "registration.mode"),
    ("lesson_id", "$lesson 1"),
    ("mentor_question_id", "$asked 1"),
    ("module_id", "$module 1"),
    ("project_id", "$project 1"),
    ("prompt_category_id", "$category 1"),
    ("prompt_id", "$prompt 1"),
    ("queue_name", "likes"),
    ("reply_id", "$reply 1"),
    ("roadmap_id", "$roadmap 1"),
    ("session_id", "$session 1"),
    ("stage_id", "$stage 1"),
    ("student_id", "$learner"),
    ("style_id", "$style 1"),
    ("target_id", "$lesson 1"),
    ("target_type", "lesson"),
    ("task_id", "$task 1"),
    ("term_id", "$term 1"),
    ("tool_type", "assistant"),
    ("tryout_id", "$tryout 1"),
    ("user_id", "$student 1"),
    ("version", "1"),
    ("If-Match", "\"1\""),
];

/// What `$all …` is in a body: one JSON value. New orders are not the old ones.
const LISTS: &[(&str, &str)] = &[
    ("modules", "SELECT jsonb_agg(id ORDER BY id DESC) FROM course_modules WHERE deleted_at IS NULL"),
    ("lessons", "SELECT jsonb_agg(id ORDER BY id DESC) FROM lessons WHERE deleted_at IS NULL"),
    ("roadmaps", "SELECT jsonb_agg(id ORDER BY id DESC) FROM roadmaps WHERE deleted_at IS NULL"),
    ("stages", "SELECT jsonb_agg(id ORDER BY id DESC) FROM stages WHERE deleted_at IS NULL"),
    ("styles", "SELECT jsonb_agg(id ORDER BY id DESC) FROM style_cards WHERE deleted_at IS NULL"),
    ("categories", "SELECT jsonb_agg(id ORDER BY id DESC) FROM prompt_categories WHERE deleted_at IS NULL"),
    ("prompts", "SELECT jsonb_agg(id ORDER BY id DESC) FROM prompts WHERE deleted_at IS NULL"),
    ("students", "SELECT jsonb_agg(id ORDER BY id DESC) FROM users WHERE first_name LIKE 'Student %'"),
    (
        "placed lessons",
        "SELECT jsonb_agg(jsonb_build_object('lesson_id', id, 'is_required', false)) FROM lessons WHERE publication = 'published'
         AND deleted_at IS NULL",
    ),
    (
        "changed tasks",
        "SELECT jsonb_agg(jsonb_build_object('id', id, 'slug', slug, 'title', title || '!')) FROM lesson_tasks
         WHERE title LIKE 'Task %'",
    ),
    (
        "changed materials",
        "SELECT jsonb_agg(jsonb_build_object('id', id, 'kind', kind, 'title', title || '!', 'url', url)) FROM lesson_materials",
    ),
    (
        "changed steps",
        "SELECT jsonb_agg(jsonb_build_object('id', s.id, 'title', s.title || '!', 'body', s.body))
         FROM prompt_steps s JOIN prompts p ON p.id = s.prompt_id WHERE p.slug = 'prompt-1'",
    ),
    (
        "new tasks",
        "SELECT jsonb_agg(jsonb_build_object('slug', 'new-' || position, 'title', title)) FROM lesson_tasks WHERE title LIKE 'Task %'",
    ),
    ("new materials", "SELECT jsonb_agg(jsonb_build_object('kind', kind, 'title', title, 'url', url)) FROM lesson_materials"),
    (
        "new steps",
        "SELECT jsonb_agg(jsonb_build_object('title', s.title, 'body', s.body))
         FROM prompt_steps s JOIN prompts p ON p.id = s.prompt_id WHERE p.slug = 'prompt-1'",
    ),
];

/// Whoever tries what is not allowed, or reads what is private, leaves a trace in the activity log, which changes nothing else.
const NO_TRACES: &str =
    "convert_from(job, 'UTF8') !~ '\"(operation\\.refused|chat\\.read|chat\\.exported|activity\\.exported)\"'";

/// The id of that name.
pub(super) fn named(name: &str) -> Uuid {
    let mut bytes = [0; 16];
    bytes[..name.len()].copy_from_slice(name.as_bytes());
    Uuid::from_bytes(bytes)
}

/// An API over a school of its own.
pub(super) struct School {
    pub(super) app: TestApp,
    tables: Vec<Table>,
}

impl School {
    /// A school with `rows` rows in every list.
    pub(super) async fn new(rows: usize) -> Self {
        let template = format!("{} {rows} {SCHOOL}", schema_fingerprint());
        let database = test_database(&template, async |url: &str| {
            set_up_empty(url).await?;
            fill(url, rows).await;
            Ok::<(), MigrateError>(())
        });
        let app = TestApp::on(database.await.unwrap().used_by(APPLICATION));
        app.leave_jobs();
        let mut school = Self { tables: Table::all(app.app.pool()).await, app };
        school.remember().await;
        school
    }

    /// Who calls; `None` if it is nobody.
    pub(super) fn actor(&self, who: Who) -> Option<Actor> {
        let session = named(&format!("s {}", who.name()));
        (who != Who::Anonymous).then(|| self.app.signed_in(named(who.name()), session))
    }

    /// The call of a row's operation.
    pub(super) async fn call(&self, row: &Row, who: Who) -> Call {
        self.call_with(row, who, &[]).await
    }

    /// The call of a row's operation with these parameters of the path instead of the row's.
    pub(super) async fn call_with(&self, row: &Row, who: Who, ids: &[(&str, String)]) -> Call {
        let operation = operation(row.operation);
        let given = |name: &str| row.given.iter().chain(PARAMETERS).find(|(given, _)| *given == name);
        let mut path = operation.path.clone();
        for (name, id) in ids {
            path = path.replace(&format!("{{{name}}}"), id);
        }
        let (mut query, mut headers) = (Vec::new(), Vec::new());
        for parameter in operation.description()["parameters"].as_array().into_iter().flatten() {
            let name = parameter["name"].as_str().unwrap();
            let Some((_, value)) = given(name).filter(|_| parameter["required"] == true || is_given(row, name)) else {
                assert!(parameter["required"] != true, "{}: say what {name} is, with given(..)", row.operation);
                continue;
            };
            let value = resolved(value, who);
            match parameter["in"].as_str().unwrap() {
                "path" => path = path.replace(&format!("{{{name}}}"), &value),
                "query" => query.push(format!("{name}={value}")),
                _ => headers.push((name, value)),
            }
        }
        if !query.is_empty() {
            path = format!("{path}?{}", query.join("&"));
        }
        let method = operation.method.clone();
        let mut call = match self.actor(who) {
            Some(actor) => actor.call(method, &path),
            None => self.app.call(method, &path),
        };
        for (name, value) in headers {
            call = call.header(name, &value);
        }
        if let Some(body) = self.body(row, who).await {
            call = call.json(body);
        }
        if row.is_endless { call.unread() } else { call }
    }

    /// The body of a row's call.
    pub(super) async fn body(&self, row: &Row, who: Who) -> Option<Value> {
        let text = row.body?;
        let mut body = serde_json::from_str(&text.replace("{caller}", who.name())).expect(text);
        self.resolve(&mut body).await;
        Some(body)
    }

    /// Replaces `$style 1` and `$all styles` in a body.
    async fn resolve(&self, value: &mut Value) {
        match value {
            Value::Array(items) => {
                for item in items {
                    Box::pin(self.resolve(item)).await;
                }
            }
            Value::Object(members) => {
                for (_, member) in members {
                    Box::pin(self.resolve(member)).await;
                }
            }
            Value::String(text) => {
                if let Some(list) = text.strip_prefix("$all ") {
                    let (_, query) = LISTS.iter().find(|(name, _)| *name == list).expect(list);
                    *value = sqlx::query_scalar(*query).fetch_one(self.app.app.pool()).await.unwrap();
                } else if let Some(name) = text.strip_prefix('$') {
                    *value = json!(named(name));
                }
            }
            _ => {}
        }
    }

    /// The tables whose contents differ from those at the beginning, or since [`School::restore`].
    pub(super) async fn changed(&self) -> Vec<&str> {
        let contents = self.read().await;
        let pairs = self.tables.iter().zip(&contents);
        pairs.filter(|(table, contents)| table.contents != **contents).map(|(table, _)| table.name.as_str()).collect()
    }

    /// Makes everything as it was at the beginning, so that calls do not depend on those before.
    pub(super) async fn restore(&mut self) {
        let changed = self.changed().await;
        let copied = self.tables.iter().filter(|table| changed.contains(&table.name.as_str())).map(|table| {
            let Table { name, columns, .. } = table;
            format!(
                "DELETE FROM {name};
                 INSERT INTO {name} ({columns}) OVERRIDING SYSTEM VALUE SELECT {columns} FROM original.\"{name}\";"
            )
        });
        // Without triggers and foreign keys, which have acted when the original rows were written.
        let statements = format!("SET LOCAL session_replication_role = replica; {}", copied.collect::<String>());
        sqlx::raw_sql(AssertSqlSafe(statements)).execute(&mut self.app.superuser().await).await.unwrap();
        self.remember().await;
    }

    async fn remember(&mut self) {
        for (table, contents) in self.read().await.into_iter().enumerate() {
            self.tables[table].contents = contents;
        }
    }

    /// The number of rows of each table, and a sum over their contents and versions.
    async fn read(&self) -> Vec<(i64, String)> {
        let count = |(n, table): (usize, &Table)| {
            let name = &table.name;
            let condition = if name == "apalis.jobs" { NO_TRACES } else { "true" };
            format!(
                "SELECT {n} AS n, count(*), coalesce(sum(hashtextextended(t::text || xmin, 0)), 0)::text FROM {name} t
                 WHERE {condition}"
            )
        };
        let query = self.tables.iter().enumerate().map(count).collect::<Vec<_>>().join(" UNION ALL ");
        let rows: Vec<(i32, i64, String)> =
            sqlx::query_as(AssertSqlSafe(format!("{query} ORDER BY n"))).fetch_all(self.app.app.pool()).await.unwrap();
        rows.into_iter().map(|(_, count, sum)| (count, sum)).collect()
    }
}

/// A table of the database.
struct Table {
    name: String,
    /// Those that are not generated.
    columns: String,
    /// What was in it at the beginning.
    contents: (i64, String),
}

impl Table {
    async fn all(pool: &PgPool) -> Vec<Self> {
        let names: Vec<(String, String)> = sqlx::query_as(
            "SELECT c.oid::regclass::text, string_agg(quote_ident(a.attname), ', ' ORDER BY a.attnum)
             FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid
             WHERE c.relkind = 'r' AND c.relnamespace IN ('public'::regnamespace, 'apalis'::regnamespace)
               AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = ''
             GROUP BY c.oid ORDER BY 1",
        )
        .fetch_all(pool)
        .await
        .unwrap();
        names.into_iter().map(|(name, columns)| Self { name, columns, contents: (0, String::new()) }).collect()
    }
}

fn is_given(row: &Row, name: &str) -> bool {
    row.given.iter().any(|(given, _)| *given == name)
}

fn resolved(value: &str, who: Who) -> String {
    let value = value.replace("{caller}", who.name());
    value.strip_prefix('$').map_or(value.clone(), |name| named(name).to_string())
}

/// The operation with that id.
pub(super) fn operation(id: &str) -> &'static Operation {
    static OPERATIONS: LazyLock<Vec<Operation>> = LazyLock::new(operations);
    OPERATIONS.iter().find(|operation| operation.id == id).expect(id)
}

/// Fills an empty, migrated database. Accounts are suspended and deleted as admins do it.
async fn fill(url: &str, rows: usize) {
    let app = TestApp::at(&role_url(url, APPLICATION));
    let mut superuser = PgConnection::connect(url).await.unwrap();
    let hash = app.app.passwords.hash(&Password::parse(PASSWORD).unwrap()).await.unwrap();
    let callers = format!("{{{}}}", Who::ALL.map(Who::name).join(","));
    let statements = SCHOOL.replace("{n}", &rows.to_string()).replace("{callers}", &callers);
    let statements = statements.replace("{password_hash}", &hash);
    sqlx::raw_sql(AssertSqlSafe(statements)).execute(&mut superuser).await.unwrap();
    sqlx::raw_sql("CREATE SCHEMA original").execute(&mut superuser).await.unwrap();
    let admin = app.signed_in(named(Who::Admin.name()), named("s admin"));
    for name in ["suspended", "user suspended"] {
        let path = format!("/v1/admin/users/{}/suspend", named(name));
        admin.post(&path, json!({})).header("If-Match", "\"1\"").await.expect(200);
    }
    for name in ["deleted", "user deleted"] {
        admin.delete(&format!("/v1/admin/users/{}", named(name))).header("If-Match", "\"1\"").await.expect(204);
    }
    app.run_jobs().await;
    for Table { name, columns, .. } in Table::all(app.app.pool()).await {
        let copy = format!("CREATE TABLE original.\"{name}\" AS SELECT {columns} FROM {name}");
        sqlx::raw_sql(AssertSqlSafe(copy)).execute(&mut superuser).await.unwrap();
    }
    superuser.close().await.unwrap();
    app.app.db.close().await;
}
