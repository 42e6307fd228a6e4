//! What is known while rows are mapped: ids here of rows that others refer to, and what must be unique.

use std::collections::{HashMap, HashSet};
use std::hash::Hash;

use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use uuid::Uuid;

use super::row::Row;
use crate::Result;
use crate::clock::new_id;

/// Kinds whose rows others refer to. The first are tables of the old database, the others what was made beside their rows.
pub(super) const PARENTS: [&str; 17] = [
    "users",
    "course_modules",
    "lessons",
    "lesson_tasks",
    "roadmaps",
    "roadmap_steps",
    "dashboard_stages",
    "stage_tasks",
    "prompt_categories",
    "prompts",
    "showcase_projects",
    "tool_chats",
    COURSE,
    MODULE_STAGE,
    ROADMAP_STAGE,
    ROADMAP_MODULE,
    SETTING,
];

/// The roadmap of the modules, and that of the stages of the dashboard with the module of its lessons.
pub(super) const COURSE: &str = "course";
/// The stage of a module in the roadmap of the course.
pub(super) const MODULE_STAGE: &str = "course_modules stage";
/// The stage with the steps of an old roadmap.
pub(super) const ROADMAP_STAGE: &str = "roadmaps stage";
/// The module with the steps of an old roadmap.
pub(super) const ROADMAP_MODULE: &str = "roadmaps module";
/// The keys of the settings that a row has decided.
pub(super) const SETTING: &str = "platform_settings key";

