//! Categories of prompts.

use chrono::{DateTime, Utc};
use serde::Serialize;
use sqlx::PgConnection;
use uuid::Uuid;

use crate::Result;
use crate::db::Tx;
use crate::noun::Noun;
use crate::refusal::{NotFound, OnConstraint, OrRefuse, Rejected};
use crate::resource::{self, Refusal, Resource};

/// The kind of a category. The list is fixed, so that programs can rely on it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, sqlx::Type)]
#[sqlx(type_name = "prompt_category", rename_all = "snake_case")]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "each names itself")]
pub enum PromptKind {
    #[default]
    Planning,
    Research,
    Design,
    Frontend,
    Backend,
    Content,
    Debugging,
    Deployment,
}

/// A category of prompts.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[expect(missing_docs, reason = "columns of the table prompt_categories, which documents them")]
pub struct PromptCategory {
    pub id: Uuid,
    pub slug: String,
    pub name: String,
    pub kind: PromptKind,
    pub color: String,
    pub position: i32,
    pub version: i64,
    pub created_at: DateTime<Utc>,
    pub updated_at: DateTime<Utc>,
    pub deleted_at: Option<DateTime<Utc>>,
}

/// Selects categories from `$from`, which is the table or a statement that returns its rows.
macro_rules! select_categories {
    ($with:literal, $from:literal $(, $argument:expr)* $(,)?) => {
        sqlx::query_as!(
            PromptCategory,
            $with
                + r#" SELECT id AS "id!", slug AS "slug!: String", name AS "name!", kind AS "kind!: PromptKind",
                       color AS "color!", position AS "position!", version AS "version!", created_at AS "created_at!",
                       updated_at AS "updated_at!", deleted_at
                   FROM "#
                + $from,
            $($argument),*
        )
    };
}

impl Resource for PromptCategory {
    const NOUN: Noun = Noun::PromptCategory;

    fn id(&self) -> Uuid {
        self.id
    }

    fn title(&self) -> &str {
        &self.name
    }

    fn version(&self) -> i64 {
        self.version
    }

    fn deleted_at(&mut self) -> &mut Option<DateTime<Utc>> {
        &mut self.deleted_at
    }

    async fn lock(connection: &mut PgConnection, id: Uuid) -> Result<Option<Self>> {
        let category = select_categories!("", "prompt_categories WHERE id = $1 FOR NO KEY UPDATE", id);
        Ok(category.fetch_optional(connection).await?)
    }

    async fn save(&self, connection: &mut PgConnection) -> Result<Self, Rejected<Refusal>> {
        let saved = select_categories!(
            "WITH saved AS (
                 INSERT INTO prompt_categories (id, slug, name, kind, color, position, deleted_at)
                 VALUES ($1, $2::text, $3, $4, $5, $6, $7)
                 ON CONFLICT (id) DO UPDATE SET slug = excluded.slug, name = excluded.name, kind = excluded.kind,
                     color = excluded.color, position = excluded.position, deleted_at = excluded.deleted_at
                 RETURNING *
             )",
            "saved",
            self.id,
            self.slug,
            self.name,
            self.kind as PromptKind,
            self.color,
            self.position,
            self.deleted_at,
        );
        let saved = saved.fetch_one(connection).await;
        saved
            .on_constraint("prompt_categories_slug_key", Refusal::Taken { member: "slug" })
            .on_constraint("prompt_categories_name_key", Refusal::Taken { member: "name" })
    }
}

/// A category as learners see it.
#[derive(Clone, Debug)]
#[expect(missing_docs, reason = "as in PromptCategory")]
pub struct CategoryWithCount {
    pub id: Uuid,
    pub slug: String,
    pub name: String,
    pub kind: PromptKind,
    pub color: String,
    pub position: i32,
    /// How many prompts of the category learners may see.
    pub prompts_count: i64,
}

/// Sort key of lists: the position and the id.
pub type Key = (i32, Uuid);

/// At most `limit` categories in order, with the number of their prompts, starting after `after`.
pub async fn list(connection: &mut PgConnection, after: Option<Key>, limit: i64) -> Result<Vec<CategoryWithCount>> {
    let (position, id) = after.unzip();
    let categories = sqlx::query_as!(
        CategoryWithCount,
        r#"SELECT id, slug AS "slug: String", name, kind AS "kind: PromptKind", color, position,
               (SELECT count(*) FROM visible_prompts p WHERE p.category_id = c.id) AS "prompts_count!"
           FROM prompt_categories c
           WHERE deleted_at IS NULL
             AND (position, id) >
                 (coalesce($1, -2147483648), coalesce($2, '00000000-0000-0000-0000-000000000000'::uuid))
           ORDER BY position, id LIMIT $3"#,
        position,
        id,
        limit
    );
    Ok(categories.fetch_all(connection).await?)
}

/// At most `limit` categories in order, starting after `after`: either the deleted ones or those that are not.
pub async fn list_all(
    connection: &mut PgConnection,
    deleted: bool,
    after: Option<Key>,
    limit: i64,
) -> Result<Vec<PromptCategory>> {
    let (position, id) = after.unzip();
    let categories = select_categories!(
        "",
        "prompt_categories
         WHERE (deleted_at IS NOT NULL) = $1
           AND (position, id) > (coalesce($2, -2147483648), coalesce($3, '00000000-0000-0000-0000-000000000000'::uuid))
         ORDER BY position, id LIMIT $4",
        deleted,
        position,
        id,
        limit
    );
    Ok(categories.fetch_all(connection).await?)
}

/// Finds a category, deleted or not.
pub async fn find_any(connection: &mut PgConnection, id: Uuid) -> Result<PromptCategory, Rejected<NotFound>> {
    let category = select_categories!("", "prompt_categories WHERE id = $1", id);
    category.fetch_optional(connection).await?.or_not_found(Noun::PromptCategory)
}

/// Deletes a category, which the caller has seen as `version`. Refused while prompts that are not deleted belong to it.
///
/// They are counted after the category is locked. Whoever adds a prompt, moves or restores one holds a shared lock of its
/// category, so this count has it, or the prompt is refused because the category is deleted.
pub async fn delete(tx: &mut Tx, id: Uuid, version: i64) -> Result<(), Rejected<Refusal>> {
    let delete = resource::delete::<PromptCategory>(tx.now());
    resource::edit(tx, id, version, delete).await?;
    let count = sqlx::query_scalar!(
        r#"SELECT count(*) AS "count!" FROM prompts WHERE category_id = $1 AND deleted_at IS NULL"#,
        id
    );
    match count.fetch_one(&mut **tx).await? {
        0 => Ok(()),
        count => Err(Rejected::Refused(Refusal::InUse { noun: Noun::Prompt, count })),
    }
}

/// Puts all categories that are not deleted into this order.
pub async fn reorder(tx: &mut Tx, order: &[Uuid]) -> Result<(), Rejected<Refusal>> {
    let current = sqlx::query_scalar!(
        "SELECT id FROM (
             SELECT id, position FROM prompt_categories WHERE deleted_at IS NULL ORDER BY id FOR NO KEY UPDATE
         ) c
         ORDER BY position, id"
    );
    let current = current.fetch_all(&mut **tx).await?;
    resource::check_order(&current, order).map_err(Rejected::Refused)?;
    sqlx::query!(
        "UPDATE prompt_categories c SET position = o.position::integer
         FROM unnest($1::uuid[]) WITH ORDINALITY AS o (id, position) WHERE c.id = o.id AND c.position <> o.position",
        order
    )
    .execute(&mut **tx)
    .await?;
    resource::record_order(tx, Noun::PromptCategory, &current, order)?;
    Ok(())
}
