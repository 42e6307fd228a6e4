//! Modules, as admins edit them.

use chrono::{DateTime, Utc};
use serde::Serialize;
use sqlx::PgConnection;
use uuid::Uuid;

use super::tree;
use crate::Result;
use crate::db::Tx;
use crate::learning::catalog::Position;
use crate::noun::Noun;
use crate::refusal::{NotFound, OnConstraint, OrRefuse, Rejected};
use crate::resource::{self, Publication, Publish, Refusal, Resource};

/// A module. Lengths are in characters.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[expect(missing_docs, reason = "columns of the table course_modules")]
pub struct Module {
    pub id: Uuid,
    pub slug: String,
    pub title: String,
    pub summary: String,
    pub position: i32,
    pub publication: Publication,
    pub version: i64,
    pub created_at: DateTime<Utc>,
    pub updated_at: DateTime<Utc>,
    pub deleted_at: Option<DateTime<Utc>>,
}

impl Module {
    /// A new module, the last of all.
    pub fn new(id: Uuid) -> Self {
        Self { id, position: tree::LAST, ..Self::default() }
    }
}

/// Selects modules from `$from`, which is the table or a statement that returns its rows.
macro_rules! select_modules {
    ($with:literal, $from:literal $(, $argument:expr)* $(,)?) => {
        sqlx::query_as!(
            Module,
            $with
                + r#" SELECT id AS "id!", slug AS "slug!: String", title AS "title!", summary AS "summary!",
                       position AS "position!", publication AS "publication!: Publication", version AS "version!",
                       created_at AS "created_at!", updated_at AS "updated_at!", deleted_at
                   FROM "#
                + $from,
            $($argument),*
        )
    };
}

impl Resource for Module {
    const NOUN: Noun = Noun::Module;

    fn id(&self) -> Uuid {
        self.id
    }

    fn title(&self) -> &str {
        &self.title
    }

    fn version(&self) -> i64 {
        self.version
    }

    fn deleted_at(&mut self) -> &mut Option<DateTime<Utc>> {
        &mut self.deleted_at
    }

    async fn lock(connection: &mut PgConnection, id: Uuid) -> Result<Option<Self>> {
        tree::lock(connection).await?;
        let module = select_modules!("", "course_modules WHERE id = $1 FOR NO KEY UPDATE", id);
        Ok(module.fetch_optional(connection).await?)
    }

    async fn save(&self, connection: &mut PgConnection) -> Result<Self, Rejected<Refusal>> {
        tree::lock(connection).await?;
        let saved = select_modules!(
            "WITH saved AS (
                 INSERT INTO course_modules (id, slug, title, summary, position, publication, deleted_at)
                 VALUES ($1, $2::text, $3, $4,
                     CASE WHEN $5 < 2147483647 THEN $5 ELSE (SELECT coalesce(max(position) + 1, 0) FROM course_modules) END,
                     $6, $7)
                 ON CONFLICT (id) DO UPDATE SET slug = excluded.slug, title = excluded.title, summary = excluded.summary,
                     position = excluded.position, publication = excluded.publication, deleted_at = excluded.deleted_at
                 RETURNING *
             )",
            "saved",
            self.id,
            self.slug,
            self.title,
            self.summary,
            self.position,
            self.publication as Publication,
            self.deleted_at,
        );
        let saved = saved.fetch_one(connection).await;
        saved.on_constraint("course_modules_slug_key", Refusal::Taken { member: "slug" })
    }

    async fn after_save(&self, tx: &mut Tx, before: Option<&Self>) -> Result<(), Rejected<Refusal>> {
        if self.deleted_at.is_none() && before.is_none_or(|before| before.deleted_at.is_some()) {
            let size =
                sqlx::query_scalar!(r#"SELECT count(*) AS "size!" FROM course_modules WHERE deleted_at IS NULL"#);
            tree::check_size(size.fetch_one(&mut **tx).await?, tree::MAX_ITEMS)?;
        }
        Ok(tree::enqueue_consequences(tx).await?)
    }
}

impl Publish for Module {
    fn publication(&mut self) -> &mut Publication {
        &mut self.publication
    }
}

/// At most `limit` modules in order, starting after `after`, drafts and archived ones included. Lists either the deleted
/// modules or those that are not.
pub async fn list(
    connection: &mut PgConnection,
    publication: Option<Publication>,
    deleted: bool,
    after: Option<Position>,
    limit: i64,
) -> Result<Vec<Module>> {
    let (position, id) = after.unzip();
    let modules = select_modules!(
        "",
        "course_modules
         WHERE (deleted_at IS NOT NULL) = $1 AND ($2::publication IS NULL OR publication = $2)
           AND (position, id) > (coalesce($3, -2147483648), coalesce($4, '00000000-0000-0000-0000-000000000000'::uuid))
         ORDER BY position, id LIMIT $5",
        deleted,
        publication as Option<Publication>,
        position,
        id,
        limit
    );
    Ok(modules.fetch_all(connection).await?)
}

/// Finds a module whatever its publication, deleted or not.
pub async fn find(connection: &mut PgConnection, id: Uuid) -> Result<Module, Rejected<NotFound>> {
    let module = select_modules!("", "course_modules WHERE id = $1", id);
    module.fetch_optional(connection).await?.or_not_found(Noun::Module)
}

/// Puts all modules that are not deleted into this order.
pub async fn reorder(tx: &mut Tx, order: &[Uuid]) -> Result<(), Rejected<Refusal>> {
    tree::lock(tx).await?;
    let current = sqlx::query_scalar!("SELECT id FROM course_modules WHERE deleted_at IS NULL ORDER BY position, id");
    let current = current.fetch_all(&mut **tx).await?;
    resource::check_order(&current, order).map_err(Rejected::Refused)?;
    sqlx::query!(
        "UPDATE course_modules m SET position = o.position::integer
         FROM unnest($1::uuid[]) WITH ORDINALITY AS o (id, position) WHERE m.id = o.id AND m.position <> o.position",
        order
    )
    .execute(&mut **tx)
    .await?;
    Ok(resource::record_order(tx, Noun::Module, &current, order)?)
}