/// What is known. Without a database it is empty, and then everything counts as new.
#[derive(Debug, Default)]
pub(super) struct State {
    /// When the import began: the time of rows that have none.
    pub(super) now: DateTime<Utc>,
    /// Ids here, by kind and id there.
    ids: HashMap<(&'static str, String), Uuid>,
    /// Slugs in use, by where they must be unique.
    slugs: HashMap<String, HashSet<String>>,
    /// Accounts by the key of their address.
    emails: HashMap<String, Uuid>,
    /// Accounts that were erased here: nothing may be added to them.
    erased: HashSet<Uuid>,
    /// Categories of prompts that are not deleted, by [`category_key`].
    categories: HashMap<String, Uuid>,
    /// Chats by user and tool.
    chats: HashMap<(Uuid, String), Uuid>,
    /// When the chats of this run were created.
    chat_times: HashMap<Uuid, DateTime<Utc>>,
    /// What was added since [`State::settle`], in this order.
    added: Vec<Added>,
}

/// Something that was added, and can be taken back: an entry that replaced none is removed.
#[derive(Debug)]
enum Added {
    Id((&'static str, String), Option<Uuid>),
    Slug(String, String),
    Email(String, Option<Uuid>),
    Category(String),
    Chat(Uuid, String),
}

impl State {
    /// Knows nothing.
    pub(super) fn new(now: DateTime<Utc>) -> Self {
        Self { now, ..Self::default() }
    }

    /// Knows what is in this database.
    pub(super) async fn load(connection: &mut PgConnection, now: DateTime<Utc>) -> Result<Self> {
        let mut state = Self::new(now);
        let kinds: Vec<String> = PARENTS.iter().map(|kind| (*kind).to_owned()).collect();
        let rows = sqlx::query!("SELECT kind, legacy_id, id FROM legacy_ids WHERE kind = ANY ($1)", &kinds);
        for row in rows.fetch_all(&mut *connection).await? {
            let Some(kind) = PARENTS.into_iter().find(|kind| *kind == row.kind) else { continue };
            state.ids.insert((kind, row.legacy_id), row.id);
        }
        let rows = sqlx::query!("SELECT id, email_key FROM users WHERE deleted_at IS NULL").fetch_all(&mut *connection);
        state.emails = rows.await?.into_iter().map(|row| (row.email_key, row.id)).collect();
        let rows = sqlx::query_scalar!("SELECT id FROM users WHERE erased_at IS NOT NULL").fetch_all(&mut *connection);
        state.erased = rows.await?.into_iter().collect();
        let rows = sqlx::query!(
            r#"SELECT 'module' AS "scope!", slug::text AS "slug!" FROM course_modules WHERE deleted_at IS NULL
               UNION ALL SELECT 'lesson', slug::text FROM lessons WHERE deleted_at IS NULL
               UNION ALL SELECT 'task ' || lesson_id, slug::text FROM lesson_tasks WHERE deleted_at IS NULL
               UNION ALL SELECT 'roadmap', slug::text FROM roadmaps WHERE deleted_at IS NULL
               UNION ALL SELECT 'stage ' || roadmap_id, slug::text FROM stages WHERE deleted_at IS NULL
               UNION ALL SELECT 'category', slug::text FROM prompt_categories WHERE deleted_at IS NULL
               UNION ALL SELECT 'prompt', slug::text FROM prompts WHERE deleted_at IS NULL
               UNION ALL SELECT 'style', slug::text FROM style_cards WHERE deleted_at IS NULL
               UNION ALL SELECT 'term', slug::text FROM glossary_terms WHERE deleted_at IS NULL"#
        );
        for row in rows.fetch_all(&mut *connection).await? {
            state.slugs.entry(row.scope).or_default().insert(row.slug);
        }
        let rows = sqlx::query!("SELECT id, name FROM prompt_categories WHERE deleted_at IS NULL");
        for row in rows.fetch_all(&mut *connection).await? {
            state.categories.insert(category_key(&row.name), row.id);
        }
        let rows = sqlx::query!("SELECT id, user_id, tool_type FROM tool_chats").fetch_all(&mut *connection).await?;
        state.chats = rows.into_iter().map(|row| ((row.user_id, row.tool_type), row.id)).collect();
        Ok(state)
    }

    /// The id here of a row.
    pub(super) fn find(&self, kind: &'static str, legacy_id: &str) -> Option<Uuid> {
        self.ids.get(&(kind, legacy_id.to_owned())).copied()
    }

    /// Remembers the id here of a row, if others may refer to it.
    pub(super) fn remember(&mut self, kind: &'static str, legacy_id: &str, id: Uuid) {
        if PARENTS.contains(&kind) {
            let key = (kind, legacy_id.to_owned());
            let before = self.ids.insert(key.clone(), id);
            self.added.push(Added::Id(key, before));
        }
    }

    /// The account that has an address.
    pub(super) fn owner(&self, email_key: &str) -> Option<Uuid> {
        self.emails.get(email_key).copied()
    }

    /// Gives an address to an account.
    pub(super) fn add_email(&mut self, email_key: &str, id: Uuid) {
        let before = self.emails.insert(email_key.to_owned(), id);
        self.added.push(Added::Email(email_key.to_owned(), before));
    }

    /// The category of this name.
    pub(super) fn category(&self, name: &str) -> Option<Uuid> {
        self.categories.get(&category_key(name)).copied()
    }

    /// Whether prompts can be in this category: one that was deleted takes none.
    pub(super) fn is_live_category(&self, id: Uuid) -> bool {
        self.categories.values().any(|other| *other == id)
    }

    /// Remembers a category, whose name none has yet.
    pub(super) fn add_category(&mut self, name: &str, id: Uuid) {
        self.categories.insert(category_key(name), id);
        self.added.push(Added::Category(category_key(name)));
    }

    /// The chat of a user with a tool.
    pub(super) fn chat(&self, user_id: Uuid, tool: &str) -> Option<Uuid> {
        self.chats.get(&(user_id, tool.to_owned())).copied()
    }

    /// When a chat was created, if it was in this run.
    pub(super) fn chat_time(&self, id: Uuid) -> Option<DateTime<Utc>> {
        self.chat_times.get(&id).copied()
    }

    /// Remembers a chat of a user, who has none with the tool yet.
    pub(super) fn add_chat(&mut self, user_id: Uuid, tool: &str, id: Uuid, created_at: DateTime<Utc>) {
        self.chats.insert((user_id, tool.to_owned()), id);
        self.chat_times.insert(id, created_at);
        self.added.push(Added::Chat(user_id, tool.to_owned()));
    }

    /// A moment to which [`State::undo`] returns.
    pub(super) fn mark(&self) -> usize {
        self.added.len()
    }

    /// Forgets what was added since a mark: rows that are not inserted reserve nothing, and none may refer to them.
    pub(super) fn undo(&mut self, mark: usize) {
        while self.added.len() > mark {
            match self.added.pop() {
                Some(Added::Id(key, before)) => restore(&mut self.ids, key, before),
                Some(Added::Email(key, before)) => restore(&mut self.emails, key, before),
                Some(Added::Category(key)) => restore(&mut self.categories, key, None),
                Some(Added::Slug(scope, slug)) => {
                    self.slugs.entry(scope).or_default().remove(&slug);
                }
                Some(Added::Chat(user_id, tool)) => {
                    if let Some(id) = self.chats.remove(&(user_id, tool)) {
                        self.chat_times.remove(&id);
                    }
                }
                None => {}
            }
        }
    }

    /// What was added stays: the rows are inserted.
    pub(super) fn settle(&mut self) {
        self.added.clear();
    }

    /// The id here of the row that a column refers to, or why there is none.
    pub(super) fn parent(&self, row: &Row, column: &str, kind: &'static str) -> Result<Uuid, String> {
        let legacy_id = row.text(column).ok_or_else(|| format!("{column} is empty"))?;
        let id = self
            .find(kind, &legacy_id)
            .ok_or_else(|| format!("{column} names no row of {kind} that was carried over"))?;
        if kind == "users" && self.erased.contains(&id) {
            return Err("the account was erased here".to_owned());
        }
        Ok(id)
    }

    /// A slug that nothing in the scope has yet, which is now taken.
    pub(super) fn slug(&mut self, scope: &str, wanted: &str) -> String {
        let taken = self.slugs.entry(scope.to_owned()).or_default();
        let mut slug = wanted.to_owned();
        let mut number = 2;
        while !taken.insert(slug.clone()) {
            slug = format!("{wanted}-{number}");
            number += 1;
        }
        self.added.push(Added::Slug(scope.to_owned(), slug.clone()));
        slug
    }
}

/// Gives a key the value that it had.
fn restore<K: Eq + Hash>(map: &mut HashMap<K, Uuid>, key: K, before: Option<Uuid>) {
    match before {
        Some(before) => map.insert(key, before),
        None => map.remove(&key),
    };
}

/// Names of categories that are one name to the database.
fn category_key(name: &str) -> String {
    name.to_lowercase().replace('ё', "е")
}

/// The id here of a new row: the one that it had if that is a UUID, so that links keep their meaning.
pub(super) fn id_for(key: &str) -> Uuid {
    Uuid::parse_str(key).unwrap_or_else(|_| new_id())
}
